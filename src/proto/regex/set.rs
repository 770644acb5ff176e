//! A set of bytes: what one place of an expression accepts.
use std::collections::HashMap;

/// One bit for each byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Set([u64; 4]);

impl Set {
    pub const NONE: Set = Set([0; 4]);
    pub const ALL: Set = Set([u64::MAX; 4]);

    pub const fn of(bytes: &[u8]) -> Set {
        let (mut set, mut at) = (Set::NONE, 0);
        while at < bytes.len() {
            set = set.with(bytes[at]);
            at += 1;
        }
        set
    }

    pub const fn range(first: u8, last: u8) -> Set {
        let (mut set, mut byte) = (Set::NONE, first as usize);
        while byte <= last as usize {
            set = set.with(byte as u8);
            byte += 1;
        }
        set
    }

    const fn with(mut self, byte: u8) -> Set {
        self.0[(byte >> 6) as usize] |= 1 << (byte & 63);
        self
    }

    #[inline]
    pub const fn has(&self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] >> (byte & 63) & 1 != 0
    }

    pub const fn or(self, other: Set) -> Set {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Set([a | e, b | f, c | g, d | h])
    }

    pub const fn not(self) -> Set {
        let [a, b, c, d] = self.0;
        Set([!a, !b, !c, !d])
    }

    pub const fn and(self, other: Set) -> Set {
        self.not().or(other.not()).not()
    }

    pub fn meets(&self, other: &Set) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The byte of a set of one.
    pub fn single(&self) -> Option<u8> {
        if self.count() == 1 { self.bytes().next() } else { None }
    }

    pub fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=255).filter(|byte| self.has(*byte))
    }

    /// With the other case of each letter. PCRE's tables are those of the C
    /// locale, where only ASCII has case.
    pub fn caseless(&self) -> Set {
        let mut set = *self;
        for byte in self.bytes() {
            set = set.with(byte.to_ascii_lowercase()).with(byte.to_ascii_uppercase());
        }
        set
    }
}

/// The sets of a program, each once, by number.
#[derive(Default)]
pub struct Sets {
    list: Vec<Set>,
    numbers: HashMap<Set, u16>,
}

impl Sets {
    pub fn number(&mut self, set: Set) -> u16 {
        *self.numbers.entry(set).or_insert_with(|| {
            self.list.push(set);
            self.list.len() as u16 - 1
        })
    }

    pub fn get(&self, number: u16) -> Set {
        self.list.get(usize::from(number)).copied().unwrap_or(Set::NONE)
    }

    pub fn into_list(self) -> Box<[Set]> {
        self.list.into()
    }
}

pub const DIGIT: Set = Set::range(b'0', b'9');
pub const LOWER: Set = Set::range(b'a', b'z');
pub const UPPER: Set = Set::range(b'A', b'Z');
pub const ALPHA: Set = LOWER.or(UPPER);
pub const ALNUM: Set = ALPHA.or(DIGIT);
pub const WORD: Set = ALNUM.or(Set::of(b"_"));
pub const SPACE: Set = Set::of(b"\t\n\x0b\x0c\r ");
/// pcre2pattern(3), "Generic character types": those of them below 256.
pub const HORIZONTAL: Set = Set::of(b"\t \xa0");
pub const VERTICAL: Set = Set::of(b"\n\x0b\x0c\r\x85");
pub const NEWLINE: Set = Set::of(b"\n");
const XDIGIT: Set = DIGIT.or(Set::range(b'a', b'f')).or(Set::range(b'A', b'F'));
const GRAPH: Set = Set::range(0x21, 0x7e);
const PRINT: Set = Set::range(0x20, 0x7e);
const CNTRL: Set = Set::range(0, 0x1f).or(Set::of(b"\x7f"));
const PUNCT: Set = Set::range(0x21, 0x2f)
    .or(Set::range(0x3a, 0x40))
    .or(Set::range(0x5b, 0x60))
    .or(Set::range(0x7b, 0x7e));

/// The set of `[:name:]`.
pub fn posix(name: &[u8]) -> Option<Set> {
    Some(match name {
        b"alpha" => ALPHA,
        b"lower" => LOWER,
        b"upper" => UPPER,
        b"alnum" => ALNUM,
        b"ascii" => Set::range(0, 0x7f),
        b"blank" => Set::of(b"\t "),
        b"cntrl" => CNTRL,
        b"digit" => DIGIT,
        b"graph" => GRAPH,
        b"print" => PRINT,
        b"punct" => PUNCT,
        b"space" => SPACE,
        b"word" => WORD,
        b"xdigit" => XDIGIT,
        _ => return None,
    })
}
