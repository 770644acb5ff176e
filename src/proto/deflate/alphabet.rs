//! The alphabets of a block: literals and lengths, distances (RFC 1951 3.2.5).

/// Literals, the end of the block, lengths.
pub const LITERALS: usize = 286;
pub const DISTANCES: usize = 30;
/// The symbol that ends a block.
pub const END: usize = 256;

/// A range of lengths or distances: the first of them, and how many extra bits
/// tell which one is meant.
#[derive(Clone, Copy)]
pub struct Range {
    pub first: u16,
    pub extra: u8,
}

/// Lengths 3 to 258, for the symbols from 257.
pub const LENGTHS: [Range; 29] = {
    let mut ranges = [Range { first: 0, extra: 0 }; 29];
    let (mut i, mut first) = (0, 3);
    while i < 28 {
        let extra = if i < 8 { 0 } else { i / 4 - 1 };
        ranges[i] = Range { first, extra: extra as u8 };
        first += 1 << extra;
        i += 1;
    }
    // 258 has a symbol of its own, though the one before could say it, too.
    ranges[28] = Range { first: 258, extra: 0 };
    ranges
};

/// Distances 1 to 32,768.
pub const DISTANCE_RANGES: [Range; DISTANCES] = {
    let mut ranges = [Range { first: 0, extra: 0 }; DISTANCES];
    let (mut i, mut first) = (0, 1);
    while i < DISTANCES {
        let extra = if i < 4 { 0 } else { i / 2 - 1 };
        ranges[i] = Range { first, extra: extra as u8 };
        first += 1 << extra;
        i += 1;
    }
    ranges
};

/// The symbol of a distance (from 1 to 32,768). Without a branch, which could not be foreseen.
#[inline(always)]
pub fn distance_symbol(distance: u32) -> u8 {
    let n = distance.wrapping_sub(1);
    let far = u32::from(n >= 256);
    OF_DISTANCE[(n >> (7 * far) | far << 8) as usize % 512]
}

/// Symbols of the distances 1 to 256, then of every 128th.
static OF_DISTANCE: [u8; 512] = {
    let mut symbols = [0; 512];
    let mut n = 0;
    while n < 512 {
        let distance = if n < 256 { n + 1 } else { (n - 256) * 128 + 1 };
        let mut symbol = 0;
        while symbol + 1 < DISTANCES && DISTANCE_RANGES[symbol + 1].first as usize <= distance {
            symbol += 1;
        }
        symbols[n] = symbol as u8;
        n += 1;
    }
    symbols
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_the_symbol_of_their_range() {
        for distance in 1..=32_768u32 {
            let range = DISTANCE_RANGES[usize::from(distance_symbol(distance))];
            let first = u32::from(range.first);
            assert!((first..first + (1 << range.extra)).contains(&distance), "{distance}");
        }
    }

    #[test]
    fn ranges_are_those_of_the_rfc() {
        let of = |i: usize| (LENGTHS[i].first, LENGTHS[i].extra);
        assert_eq!([of(0), of(7), of(8), of(27)], [(3, 0), (10, 0), (11, 1), (227, 5)]);
        let of = |i: usize| (DISTANCE_RANGES[i].first, DISTANCE_RANGES[i].extra);
        assert_eq!([of(3), of(4), of(29)], [(4, 0), (5, 1), (24_577, 13)]);
    }
}
