//! Levels 2 to 9: chains of places where the same four bytes stood, and a match
//! waits for a longer one at the next byte.
use super::block::Block;
use super::finder::{ENTRIES, Finder, SHORTS, hash, is_in_reach};
use super::ring::{MATCH_MAX, Ring};

/// Positions that have a link.
const LINKS: usize = ENTRIES / 2;
/// Three bytes further away than this cost more than as literals.
const SHORT_DISTANCE_MAX: u32 = 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Candidates that are looked at.
    pub depth: u32,
    /// With a match as long as this, a longer one is looked for at a quarter of the depth,
    pub good: u32,
    /// and with one as long as this, not at all.
    pub lazy: u32,
    /// A match as long as this ends a search.
    pub nice: u32,
}

#[derive(Clone, Copy)]
struct Match {
    length: u32,
    distance: u32,
}

const NONE: Match = Match { length: 2, distance: 0 };

/// See [`Finder::search`].
#[inline(never)]
pub fn search(finder: &mut Finder, effort: &Effort, ring: &Ring, block: &mut Block, keep: u32) {
    let mut place = finder.place;
    let (heads, links) = finder.table.split_at_mut(LINKS);
    let (Ok(heads), Ok(links)) = (heads.try_into(), links.try_into()) else { return };
    let (shorts, shift) = (&mut finder.shorts, 32 - finder.hash_bits);
    let mut chains = Chains { ring, heads, links, shorts, shift, nice: effort.nice };
    let mut tally = block.tally();
    while place.ahead > keep && !tally.is_full() {
        let most = place.ahead.min(MATCH_MAX);
        let mut found = chains.longest(place.at, most, NONE, effort.depth);
        if found.length < 3 {
            tally.literal(ring.byte(place.at));
            place.advance(1);
            continue;
        }
        let mut known = 1;
        while found.length < effort.lazy && found.length < place.ahead {
            let depth = if found.length >= effort.good { effort.depth / 4 } else { effort.depth };
            let most = (place.ahead - 1).min(MATCH_MAX);
            let next = chains.longest(place.at.wrapping_add(1), most, found, depth.max(1));
            known = 2;
            if next.length <= found.length {
                break;
            }
            tally.literal(ring.byte(place.at));
            place.advance(1);
            known = 1;
            found = next;
        }
        tally.copy(found.length, found.distance);
        for i in known..found.length {
            chains.insert(place.at.wrapping_add(i as u16));
        }
        place.advance(found.length);
    }
    let len = tally.len;
    block.added(len);
    finder.place = place;
}

struct Chains<'a> {
    ring: &'a Ring,
    /// The last place of each hash of four bytes.
    heads: &'a mut [u16; LINKS],
    /// How far before each place the one before it was.
    links: &'a mut [u16; LINKS],
    /// The last place of each hash of three bytes.
    shorts: &'a mut [u16; SHORTS],
    shift: u32,
    nice: u32,
}

impl Chains<'_> {
    /// Enters `at`, and says how far back the last places of its first four and three
    /// bytes are.
    #[inline(always)]
    fn enter(&mut self, at: u16, word: u32) -> (u32, u32) {
        let head = &mut self.heads[hash(word, self.shift) % LINKS];
        let distance = at.wrapping_sub(*head);
        *head = at;
        self.links[usize::from(at) % LINKS] = distance;
        let short = &mut self.shorts[hash(word << 8, 32 - SHORTS.ilog2()) % SHORTS];
        let short_distance = at.wrapping_sub(*short);
        *short = at;
        (u32::from(distance), u32::from(short_distance))
    }

    #[inline(always)]
    fn insert(&mut self, at: u16) {
        self.enter(at, self.ring.word(at));
    }

    /// The longest match at `at` if it is longer than `best`, else `best`.
    #[inline(always)]
    fn longest(&mut self, at: u16, most: u32, best: Match, depth: u32) -> Match {
        let ring = self.ring;
        let word = ring.word(at);
        let (mut distance, short) = self.enter(at, word);
        let mut best = best;
        if best.length < 3
            && (ring.word(at.wrapping_sub(short as u16)) ^ word) << 8 == 0
            && short.wrapping_sub(1) < SHORT_DISTANCE_MAX
            && most >= 3
        {
            best = Match { length: 3, distance: short };
        }
        // A longer match has the same four bytes at its start, and up to its end.
        let mut length = best.length.max(3);
        if most <= length {
            return best;
        }
        let mut end = ring.word(at.wrapping_add(length as u16 - 3));
        for _ in 0..depth {
            if !is_in_reach(distance) {
                break;
            }
            let candidate = at.wrapping_sub(distance as u16);
            if ring.word(candidate.wrapping_add(length as u16 - 3)) == end
                && ring.word(candidate) == word
            {
                let same = ring.same(candidate, at, most);
                if same > length {
                    length = same;
                    best = Match { length, distance };
                    if length >= self.nice || length >= most {
                        break;
                    }
                    end = ring.word(at.wrapping_add(length as u16 - 3));
                }
            }
            distance += u32::from(self.links[usize::from(candidate) % LINKS]);
        }
        best
    }
}
