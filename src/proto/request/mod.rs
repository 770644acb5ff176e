//! The head of an HTTP/1.x request (RFC 9112 2 to 5), parsed as it arrives.
//!
//! A [`Head`] is plain data: offsets into the buffer that the bytes are in, and
//! what they mean. [`Head::parse`] is called with everything read so far and
//! goes on at the line it stopped in; the result does not depend on how the
//! bytes were cut, and the work is linear in their number: an unfinished token
//! says which bytes merely prolong it, and its line is looked at again only when
//! another comes.
//!
//! As strict as nginx, and stricter where two readers could disagree. It is no
//! judge of methods, paths or bodies: it says what was asked for.
mod bad;
mod field;
mod known;
mod line;
#[cfg(test)]
mod tests;

pub use bad::Bad;
pub use field::Field;
pub use known::Known;

use crate::proto::framing::Framing;
use crate::proto::host::{self, Host};
use crate::proto::span::Span;
use crate::text::ascii;
use field::Names;

/// Limits and leniencies of a server, from its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Longest request line and header line with their ends: the size of
    /// `large_client_header_buffers`.
    pub line: u32,
    /// Longest head: their number times their size.
    pub head: u32,
    /// `max_headers`
    pub headers: u16,
    /// `underscores_in_headers`
    pub underscores: bool,
    /// `ignore_invalid_headers`: leave out odd names instead of passing them on.
    pub ignore_invalid: bool,
    /// Refuse lines that end with a bare LF.
    pub strict_line_endings: bool,
    /// Take a line without colon for a header without value, as nginx does.
    pub colonless: bool,
    /// Take control bytes (but NUL, CR and LF) in values, as nginx does.
    pub controls: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            line: 8 << 10,
            head: 32 << 10,
            headers: 1000,
            underscores: false,
            ignore_invalid: true,
            strict_line_endings: false,
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
    Bad(Bad),
}

/// The version in the request line. `HTTP/1.2` and above count as 1.1 (RFC
/// 9110 2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    #[default]
    V09,
    V10,
    V11,
}

/// The methods nginx has names for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Mkcol,
    Copy,
    Move,
    Options,
    Propfind,
    Proppatch,
    Lock,
    Unlock,
    Patch,
    Trace,
    Connect,
    #[default]
    Unknown,
}

/// The form of the request target (RFC 9112 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Origin,
    Absolute,
    /// `host:port`, for CONNECT only.
    Authority,
    /// `*`, for OPTIONS only.
    Asterisk,
}

/// The options of all `Connection` lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// Other names are there: fields that end here.
    pub names: bool,
}

/// A request head, or as much of it as has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head with everything in front of it, once it is complete.
    pub len: u32,
    /// The request line without its end: `$request`.
    pub line: Span,
    pub method_name: Span,
    pub method: Method,
    pub version: Version,
    pub form: Form,
    /// The path has `%`, `//` or `/.`: it must go through `uri::normalise`.
    pub complex: bool,
    pub connection: Connection,
    /// Path and arguments as sent.
    target: Span,
    /// The path as sent, without arguments and fragment.
    path: Span,
    /// What follows the first `?`, without fragment: `$args`.
    pub args: Span,
    pub scheme: Span,
    /// Name in the target or in `Host` (the target wins), as sent.
    pub host: Span,
    pub port: Option<u16>,
    /// The host name has to be lowered.
    pub host_has_upper: bool,
    pub framing: Framing,
    /// `Expect: 100-continue`, and not from HTTP/1.0.
    pub expects_continue: bool,
    /// Which names [`Fields`] yields.
    names: Names,
    phase: Phase,
    /// How many header lines, those left out included.
    pub lines: u16,
    /// Known headers that came again, a bit each.
    repeated: u32,
    known: [Span; Known::COUNT],
    /// Where the header lines begin.
    fields: u32,
    /// Start of the line that is being parsed.
    at: u32,
    /// Bytes that were there when parsing stopped.
    seen: u32,
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
}

/// The bytes end inside something short.
const MORE: Stop = Stop::More(Token::Short);

/// A part of a line of which there is no end yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Token {
    /// Something of few bytes: each one matters.
    #[default]
    Short,
    Method,
    Scheme,
    Authority,
    Target,
    Name,
    OddName,
    Value,
    /// A value where control bytes are taken.
    AnyValue,
}

impl Token {
    /// Whether `b` makes the token longer and changes nothing else.
    fn goes_on_with(self, b: u8) -> bool {
        let visible = b > b' ' && b != 0x7f;
        match self {
            Token::Short => false,
            Token::Method => ascii::is(b, ascii::METHOD),
            Token::Scheme => ascii::is(b, ascii::NAME) || b == b'+' || b == b'.',
            Token::Authority => visible && !matches!(b, b'/' | b'?' | b'#'),
            Token::Target => visible,
            Token::Name => ascii::is(b, ascii::NAME),
            Token::OddName => visible && b != b':' && b.is_ascii(),
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
        match self.lines(buffer, rules) {
            Ok(()) => Outcome::Done,
            Err(Stop::Bad(bad)) => Outcome::Bad(bad),
            Err(Stop::More(token)) => {
                self.token = token;
                self.more(buffer, rules)
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
        if buffer.len() < self.limit(rules) {
            return Outcome::Partial;
        }
        Outcome::Bad(match self.phase {
            Phase::Line => Bad::TooLongLine,
            _ if self.at.saturating_add(rules.line) <= rules.head => Bad::TooLongHeader,
            Phase::Fields | Phase::Done => Bad::TooLarge,
        })
    }

    /// Where the line at `at` must have ended.
    fn limit(&self, rules: &Rules) -> usize {
        self.at.saturating_add(rules.line).min(rules.head) as usize
    }

    fn lines(&mut self, buffer: &[u8], rules: &Rules) -> Result<(), Stop> {
        if self.phase == Phase::Line {
            self.skip_empty_lines(buffer, rules)?;
            let line = self.within(buffer, rules);
            let end = self.request_line(line, rules)?;
            self.at = end as u32;
            self.fields = self.at;
            if self.version == Version::V09 {
                return self.conclude(buffer, end);
            }
            self.phase = Phase::Fields;
        }
        loop {
            let line = self.within(buffer, rules);
            let start = self.at as usize;
            let end = match line.get(start) {
                None => return Err(MORE),
                Some(b'\r' | b'\n') => {
                    let end = eol(line, start, rules, Bad::Header)?;
                    return self.conclude(buffer, end);
                }
                Some(_) => self.header_line(line, start, rules)?,
            };
            self.at = end as u32;
        }
    }

    /// What of `buffer` the line at `at` may use.
    #[inline(always)]
    fn within<'a>(&self, buffer: &'a [u8], rules: &Rules) -> &'a [u8] {
        buffer.get(..self.limit(rules)).unwrap_or(buffer)
    }

    /// RFC 9112 2.2: empty lines in front of a request line mean nothing.
    fn skip_empty_lines(&mut self, buffer: &[u8], rules: &Rules) -> Result<(), Stop> {
        while let Some(b'\r' | b'\n') = buffer.get(self.at as usize) {
            let line = self.within(buffer, rules);
            self.at = eol(line, self.at as usize, rules, Bad::Request)? as u32;
        }
        Ok(())
    }

    /// Everything has been read: does it make sense together?
    fn conclude(&mut self, buffer: &[u8], end: usize) -> Result<(), Stop> {
        self.check_host(buffer)?;
        let length = self.get(buffer, Known::ContentLength);
        let coding = self.get(buffer, Known::TransferEncoding);
        if length.is_some() || coding.is_some() {
            self.framing = Framing::of_request(self.version, length, coding).map_err(Stop::Bad)?;
        }
        if let Some(expect) = self.get(buffer, Known::Expect) {
            self.expects_continue =
                self.version == Version::V11 && ascii::eq_ignore_case(expect, b"100-continue");
        }
        self.len = end as u32;
        self.phase = Phase::Done;
        (self.at, self.seen, self.token) = (self.len, 0, Token::Short);
        Ok(())
    }

    /// `Host` must be there and right even where the target outdoes it.
    fn check_host(&mut self, buffer: &[u8]) -> Result<(), Stop> {
        let span = self.known[Known::Host as usize];
        let Some(text) = span.get(buffer) else {
            let needed = self.version == Version::V11;
            return if needed { Err(Stop::Bad(Bad::NoHost)) } else { Ok(()) };
        };
        let host = host::parse(text).ok_or(Stop::Bad(Bad::Host))?;
        match self.form {
            // What a target says counts in the place of the line (RFC 9112 3.2.2).
            Form::Absolute => {
                let authority = Span { start: self.host.start, end: self.target.start };
                self.known[Known::Host as usize] = authority;
            }
            _ if self.host.is_none() => self.set_host(span.start, host),
            _ => {}
        }
        Ok(())
    }

    fn set_host(&mut self, start: u32, host: Host) {
        self.host = Span { start, end: start + host.len };
        self.port = host.port;
        self.host_has_upper = host.has_upper;
    }

    /// The value of a header that limpet knows; of several the first.
    #[inline]
    pub fn get<'a>(&self, buffer: &'a [u8], known: Known) -> Option<&'a [u8]> {
        self.known[known as usize].get(buffer)
    }

    /// Whether more than one line of this name came.
    pub fn is_repeated(&self, known: Known) -> bool {
        self.repeated >> known as u32 & 1 == 1
    }

    /// The first value of any header, by name without case.
    pub fn find<'a>(&self, buffer: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        let mut fields = self.fields(buffer);
        fields.find(|field| ascii::eq_ignore_case(field.name, name)).map(|field| field.value)
    }

    /// The path as sent; `/` for an absolute target without one.
    pub fn path<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        if self.path.is_empty() { b"/" } else { self.path.of(buffer) }
    }

    /// `$request_uri`: path and arguments as sent. `/` where the target has no
    /// path and for the forms that are none.
    pub fn request_uri<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        if self.target.is_empty() { b"/" } else { self.target.of(buffer) }
    }

    /// Whether the connection stays open after the answer, if only the request
    /// is asked.
    pub fn keeps_alive(&self) -> bool {
        match self.connection {
            Connection { close: true, .. } => false,
            Connection { keep_alive: true, .. } => true,
            _ => self.version == Version::V11,
        }
    }

    /// Whether the request line has been understood.
    pub fn has_line(&self) -> bool {
        self.phase != Phase::Line
    }

    /// Bytes of the lines that were understood, without empty ones in front.
    pub fn consumed(&self) -> u32 {
        match self.phase {
            Phase::Line => 0,
            Phase::Fields | Phase::Done => self.at.saturating_sub(self.line.start),
        }
    }

    /// The line that was being parsed when parsing stopped, for the log.
    pub fn last_line<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        let line = buffer.get(self.at as usize..).unwrap_or_default();
        let is_end = |&b: &u8| b == b'\r' || b == b'\n';
        let start = line.iter().position(|b| !is_end(b)).unwrap_or(line.len());
        let line = line.get(start..).unwrap_or_default();
        let end = line.iter().position(is_end);
        line.get(..end.unwrap_or(line.len())).unwrap_or_default()
    }
}

/// The end of the line end at `at`, or what is wrong with it.
#[inline(always)]
fn eol(line: &[u8], at: usize, rules: &Rules, bad: Bad) -> Result<usize, Stop> {
    if line.get(at..).and_then(<[u8]>::first_chunk) == Some(b"\r\n") {
        return Ok(at + 2);
    }
    match line.get(at) {
        Some(b'\r') => match line.get(at + 1) {
            Some(b'\n') => Ok(at + 2),
            Some(_) => Err(Stop::Bad(bad)),
            None => Err(MORE),
        },
        Some(b'\n') if !rules.strict_line_endings => Ok(at + 1),
        Some(_) => Err(Stop::Bad(bad)),
        None => Err(MORE),
    }
}
