//! What a backslash makes of what follows it.
use super::node::{Assert, Count, Node};
use super::parse::{Item, Parser, Result};
use super::set::{self, Set};

impl Parser<'_> {
    /// An escape outside of a class.
    pub fn escape(&mut self) -> Result<Item> {
        self.at += 1;
        let Some(letter) = self.take() else {
            return self.fail(0, "\\ at end of pattern");
        };
        let assert = |assert| Ok(Item::Bare(Node::Assert(assert)));
        match letter {
            b'Q' => return Ok(Item::Quoted(self.quoted())),
            b'A' | b'G' => return assert(Assert::Start),
            b'z' => return assert(Assert::End),
            b'Z' => return assert(Assert::EndOrNewline),
            b'b' => return assert(Assert::WordBoundary),
            b'B' => return assert(Assert::NotWordBoundary),
            b'K' if self.looks > 0 => return self.fail(0, "\\K is not allowed in lookarounds"),
            b'K' => return Ok(Item::Bare(Node::Keep)),
            b'R' => return Ok(Item::Some(line_break())),
            b'C' => return Ok(Item::Some(Node::Byte(Set::ALL))),
            b'N' if self.peek() == Some(b'{') && !self.is_count() => {
                return self.fail(0, "\\N{…} is not supported");
            }
            b'N' => return Ok(Item::Some(Node::Byte(set::NEWLINE.not()))),
            b'1'..=b'9' if self.is_reference(letter) => {
                return self.fail(1, "back references are not supported");
            }
            b'g' | b'k' => {
                return self.fail(1, "back references and subroutine calls are not supported");
            }
            _ => {}
        }
        if let Some(set) = generic_set(letter) {
            return Ok(Item::Some(Node::Byte(set)));
        }
        let byte = self.escaped_byte(letter)?;
        Ok(Item::Some(self.literal(byte)))
    }

    /// The text up to `\E`, or to the end, as it stands.
    fn quoted(&mut self) -> Vec<Node> {
        let rest = self.rest();
        let end = rest.windows(2).position(|pair| pair == b"\\E");
        let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let nodes = text.iter().map(|byte| self.literal(*byte)).collect();
        self.at += text.len() + if end.is_some() { 2 } else { 0 };
        nodes
    }

    /// Whether `{…}` is next, with numbers that count.
    fn is_count(&self) -> bool {
        let inside = self.rest().get(1..).unwrap_or_default();
        let end = inside.iter().position(|byte| !byte.is_ascii_digit() && *byte != b',');
        let text = end.and_then(|end| inside.get(..end)).unwrap_or_default();
        let commas = text.iter().filter(|byte| **byte == b',').count();
        end.is_some_and(|end| inside.get(end) == Some(&b'}'))
            && text.first().is_some_and(u8::is_ascii_digit)
            && commas <= 1
    }

    /// A number is a reference if it has one digit, begins with 8 or 9, or is
    /// that of a group to the left; otherwise it is octal.
    fn is_reference(&self, first: u8) -> bool {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(u64::from(first - b'0'), |number, digit| {
            number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        });
        number < 10 || first >= b'8' || number <= self.groups as u64
    }

    /// The byte that an escape stands for, here or in a class.
    pub fn escaped_byte(&mut self, letter: u8) -> Result<u8> {
        Ok(match letter {
            b'a' => 0x07,
            b'e' => 0x1b,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => return self.hexadecimal(),
            b'o' => return self.braced_octal(),
            b'c' => return self.control(),
            b'0'..=b'7' => return self.octal(letter),
            b'p' | b'P' | b'X' => {
                return self.fail(1, "Unicode properties are not supported");
            }
            b'F' | b'L' | b'l' | b'U' | b'u' => {
                return self
                    .fail(0, "PCRE2 does not support \\F, \\L, \\l, \\N{name}, \\U, or \\u");
            }
            _ if letter.is_ascii_alphabetic() => {
                return self.fail(1, "unrecognized character follows \\");
            }
            _ => letter,
        })
    }

    /// Up to three digits, the first of which is taken.
    fn octal(&mut self, first: u8) -> Result<u8> {
        let mut value = u32::from(first - b'0');
        for _ in 0..2 {
            match self.peek() {
                Some(digit @ b'0'..=b'7') => value = value * 8 + u32::from(digit - b'0'),
                _ => break,
            }
            self.at += 1;
        }
        match u8::try_from(value) {
            Ok(byte) => Ok(byte),
            Err(_) => self.fail(0, "octal value is greater than \\377 in 8-bit non-UTF-8 mode"),
        }
    }

    fn hexadecimal(&mut self) -> Result<u8> {
        if self.peek() == Some(b'{') {
            return self.braced(16, "non-hex character in \\x{} (closing brace missing?)");
        }
        let mut value = 0;
        for _ in 0..2 {
            match self.peek().and_then(|byte| char::from(byte).to_digit(16)) {
                Some(digit) => value = value * 16 + digit as u8,
                None => break,
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn braced_octal(&mut self) -> Result<u8> {
        match self.peek() {
            Some(b'{') => self.braced(8, "non-octal character in \\o{} (closing brace missing?)"),
            _ => self.fail(0, "missing opening brace after \\o"),
        }
    }

    fn braced(&mut self, radix: u32, wrong: &str) -> Result<u8> {
        self.at += 1;
        let (start, mut value) = (self.at, 0u32);
        loop {
            match self.peek() {
                Some(b'}') | None if self.at == start => {
                    return self.fail(0, "digits missing in \\x{} or \\o{} or \\N{U+}");
                }
                Some(b'}') => break,
                Some(byte) => match char::from(byte).to_digit(radix) {
                    Some(digit) => value = value.saturating_mul(radix).saturating_add(digit),
                    None => return self.fail(0, wrong),
                },
                None => return self.fail(1, wrong),
            }
            self.at += 1;
        }
        match u8::try_from(value) {
            Ok(byte) => {
                self.at += 1;
                Ok(byte)
            }
            Err(_) => self.fail(0, "character code point value in \\x{} or \\o{} is too large"),
        }
    }

    fn control(&mut self) -> Result<u8> {
        match self.take() {
            None => self.fail(0, "\\c at end of pattern"),
            Some(byte @ 0x20..=0x7e) => Ok(byte.to_ascii_uppercase() ^ 0x40),
            Some(_) => self.fail(1, "\\c must be followed by a printable ASCII character"),
        }
    }
}

/// `\d` and its kind, which are the same in a class.
pub fn generic_set(letter: u8) -> Option<Set> {
    Some(match letter {
        b'd' => set::DIGIT,
        b'D' => set::DIGIT.not(),
        b'w' => set::WORD,
        b'W' => set::WORD.not(),
        b's' => set::SPACE,
        b'S' => set::SPACE.not(),
        b'h' => set::HORIZONTAL,
        b'H' => set::HORIZONTAL.not(),
        b'v' => set::VERTICAL,
        b'V' => set::VERTICAL.not(),
        _ => return None,
    })
}

/// `\R` is `(?>\r\n|\n|\x0b|\f|\r|\x85)`: a pair is not taken apart.
fn line_break() -> Node {
    let byte = |byte| Node::Byte(Set::of(&[byte]));
    let count = Count { least: 0, most: Some(1), lazy: false };
    let pair = Node::Repeat(Box::new(byte(b'\n')), count);
    let rest = Node::Byte(Set::of(b"\n\x0b\x0c\x85"));
    let pair = Node::Concat(vec![byte(b'\r'), pair]);
    Node::Atomic(Box::new(Node::Alternate(vec![pair, rest])))
}
