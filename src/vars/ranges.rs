//! Addresses to values: what a `geo` block says, as sorted ranges without gaps.

use std::collections::BTreeMap;

/// Which of the block's values; 0 is the default.
pub type Which = u32;

/// Ranges that follow each other: each begins where the one before it ends, the first one
/// at 0. A look-up is a binary search.
pub struct Ranges<K> {
    starts: Box<[K]>,
    values: Box<[Which]>,
}

impl<K: Ord> Ranges<K> {
    pub fn find(&self, address: K) -> Which {
        let behind = self.starts.partition_point(|start| *start <= address);
        behind.checked_sub(1).and_then(|at| self.values.get(at)).copied().unwrap_or(0)
    }
}

/// Ranges that are being put together, from low to high.
#[derive(Default)]
struct Growing {
    parts: Vec<(u128, Which)>,
}

impl Growing {
    /// From `start` on it is `value`.
    fn push(&mut self, start: u128, value: Which) {
        match self.parts.last_mut() {
            Some((last, old)) if *last == start => *old = value,
            Some((_, old)) if *old == value => {}
            _ => self.parts.push((start, value)),
        }
    }

    fn finish<K>(self, key: impl Fn(u128) -> K) -> Ranges<K> {
        let starts = self.parts.iter().map(|(start, _)| key(*start)).collect();
        Ranges { starts, values: self.parts.iter().map(|(_, value)| *value).collect() }
    }
}

/// Networks by their first address and how many of its bits count.
#[derive(Default)]
pub struct Networks {
    by_start: BTreeMap<(u128, u8), Which>,
}

impl Networks {
    /// Puts one in; gives back the value that it had.
    pub fn insert(&mut self, start: u128, bits: u8, value: Which) -> Option<Which> {
        self.by_start.insert((start, bits), value)
    }

    pub fn remove(&mut self, start: u128, bits: u8) -> bool {
        self.by_start.remove(&(start, bits)).is_some()
    }

    /// For addresses of `width` bits. Of networks inside each other the narrowest counts:
    /// in this order a wider one comes before those inside it.
    pub fn finish<K>(self, width: u8, key: impl Fn(u128) -> K) -> Ranges<K> {
        let last_of = |start: u128, bits: u8| {
            start | 1_u128.checked_shl((width - bits).into()).unwrap_or(0).wrapping_sub(1)
        };
        let mut out = Growing::default();
        out.push(0, 0);
        // Those that the address at hand is in.
        let mut open: Vec<(u128, Which)> = Vec::new();
        let close = |open: &mut Vec<(u128, Which)>, out: &mut Growing, last: u128| {
            open.pop();
            out.push(last + 1, open.last().map_or(0, |(_, value)| *value));
        };
        for ((start, bits), value) in self.by_start {
            while let Some((last, _)) = open.last().copied().filter(|(last, _)| *last < start) {
                close(&mut open, &mut out, last);
            }
            out.push(start, value);
            open.push((last_of(start, bits), value));
        }
        let top = last_of(0, 0);
        while let Some((last, _)) = open.last().copied().filter(|(last, _)| *last < top) {
            close(&mut open, &mut out, last);
        }
        out.finish(key)
    }
}

/// `ranges`: addresses of IPv4 from start to end. nginx keeps them by the upper halves of
/// the addresses, and what is equal, inside or overlapping it says of each half by itself.
#[derive(Default)]
pub struct Spans {
    by_start: BTreeMap<u32, (u32, Which)>,
}

/// What became of a range.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    New,
    /// It was there, with this value.
    Again(Which),
    /// It overlaps this one and is not inside it.
    Overlaps(u32, u32),
}

impl Spans {
    /// Puts one in, or into one that is wider.
    pub fn insert(&mut self, start: u32, end: u32, value: Which) -> Added {
        let mut added = Added::New;
        for (start, end) in halves(start, end) {
            let outer = self.by_start.range(..=end).next_back();
            let outer = outer.map(|(first, (last, value))| (*first, *last, *value));
            if let Some((first, last, old)) = outer.filter(|(_, last, _)| *last >= start) {
                if start < first || last < end {
                    return Added::Overlaps(first, last);
                }
                if (start, end) == (first, last) {
                    added = Added::Again(old);
                }
                self.by_start.remove(&first);
                if first < start {
                    self.by_start.insert(first, (start - 1, old));
                }
                if end < last {
                    self.by_start.insert(end + 1, (last, old));
                }
            }
            self.by_start.insert(start, (end, value));
        }
        added
    }

    /// Takes one out; false if it was not there as it is.
    pub fn remove(&mut self, start: u32, end: u32) -> bool {
        halves(start, end).fold(true, |all, (start, end)| {
            let is_there = self.by_start.get(&start).is_some_and(|(last, _)| *last == end);
            if is_there {
                self.by_start.remove(&start);
            }
            all & is_there
        })
    }

    pub fn finish(self) -> Ranges<u32> {
        let mut out = Growing::default();
        out.push(0, 0);
        for (start, (end, value)) in self.by_start {
            out.push(start.into(), value);
            if end < u32::MAX {
                out.push(u128::from(end) + 1, 0);
            }
        }
        out.finish(|start| start as u32)
    }
}

/// The parts of a range that have the same upper half.
fn halves(start: u32, end: u32) -> impl Iterator<Item = (u32, u32)> {
    (start >> 16..=end >> 16).map(move |upper| {
        let first = upper << 16;
        (first.max(start), (first | 0xffff).min(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_network_counts() {
        let all = [(0x00, 8), (0x10, 4), (0x20, 3), (0x28, 5), (0x28, 8), (0x2f, 8), (0xf0, 4)];
        let mut networks = Networks::default();
        for (number, (start, bits)) in all.into_iter().enumerate() {
            assert_eq!(networks.insert(start, bits, number as u32 + 1), None);
        }
        networks.insert(0x40, 2, 9);
        assert!(networks.remove(0x40, 2) && !networks.remove(0x40, 2));
        assert_eq!(networks.insert(0xf0, 4, 8), Some(7));
        let ranges = networks.finish(8, |start| start as u8);
        for address in 0..=255_u8 {
            let inside =
                |(start, bits): &(u128, u8)| address >> (8 - bits) == (*start as u8) >> (8 - bits);
            let inside = all.iter().enumerate().filter(|(_, network)| inside(network));
            let expected = inside.max_by_key(|(_, network)| network.1).map_or(0, |(at, _)| at + 1);
            let expected = if expected == 7 { 8 } else { expected };
            assert_eq!(ranges.find(address), expected as u32, "{address:#x}");
        }
    }

    #[test]
    fn the_widest_networks_are_whole() {
        for (width, bits) in [(128, 0), (128, 128), (32, 0), (32, 32)] {
            let mut networks = Networks::default();
            networks.insert(0, bits, 1);
            let ranges = networks.finish(width, |start| start);
            assert_eq!(ranges.find(0), 1);
            assert_eq!(ranges.find(1), u32::from(bits == 0));
            let top = u128::MAX >> (128 - u32::from(width));
            assert_eq!(ranges.find(top), u32::from(bits == 0));
        }
    }

    #[test]
    fn ranges_are_put_into_wider_ones() {
        let mut spans = Spans::default();
        assert_eq!(spans.insert(10, 20, 1), Added::New);
        assert_eq!(spans.insert(12, 14, 2), Added::New);
        assert_eq!(spans.insert(12, 14, 3), Added::Again(2));
        assert_eq!(spans.insert(20, 21, 4), Added::Overlaps(15, 20));
        assert_eq!(spans.insert(5, 12, 4), Added::Overlaps(12, 14));
        assert_eq!(spans.insert(0x0001_fff0, 0x0003_0000, 5), Added::New);
        assert!(!spans.remove(0x0001_fff0, 0x0002_0000));
        assert!(spans.remove(0x0003_0000, 0x0003_0000));
        assert_eq!(spans.insert(u32::MAX, u32::MAX, 6), Added::New);
        let ranges = spans.finish();
        for (address, value) in [
            (9, 0),
            (10, 1),
            (11, 1),
            (12, 3),
            (14, 3),
            (15, 1),
            (20, 1),
            (21, 0),
            (0x0001_ffef, 0),
            (0x0001_fff0, 0),
            (0x0002_0000, 5),
            (0x0003_0000, 0),
            (u32::MAX - 1, 0),
            (u32::MAX, 6),
        ] {
            assert_eq!(ranges.find(address), value, "{address:#x}");
        }
    }
}
