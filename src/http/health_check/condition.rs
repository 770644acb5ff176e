//! `match NAME { }`: what the answer of a healthy peer is like.

use super::probe::Answer;
use crate::conf::{Cx, Error, Node, Pattern, Word, parse_number};
use crate::proto::regex;
use crate::text::ascii;
use std::ops::RangeInclusive;
use std::rc::Rc;

#[derive(Debug, Default)]
pub struct Match {
    pub name: Box<[u8]>,
    statuses: Option<Statuses>,
    headers: Vec<Header>,
    /// Expressions, and whether each is to match.
    bodies: Vec<(Rc<Pattern>, bool)>,
}

#[derive(Debug)]
struct Statuses {
    not: bool,
    ranges: Vec<RangeInclusive<u16>>,
}

#[derive(Debug)]
struct Header {
    name: Box<[u8]>,
    wanted: Wanted,
    /// The opposite is asked for.
    not: bool,
}

#[derive(Debug)]
enum Wanted {
    There,
    Equal(Box<[u8]>),
    Like(Rc<Pattern>),
}

/// Reads the block; what is wrong is told.
pub fn read(cx: &mut Cx, node: Node) -> Match {
    let mut block = Match { name: node.arg(0).bytes().into(), ..Match::default() };
    for line in node.block().unwrap_or(node.nothing()) {
        let done = match line.name().bytes() {
            _ if line.block().is_some() => Err(Error::directive(line, "has no block")),
            b"status" => block.status(line),
            b"header" => block.header(cx, line),
            b"body" => block.body(cx, line),
            b"require" => Err(Error::directive(line, "is not supported by limpet")
                .hint("ask for a status, a header or a body")),
            _ => {
                let name = line.name();
                Err(Error::at(name, format!("unknown directive \"{name}\"")))
            }
        };
        cx.report(line, done);
    }
    block
}

fn wrong_number(line: Node) -> Error {
    let name = line.name();
    Error::at(name, format!("invalid number of arguments in \"{name}\" directive"))
}

impl Match {
    /// `status [!] CODE | CODE-CODE ...;`
    fn status(&mut self, line: Node) -> Result<(), Error> {
        if self.statuses.is_some() {
            return Err(Error::directive(line, "is duplicate"));
        }
        let not = line.args_len() > 0 && line.arg(0).bytes() == b"!";
        let words = line.args().skip(usize::from(not));
        let ranges = words.map(range).collect::<Result<Vec<_>, _>>()?;
        if ranges.is_empty() {
            return Err(wrong_number(line));
        }
        self.statuses = Some(Statuses { not, ranges });
        Ok(())
    }

    /// `header NAME;`, `header ! NAME;`, `header NAME = | != | ~ | !~ TEXT;`
    fn header(&mut self, cx: &mut Cx, line: Node) -> Result<(), Error> {
        let (name, wanted, not) = match line.args_len() {
            1 => (line.arg(0), Wanted::There, false),
            2 if line.arg(0).bytes() == b"!" => (line.arg(1), Wanted::There, true),
            3 => {
                let (operator, text) = (line.arg(1), line.arg(2));
                let equal = || Wanted::Equal(text.bytes().into());
                let (wanted, not) = match operator.bytes() {
                    b"=" => (equal(), false),
                    b"!=" => (equal(), true),
                    b"~" => (Wanted::Like(cx.pattern(text, false)?), false),
                    b"!~" => (Wanted::Like(cx.pattern(text, false)?), true),
                    _ => return Err(Error::invalid_parameter(operator)),
                };
                (line.arg(0), wanted, not)
            }
            _ => return Err(wrong_number(line)),
        };
        self.headers.push(Header { name: name.bytes().into(), wanted, not });
        Ok(())
    }

    /// `body ~ | !~ TEXT;`
    fn body(&mut self, cx: &mut Cx, line: Node) -> Result<(), Error> {
        if line.args_len() != 2 {
            return Err(wrong_number(line));
        }
        let matches = match line.arg(0).bytes() {
            b"~" => true,
            b"!~" => false,
            _ => return Err(Error::invalid_parameter(line.arg(0))),
        };
        self.bodies.push((cx.pattern(line.arg(1), false)?, matches));
        Ok(())
    }

    pub fn wants_body(&self) -> bool {
        !self.bodies.is_empty()
    }
}

fn range(word: Word) -> Result<RangeInclusive<u16>, Error> {
    let code = |text: &[u8]| {
        let code = parse_number(text).and_then(|it| u16::try_from(it).ok());
        code.filter(|code| (100..=999).contains(code)).ok_or_else(|| Error::invalid_value(word))
    };
    let (from, to) = match word.iter().position(|byte| *byte == b'-') {
        Some(at) => (code(&word[..at])?, code(&word[at + 1..])?),
        None => (code(&word)?, code(&word)?),
    };
    if from > to { Err(Error::invalid_value(word)) } else { Ok(from..=to) }
}

/// Whether it is the answer of a healthy peer; if not, what is wrong with it.
pub fn judge(
    rule: Option<&Match>,
    answer: &Answer,
    room: &mut regex::Scratch,
) -> Result<(), &'static str> {
    let status = answer.head.status;
    let right = match rule.map(|rule| rule.statuses.as_ref()) {
        None => (200..=399).contains(&status),
        Some(None) => true,
        Some(Some(it)) => it.ranges.iter().any(|range| range.contains(&status)) != it.not,
    };
    if !right {
        return Err("checking status code");
    }
    let Some(rule) = rule else { return Ok(()) };
    if !rule.headers.iter().all(|header| header.is_in(answer, room)) {
        return Err("checking header");
    }
    let mut bodies = rule.bodies.iter();
    match bodies.all(|(like, matches)| like.regex.is_match(room, answer.body()) == *matches) {
        true => Ok(()),
        false => Err("checking body"),
    }
}

impl Header {
    fn is_in(&self, answer: &Answer, room: &mut regex::Scratch) -> bool {
        let fields = answer.head.fields(&answer.bytes);
        let mut own = fields.filter(|field| ascii::eq_ignore_case(field.name, &self.name));
        let found = own.any(|field| match &self.wanted {
            Wanted::There => true,
            Wanted::Equal(text) => *field.value == **text,
            Wanted::Like(like) => like.regex.is_match(room, field.value),
        });
        found != self.not
    }
}
