//! The head of an upstream's response, HTTP/1.x or CGI, parsed as it arrives.
//!
//! A [`Head`] is plain data: offsets into the buffer that the bytes are in, and
//! what they mean. [`Head::parse`] is called with everything read so far and
//! goes on at the line it stopped in; the result does not depend on how the
//! bytes were cut, and the work is linear in their number: an unfinished token
//! says which bytes merely prolong it, and its line is looked at again only when
//! another comes.
//!
//! As strict as nginx, and stricter where two readers could disagree.
mod bad;
mod body;
mod field;
mod index;
mod known;
mod line;
#[cfg(test)]
mod tests;

pub use bad::Bad;
pub use body::Framing;
pub use field::Field;
pub use known::{Again, Known};

use crate::proto::request::{Connection, Version};
use crate::proto::span::Span;
use crate::text::ascii;
use index::Index;

/// Limits and leniencies, from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Longest head: `proxy_buffer_size`.
    pub size: u32,
    /// A CGI response: no status line, and `Status` is one (RFC 3875 6).
    pub cgi: bool,
    /// Take what has no status line for the body of an HTTP/0.9 response, as
    /// nginx does.
    pub no_status_line: bool,
    /// Take statuses of 600 to 999, as nginx does. Below 100 there are none.
    pub any_status: bool,
    /// Take a line without colon for a header without value, as nginx does.
    pub colonless: bool,
    /// Take control bytes (but NUL, CR and LF) in values, as nginx does.
    pub controls: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            size: 4 << 10,
            cgi: false,
            no_status_line: false,
            any_status: false,
            colonless: false,
            controls: false,
        }
    }
}

/// What is known after a call of [`Head::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head is complete; [`Head::len`] bytes belong to it.
    Done,
    /// It needs more bytes.
    Partial,
    /// [`Head::complain`] has words for it.
    Bad(Bad),
}

/// A response head, or as much of it as has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head, once it is complete.
    pub len: u32,
    /// HTTP/0.9 is a body without head.
    pub version: Version,
    pub status: u16,
    /// Status and reason as sent, or the value of CGI's `Status`; empty where
    /// the usual words for the status are to be used.
    pub status_line: Span,
    /// What follows the status and a blank.
    pub reason: Span,
    pub connection: Connection,
    /// `Content-Length`
    pub length: Option<u64>,
    /// `Transfer-Encoding: chunked`
    pub chunked: bool,
    cgi: bool,
    /// Some lines are left out by [`Fields`].
    omits: bool,
    phase: Phase,
    /// The known headers that are there.
    present: u64,
    /// Where the header lines begin.
    fields: u32,
    index: Index,
    /// Start of the line that is being parsed.
    at: u32,
    /// Bytes that were there when parsing stopped.
    seen: u32,
    /// The byte that made a header line a bad one.
    bad_at: u32,
    /// What parsing stopped in.
    token: Token,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Line,
    Fields,
    Done,
}

/// Why parsing stops in the middle.
enum Stop {
    /// The bytes end inside this.
    More(Token),
    Bad(Bad),
    /// The byte there makes the line a bad one.
    BadAt(Bad, usize),
}

/// The bytes end inside something short.
const MORE: Stop = Stop::More(Token::Short);

/// A part of a line of which there is no end yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Token {
    /// Something of few bytes: each one matters.
    #[default]
    Short,
    /// What is between version and status.
    Blanks,
    Name,
    OddName,
    /// A reason or a value.
    Value,
    /// The same where control bytes are taken.
    AnyValue,
}

impl Token {
    /// What a value is, by the rules.
    fn value(rules: &Rules) -> Token {
        if rules.controls { Token::AnyValue } else { Token::Value }
    }

    /// Whether `b` makes the token longer and changes nothing else.
    fn goes_on_with(self, b: u8) -> bool {
        let visible = b > b' ' && b != 0x7f;
        match self {
            Token::Short => false,
            Token::Blanks => b == b' ',
            Token::Name => ascii::is(b, ascii::NAME),
            Token::OddName => visible && b != b':',
            Token::Value => visible || b == b' ' || b == b'\t',
            Token::AnyValue => !matches!(b, b'\r' | b'\n' | 0),
        }
    }
}

impl Head {
    /// Parses `buffer`, which begins where it began at the last call and holds
    /// everything that has arrived since.
    pub fn parse(&mut self, buffer: &[u8], rules: &Rules) -> Outcome {
        if self.token != Token::Short && self.token_goes_on(buffer) {
            return self.more(buffer, rules);
        }
        match self.read(buffer, rules) {
            Ok(()) => Outcome::Done,
            Err(Stop::More(token)) => {
                self.token = token;
                self.more(buffer, rules)
            }
            Err(Stop::Bad(Bad::StatusLine)) if rules.no_status_line => {
                *self = Head { status: 200, phase: Phase::Done, ..Head::default() };
                Outcome::Done
            }
            Err(Stop::Bad(bad)) => Outcome::Bad(bad),
            Err(Stop::BadAt(bad, at)) => {
                self.bad_at = at as u32;
                Outcome::Bad(bad)
            }
        }
    }

    /// Whether all that came since the last call only prolongs the token.
    fn token_goes_on(&self, buffer: &[u8]) -> bool {
        let fresh = buffer.get(self.seen as usize..).unwrap_or_default();
        fresh.iter().all(|&b| self.token.goes_on_with(b))
    }

    /// The line at `at` has no end yet: it is too long or needs more bytes.
    fn more(&mut self, buffer: &[u8], rules: &Rules) -> Outcome {
        self.seen = buffer.len() as u32;
        match buffer.len() < rules.size as usize {
            true => Outcome::Partial,
            false => Outcome::Bad(Bad::TooBig),
        }
    }

    fn read(&mut self, buffer: &[u8], rules: &Rules) -> Result<(), Stop> {
        let buffer = buffer.get(..rules.size as usize).unwrap_or(buffer);
        if self.phase == Phase::Line {
            self.cgi = rules.cgi;
            if !rules.cgi {
                self.at = self.read_status_line(buffer, rules)? as u32;
            }
            (self.fields, self.index.end) = (self.at, self.at);
            self.phase = Phase::Fields;
        }
        loop {
            let start = self.at as usize;
            let end = match buffer.get(start) {
                None => return Err(MORE),
                Some(b'\r' | b'\n') => {
                    let end = eol(buffer, start, Bad::Header)?;
                    self.conclude(end);
                    return Ok(());
                }
                Some(_) => self.header_line(buffer, start, rules)?,
            };
            self.at = end as u32;
        }
    }

    /// Everything has been read.
    fn conclude(&mut self, end: usize) {
        if self.status == 0 {
            self.status = if self.has(Known::Location) { 302 } else { 200 };
        }
        if self.index.end == self.at {
            // All have been noted.
            self.index.end = end as u32;
        }
        self.len = end as u32;
        self.phase = Phase::Done;
        (self.at, self.seen, self.token) = (self.len, 0, Token::Short);
    }

    /// A response that is followed by another one. Not 101, which ends HTTP.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Whether a header is there.
    #[inline]
    pub fn has(&self, known: Known) -> bool {
        self.present & known.bit() != 0
    }

    /// The value of a known header; of several the first.
    #[inline(always)]
    pub fn get<'a>(&self, buffer: &'a [u8], known: Known) -> Option<&'a [u8]> {
        if !self.has(known) {
            return None;
        }
        let mut fields = self.fields(buffer);
        fields.find(|field| field.known == Some(known)).map(|field| field.value)
    }

    /// The first value of any header, by name without case.
    pub fn find<'a>(&self, buffer: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        let mut fields = self.fields(buffer);
        fields.find(|field| ascii::eq_ignore_case(field.name, name)).map(|field| field.value)
    }
}

/// The end of the line end at `at`, or what is wrong with it.
#[inline(always)]
fn eol(buffer: &[u8], at: usize, bad: Bad) -> Result<usize, Stop> {
    if buffer.get(at..).and_then(<[u8]>::first_chunk) == Some(b"\r\n") {
        return Ok(at + 2);
    }
    match buffer.get(at) {
        Some(b'\r') => match buffer.get(at + 1) {
            Some(b'\n') => Ok(at + 2),
            Some(_) => Err(bad.at(at)),
            None => Err(MORE),
        },
        Some(b'\n') => Ok(at + 1),
        Some(_) => Err(bad.at(at)),
        None => Err(MORE),
    }
}
