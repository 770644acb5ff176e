//! What can be wrong with a response head, in words for the log.
use super::{Head, Stop};
use crate::proto::span::Span;
use crate::text::escape::Shown;
use crate::text::scan;
use std::fmt;

/// Why a response head is refused. To the client it is 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Longer than the buffer for it.
    TooBig,
    /// The first line is no status line ([`super::Rules::no_status_line`]).
    StatusLine,
    /// A status that none is.
    Status,
    /// One above those that are known ([`super::Rules::any_status`]).
    HighStatus,
    /// A line that is no header.
    Header,
    /// A line without colon ([`super::Rules::colonless`]).
    NoColon,
    /// A control byte in a value ([`super::Rules::controls`]).
    Control,
    /// A second line of a header that can be there once.
    Duplicate,
    ContentLength,
    /// Another coding than `chunked` and nothing else.
    TransferEncoding,
    /// `Content-Length` and `Transfer-Encoding`.
    TwoFramings,
}

impl Bad {
    /// For the byte at `at`, if it is shown.
    pub(super) fn at(self, at: usize) -> Stop {
        match self {
            Bad::Header | Bad::NoColon | Bad::Control => Stop::BadAt(self, at),
            _ => Stop::Bad(self),
        }
    }

    /// The directive that would let it pass, behind the name of its protocol.
    fn directive(self) -> Option<&'static str> {
        Some(match self {
            Bad::StatusLine => "allow_no_status_line",
            Bad::HighStatus => "allow_any_status",
            Bad::NoColon => "allow_colonless_headers",
            Bad::Control => "allow_control_bytes_in_headers",
            _ => return None,
        })
    }
}

/// nginx's words, with what was sent.
pub struct Complaint<'a> {
    bad: Bad,
    cgi: bool,
    /// The line it is about, as far as it is shown.
    line: &'a [u8],
    /// The byte that ends what is shown.
    byte: Option<u8>,
}

impl Head {
    /// What to write to the log about a head that was refused.
    pub fn complain<'a>(&self, buffer: &'a [u8], bad: Bad) -> Complaint<'a> {
        let quoted = match bad.at(0) {
            Stop::BadAt(..) => Span { start: self.at, end: self.bad_at }.of(buffer),
            _ => self.last_line(buffer),
        };
        let line = match bad {
            Bad::ContentLength | Bad::TransferEncoding | Bad::Status | Bad::HighStatus => {
                self.value_in(quoted)
            }
            _ => quoted,
        };
        Complaint { bad, cgi: self.cgi, line, byte: buffer.get(self.bad_at as usize).copied() }
    }

    /// What is quoted of a line: the value, or the status of a status line.
    fn value_in<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        if self.fields == 0 && !self.cgi {
            return self.status_line.of(line);
        }
        let colon = scan::byte(line, b':').map_or(0, |colon| colon + 1);
        line.get(colon..).unwrap_or_default().trim_ascii()
    }

    /// The line that was being parsed when parsing stopped.
    pub fn last_line<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        let line = buffer.get(self.at as usize..).unwrap_or_default();
        let end = line.iter().position(|&b| b == b'\r' || b == b'\n');
        line.get(..end.unwrap_or(line.len())).unwrap_or_default()
    }
}

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words(f)?;
        let Some(name) = self.bad.directive() else { return Ok(()) };
        let protocol = if self.cgi { "fastcgi" } else { "proxy" };
        write!(f, ", which \"{protocol}_{name}\" would allow")
    }
}

impl Complaint<'_> {
    fn words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = Shown(self.line);
        match self.bad {
            Bad::TooBig => f.write_str("upstream sent too big header"),
            Bad::StatusLine => f.write_str("upstream sent no valid HTTP/1.0 header"),
            Bad::Status | Bad::HighStatus => {
                write!(f, "upstream sent invalid status \"{line}\"")
            }
            Bad::Header | Bad::NoColon | Bad::Control => {
                let byte = self.byte.unwrap_or_default();
                write!(f, "upstream sent invalid header: \"{line}\\x{byte:02x}...\"")
            }
            Bad::Duplicate => write!(f, "upstream sent duplicate header line: \"{line}\""),
            Bad::ContentLength => {
                write!(f, "upstream sent invalid \"Content-Length\" header: \"{line}\"")
            }
            Bad::TransferEncoding => {
                write!(f, "upstream sent unknown \"Transfer-Encoding\": \"{line}\"")
            }
            Bad::TwoFramings => f.write_str(
                "upstream sent \"Content-Length\" and \"Transfer-Encoding\" \
                 headers at the same time",
            ),
        }
    }
}
