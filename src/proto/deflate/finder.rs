//! What was seen before: hash tables over the ring, and where in it the search is.
//!
//! A table holds positions of the ring, and what it says is only a hint: every
//! candidate is compared with the bytes themselves. So nothing is ever moved or
//! rebased; a place from before the last 64 KiB looks like another one, and is
//! found not to match.
use super::block::Block;
use super::ring::{AHEAD_MAX, DISTANCE_MAX, Ring, zeroed};
use super::{fast, lazy};

/// Entries of the large tables together: buckets, or heads and links.
pub const ENTRIES: usize = 1 << 16;
/// Entries of the table of three-byte strings.
pub const SHORTS: usize = 1 << 13;
/// The first position. Entries that are 0 are out of reach from the 32 KiB that follow;
/// from then on, position 0 is a place that was written.
const START: u16 = 1 << 15;
/// Bytes that are kept ahead while more may come, so that no match is cut short
/// by the end of what came so far, and answers do not depend on how it came.
const MARGIN: u32 = 1024;

pub struct Finder {
    pub table: Box<[u16; ENTRIES]>,
    pub shorts: Box<[u16; SHORTS]>,
    pub place: Place,
    effort: Effort,
    /// The hash is this many bits.
    pub hash_bits: u32,
}

/// Where in the ring the search is.
#[derive(Clone, Copy)]
pub struct Place {
    /// The next byte to be coded.
    pub at: u16,
    /// Bytes from there on.
    pub ahead: u32,
}

impl Place {
    #[inline(always)]
    pub fn advance(&mut self, len: u32) {
        self.at = self.at.wrapping_add(len as u16);
        self.ahead -= len;
    }
}

/// How hard to search, by level.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Two candidates, the first match is taken.
    Fast,
    /// Chains of candidates; a match waits for a better one at the next byte.
    Lazy(lazy::Effort),
}

impl Effort {
    pub fn of_level(level: u8) -> Effort {
        let (depth, good, lazy, nice) = match level {
            0 | 1 => return Effort::Fast,
            2 => (4, 4, 0, 16),
            3 => (6, 4, 0, 32),
            4 => (8, 4, 6, 16),
            5 => (12, 8, 16, 32),
            6 => (32, 8, 32, 128),
            7 => (64, 8, 32, 128),
            8 => (256, 32, 128, 258),
            _ => (1024, 32, 258, 258),
        };
        Effort::Lazy(lazy::Effort { depth, good, lazy, nice })
    }
}

impl Finder {
    /// What the tables take.
    pub const BYTES: usize = (ENTRIES + SHORTS) * size_of::<u16>();

    pub fn new() -> Finder {
        Finder {
            table: zeroed(),
            shorts: zeroed(),
            place: Place { at: START, ahead: 0 },
            effort: Effort::Fast,
            hash_bits: 15,
        }
    }

    /// Forgets everything. What is small (`size`, if known) gets small tables.
    pub fn reset(&mut self, level: u8, size: Option<u64>) {
        self.place = Place { at: START, ahead: 0 };
        self.effort = Effort::of_level(level);
        let bits =
            size.map_or(15, |size| size.clamp(1024, 1 << 15).next_power_of_two().ilog2() - 1);
        self.hash_bits = bits;
        let entries = 1 << bits;
        match self.effort {
            Effort::Fast => self.table[..2 * entries].fill(0),
            Effort::Lazy(_) => {
                self.table[..entries].fill(0);
                self.shorts.fill(0);
            }
        }
    }

    /// Takes bytes, as many as the ring has room for.
    pub fn take<'a>(&mut self, input: &'a [u8], ring: &mut Ring) -> &'a [u8] {
        let len = input.len().min((AHEAD_MAX - self.place.ahead) as usize);
        ring.put(self.place.at.wrapping_add(self.place.ahead as u16), &input[..len]);
        self.place.ahead += len as u32;
        &input[..len]
    }

    /// Finds symbols until the block is full or all is done; but for a margin, if more comes.
    pub fn search(&mut self, ring: &Ring, block: &mut Block, more: bool) {
        let keep = if more { MARGIN } else { 0 };
        match self.effort {
            Effort::Fast => fast::search(self, ring, block, keep),
            Effort::Lazy(effort) => lazy::search(self, &effort, ring, block, keep),
        }
    }
}

/// A hash of 32 - `shift` bits.
#[inline(always)]
pub fn hash(word: u32, shift: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (shift & 31)) as usize
}

/// Whether a match may be so far back. What is, is never from before the start: see `START`.
#[inline(always)]
pub fn is_in_reach(distance: u32) -> bool {
    distance.wrapping_sub(1) < DISTANCE_MAX
}
