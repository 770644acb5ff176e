//! Header lines: one pass that checks and recognises, and an iterator that
//! reads a checked head again for whoever needs all of it.
use super::index::Place;
use super::line::cgi_status;
use super::{Again, Bad, Head, Known, Rules, Stop, Token, eol};
use crate::proto::framing;
use crate::proto::header_line::{self, Line, trim_blanks};
use crate::proto::span::Span;
use crate::text::{ascii, scan};

impl Head {
    /// Parses the header line at `start` and returns where it ends.
    #[inline(always)]
    pub(super) fn header_line(
        &mut self,
        buffer: &[u8],
        start: usize,
        rules: &Rules,
    ) -> Result<usize, Stop> {
        let line = match header_line::usual(buffer.get(start..).unwrap_or_default()) {
            Some(line) => line,
            None => any_line(buffer, start, rules)?,
        };
        let (value, end) = (start + line.value_at, start + line.len);
        let value = Span::new(value, value + line.value.len());
        let known = if line.odd { None } else { Known::of(line.name) };
        let is_kept = match known {
            Some(known) => self.note(known, line.value, value, rules)?,
            None => !line.odd || is_kept(line.name),
        };
        self.omits |= !is_kept;
        self.index.note((start, end), line.name.len(), value, is_kept.then_some(known));
        Ok(end)
    }

    /// Takes in what a line says; false: it is left out.
    #[inline(always)]
    fn note(
        &mut self,
        known: Known,
        text: &[u8],
        value: Span,
        rules: &Rules,
    ) -> Result<bool, Stop> {
        if self.has(known) {
            match known.again() {
                Again::Bad => return Err(Stop::Bad(Bad::Duplicate)),
                Again::LeftOut => return Ok(false),
                Again::Kept => {}
            }
        }
        self.present |= known.bit();
        match known {
            Known::Connection => self.connection.add(text),
            Known::ContentLength => {
                let length = framing::length(text).ok_or(Stop::Bad(Bad::ContentLength))?;
                self.length = Some(length);
                self.check_framing()?;
            }
            Known::TransferEncoding => {
                if !ascii::eq_ignore_case(text, b"chunked") {
                    return Err(Stop::Bad(Bad::TransferEncoding));
                }
                self.chunked = true;
                self.check_framing()?;
            }
            Known::Status if rules.cgi => self.note_status(text, value, rules)?,
            _ => {}
        }
        Ok(true)
    }

    fn note_status(&mut self, text: &[u8], value: Span, rules: &Rules) -> Result<(), Stop> {
        self.status = cgi_status(text, rules)?;
        self.status_line = value;
        let reason = (value.start + 4).min(value.end);
        self.reason = Span { start: reason, end: value.end };
        Ok(())
    }

    fn check_framing(&self) -> Result<(), Stop> {
        match self.chunked && self.length.is_some() {
            true => Err(Stop::Bad(Bad::TwoFramings)),
            false => Ok(()),
        }
    }

    /// All header lines in order, but those that are left out.
    #[inline(always)]
    pub fn fields<'h, 'a>(&'h self, buffer: &'a [u8]) -> Fields<'h, 'a> {
        let noted = self.index.places();
        let known = noted.iter().filter(|_| self.omits).filter_map(|place| place.known);
        let seen = known.fold(0, |seen, known| seen | known.bit());
        let lines = Lines { rest: Span { start: self.index.end, end: self.len }.of(buffer) };
        Fields { buffer, noted: noted.iter(), lines, omits: self.omits, seen }
    }

    /// The header lines that [`Head::fields`] leaves out, whole: names that are
    /// none, and second lines of what can be there once.
    pub fn left_out<'a>(&self, buffer: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let start = if self.omits { self.fields } else { self.len };
        let lines = Lines { rest: Span { start, end: self.len }.of(buffer) };
        let mut seen = 0;
        lines.filter(move |line| {
            let field = Field::of(line);
            !field.is_kept(&mut seen)
        })
    }
}

/// The line at `start`, whatever is odd about it.
#[cold]
fn any_line<'a>(buffer: &'a [u8], start: usize, rules: &Rules) -> Result<Line<'a>, Stop> {
    let Name { end: name_end, odd, colon } = name(buffer, start, rules)?;
    let (value, value_end) = value(buffer, name_end + usize::from(colon), rules)?;
    let len = eol(buffer, value_end, Bad::Header)? - start;
    let name = buffer.get(start..name_end).unwrap_or_default();
    Ok(Line { name, odd, value: value.of(buffer), value_at: value.start as usize - start, len })
}

struct Name {
    end: usize,
    /// Has bytes beyond letters, digits and dashes.
    odd: bool,
    /// A colon follows; else the line ends here, or is not a header.
    colon: bool,
}

/// The name at `start`.
fn name(buffer: &[u8], start: usize, rules: &Rules) -> Result<Name, Stop> {
    let rest = buffer.get(start..).unwrap_or_default();
    let end = start + scan::no_name(rest).ok_or(Stop::More(Token::Name))?;
    match buffer.get(end) {
        Some(b':') if end > start => Ok(Name { end, odd: false, colon: true }),
        _ => odd_name(buffer, start, end, rules),
    }
}

/// A name with bytes beyond letters, digits and dashes: some are merely odd,
/// others make the line none.
fn odd_name(buffer: &[u8], start: usize, mut end: usize, rules: &Rules) -> Result<Name, Stop> {
    loop {
        match *buffer.get(end).ok_or(Stop::More(Token::OddName))? {
            b':' if end > start => return Ok(Name { end, odd: true, colon: true }),
            // A second status line, as IIS may send, is read over.
            b'/' if buffer.get(start..end) == Some(b"HTTP") => {
                return Ok(Name { end: end + 1, odd: true, colon: false });
            }
            b'\r' | b'\n' if rules.colonless => {
                let odd = !ascii::all(buffer.get(start..end).unwrap_or_default(), ascii::NAME);
                return Ok(Name { end, odd, colon: false });
            }
            b'\r' | b'\n' => return Err(Bad::NoColon.at(end)),
            b':' | 0..=b' ' | 0x7f => return Err(Bad::Header.at(end)),
            _ => end += 1,
        }
    }
}

/// The value at `after` without blanks around it, and where its line end begins.
/// Tabs stay, as in nginx.
fn value(buffer: &[u8], after: usize, rules: &Rules) -> Result<(Span, usize), Stop> {
    let mut start = after;
    while buffer.get(start) == Some(&b' ') {
        start += 1;
    }
    let mut line_end = start;
    loop {
        let rest = buffer.get(line_end..).unwrap_or_default();
        line_end += scan::control(rest).ok_or(Stop::More(Token::value(rules)))?;
        match buffer.get(line_end) {
            Some(b'\r' | b'\n') => break,
            Some(b'\t') => line_end += 1,
            Some(1..) if rules.controls => line_end += 1,
            Some(1..) => return Err(Bad::Control.at(line_end)),
            _ => return Err(Bad::Header.at(line_end)),
        }
    }
    let mut end = line_end;
    while end > start && buffer.get(end - 1) == Some(&b' ') {
        end -= 1;
    }
    Ok((Span::new(start, end), line_end))
}

/// Whether a line with this name is passed on: names that are none are left out (nginx
/// leaves out those with 8-bit bytes only).
fn is_kept(name: &[u8]) -> bool {
    ascii::is_token(name)
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
    pub known: Option<Known>,
}

impl<'a> Field<'a> {
    /// Takes a checked line apart.
    #[inline(always)]
    fn of(line: &'a [u8]) -> Field<'a> {
        let colon = scan::byte(line, b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, b""));
        let value = trim_blanks(value.strip_prefix(b":").unwrap_or(value));
        Field { name, value, known: Known::of(name) }
    }

    /// Whether it is not left out, when `seen` were there before it.
    fn is_kept(&self, seen: &mut u64) -> bool {
        let Some(known) = self.known else { return is_kept(self.name) };
        let is_again = *seen & known.bit() != 0;
        *seen |= known.bit();
        !is_again || known.again() == Again::Kept
    }
}

/// The lines of a complete head without their ends.
#[derive(Clone)]
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline(always)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let end = scan::byte(self.rest, b'\n')?;
        let (line, rest) = (self.rest.get(..end)?, self.rest.get(end + 1..)?);
        self.rest = rest;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() { None } else { Some(line) }
    }
}

/// The header lines of a complete head: those that were noted, and those behind them.
#[derive(Clone)]
pub struct Fields<'h, 'a> {
    buffer: &'a [u8],
    noted: std::slice::Iter<'h, Place>,
    lines: Lines<'a>,
    omits: bool,
    /// The known headers that have been yielded.
    seen: u64,
}

impl<'a> Iterator for Fields<'_, 'a> {
    type Item = Field<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Field<'a>> {
        match self.noted.next() {
            Some(place) => Some(place.field(self.buffer)),
            None => self.next_line(),
        }
    }
}

impl<'a> Fields<'_, 'a> {
    #[inline(never)]
    fn next_line(&mut self) -> Option<Field<'a>> {
        loop {
            let field = Field::of(self.lines.next()?);
            if !self.omits || field.is_kept(&mut self.seen) {
                return Some(field);
            }
        }
    }
}
