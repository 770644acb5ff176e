//! One block: the symbols found, counted as they come, and the way they are coded.
use super::alphabet::{DISTANCE_RANGES, END, LENGTHS, LITERALS, distance_symbol};
use super::bits::{Bits, Out};
use super::huffman;
use super::ring::zeroed;
use super::trees::Trees;

/// Symbols of a block. More would save headers, fewer would fit their text better.
const SYMBOLS: usize = 10 << 10;
/// What one turn of a search may add beyond `is_full`, and the end of the block.
const RESERVE: usize = 264;
/// Literals, and lengths from 3 one by one: the lowest nine bits of a symbol.
const PLAIN: usize = 512;
/// The plain symbol of length 0, if there were one.
const LENGTH_0: u32 = 256 - 3;
/// Where in a symbol the symbol of its distance is,
const OF_DISTANCE_SHIFT: u32 = 9;
/// and the distance itself; 0 if it has none.
const DISTANCE_SHIFT: u32 = 16;
/// The alphabet of distances, rounded up so that no index is out of range.
const OF_DISTANCE: usize = 32;

pub struct Block {
    symbols: Box<[u32; SYMBOLS]>,
    len: usize,
    /// The first symbol that is not written yet.
    next: usize,
    plain: [u16; PLAIN],
    distances: [u16; OF_DISTANCE],
    codes: Codes,
}

/// The bits of every symbol, in the code chosen for the block.
struct Codes {
    /// Code and extra bits, with their number from [`COUNT_SHIFT`].
    plain: [u32; PLAIN],
    distances: [DistanceCode; OF_DISTANCE],
    end: (u64, u32),
}

const COUNT_SHIFT: u32 = 24;

#[derive(Clone, Copy, Default)]
struct DistanceCode {
    code: u16,
    /// The first distance of the range.
    first: u16,
    /// Bits of the code, and with the extra ones.
    length: u8,
    count: u8,
}

/// Symbols being added to a block.
pub struct Tally<'a> {
    symbols: &'a mut [u32; SYMBOLS],
    pub len: usize,
    plain: &'a mut [u16; PLAIN],
    distances: &'a mut [u16; OF_DISTANCE],
}

impl Tally<'_> {
    /// Whether the block is to be closed before more is searched for.
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
        self.plain[plain as usize % PLAIN] += 1;
        let of_distance = distance_symbol(distance);
        self.distances[usize::from(of_distance) % OF_DISTANCE] += 1;
        self.push(plain | u32::from(of_distance) << OF_DISTANCE_SHIFT | distance << DISTANCE_SHIFT);
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
}

/// How a block's bytes can be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Stored,
    Coded,
}

impl Block {
    /// What the symbols take.
    pub const BYTES: usize = SYMBOLS * size_of::<u32>();

    pub fn new() -> Block {
        Block {
            symbols: zeroed(),
            len: 0,
            next: 0,
            plain: [0; PLAIN],
            distances: [0; OF_DISTANCE],
            codes: Codes {
                plain: [0; PLAIN],
                distances: [DistanceCode::default(); OF_DISTANCE],
                end: (0, 0),
            },
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

    pub fn is_full(&self) -> bool {
        self.len >= SYMBOLS - RESERVE
    }

    /// To add symbols. How many there are then is to be told to [`Block::added`].
    pub fn tally(&mut self) -> Tally<'_> {
        Tally {
            symbols: &mut self.symbols,
            len: self.len,
            plain: &mut self.plain,
            distances: &mut self.distances,
        }
    }

    pub fn added(&mut self, len: usize) {
        self.len = len;
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
        let trees =
            Trees::best(&self.literals(), &std::array::from_fn(|i| self.distances[i].into()));
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
        for (count, &plain) in counts.iter_mut().zip(&self.plain[..END]) {
            *count = u32::from(plain);
        }
        counts[END] = 1;
        let mut lengths = self.plain[END..].iter();
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
    #[inline(never)]
    pub fn write(&mut self, bits: &mut Bits, out: &mut Out) -> bool {
        let symbols = &self.symbols[..self.len];
        bits.spill(out);
        while self.next <= symbols.len() && bits.has_room() {
            self.next += self.codes.write(&symbols[self.next..], bits, out);
            let (code, count) = match symbols.get(self.next) {
                Some(&symbol) => self.codes.of(symbol),
                None => self.codes.end,
            };
            bits.add(code, count);
            bits.spill(out);
            self.next += 1;
        }
        self.next > symbols.len() && bits.is_spilled()
    }
}

impl Codes {
    /// Writes symbols while there is ample room, and says how many.
    #[inline(always)]
    fn write(&self, symbols: &[u32], bits: &mut Bits, out: &mut Out) -> usize {
        let mut ample = bits.ample(out);
        let mut written = 0;
        for &symbol in symbols {
            let (code, count) = self.of(symbol);
            if !ample.add(code, count) {
                break;
            }
            written += 1;
        }
        let (held, left) = ample.end();
        *bits = held;
        out.at = out.room.len() - left;
        written
    }

    /// The bits of a symbol, and how many.
    #[inline(always)]
    fn of(&self, symbol: u32) -> (u64, u32) {
        let plain = self.plain[symbol as usize % PLAIN];
        let (code, count) = (u64::from(plain & 0xff_ffff), plain >> COUNT_SHIFT);
        let distance = symbol >> DISTANCE_SHIFT;
        if distance == 0 {
            return (code, count);
        }
        let of = &self.distances[(symbol >> OF_DISTANCE_SHIFT) as usize % OF_DISTANCE];
        let extra = u64::from(distance - u32::from(of.first)) << of.length;
        (code | (u64::from(of.code) | extra) << count, count + u32::from(of.count))
    }

    fn set(&mut self, trees: &Trees) {
        let mut codes = [0; huffman::SYMBOLS_MAX];
        huffman::codes(trees.literals(), &mut codes);
        let entry = |symbol: usize, extra: u32, extra_bits: u8| {
            let length = trees.literals()[symbol];
            let bits = u32::from(codes[symbol]) | extra << length;
            bits | u32::from(length + extra_bits) << COUNT_SHIFT
        };
        for (symbol, plain) in self.plain[..END].iter_mut().enumerate() {
            *plain = entry(symbol, 0, 0);
        }
        self.end = (u64::from(codes[END]), u32::from(trees.literals()[END]));
        let mut lengths = self.plain[END..].iter_mut();
        for (symbol, range) in (END + 1..).zip(&LENGTHS) {
            for (extra, plain) in (0..1 << range.extra).zip(lengths.by_ref()) {
                *plain = entry(symbol, extra, range.extra);
            }
        }
        self.plain[PLAIN - 1] = entry(LITERALS - 1, 0, 0);
        huffman::codes(trees.distances(), &mut codes);
        for (i, range) in DISTANCE_RANGES.iter().enumerate() {
            let length = trees.distances()[i];
            let count = length + range.extra;
            self.distances[i] = DistanceCode { code: codes[i], first: range.first, length, count };
        }
    }
}
