//! `(…)` in all its forms.
use super::node::{Look, Node};
use super::parse::{Flags, Item, Parser, Result};

/// What an opening parenthesis opens.
enum Opening {
    Capture(usize),
    Plain,
    /// `(?|`
    SameNumbers,
    Atomic,
    Look(Look),
    /// `(?i)` and its kind, closed already: the rest of the group is under them.
    Options,
}

/// The longest name.
const NAME: usize = 32;
const UNCLOSED: &str = "missing closing parenthesis";

impl Parser<'_> {
    /// `(*NAME)` before everything else: what changes nothing here is taken.
    pub fn leading_verbs(&mut self) -> Result<()> {
        const HARMLESS: [&[u8]; 4] =
            [b"(*NO_JIT)", b"(*NO_START_OPT)", b"(*NO_AUTO_POSSESS)", b"(*LF)"];
        while HARMLESS.iter().any(|verb| self.takes(verb)) {}
        Ok(())
    }

    pub fn group(&mut self) -> Result<Item> {
        let (flags, start) = (self.flags, self.at);
        if self.rest().starts_with(b"(*") {
            return self.verb();
        }
        self.at += 1;
        let opening = match self.takes(b"?") {
            true => self.special()?,
            false if self.flags.no_capture => Opening::Plain,
            false => self.next_capture(),
        };
        if matches!(opening, Opening::Options) {
            return Ok(Item::Options);
        }
        let looks = usize::from(matches!(opening, Opening::Look(_)));
        self.looks += looks;
        let node = self.alternatives(matches!(opening, Opening::SameNumbers))?;
        self.looks -= looks;
        if !self.takes(b")") {
            return self.fail(0, UNCLOSED);
        }
        self.flags = flags;
        if matches!(opening, Opening::Look(Look { behind: true, .. })) && !is_fixed(&node) {
            self.at = start;
            return self.fail(0, "lookbehind assertion is not fixed length");
        }
        Ok(Item::Some(match opening {
            Opening::Capture(group) => Node::Capture(group, Box::new(node)),
            Opening::Atomic => Node::Atomic(Box::new(node)),
            Opening::Look(look) => Node::Look(look, Box::new(node)),
            _ => node,
        }))
    }

    fn verb<T>(&mut self) -> Result<T> {
        let rest = self.rest();
        let end = rest.iter().position(|byte| *byte == b')').map_or(rest.len(), |end| end + 1);
        let verb = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
        self.fail(0, &format!("{verb} is not supported"))
    }

    fn next_capture(&mut self) -> Opening {
        self.groups += 1;
        Opening::Capture(self.groups)
    }

    /// What follows `(?`.
    fn special(&mut self) -> Result<Opening> {
        let look = |behind, negative| Ok(Opening::Look(Look { behind, negative }));
        let Some(byte) = self.peek() else {
            return self.fail(0, UNCLOSED);
        };
        match (byte, self.peek_at(1)) {
            (b'<', Some(b'=')) | (b'<', Some(b'!')) => {
                let negative = self.peek_at(1) == Some(b'!');
                self.at += 2;
                return look(true, negative);
            }
            (b'<', Some(b'*')) | (b'*', _) => {
                return self.fail(0, "non-atomic lookaround is not supported");
            }
            (b'P', Some(b'<')) => {
                self.at += 2;
                return self.named(b'>');
            }
            (b'P', Some(b'=')) => return self.fail(0, "back references are not supported"),
            (b'P', Some(b'>')) => return self.fail(0, "recursion is not supported"),
            (b'P', Some(_)) => {
                self.at += 1;
                return self.fail(0, "unrecognized character after (?P");
            }
            (b'P', None) => {
                self.at += 1;
                return self.fail(0, UNCLOSED);
            }
            (b'+', _) | (b'-', Some(b'0'..=b'9')) => {
                return self.fail(0, "recursion is not supported");
            }
            _ => self.at += 1,
        }
        match byte {
            b':' => Ok(Opening::Plain),
            b'|' => Ok(Opening::SameNumbers),
            b'>' => Ok(Opening::Atomic),
            b'=' => look(false, false),
            b'!' => look(false, true),
            b'<' => self.named(b'>'),
            b'\'' => self.named(b'\''),
            b'R' | b'&' | b'0'..=b'9' => self.fail(1, "recursion is not supported"),
            b'(' => self.fail(1, "conditional groups are not supported"),
            b'C' => self.fail(1, "callouts are not supported"),
            _ => {
                self.at -= 1;
                self.options()
            }
        }
    }

    fn named(&mut self, end: u8) -> Result<Opening> {
        let rest = self.rest();
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = rest.iter().position(|byte| !is_word(byte)).unwrap_or(rest.len());
        let name: Box<[u8]> = rest.get(..length).unwrap_or_default().into();
        if name.first().is_some_and(u8::is_ascii_digit) {
            return self.fail(0, "subpattern name must start with a non-digit");
        }
        self.at += length;
        if length == 0 {
            return self.fail(0, "subpattern name expected");
        }
        if length > NAME {
            return self.fail(0, "subpattern name is too long (maximum 32 code units)");
        }
        if !self.takes(&[end]) {
            return self.fail(0, "syntax error in subpattern name (missing terminator?)");
        }
        let opening = self.next_capture();
        self.name(name)?;
        Ok(opening)
    }

    /// Names the newest group. In `(?|` a number may come again, with its name.
    fn name(&mut self, name: Box<[u8]>) -> Result<()> {
        let group = self.groups;
        for (other, number) in &self.names {
            match (*other == name, *number == group) {
                (true, true) => return Ok(()),
                (true, false) => {
                    return self.fail(0, "two named subpatterns have the same name");
                }
                (false, true) => {
                    let text = "different names for subpatterns of the same number are not allowed";
                    return self.fail(0, text);
                }
                (false, false) => {}
            }
        }
        self.names.push((name, group));
        Ok(())
    }

    /// `(?imsx-imsx)` or `(?imsx-imsx:`; without a colon they hold to the end
    /// of the group around.
    fn options(&mut self) -> Result<Opening> {
        let mut flags = self.flags;
        let reset = self.takes(b"^");
        if reset {
            flags = Flags { ungreedy: flags.ungreedy, ..Flags::default() };
        }
        let mut on = true;
        loop {
            let Some(letter) = self.take() else {
                return self.fail(0, UNCLOSED);
            };
            match letter {
                b')' | b':' => {
                    let plain = letter == b':';
                    self.flags = flags;
                    return Ok(if plain { Opening::Plain } else { Opening::Options });
                }
                b'-' if on && !reset => on = false,
                b'-' => return self.fail(1, "invalid hyphen in option setting"),
                b'i' => flags.caseless = on,
                b'm' => flags.multiline = on,
                b's' => flags.dot_all = on,
                b'n' => flags.no_capture = on,
                b'U' => flags.ungreedy = on,
                b'x' => {
                    flags.extended = on;
                    flags.extended_more = self.takes(b"x") && on;
                }
                b'J' => return self.fail(1, "(?J) is not supported"),
                _ => return self.fail(1, "unrecognized character after (? or (?-"),
            }
        }
    }
}

/// Whether each alternative has one length.
fn is_fixed(node: &Node) -> bool {
    let fixed = |node: &Node| {
        let (least, most) = node.lengths();
        most == Some(least)
    };
    match node {
        Node::Alternate(nodes) => nodes.iter().all(fixed),
        _ => fixed(node),
    }
}
