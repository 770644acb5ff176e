//! One block: the symbols found, counted as they come, and the way they are coded.
use super::alphabet::{DISTANCE_RANGES, DISTANCES, END, LENGTHS, LITERALS, distance_symbol};
use super::bits::{Bits, Out};
use super::huffman;
use super::ring::zeroed;
use super::trees::Trees;

/// Symbols of a block. More would save headers, fewer would fit their text better.
const SYMBOLS: usize = 10 << 10;
/// What one turn of a search may add beyond `is_full`, and the end of the block.
const RESERVE: usize = 264;
/// Literals, the end, and lengths one by one: the lower half of a symbol.
const PLAIN: usize = END + 1 + 256;
/// The plain symbol of length 0, if there were one.
const LENGTH_0: u32 = END as u32 + 1 - 3;
/// Where in a symbol its distance is; 0 if it has none.
const DISTANCE_SHIFT: u32 = 16;

pub struct Block {
    symbols: Box<[u32; SYMBOLS]>,
    len: usize,
    /// The first symbol that is not written yet.
    next: usize,
    plain: [u16; PLAIN],
    distances: [u16; DISTANCES],
    codes: Codes,
}

/// The bits of every symbol, in the code chosen for the block.
struct Codes {
    /// Code and extra bits, with their number from [`COUNT_SHIFT`].
    plain: [u32; PLAIN],
    /// The code, with its length from [`COUNT_SHIFT`].
    distances: [u32; DISTANCES],
}

const COUNT_SHIFT: u32 = 24;

/// How a block's bytes can be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Stored,
    Coded,
}

impl Block {
    pub fn new() -> Block {
        Block {
            symbols: zeroed(),
            len: 0,
            next: 0,
            plain: [0; PLAIN],
            distances: [0; DISTANCES],
            codes: Codes { plain: [0; PLAIN], distances: [0; DISTANCES] },
        }
    }

    pub fn clear(&mut self) {
        (self.len, self.next) = (0, 0);
        self.plain.fill(0);
        self.distances.fill(0);
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is to be closed before more is searched for.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.len >= SYMBOLS - RESERVE
    }

    #[inline(always)]
    pub fn literal(&mut self, byte: u8) {
        self.plain[usize::from(byte)] += 1;
        self.push(u32::from(byte));
    }

    /// `length` bytes (3 to 258) that stood `distance` bytes before.
    #[inline(always)]
    pub fn copy(&mut self, length: u32, distance: u32) {
        let plain = LENGTH_0 + length;
        self.plain[plain as usize] += 1;
        self.distances[distance_symbol(distance)] += 1;
        self.push(plain | distance << DISTANCE_SHIFT);
    }

    #[inline(always)]
    fn push(&mut self, symbol: u32) {
        if let Some(slot) = self.symbols.get_mut(self.len) {
            *slot = symbol;
            self.len += 1;
        } else {
            debug_assert!(false, "a full block was searched on");
        }
    }

    /// Chooses a code and writes the block's head, or says that storing `bytes`
    /// bytes as they are is no longer. No symbol can be added until it is written.
    pub fn close(
        &mut self,
        last: bool,
        bytes: Option<u32>,
        bits: &mut Bits,
        out: &mut Out,
    ) -> Kind {
        self.plain[END] += 1;
        self.push(END as u32);
        let trees = Trees::best(&self.literals(), &self.distances.map(u32::from));
        // Behind three bits come up to seven of padding and the length, twice.
        if bytes.is_some_and(|bytes| u64::from(bytes) * 8 + 42 <= trees.cost()) {
            return Kind::Stored;
        }
        trees.put_head(last, bits, out);
        self.codes.set(&trees);
        Kind::Coded
    }

    /// Counts of the alphabet's symbols: lengths of one symbol together.
    fn literals(&self) -> [u32; LITERALS] {
        let mut counts = [0; LITERALS];
        for (count, &plain) in counts.iter_mut().zip(&self.plain[..=END]) {
            *count = u32::from(plain);
        }
        let mut lengths = self.plain[END + 1..].iter();
        for (count, range) in counts[END + 1..].iter_mut().zip(&LENGTHS) {
            *count = lengths.by_ref().take(1 << range.extra).map(|&n| u32::from(n)).sum();
        }
        // The range before the last would take 258 as its own.
        let longest = u32::from(self.plain[PLAIN - 1]);
        counts[LITERALS - 2] -= longest;
        counts[LITERALS - 1] = longest;
        counts
    }

    /// Writes symbols as long as there is room. `true` when all are written.
    pub fn write(&mut self, bits: &mut Bits, out: &mut Out) -> bool {
        let mut held = *bits;
        held.spill(out);
        while held.has_room() {
            let Some(&symbol) = self.symbols[..self.len].get(self.next) else { break };
            self.next += 1;
            let code = self.codes.plain[(symbol & 0xffff) as usize % 1024 % PLAIN];
            let distance = symbol >> DISTANCE_SHIFT;
            held.add(u64::from(code & 0xff_ffff), code >> COUNT_SHIFT);
            if distance > 0 {
                let symbol = distance_symbol(distance);
                let (code, range) = (self.codes.distances[symbol], DISTANCE_RANGES[symbol]);
                let length = code >> COUNT_SHIFT;
                let extra = distance - u32::from(range.first);
                held.add(
                    u64::from(code & 0xff_ffff) | u64::from(extra) << length,
                    length + u32::from(range.extra),
                );
            }
            held.spill(out);
        }
        *bits = held;
        self.next == self.len && held.is_spilled()
    }
}

impl Codes {
    fn set(&mut self, trees: &Trees) {
        let mut codes = [0; huffman::SYMBOLS_MAX];
        huffman::codes(trees.literals(), &mut codes);
        let entry = |symbol: usize| (codes[symbol], trees.literals()[symbol]);
        for (symbol, plain) in self.plain[..=END].iter_mut().enumerate() {
            let (code, length) = entry(symbol);
            *plain = u32::from(code) | u32::from(length) << COUNT_SHIFT;
        }
        let mut lengths = self.plain[END + 1..].iter_mut();
        for (i, range) in LENGTHS.iter().enumerate() {
            let (code, length) = entry(END + 1 + i);
            let bits = u32::from(length) + u32::from(range.extra);
            for (extra, plain) in (0u32..1 << range.extra).zip(lengths.by_ref()) {
                *plain = u32::from(code) | extra << length | bits << COUNT_SHIFT;
            }
        }
        let (code, length) = entry(LITERALS - 1);
        self.plain[PLAIN - 1] = u32::from(code) | u32::from(length) << COUNT_SHIFT;
        huffman::codes(trees.distances(), &mut codes);
        for (i, distance) in self.distances.iter_mut().enumerate() {
            let length = trees.distances().get(i).copied().unwrap_or_default();
            *distance = u32::from(codes[i]) | u32::from(length) << COUNT_SHIFT;
        }
    }
}
