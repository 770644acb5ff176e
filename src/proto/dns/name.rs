//! Domain names (RFC 1035 section 3.1): labels with their lengths, at most 255 bytes.

use std::fmt;

/// The labels of the longest name, without the root's empty one.
const MOST: usize = 254;
/// The longest label.
const LABEL: usize = 63;

/// A name as it travels, in lower case: names that are the same are equal.
#[derive(Clone, Copy)]
pub struct Name {
    len: u8,
    bytes: [u8; MOST],
}

impl Name {
    const ROOT: Name = Name { len: 0, bytes: [0; MOST] };

    /// `www.example.com`, with a dot at its end or without. `None` if nobody can have such a
    /// name: it is empty or too long, has an empty label, a blank or a control byte.
    pub fn parse(text: &[u8]) -> Option<Name> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        let mut name = Name::ROOT;
        for label in text.split(|byte| *byte == b'.') {
            let odd = label.iter().any(|byte| *byte <= b' ' || *byte == 0x7f);
            if odd || !name.push(label) {
                return None;
            }
        }
        Some(name)
    }

    /// The name at `at` of a message, and where it ends there. Each pointer leads further
    /// back than the one before, so no chain of them is endless.
    pub(super) fn read(message: &[u8], mut at: usize) -> Option<(Name, usize)> {
        let mut name = Name::ROOT;
        let (mut begin, mut end) = (at, None);
        loop {
            let len = usize::from(*message.get(at)?);
            match len >> 6 {
                0 if len == 0 => return Some((name, end.unwrap_or(at + 1))),
                0 => {
                    let label = message.get(at + 1..at + 1 + len)?;
                    if !name.push(label) {
                        return None;
                    }
                    at += 1 + len;
                }
                3 => {
                    let target = usize::from(super::u16_at(message, at)? & 0x3fff);
                    if target >= begin {
                        return None;
                    }
                    end = end.or(Some(at + 2));
                    (at, begin) = (target, target);
                }
                _ => return None,
            }
        }
    }

    /// Adds a label; false: it is empty, or too long.
    fn push(&mut self, label: &[u8]) -> bool {
        let at = usize::from(self.len);
        let Some(room) = self.bytes.get_mut(at..at + 1 + label.len()) else { return false };
        if label.is_empty() || label.len() > LABEL {
            return false;
        }
        room[0] = label.len() as u8;
        room[1..].copy_from_slice(label);
        room[1..].make_ascii_lowercase();
        self.len += room.len() as u8;
        true
    }

    /// As it travels, but for the empty label at its end.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes();
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first()?;
            let (label, behind) = behind.split_at_checked(usize::from(*len))?;
            rest = behind;
            Some(label)
        })
    }

    /// Its text, as [`Name::parse`] reads it. A dot inside a label is not told from others.
    pub fn text(&self) -> Vec<u8> {
        self.labels().collect::<Vec<_>>().join(&b'.')
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Name {}

/// With what is odd in it escaped.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::text::escape::Shown(&self.text()).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
