//! The request line: method, target, version (RFC 9112 3).
use super::{Bad, Form, Head, MORE, Method, Rules, Stop, Token, Version, eol};
use crate::proto::host;
use crate::proto::span::Span;
use crate::text::{ascii, scan};

impl Head {
    /// Parses the request line at `at` and returns where it ends. May run again
    /// from its beginning, with more bytes.
    pub(super) fn request_line(&mut self, line: &[u8], rules: &Rules) -> Result<usize, Stop> {
        let start = self.at as usize;
        let method_end = self.method(line, start)?;
        let target_end = self.target(line, method_end + 1)?;
        let version_end = match line.get(target_end) {
            Some(b' ') => self.version(line, target_end + 1)?,
            _ => self.no_version(target_end)?,
        };
        let end = eol(line, version_end, rules, Bad::Request)?;
        self.line = Span::new(start, version_end);
        Ok(end)
    }

    fn method(&mut self, line: &[u8], start: usize) -> Result<usize, Stop> {
        if line.get(start..).and_then(<[u8]>::first_chunk) == Some(b"GET ") {
            self.method_name = Span::new(start, start + 3);
            self.method = Method::Get;
            return Ok(start + 3);
        }
        let mut end = start;
        while let Some(&b) = line.get(end)
            && ascii::is(b, ascii::METHOD)
        {
            end += 1;
        }
        match line.get(end) {
            Some(b' ') if end > start => {}
            Some(_) => return Err(Stop::Bad(Bad::Method)),
            None => return Err(Stop::More(Token::Method)),
        }
        self.method_name = Span::new(start, end);
        self.method = Method::of(self.method_name.of(line));
        Ok(end)
    }

    /// The target at `start`; what ends it is a blank or a line end.
    fn target(&mut self, line: &[u8], start: usize) -> Result<usize, Stop> {
        (self.scheme, self.host, self.args) = (Span::NONE, Span::NONE, Span::NONE);
        self.complex = false;
        match *line.get(start).ok_or(MORE)? {
            b'/' => {
                self.form = Form::Origin;
                let end = self.path_and_args(line, start)?;
                self.target = Span::new(start, end);
                Ok(end)
            }
            b'*' if self.method == Method::Options => {
                self.form = Form::Asterisk;
                match line.get(start + 1) {
                    Some(b' ') => Ok(start + 1),
                    Some(_) => Err(Stop::Bad(Bad::Request)),
                    None => Err(MORE),
                }
            }
            _ if self.method == Method::Connect => self.authority_form(line, start),
            b if b.is_ascii_alphabetic() => self.absolute_form(line, start),
            _ => Err(Stop::Bad(Bad::Request)),
        }
    }

    /// `host:port`: both must be there (RFC 9112 3.2.3).
    fn authority_form(&mut self, line: &[u8], start: usize) -> Result<usize, Stop> {
        self.form = Form::Authority;
        let end = word_end(line, start)?;
        let host = host::parse(Span::new(start, end).of(line));
        let host = host.filter(|host| host.port.is_some()).ok_or(Stop::Bad(Bad::HostInLine))?;
        self.set_host(start as u32, host);
        Ok(end)
    }

    /// `scheme://authority/path?args`
    fn absolute_form(&mut self, line: &[u8], start: usize) -> Result<usize, Stop> {
        self.form = Form::Absolute;
        let mut at = start;
        loop {
            match line.get(at).ok_or(Stop::More(Token::Scheme))? {
                b':' => break,
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.' => at += 1,
                _ => return Err(Stop::Bad(Bad::Request)),
            }
        }
        self.scheme = Span::new(start, at);
        for want in b"://" {
            if line.get(at).ok_or(MORE)? != want {
                return Err(Stop::Bad(Bad::Request));
            }
            at += 1;
        }
        let path = self.authority(line, at)?;
        let end = match line.get(path) {
            Some(b'/' | b'?') => self.path_and_args(line, path)?,
            _ => path,
        };
        self.target = Span::new(path, end);
        if line.get(path) != Some(&b'/') {
            self.path = Span::NONE;
        }
        Ok(end)
    }

    /// The authority at `start`; returns where the path would be.
    fn authority(&mut self, line: &[u8], start: usize) -> Result<usize, Stop> {
        let rest = line.get(start..).unwrap_or_default();
        let ends = |&b: &u8| matches!(b, b'/' | b'?' | b'#' | 0..=b' ' | 0x7f);
        let end = start + rest.iter().position(ends).ok_or(Stop::More(Token::Authority))?;
        if !matches!(line.get(end), Some(b'/' | b'?' | b' ')) {
            return Err(Stop::Bad(Bad::Request));
        }
        let text = Span::new(start, end).of(line);
        // nginx takes an underscore in `Host`, but not here.
        let host = host::parse(text).filter(|_| !text.contains(&b'_'));
        self.set_host(start as u32, host.ok_or(Stop::Bad(Bad::HostInLine))?);
        Ok(end)
    }

    /// The path at `start` with what follows it, and whether it is plain.
    fn path_and_args(&mut self, line: &[u8], start: usize) -> Result<usize, Stop> {
        let (len, complex) = scan::path(line.get(start..).unwrap_or_default());
        let at = start + len.ok_or(Stop::More(Token::Target))?;
        self.complex = complex;
        self.path = Span::new(start, at);
        match line.get(at) {
            Some(b' ' | b'\r' | b'\n') => return Ok(at),
            Some(b'?' | b'#') => {}
            _ => return Err(Stop::Bad(Bad::Request)),
        }
        let end = word_end(line, at)?;
        if line.get(at) == Some(&b'?') {
            let args = line.get(at + 1..end).unwrap_or_default();
            let fragment = scan::byte(args, b'#').unwrap_or(args.len());
            self.args = Span::new(at + 1, at + 1 + fragment);
        }
        Ok(end)
    }

    /// The version at `start`, in any of the spellings that mean one.
    fn version(&mut self, line: &[u8], start: usize) -> Result<usize, Stop> {
        let text = line.get(start..).unwrap_or_default();
        self.version = match text.first_chunk() {
            Some(word) if u64::from_le_bytes(*word) == HTTP_11 => Version::V11,
            Some(b"HTTP/1.0") => Version::V10,
            _ => other_version(text)?,
        };
        Ok(start + b"HTTP/1.1".len())
    }

    /// A line that ends after its target is an HTTP/0.9 request, if it is GET.
    fn no_version(&mut self, end: usize) -> Result<usize, Stop> {
        self.version = Version::V09;
        if self.method != Method::Get {
            return Err(Stop::Bad(Bad::MethodIn09));
        }
        Ok(end)
    }
}

/// As a word, so that it is compared as one.
const HTTP_11: u64 = u64::from_le_bytes(*b"HTTP/1.1");

/// Where the blank or line end is that ends the word at `at`.
#[inline]
fn word_end(line: &[u8], at: usize) -> Result<usize, Stop> {
    let rest = line.get(at..).unwrap_or_default();
    let end = at + scan::blank_or_control(rest).ok_or(Stop::More(Token::Target))?;
    match line.get(end) {
        Some(b' ' | b'\r' | b'\n') => Ok(end),
        _ => Err(Stop::Bad(Bad::Request)),
    }
}

/// A version that is not the usual text: still arriving, a later 1.x, one of
/// another major number, or nothing.
#[cold]
fn other_version(text: &[u8]) -> Result<Version, Stop> {
    for (at, want) in b"HTTP/".iter().enumerate() {
        if text.get(at).ok_or(MORE)? != want {
            return Err(Stop::Bad(Bad::Request));
        }
    }
    match text.get(5).ok_or(MORE)? {
        b'1' => {}
        b'2'..=b'9' => return Err(Stop::Bad(Bad::Version)),
        _ => return Err(Stop::Bad(Bad::Request)),
    }
    match text.get(6).ok_or(MORE)? {
        b'.' => {}
        b'0'..=b'9' => return Err(Stop::Bad(Bad::Version)),
        _ => return Err(Stop::Bad(Bad::Request)),
    }
    match text.get(7).ok_or(MORE)? {
        b'0'..=b'9' => Ok(Version::V11),
        _ => Err(Stop::Bad(Bad::Request)),
    }
}

impl Method {
    /// Methods are told by their exact bytes.
    pub fn of(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"MKCOL" => Method::Mkcol,
            b"COPY" => Method::Copy,
            b"MOVE" => Method::Move,
            b"OPTIONS" => Method::Options,
            b"PROPFIND" => Method::Propfind,
            b"PROPPATCH" => Method::Proppatch,
            b"LOCK" => Method::Lock,
            b"UNLOCK" => Method::Unlock,
            b"PATCH" => Method::Patch,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            _ => Method::Unknown,
        }
    }
}
