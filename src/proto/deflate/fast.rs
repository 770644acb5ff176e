//! Level 1: the last two places of each four bytes, and the first match is taken.
use super::block::Block;
use super::finder::{ENTRIES, Finder, hash};
use super::ring::{MATCH_MAX, Ring};

/// The shortest match that is looked for.
const MATCH_MIN: u32 = 4;
/// A match of this length is taken without a look at the other candidate.
const NICE: u32 = 32;

pub fn search(finder: &mut Finder, ring: &Ring, block: &mut Block, keep: u32) {
    let mut place = finder.place;
    let mut buckets = Buckets { table: &mut finder.table, bits: finder.hash_bits };
    while place.ahead > keep && !block.is_full() {
        let (length, distance) = buckets.longest(ring, place.at, place.behind, place.ahead);
        if length < MATCH_MIN {
            block.literal(ring.byte(place.at));
            place.advance(1);
            continue;
        }
        block.copy(length, distance);
        for i in 1..length {
            buckets.insert(ring, place.at.wrapping_add(i as u16));
        }
        place.advance(length);
    }
    finder.place = place;
}

struct Buckets<'a> {
    table: &'a mut [u16; ENTRIES],
    bits: u32,
}

impl Buckets<'_> {
    #[inline(always)]
    fn bucket(&mut self, word: u32) -> &mut [u16; 2] {
        &mut self.table.as_chunks_mut().0[hash(word, self.bits) % (ENTRIES / 2)]
    }

    #[inline(always)]
    fn insert(&mut self, ring: &Ring, at: u16) {
        let bucket = self.bucket(ring.word(at));
        *bucket = [at, bucket[0]];
    }

    /// The longest match at `at` (its length and distance), and `at` in its bucket.
    #[inline(always)]
    fn longest(&mut self, ring: &Ring, at: u16, behind: u32, ahead: u32) -> (u32, u32) {
        let word = ring.word(at);
        let bucket = self.bucket(word);
        let candidates = *bucket;
        *bucket = [at, candidates[0]];
        let most = ahead.min(MATCH_MAX);
        let mut best = (0, 0);
        for candidate in candidates {
            let distance = u32::from(at.wrapping_sub(candidate));
            if distance.wrapping_sub(1) < behind && ring.word(candidate) == word {
                let length = ring.same(candidate, at, most);
                if length > best.0 {
                    best = (length, distance);
                }
                if length >= NICE {
                    break;
                }
            }
        }
        best
    }
}
