//! From the text of an expression to its tree, as pcre2pattern(3) reads it.
//!
//! Recursion is one level for each open parenthesis, and those are limited, so
//! that no expression can exhaust the stack here or in what walks the tree.
use super::Error;
use super::node::{Assert, Count, Node};
use super::set::{self, Set};
use crate::mem::sort::sort_by;

/// PCRE's limit, too.
const NESTING: usize = 250;
/// The largest number in braces.
const COUNT: u32 = 65535;

pub type Result<T> = std::result::Result<T, Error>;

/// What was read.
pub struct Parsed {
    pub node: Node,
    /// How many groups capture.
    pub groups: usize,
    /// In order of number.
    pub names: Vec<(Box<[u8]>, usize)>,
}

/// The options that `(?…)` turns on and off.
#[derive(Clone, Copy, Default)]
pub struct Flags {
    /// i
    pub caseless: bool,
    /// m
    pub multiline: bool,
    /// s
    pub dot_all: bool,
    /// x
    pub extended: bool,
    /// xx
    pub extended_more: bool,
    /// n
    pub no_capture: bool,
    /// U
    pub ungreedy: bool,
}

pub struct Parser<'p> {
    pub pattern: &'p [u8],
    pub at: usize,
    pub flags: Flags,
    pub groups: usize,
    pub names: Vec<(Box<[u8]>, usize)>,
    nesting: usize,
    /// How many of the open groups look around.
    pub looks: usize,
}

/// What a step of a branch came to.
pub enum Item {
    /// Something that a quantifier may follow.
    Some(Node),
    /// Something that none may follow.
    Bare(Node),
    /// Options: nothing is left of them, and no quantifier may follow.
    Options,
    /// Several bytes, of which a quantifier takes the last.
    Quoted(Vec<Node>),
}

pub fn parse(pattern: &[u8], caseless: bool) -> Result<Parsed> {
    let flags = Flags { caseless, ..Flags::default() };
    let (names, groups) = (Vec::new(), 0);
    let mut parser = Parser { pattern, at: 0, flags, groups, names, nesting: 0, looks: 0 };
    parser.leading_verbs()?;
    let node = parser.alternatives(false)?;
    if parser.peek().is_some() {
        return parser.fail(0, "unmatched closing parenthesis");
    }
    let Parser { mut names, groups, .. } = parser;
    sort_by(&mut names, |a, b| a.1.cmp(&b.1));
    Ok(Parsed { node, groups, names })
}

impl Parser<'_> {
    pub fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    pub fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.pattern.get(self.at + ahead).copied()
    }

    pub fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Takes `text` if it is next.
    pub fn takes(&mut self, text: &[u8]) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    pub fn rest(&self) -> &[u8] {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    /// An error `back` bytes before what is next.
    pub fn fail<T>(&self, back: usize, text: &str) -> Result<T> {
        Err(Error { at: self.at.saturating_sub(back), text: text.into() })
    }

    /// The alternatives of a group, up to its `)` or the end. In `(?|…)` each of
    /// them counts its groups from the same number.
    pub fn alternatives(&mut self, same_numbers: bool) -> Result<Node> {
        if self.nesting > NESTING {
            return self.fail(0, "parentheses are too deeply nested");
        }
        self.nesting += 1;
        let (first, mut last) = (self.groups, self.groups);
        let mut nodes = vec![self.branch()?];
        while self.takes(b"|") {
            last = last.max(self.groups);
            if same_numbers {
                self.groups = first;
            }
            nodes.push(self.branch()?);
        }
        self.groups = last.max(self.groups);
        self.nesting -= 1;
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Alternate(nodes) })
    }

    fn branch(&mut self) -> Result<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut repeatable = false;
        loop {
            self.skip()?;
            let Some(byte) = self.peek() else {
                break;
            };
            if matches!(byte, b'|' | b')') {
                break;
            }
            if let Some((least, most)) = self.quantifier()? {
                let end = self.at;
                self.skip()?;
                let possessive = self.takes(b"+");
                let lazy = !possessive && (self.takes(b"?") != self.flags.ungreedy);
                let count = Count { least, most, lazy };
                match nodes.pop() {
                    Some(node) if repeatable => nodes.push(repeat(node, count, possessive)),
                    _ => {
                        self.at = end;
                        return self.fail(1, "quantifier does not follow a repeatable item");
                    }
                }
                repeatable = false;
                continue;
            }
            match self.item(byte)? {
                Item::Some(node) => {
                    nodes.push(node);
                    repeatable = true;
                }
                Item::Bare(node) => {
                    nodes.push(node);
                    repeatable = false;
                }
                Item::Options => repeatable = false,
                Item::Quoted(quoted) => {
                    repeatable |= !quoted.is_empty();
                    nodes.extend(quoted);
                }
            }
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Concat(nodes) })
    }

    /// Passes over what stands for nothing, so that a quantifier looks through
    /// it: empty quotes, comments, blanks in `(?x)`.
    fn skip(&mut self) -> Result<()> {
        loop {
            match self.peek() {
                Some(b'\\') if self.takes(b"\\E") || self.takes(b"\\Q\\E") => {}
                Some(b'(') if self.takes(b"(?#") => self.comment()?,
                Some(byte) if self.flags.extended && set::SPACE.has(byte) => self.at += 1,
                Some(b'#') if self.flags.extended => {
                    let line = self.rest().iter().position(|byte| *byte == b'\n');
                    self.at = line.map_or(self.pattern.len(), |length| self.at + length + 1);
                }
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self) -> Result<()> {
        match self.rest().iter().position(|byte| *byte == b')') {
            Some(end) => {
                self.at += end + 1;
                Ok(())
            }
            None => {
                self.at = self.pattern.len();
                self.fail(0, "missing ) after (?# comment")
            }
        }
    }

    fn item(&mut self, byte: u8) -> Result<Item> {
        match byte {
            b'\\' => return self.escape(),
            b'(' => return self.group(),
            b'[' => return self.class(),
            _ => self.at += 1,
        }
        let multiline = self.flags.multiline;
        Ok(match byte {
            b'^' if multiline => Item::Bare(Node::Assert(Assert::LineStart)),
            b'^' => Item::Bare(Node::Assert(Assert::Start)),
            b'$' if multiline => Item::Bare(Node::Assert(Assert::LineEnd)),
            b'$' => Item::Bare(Node::Assert(Assert::EndOrNewline)),
            b'.' if self.flags.dot_all => Item::Some(Node::Byte(Set::ALL)),
            b'.' => Item::Some(Node::Byte(set::NEWLINE.not())),
            _ => Item::Some(self.literal(byte)),
        })
    }

    pub fn literal(&self, byte: u8) -> Node {
        let set = Set::of(&[byte]);
        Node::Byte(if self.flags.caseless { set.caseless() } else { set })
    }

    /// `*`, `+`, `?`, `{…}`: how often.
    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>> {
        let (least, most) = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => match self.braces()? {
                Some(counts) => counts,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some((least, most)))
    }

    /// The counts in braces, up to the closing one; or nothing has been read,
    /// and the brace is a literal.
    fn braces(&mut self) -> Result<Option<(u32, Option<u32>)>> {
        let rest = self.rest();
        let digits =
            |from: usize| rest.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let least_end = 1 + digits(1);
        let ranged = rest.get(least_end) == Some(&b',');
        let most_end = if ranged { least_end + 1 + digits(least_end + 1) } else { least_end };
        if least_end == 1 || rest.get(most_end) != Some(&b'}') {
            return Ok(None);
        }
        let start = self.at;
        let least = self.count(start + 1, start + least_end)?;
        let most = match ranged {
            false => Some(least),
            true if most_end == least_end + 1 => None,
            true => Some(self.count(start + least_end + 1, start + most_end)?),
        };
        self.at = start + most_end;
        if most.is_some_and(|most| most < least) {
            return self.fail(0, "numbers out of order in {} quantifier");
        }
        Ok(Some((least, most)))
    }

    fn count(&mut self, from: usize, to: usize) -> Result<u32> {
        let mut count = 0;
        for at in from..to {
            let digit = self.pattern.get(at).map_or(0, |byte| byte - b'0');
            count = count * 10 + u32::from(digit);
            if count > COUNT {
                self.at = at + 1;
                return self.fail(0, "number too big in {} quantifier");
            }
        }
        Ok(count)
    }
}

fn repeat(node: Node, count: Count, possessive: bool) -> Node {
    let repeat = Node::Repeat(Box::new(node), count);
    if possessive { Node::Atomic(Box::new(repeat)) } else { repeat }
}
