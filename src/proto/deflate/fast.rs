//! Level 1: the last two places of each four bytes, and the first match is taken.
use super::block::Block;
use super::finder::{ENTRIES, Finder, Place, hash, is_in_reach};
use super::ring::{MATCH_MAX, Ring};

/// The shortest match that is looked for.
const MATCH_MIN: u32 = 4;
/// A match of this length is taken without a look at the other candidate.
const NICE: u32 = 32;

/// See [`Finder::search`].
#[inline(never)]
pub fn search(finder: &mut Finder, ring: &Ring, block: &mut Block, keep: u32) {
    let Place { mut at, mut ahead } = finder.place;
    let mut buckets = Buckets { table: &mut finder.table, shift: 32 - finder.hash_bits };
    let mut tally = block.tally();
    while ahead > keep && !tally.is_full() {
        let word = ring.word(at);
        let (last, before) = buckets.enter(at, word);
        let mut found = (0, 0);
        if ring.word(last) == word {
            found = longer(ring, at, last, ahead, found);
        }
        if ring.word(before) == word && found.0 < NICE {
            found = longer(ring, at, before, ahead, found);
        }
        let (length, distance) = found;
        if length < MATCH_MIN {
            tally.literal(ring.byte(at));
            at = at.wrapping_add(1);
            ahead -= 1;
            continue;
        }
        tally.copy(length, distance);
        // To enter all of its places would cost more than it finds, and a loop of a length
        // that cannot be foreseen costs most.
        let mut enter = |i: u32| {
            let place = at.wrapping_add(i as u16);
            buckets.enter(place, ring.word(place));
        };
        enter(1);
        enter(length - 2);
        enter(length - 1);
        at = at.wrapping_add(length as u16);
        ahead -= length;
    }
    let len = tally.len;
    block.added(len);
    finder.place = Place { at, ahead };
}

/// The match with `candidate` if it is longer than `found` (a length and a distance).
#[inline(always)]
fn longer(ring: &Ring, at: u16, candidate: u16, ahead: u32, found: (u32, u32)) -> (u32, u32) {
    let distance = u32::from(at.wrapping_sub(candidate));
    if !is_in_reach(distance) {
        return found;
    }
    let length = ring.same(candidate, at, ahead.min(MATCH_MAX));
    if length > found.0 { (length, distance) } else { found }
}

struct Buckets<'a> {
    table: &'a mut [u16; ENTRIES],
    shift: u32,
}

impl Buckets<'_> {
    /// Puts `at` in the bucket of its `word`, and says what was there.
    #[inline(always)]
    fn enter(&mut self, at: u16, word: u32) -> (u16, u16) {
        let bucket = &mut self.table.as_chunks_mut::<2>().0[hash(word, self.shift) % (ENTRIES / 2)];
        let [last, before] = *bucket;
        // Put together so that it is one store.
        let new = u32::from(at) | u32::from(last) << 16;
        *bucket = [new as u16, (new >> 16) as u16];
        (last, before)
    }
}
