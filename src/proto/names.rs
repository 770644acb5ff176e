//! Sets of header names, found without a loop.
//!
//! A name is found in a table by a hash of its first and last eight bytes
//! without case; at compile time a hash is found that gives each name a place
//! of its own, so one comparison decides.
use crate::text::ascii;

/// A set of lower-case names; `PLACES` is a power of two above their number.
pub struct Names<const PLACES: usize> {
    factor: u64,
    places: [Place; PLACES],
}

#[derive(Clone, Copy)]
struct Place {
    key: Key,
    name: &'static [u8],
    index: u8,
}

const NOBODY: Place = Place { key: Key { first: 0, last: 0, len: 0 }, name: b"", index: 0 };

impl<const PLACES: usize> Names<PLACES> {
    /// With the first factor of a series that gives each name a place of its own.
    pub const fn new(names: &[&'static [u8]]) -> Names<PLACES> {
        assert!(PLACES.is_power_of_two() && names.len() < 256);
        let mut factor = 0x9e37_79b9_7f4a_7c15u64;
        loop {
            if let Some(places) = Self::places(names, factor) {
                return Names { factor, places };
            }
            factor = factor.wrapping_mul(0x5851_f42d_4c95_7f2d);
        }
    }

    const fn places(names: &[&'static [u8]], factor: u64) -> Option<[Place; PLACES]> {
        let mut places = [NOBODY; PLACES];
        let mut i = 0;
        while i < names.len() {
            let key = Key::of(names[i]);
            let place = key.place(factor, PLACES);
            if places[place].key.len != 0 {
                return None;
            }
            places[place] = Place { key, name: names[i], index: i as u8 };
            i += 1;
        }
        Some(places)
    }

    /// Which of the names `name` is; it consists of `ascii::NAME` bytes.
    #[inline(always)]
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let key = Key::of(name);
        let place = self.places.get(key.place(self.factor, PLACES))?;
        if place.key != key {
            return None;
        }
        // Beyond sixteen bytes the key has not seen the middle.
        if name.len() > 16 && !ascii::eq_ignore_case(name, place.name) {
            return None;
        }
        Some(usize::from(place.index))
    }
}

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
    const fn place(self, factor: u64, places: usize) -> usize {
        let word = self.first ^ self.last.rotate_left(29);
        (word.wrapping_mul(factor) >> (u64::BITS - places.trailing_zeros())) as usize
    }
}
