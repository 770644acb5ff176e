//! Header lines: one pass that checks and recognises, and an iterator that
//! reads a checked head again for whoever needs all of it.
use super::{Bad, Connection, Form, Head, Known, Rules, Stop, Token, eol};
use crate::proto::header_line::{self, Line, trim_blanks};
use crate::proto::span::Span;
use crate::text::{ascii, scan};

impl Head {
    /// Parses the header line at `start` and returns where it ends.
    #[inline(always)]
    pub(super) fn header_line(
        &mut self,
        line: &[u8],
        start: usize,
        rules: &Rules,
    ) -> Result<usize, Stop> {
        let field = match header_line::usual(line.get(start..).unwrap_or_default()) {
            Some(field) => field,
            None => any_line(line, start, rules)?,
        };
        if self.lines >= rules.headers {
            return Err(Stop::Bad(Bad::TooManyHeaders));
        }
        self.lines += 1;
        if field.odd && rules.ignore_invalid {
            self.names = if rules.underscores { Names::Underscored } else { Names::Plain };
        } else if let Some(known) = Known::of(field.name) {
            let value = start + field.value_at;
            self.note(known, field.value, Span::new(value, value + field.value.len()))?;
        }
        Ok(start + field.len)
    }

    #[inline(always)]
    fn note(&mut self, known: Known, text: &[u8], value: Span) -> Result<(), Stop> {
        if known == Known::Connection {
            self.connection.add(text);
        }
        let place = &mut self.known[known as usize];
        if place.is_none() {
            *place = value;
            return Ok(());
        }
        self.repeated |= 1 << known as u32;
        match known {
            Known::Host => Err(Stop::Bad(Bad::DuplicateHost)),
            _ if known.is_unique() => Err(Stop::Bad(Bad::DuplicateHeader)),
            _ => Ok(()),
        }
    }

    /// The header lines that [`Head::fields`] leaves out, whole.
    pub fn left_out<'a>(&self, buffer: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let names = self.names;
        let rest = match names {
            Names::All => b"",
            Names::Plain | Names::Underscored => {
                Span { start: self.fields, end: self.len }.of(buffer)
            }
        };
        let lines = rest.split(|&b| b == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.filter(move |line| {
            let colon = scan::byte(line, b':').unwrap_or(line.len());
            !line.get(..colon).is_none_or(|name| names.include(name))
        })
    }

    /// All header lines but those whose names are to be ignored, in order. `Host` is that of
    /// the target, if there is one.
    pub fn fields<'a>(&self, buffer: &'a [u8]) -> Fields<'a> {
        let rest = Span { start: self.fields, end: self.len }.of(buffer);
        let host = match self.form {
            Form::Absolute => self.get(buffer, Known::Host),
            _ => None,
        };
        Fields { rest, names: self.names, host }
    }
}

impl Connection {
    /// Adds the options of one line.
    pub fn add(&mut self, value: &[u8]) {
        // Nearly always it is one of these alone.
        match value {
            b"keep-alive" => return self.keep_alive = true,
            b"close" => return self.close = true,
            _ => {}
        }
        for option in ascii::list(value) {
            if ascii::eq_ignore_case(option, b"keep-alive") {
                self.keep_alive = true;
            } else if ascii::eq_ignore_case(option, b"close") {
                self.close = true;
            } else if ascii::eq_ignore_case(option, b"upgrade") {
                self.upgrade = true;
            } else {
                self.names = true;
            }
        }
    }
}

/// The line at `start`, whatever is odd about it.
#[cold]
fn any_line<'a>(line: &'a [u8], start: usize, rules: &Rules) -> Result<Line<'a>, Stop> {
    let Name { end: name_end, odd, colon } = name(line, start, rules)?;
    let (value, value_end) = value(line, name_end + usize::from(colon), rules)?;
    let len = eol(line, value_end, rules, Bad::Header)? - start;
    let name = line.get(start..name_end).unwrap_or_default();
    Ok(Line { name, odd, value: value.of(line), value_at: value.start as usize - start, len })
}

struct Name {
    end: usize,
    /// Has bytes that nginx calls invalid.
    odd: bool,
    /// A colon follows; else the line ends here.
    colon: bool,
}

/// The name at `start`.
fn name(line: &[u8], start: usize, rules: &Rules) -> Result<Name, Stop> {
    let rest = line.get(start..).unwrap_or_default();
    let end = start + scan::no_name(rest).ok_or(Stop::More(Token::Name))?;
    match line.get(end) {
        Some(b':') if end > start => Ok(Name { end, odd: false, colon: true }),
        _ => odd_name(line, start, end, rules),
    }
}

/// A name with bytes beyond letters, digits and dashes: some are merely odd,
/// to be ignored or passed on; others make the line none.
fn odd_name(line: &[u8], start: usize, mut end: usize, rules: &Rules) -> Result<Name, Stop> {
    loop {
        match *line.get(end).ok_or(Stop::More(Token::OddName))? {
            b':' if end > start => return Ok(Name { end, odd: true, colon: true }),
            b'\r' | b'\n' if rules.colonless => {
                let odd = !ascii::all(line.get(start..end).unwrap_or_default(), ascii::NAME);
                return Ok(Name { end, odd, colon: false });
            }
            b'\r' | b'\n' => return Err(Stop::Bad(Bad::NoColon)),
            b':' | 0..=b' ' | 0x7f.. => return Err(Stop::Bad(Bad::Header)),
            _ => end += 1,
        }
    }
}

/// The value behind the colon without blanks around it, and where its line end
/// begins. Tabs stay, as in nginx.
fn value(line: &[u8], after: usize, rules: &Rules) -> Result<(Span, usize), Stop> {
    let mut start = after;
    while line.get(start) == Some(&b' ') {
        start += 1;
    }
    let mut line_end = start;
    loop {
        let rest = line.get(line_end..).unwrap_or_default();
        let token = if rules.controls { Token::AnyValue } else { Token::Value };
        line_end += scan::control(rest).ok_or(Stop::More(token))?;
        match line.get(line_end) {
            Some(b'\r' | b'\n') => break,
            Some(b'\t') => line_end += 1,
            Some(1..) if rules.controls => line_end += 1,
            Some(1..) => return Err(Stop::Bad(Bad::Control)),
            _ => return Err(Stop::Bad(Bad::Header)),
        }
    }
    let mut end = line_end;
    while end > start && line.get(end - 1) == Some(&b' ') {
        end -= 1;
    }
    Ok((Span::new(start, end), line_end))
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

/// Which header names are not ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Names {
    /// There are none that would be, or nothing is ignored.
    #[default]
    All,
    /// Letters, digits and dashes.
    Plain,
    /// Letters, digits, dashes and underscores.
    Underscored,
}

impl Names {
    #[inline(always)]
    fn include(self, name: &[u8]) -> bool {
        let plain = |&b: &u8| ascii::is(b, ascii::NAME);
        match self {
            Names::All => true,
            Names::Plain => name.iter().all(plain),
            Names::Underscored => name.iter().all(|b| plain(b) || *b == b'_'),
        }
    }
}

/// The header lines of a complete head.
#[derive(Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
    names: Names,
    /// What `Host` says, if not what was sent.
    host: Option<&'a [u8]>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let end = scan::byte(self.rest, b'\n')?;
            let (line, rest) = (self.rest.get(..end)?, self.rest.get(end + 1..)?);
            self.rest = rest;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                return None;
            }
            let colon = scan::byte(line, b':').unwrap_or(line.len());
            let (name, value) = line.split_at_checked(colon)?;
            if self.names.include(name) {
                let value = trim_blanks(value.strip_prefix(b":").unwrap_or(value));
                let host = self.host.filter(|_| ascii::eq_ignore_case(name, b"host"));
                return Some(Field { name, value: host.unwrap_or(value) });
            }
        }
    }
}
