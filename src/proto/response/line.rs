//! The status line: version, status, reason (RFC 9112 4).
use super::{Bad, Head, MORE, Rules, Stop, Token, eol};
use crate::proto::request::Version;
use crate::proto::span::Span;
use crate::text::{number, scan};

const NONE: Stop = Stop::Bad(Bad::StatusLine);

impl Head {
    /// Parses the status line and returns where it ends. May run again from its
    /// beginning, with more bytes.
    pub(super) fn read_status_line(&mut self, buffer: &[u8], rules: &Rules) -> Result<usize, Stop> {
        let start = self.version(buffer)?;
        let after = start + STATUS;
        let status = read_status(buffer, start)?;
        let reason = match buffer.get(after).ok_or(MORE)? {
            b' ' => after + 1,
            // Some send 403.1.
            b'.' | b'\r' | b'\n' => after,
            _ => return Err(NONE),
        };
        let end = text_end(buffer, reason, rules)?;
        let line_end = eol(buffer, end, Bad::StatusLine)?;
        self.status = status;
        self.status_line = Span::new(start, end);
        self.reason = Span::new(reason, end);
        check(status, rules)?;
        Ok(line_end)
    }

    /// The version; returns where the status begins.
    fn version(&mut self, buffer: &[u8]) -> Result<usize, Stop> {
        let len;
        (self.version, len) = match buffer.first_chunk() {
            Some(b"HTTP/1.1 ") => (Version::V11, 8),
            Some(b"HTTP/1.0 ") => (Version::V10, 8),
            _ => other_version(buffer)?,
        };
        if *buffer.get(len).ok_or(MORE)? != b' ' {
            return Err(NONE);
        }
        let blanks = buffer.get(len..).unwrap_or_default();
        let blanks = blanks.iter().position(|&b| b != b' ').ok_or(Stop::More(Token::Blanks))?;
        Ok(len + blanks)
    }
}

/// Digits of a status.
const STATUS: usize = 3;

fn read_status(buffer: &[u8], start: usize) -> Result<u16, Stop> {
    let mut status = 0;
    for at in start..start + STATUS {
        let digit = *buffer.get(at).ok_or(MORE)?;
        if !digit.is_ascii_digit() {
            return Err(NONE);
        }
        status = status * 10 + u16::from(digit - b'0');
    }
    Ok(status)
}

fn check(status: u16, rules: &Rules) -> Result<(), Stop> {
    match status {
        100..=599 => Ok(()),
        600..=999 if rules.any_status => Ok(()),
        600..=999 => Err(Stop::Bad(Bad::HighStatus)),
        _ => Err(Stop::Bad(Bad::Status)),
    }
}

/// The value of CGI's `Status`: three digits and what follows them. There is no
/// interim response in CGI: nothing could come after it.
pub(super) fn cgi_status(value: &[u8], rules: &Rules) -> Result<u16, Stop> {
    let (digits, rest) = value.split_first_chunk::<STATUS>().ok_or(Stop::Bad(Bad::Status))?;
    let status = number::parse_u64(digits).and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|_| matches!(rest.first(), None | Some(b' ' | b'.')));
    let status = status.filter(|&status| status >= 200).ok_or(Stop::Bad(Bad::Status))?;
    check(status, rules)?;
    Ok(status)
}

/// Where the line end behind the reason begins.
fn text_end(buffer: &[u8], start: usize, rules: &Rules) -> Result<usize, Stop> {
    let mut end = start;
    loop {
        let rest = buffer.get(end..).unwrap_or_default();
        end += scan::control(rest).ok_or(Stop::More(Token::value(rules)))?;
        match buffer.get(end) {
            Some(b'\r' | b'\n') => return Ok(end),
            Some(b'\t') => end += 1,
            Some(1..) if rules.controls => end += 1,
            _ => return Err(NONE),
        }
    }
}

/// A version that is not the usual text: still arriving, one of the others that
/// nginx takes, or nothing.
#[cold]
fn other_version(buffer: &[u8]) -> Result<(Version, usize), Stop> {
    for (at, want) in b"HTTP/".iter().enumerate() {
        if buffer.get(at).ok_or(MORE)? != want {
            return Err(NONE);
        }
    }
    let (major, dot) = number_at(buffer, 5, 2)?;
    if *buffer.get(dot).ok_or(MORE)? != b'.' || buffer.get(5) == Some(&b'0') {
        return Err(NONE);
    }
    let (minor, end) = number_at(buffer, dot + 1, 3)?;
    let version = if (major, minor) > (1, 0) { Version::V11 } else { Version::V10 };
    Ok((version, end))
}

/// One to `most` digits.
fn number_at(buffer: &[u8], start: usize, most: usize) -> Result<(u16, usize), Stop> {
    let (mut number, mut at) = (0, start);
    while at < start + most {
        match *buffer.get(at).ok_or(MORE)? {
            digit @ b'0'..=b'9' => number = number * 10 + u16::from(digit - b'0'),
            _ if at > start => break,
            _ => return Err(NONE),
        }
        at += 1;
    }
    Ok((number, at))
}
