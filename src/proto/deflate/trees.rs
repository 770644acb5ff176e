//! The codes of a block and the head that tells them (RFC 1951 3.2.6, 3.2.7).
use super::alphabet::{DISTANCE_RANGES, DISTANCES, END, LENGTHS, LITERALS};
use super::bits::{Bits, Out};
use super::huffman::{self, SYMBOLS_MAX};

/// Symbols of the code in which code lengths are told.
const KINDS: usize = 19;
/// Its longest code.
const KIND_LENGTH_MAX: usize = 7;
/// The order in which the lengths of that code are told: likely ones first.
pub const KIND_ORDER: [usize; KINDS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Extra bits of the kinds 16 (the length before, again), 17 and 18 (no code).
const KIND_EXTRA: [u8; KINDS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

/// What both sides know without being told.
pub const FIXED_LITERALS: [u8; SYMBOLS_MAX] = {
    let mut lengths = [8; SYMBOLS_MAX];
    let mut symbol = 144;
    while symbol < 280 {
        lengths[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    lengths
};
pub const FIXED_DISTANCES: [u8; DISTANCES] = [5; DISTANCES];

/// Bytes of the longest head: 14 bits of numbers, 3 for each kind, and each length by itself.
pub const HEAD_MAX: usize = (3 + 14 + 3 * KINDS + (LITERALS + DISTANCES) * KIND_LENGTH_MAX) / 8 + 1;

/// The code lengths of a block.
pub struct Trees {
    literals: [u8; SYMBOLS_MAX],
    distances: [u8; DISTANCES],
    /// None if the lengths are the fixed ones.
    told: Option<Told>,
    cost: u64,
}

/// Code lengths as they are told.
struct Told {
    /// How many of each alphabet are told.
    literals: usize,
    distances: usize,
    /// Each a kind and the value of its extra bits.
    runs: [(u8, u8); LITERALS + DISTANCES],
    len: usize,
    kinds: [u8; KINDS],
    kinds_told: usize,
}

impl Trees {
    /// Those that make a block of these counts shortest.
    pub fn best(literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> Trees {
        let mut trees =
            Trees { literals: [0; SYMBOLS_MAX], distances: [0; DISTANCES], told: None, cost: 0 };
        huffman::lengths(literals, huffman::LENGTH_MAX, &mut trees.literals[..LITERALS]);
        huffman::lengths(distances, huffman::LENGTH_MAX, &mut trees.distances);
        let told = Told::new(&trees.literals, &trees.distances);
        let extra = extra_bits(literals, distances);
        trees.cost = 3
            + extra
            + told.cost()
            + bits(literals, &trees.literals)
            + bits(distances, &trees.distances);
        let fixed = 3 + extra + bits(literals, &FIXED_LITERALS) + bits(distances, &FIXED_DISTANCES);
        if fixed <= trees.cost {
            let (literals, distances) = (FIXED_LITERALS, FIXED_DISTANCES);
            return Trees { literals, distances, told: None, cost: fixed };
        }
        trees.told = Some(told);
        trees
    }

    pub fn literals(&self) -> &[u8] {
        &self.literals
    }

    pub fn distances(&self) -> &[u8] {
        &self.distances
    }

    /// Bits of the whole block.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    pub fn put_head(&self, last: bool, bits: &mut Bits, out: &mut Out) {
        bits.add(u64::from(last), 1);
        match &self.told {
            None => bits.add(1, 2),
            Some(told) => {
                bits.add(2, 2);
                told.put(bits, out);
            }
        }
        bits.spill(out);
    }
}

fn bits(counts: &[u32], lengths: &[u8]) -> u64 {
    counts.iter().zip(lengths).map(|(&n, &length)| u64::from(n) * u64::from(length)).sum()
}

fn extra_bits(literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> u64 {
    let lengths = literals[END + 1..].iter().zip(&LENGTHS);
    let distances = distances.iter().zip(&DISTANCE_RANGES);
    lengths.chain(distances).map(|(&n, range)| u64::from(n) * u64::from(range.extra)).sum()
}

impl Told {
    fn new(literals: &[u8], distances: &[u8]) -> Told {
        let used = |lengths: &[u8], least: usize| {
            lengths.iter().rposition(|&n| n > 0).map_or(0, |last| last + 1).max(least)
        };
        let mut told = Told {
            literals: used(literals, END + 1),
            distances: used(distances, 1),
            runs: [(0, 0); LITERALS + DISTANCES],
            len: 0,
            kinds: [0; KINDS],
            kinds_told: 0,
        };
        let mut all = [0; LITERALS + DISTANCES];
        let len = told.literals + told.distances;
        all[..told.literals].copy_from_slice(&literals[..told.literals]);
        all[told.literals..len].copy_from_slice(&distances[..told.distances]);
        for run in all[..len].chunk_by(|a, b| a == b) {
            told.run(run[0], run.len());
        }
        let mut counts = [0; KINDS];
        for (kind, _) in told.runs() {
            counts[usize::from(*kind)] += 1;
        }
        huffman::lengths(&counts, KIND_LENGTH_MAX, &mut told.kinds);
        let last = KIND_ORDER.iter().rposition(|&kind| told.kinds[kind] > 0);
        told.kinds_told = last.map_or(0, |last| last + 1).max(4);
        told
    }

    /// `len` times the same length, in as few pieces as the kinds allow.
    fn run(&mut self, length: u8, mut len: usize) {
        if length == 0 {
            while len >= 11 {
                let n = len.min(138);
                self.push(18, n - 11);
                len -= n;
            }
            if len >= 3 {
                self.push(17, len - 3);
                len = 0;
            }
        } else if len > 3 {
            self.push(length, 0);
            len -= 1;
            while len >= 3 {
                let n = len.min(6);
                self.push(16, n - 3);
                len -= n;
            }
        }
        for _ in 0..len {
            self.push(length, 0);
        }
    }

    fn push(&mut self, kind: u8, extra: usize) {
        self.runs[self.len] = (kind, extra as u8);
        self.len += 1;
    }

    fn runs(&self) -> &[(u8, u8)] {
        &self.runs[..self.len]
    }

    fn cost(&self) -> u64 {
        let runs = self.runs().iter().map(|(kind, _)| {
            let kind = usize::from(*kind);
            u64::from(self.kinds[kind] + KIND_EXTRA[kind])
        });
        14 + 3 * self.kinds_told as u64 + runs.sum::<u64>()
    }

    fn put(&self, bits: &mut Bits, out: &mut Out) {
        bits.add(self.literals as u64 - 257, 5);
        bits.add(self.distances as u64 - 1, 5);
        bits.add(self.kinds_told as u64 - 4, 4);
        for &kind in &KIND_ORDER[..self.kinds_told] {
            bits.spill(out);
            bits.add(u64::from(self.kinds[kind]), 3);
        }
        let mut codes = [0; KINDS];
        huffman::codes(&self.kinds, &mut codes);
        for (kind, extra) in self.runs() {
            let kind = usize::from(*kind);
            bits.spill(out);
            bits.add(u64::from(codes[kind]), u32::from(self.kinds[kind]));
            bits.add(u64::from(*extra), u32::from(KIND_EXTRA[kind]));
        }
    }
}
