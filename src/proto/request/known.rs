//! The request headers limpet itself looks at, and how a name is recognised.
//!
//! A name is found in a table by a hash of its first and last eight bytes
//! without case; at compile time a hash is found that gives each known name a place
//! of its own, so one comparison decides.
use crate::text::ascii;

macro_rules! known {
    ($($id:ident $name:literal $once:literal,)*) => {
        /// A header whose value the head keeps a span of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Known { $($id,)* }

        const ALL: &[(Known, &[u8], bool)] = &[$((Known::$id, $name, $once),)*];
    };
}

// Name in lower case; whether a second one is an error (as in nginx: of the
// others the first counts).
known! {
    Host b"host" true,
    Connection b"connection" false,
    ContentLength b"content-length" true,
    TransferEncoding b"transfer-encoding" true,
    ContentType b"content-type" false,
    Expect b"expect" true,
    Upgrade b"upgrade" false,
    Range b"range" false,
    IfRange b"if-range" true,
    IfModifiedSince b"if-modified-since" true,
    IfUnmodifiedSince b"if-unmodified-since" true,
    IfMatch b"if-match" true,
    IfNoneMatch b"if-none-match" true,
    AcceptEncoding b"accept-encoding" false,
    UserAgent b"user-agent" false,
    Referer b"referer" false,
    Authorization b"authorization" true,
    Cookie b"cookie" false,
    Via b"via" false,
    XForwardedFor b"x-forwarded-for" false,
}

impl Known {
    pub const COUNT: usize = ALL.len();

    /// In lower case.
    pub fn name(self) -> &'static [u8] {
        ALL[self as usize].1
    }

    /// Whether a second line of this name makes the request a bad one.
    #[inline(always)]
    pub fn is_unique(self) -> bool {
        ONCE >> self as u32 & 1 == 1
    }

    /// Which header `name` is; it consists of `ascii::NAME` bytes.
    #[inline(always)]
    pub fn of(name: &[u8]) -> Option<Known> {
        let key = Key::of(name);
        let place = &PLACES[key.place(FACTOR)];
        if place.key != key {
            return None;
        }
        let known = place.known?;
        // Beyond sixteen bytes the key has not seen the middle.
        if name.len() > 16 && !ascii::eq_ignore_case(name, known.name()) {
            return None;
        }
        Some(known)
    }
}

const ONCE: u32 = {
    let mut bits = 0;
    let mut i = 0;
    while i < ALL.len() {
        bits |= (ALL[i].2 as u32) << i;
        i += 1;
    }
    bits
};

/// First and last (up to) eight bytes of a name, in lower case, and its length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    first: u64,
    last: u64,
    len: usize,
}

/// Sets the bit that makes letters lower-case. In names nothing else changes
/// but `_`, which is not in a name that is looked up.
const LOWER: u64 = u64::from_ne_bytes([0x20; 8]);

impl Key {
    #[inline(always)]
    const fn of(name: &[u8]) -> Key {
        let (first, last) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => Key::short(name),
        };
        Key { first: first | LOWER, last: last | LOWER, len: name.len() }
    }

    #[inline(always)]
    const fn short(name: &[u8]) -> (u64, u64) {
        match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64)
            }
            _ => match *name {
                [a, b, c] => (u32::from_le_bytes([a, b, c, 0]) as u64, 0),
                [a, b] => (u32::from_le_bytes([a, b, 0, 0]) as u64, 0),
                [a] => (a as u64, 0),
                _ => (0, 0),
            },
        }
    }

    #[inline(always)]
    const fn place(self, factor: u64) -> usize {
        let word = self.first ^ self.last.rotate_left(29);
        (word.wrapping_mul(factor) >> (64 - PLACE_BITS)) as usize
    }
}

const PLACE_BITS: u32 = 6;

/// The first factor of a series that gives each known name a place of its own.
const FACTOR: u64 = {
    let mut factor = 0x9e37_79b9_7f4a_7c15u64;
    while places(factor).is_none() {
        factor = factor.wrapping_mul(0x5851_f42d_4c95_7f2d);
    }
    factor
};

#[derive(Clone, Copy)]
struct Place {
    key: Key,
    known: Option<Known>,
}

type Places = [Place; 1 << PLACE_BITS];

const fn places(factor: u64) -> Option<Places> {
    let empty = Place { key: Key { first: 0, last: 0, len: 0 }, known: None };
    let mut places = [empty; 1 << PLACE_BITS];
    let mut i = 0;
    while i < ALL.len() {
        let key = Key::of(ALL[i].1);
        let place = key.place(factor);
        if places[place].known.is_some() {
            return None;
        }
        places[place] = Place { key, known: Some(ALL[i].0) };
        i += 1;
    }
    Some(places)
}

static PLACES: Places = places(FACTOR).unwrap();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_any_case_and_nothing_else() {
        for &(known, name, once) in ALL {
            assert_eq!(Known::of(name), Some(known));
            assert_eq!(Known::of(&name.to_ascii_uppercase()), Some(known));
            assert_eq!(known.is_unique(), once);
            assert_eq!(known.name(), name);
            for at in 0..name.len() {
                let mut other = name.to_vec();
                other[at] = b'9';
                assert_eq!(Known::of(&other), None);
                assert_eq!(Known::of(&name[..at]), None);
            }
        }
        for name in ["", "a", "x-y", "accept", "hosts", "content-lengthh", "if-modifled-since"] {
            assert_eq!(Known::of(name.as_bytes()), None, "{name}");
        }
    }
}
