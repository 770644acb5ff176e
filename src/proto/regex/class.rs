//! `[…]`.
use super::escape::generic_set;
use super::node::{Assert, Look, Node};
use super::parse::{Item, Parser, Result};
use super::set::{self, Set};

/// A member of a class.
enum Member {
    Byte(u8),
    Set(Set),
    Nothing,
}

const UNTERMINATED: &str = "missing terminating ] for character class";
const BAD_RANGE: &str = "invalid range in character class";

impl Parser<'_> {
    /// A class; its `[` is next.
    pub fn class(&mut self) -> Result<Item> {
        for (text, behind) in [(b"[[:<:]]", false), (b"[[:>:]]", true)] {
            if self.takes(text) {
                return Ok(Item::Bare(word_edge(behind)));
            }
        }
        if let Some((kind, _)) = self.posix_name() {
            let text = "POSIX named classes are supported only within a class";
            return self.fail(0, if kind == b':' { text } else { COLLATING });
        }
        self.at += 1;
        let negated = self.takes(b"^");
        let set = self.members()?;
        let set = if self.flags.caseless { set.caseless() } else { set };
        Ok(Item::Some(Node::Byte(if negated { set.not() } else { set })))
    }

    fn members(&mut self) -> Result<Set> {
        let (mut set, mut first) = (Set::NONE, true);
        let mut quoting = false;
        loop {
            let Some(byte) = self.peek() else {
                return self.fail(0, UNTERMINATED);
            };
            if byte == b']' && !first && !quoting {
                self.at += 1;
                return Ok(set);
            }
            match self.member(&mut quoting)? {
                Member::Nothing => continue,
                Member::Byte(byte) => set = set.or(self.range_from(byte, &mut quoting)?),
                Member::Set(more) => {
                    set = set.or(more);
                    if !quoting {
                        self.no_range()?;
                    }
                }
            }
            first = false;
        }
    }

    fn member(&mut self, quoting: &mut bool) -> Result<Member> {
        if self.takes(b"\\E") {
            *quoting = false;
            return Ok(Member::Nothing);
        }
        if !*quoting {
            if self.takes(b"\\Q") {
                *quoting = true;
                return Ok(Member::Nothing);
            }
            match self.peek() {
                Some(b' ' | b'\t') if self.flags.extended_more => {
                    self.at += 1;
                    return Ok(Member::Nothing);
                }
                Some(b'[') => {
                    if let Some(set) = self.posix()? {
                        return Ok(Member::Set(set));
                    }
                }
                Some(b'\\') => return self.class_escape(),
                _ => {}
            }
        }
        match self.take() {
            Some(byte) => Ok(Member::Byte(byte)),
            None => self.fail(0, UNTERMINATED),
        }
    }

    fn class_escape(&mut self) -> Result<Member> {
        self.at += 1;
        let Some(letter) = self.take() else {
            return self.fail(0, "\\ at end of pattern");
        };
        if let Some(set) = generic_set(letter) {
            return Ok(Member::Set(set));
        }
        match letter {
            b'b' => Ok(Member::Byte(8)),
            b'N' => self.fail(0, "\\N is not supported in a class"),
            b'A' | b'B' | b'C' | b'G' | b'K' | b'R' | b'X' | b'Z' | b'k' | b'z' => {
                self.fail(1, "escape sequence is invalid in character class")
            }
            b'g' => Ok(Member::Byte(letter)),
            _ => Ok(Member::Byte(self.escaped_byte(letter)?)),
        }
    }

    /// The bytes from `first` to what follows a hyphen, or `first` alone.
    fn range_from(&mut self, first: u8, quoting: &mut bool) -> Result<Set> {
        let single = Set::of(&[first]);
        self.skip_nothing(quoting);
        if *quoting || self.peek() != Some(b'-') {
            return Ok(single);
        }
        self.at += 1;
        self.skip_nothing(quoting);
        if self.peek() == Some(b']') && !*quoting {
            return Ok(single.or(Set::of(b"-")));
        }
        match self.member(quoting)? {
            Member::Byte(last) if first <= last => Ok(Set::range(first, last)),
            Member::Byte(_) => self.fail(1, "range out of order in character class"),
            Member::Set(_) | Member::Nothing => self.fail(0, BAD_RANGE),
        }
    }

    /// Takes what stands for nothing.
    fn skip_nothing(&mut self, quoting: &mut bool) {
        loop {
            let blank = self.flags.extended_more && !*quoting;
            if self.takes(b"\\E") {
                *quoting = false;
            } else if !*quoting && self.takes(b"\\Q") {
                *quoting = true;
            } else if !(blank && (self.takes(b" ") || self.takes(b"\t"))) {
                return;
            }
        }
    }

    /// After a set, a hyphen is itself, and only at the end.
    fn no_range(&mut self) -> Result<()> {
        let hyphen = self.peek() == Some(b'-');
        let last = self.peek_at(1).is_none_or(|byte| byte == b']');
        if hyphen && !last { self.fail(0, BAD_RANGE) } else { Ok(()) }
    }

    /// `[:name:]`, `[.name.]` or `[=name=]`, if that is next: its kind, and the
    /// length of its name.
    fn posix_name(&self) -> Option<(u8, usize)> {
        let rest = self.rest();
        let kind = *rest.get(1).filter(|byte| matches!(byte, b':' | b'.' | b'='))?;
        let inside = rest.get(2..)?;
        let mut at = 0;
        while at + 1 < inside.len() {
            match (inside.get(at)?, inside.get(at + 1)?) {
                (byte, b']') if *byte == kind => return Some((kind, at)),
                (b'\\', b']' | b'\\') => at += 1,
                (b'[', byte) if *byte == kind => return None,
                (b']', _) => return None,
                _ => {}
            }
            at += 1;
        }
        None
    }

    fn posix(&mut self) -> Result<Option<Set>> {
        let Some((kind, length)) = self.posix_name() else {
            return Ok(None);
        };
        if kind != b':' {
            return self.fail(0, COLLATING);
        }
        self.at += 2;
        let negated = self.takes(b"^");
        let name = self.rest().get(..length - usize::from(negated)).unwrap_or_default();
        let Some(set) = set::posix(name) else {
            return self.fail(0, "unknown POSIX class name");
        };
        let letters = matches!(name, b"upper" | b"lower") && self.flags.caseless;
        let set = if letters { set::ALPHA } else { set };
        self.at += name.len() + 2;
        Ok(Some(if negated { set.not() } else { set }))
    }
}

const COLLATING: &str = "POSIX collating elements are not supported";

/// `[[:<:]]` is `\b(?=\w)`, and `[[:>:]]` is `\b(?<=\w)`.
fn word_edge(behind: bool) -> Node {
    let look = Look { behind, negative: false };
    let word = Node::Look(look, Box::new(Node::Byte(set::WORD)));
    Node::Concat(vec![Node::Assert(Assert::WordBoundary), word])
}
