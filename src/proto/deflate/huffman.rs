//! Prefix codes: lengths from counts, codes from lengths (RFC 1951 3.2.2).

/// The largest alphabet: literals and lengths, with two symbols that never occur.
pub const SYMBOLS_MAX: usize = 288;
/// The longest code of literals, lengths and distances.
pub const LENGTH_MAX: usize = 15;

/// The code lengths (at most `limit`) that make the message of these counts
/// shortest. Symbols that do not occur have none.
///
/// There are always two codes at least: some decoders refuse fewer.
pub fn lengths(counts: &[u32], limit: usize, lengths: &mut [u8]) {
    let mut sorted = [0; SYMBOLS_MAX];
    let leaves = sort(counts, &mut sorted);
    let mut of_length = leaves_of_depth(leaves, limit);
    shorten(&mut of_length, limit);
    lengths.fill(0);
    // The rarest get the longest.
    let each = (1..=limit).rev().flat_map(|n| std::iter::repeat_n(n as u8, of_length[n]));
    for (leaf, length) in leaves.iter().zip(each) {
        lengths[(leaf & SYMBOL) as usize] = length;
    }
}

/// The part of a leaf that names its symbol. Its count is above.
const SYMBOL: u32 = 511;
const COUNT_SHIFT: u32 = 9;

/// The symbols that occur, the rarest first, made up to two.
fn sort<'a>(counts: &[u32], sorted: &'a mut [u32; SYMBOLS_MAX]) -> &'a [u32] {
    let mut len = 0;
    for (symbol, &count) in counts.iter().enumerate() {
        if count > 0 {
            sorted[len] = count << COUNT_SHIFT | symbol as u32;
            len += 1;
        }
    }
    for (symbol, &count) in counts.iter().enumerate().take(2) {
        if len < 2 && count == 0 {
            sorted[len] = 1 << COUNT_SHIFT | symbol as u32;
            len += 1;
        }
    }
    sorted[..len].sort_unstable();
    &sorted[..len]
}

/// Huffman's tree: how many leaves are how deep. Deeper ones than `limit` count as there.
fn leaves_of_depth(leaves: &[u32], limit: usize) -> [usize; LENGTH_MAX + 1] {
    // Inner nodes are made lightest first, so both queues are sorted by themselves.
    let mut weights = [0; SYMBOLS_MAX];
    let mut parents = [0u16; SYMBOLS_MAX];
    let (mut leaf, mut inner) = (0, 0);
    let nodes = leaves.len() - 1;
    for node in 0..nodes {
        for _ in 0..2 {
            let lightest = leaves.get(leaf).map(|leaf| leaf >> COUNT_SHIFT);
            match lightest {
                Some(weight) if inner == node || weight <= weights[inner] => {
                    weights[node] += weight;
                    leaf += 1;
                }
                _ => {
                    weights[node] += weights[inner];
                    parents[inner] = node as u16;
                    inner += 1;
                }
            }
        }
    }
    // The root was made last. From it down, a node's depth follows from its parent's.
    let mut of_depth = [0; LENGTH_MAX + 1];
    let mut depths = [0usize; SYMBOLS_MAX];
    of_depth[1] = 2;
    for node in (0..nodes - 1).rev() {
        let depth = depths[usize::from(parents[node])] + 1;
        depths[node] = depth;
        // What was counted as a leaf is an inner node with two below it.
        of_depth[depth.min(limit)] -= 1;
        of_depth[(depth + 1).min(limit)] += 2;
    }
    of_depth
}

/// Too many leaves at `limit` are made room for: as long as they do not fit, one of them
/// goes up beside one that is less deep.
fn shorten(of_length: &mut [usize; LENGTH_MAX + 1], limit: usize) {
    let used: usize = (1..=limit).map(|n| of_length[n] << (limit - n)).sum();
    for _ in 1 << limit..used {
        let Some(above) = (1..limit).rev().find(|&n| of_length[n] > 0) else { return };
        of_length[limit] -= 1;
        of_length[above] -= 1;
        of_length[above + 1] += 2;
    }
}

/// The codes of these lengths, their first bit lowest.
pub fn codes(lengths: &[u8], codes: &mut [u16]) {
    let mut next = firsts(lengths);
    for (&length, code) in lengths.iter().zip(codes) {
        let next = &mut next[usize::from(length) & LENGTH_MAX];
        *code = next.reverse_bits().checked_shr(16 - u32::from(length)).unwrap_or(0);
        *next += 1;
    }
}

/// The first code of each length.
fn firsts(lengths: &[u8]) -> [u16; LENGTH_MAX + 1] {
    let mut of_length = [0u16; LENGTH_MAX + 1];
    for &length in lengths {
        of_length[usize::from(length) & LENGTH_MAX] += 1;
    }
    of_length[0] = 0;
    let (mut firsts, mut code) = ([0; LENGTH_MAX + 1], 0);
    for n in 1..=LENGTH_MAX {
        code = (code + of_length[n - 1]) << 1;
        firsts[n] = code;
    }
    firsts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In units of the longest code: 1 << limit if no code is wasted.
    fn used(lengths: &[u8], limit: usize) -> usize {
        lengths.iter().filter(|&&n| n > 0).map(|&n| 1 << (limit - usize::from(n))).sum()
    }

    #[test]
    fn no_code_is_wasted_and_none_too_long() {
        let mut fibonacci = [1u32; 30];
        for i in 2..30 {
            fibonacci[i] = fibonacci[i - 1] + fibonacci[i - 2];
        }
        for (counts, limit) in [
            (&fibonacci[..], 15),
            (&fibonacci[..19], 7),
            (&[5, 0, 0][..], 15),
            (&[0, 0, 7][..], 15),
            (&[0; 19][..], 7),
            (&[1; 286][..], 15),
        ] {
            let mut of = [0; SYMBOLS_MAX];
            let of = &mut of[..counts.len()];
            lengths(counts, limit, of);
            assert_eq!(used(of, limit), 1 << limit, "{counts:?}");
        }
    }

    #[test]
    fn the_shortest_message() {
        let mut of = [0; 5];
        lengths(&[15, 7, 6, 6, 5], 15, &mut of);
        assert_eq!(of, [1, 3, 3, 3, 3]);
    }

    #[test]
    fn the_rfc_s_example() {
        let mut of = [0; 8];
        codes(&[3, 3, 3, 3, 3, 2, 4, 4], &mut of);
        let reversed = [0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111];
        assert_eq!(of, reversed);
    }
}
