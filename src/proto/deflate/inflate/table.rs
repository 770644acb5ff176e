//! A prefix code to be read.
use super::Bad;

/// Codes up to this length are looked up at once.
const SHORT: u32 = 10;
const LENGTH_MAX: usize = 15;

pub struct Table {
    /// By the next bits: length and symbol, or 0 if the code is longer or there is none.
    short: [u16; 1 << SHORT],
    /// How many codes have each length.
    counts: [u16; LENGTH_MAX + 1],
    /// Symbols in the order of their codes.
    symbols: [u16; 288],
}

const SYMBOL_SHIFT: u32 = 4;

impl Table {
    pub fn new() -> Table {
        Table { short: [0; 1 << SHORT], counts: [0; LENGTH_MAX + 1], symbols: [0; 288] }
    }

    /// Codes of these lengths. Every string of bits has to mean something, unless
    /// the code is not to be `complete` and is a single bit or nothing at all.
    pub fn set(&mut self, lengths: &[u8], complete: bool) -> Result<(), Bad> {
        self.counts.fill(0);
        for &length in lengths {
            self.counts[usize::from(length) & LENGTH_MAX] += 1;
        }
        self.counts[0] = 0;
        let mut free: i32 = 1;
        for &count in &self.counts[1..] {
            free = free * 2 - i32::from(count);
            if free < 0 {
                return Err(Bad);
            }
        }
        let is_tiny = self.counts[2..].iter().all(|&n| n == 0);
        if free > 0 && (complete || !is_tiny) {
            return Err(Bad);
        }
        self.fill(lengths);
        Ok(())
    }

    fn fill(&mut self, lengths: &[u8]) {
        let (mut places, mut codes) = ([0u16; LENGTH_MAX + 1], [0u16; LENGTH_MAX + 1]);
        for n in 1..LENGTH_MAX {
            places[n + 1] = places[n] + self.counts[n];
            codes[n + 1] = (codes[n] + self.counts[n]) << 1;
        }
        self.short.fill(0);
        for (symbol, &length) in (0u16..).zip(lengths) {
            let n = usize::from(length) & LENGTH_MAX;
            if n == 0 {
                continue;
            }
            if let Some(place) = self.symbols.get_mut(usize::from(places[n])) {
                *place = symbol;
            }
            let code = codes[n].reverse_bits() >> (16 - n);
            if n as u32 <= SHORT {
                let same = self.short.iter_mut().skip(code.into()).step_by(1 << n);
                same.for_each(|entry| *entry = symbol << SYMBOL_SHIFT | u16::from(length));
            }
            places[n] += 1;
            codes[n] = codes[n].wrapping_add(1);
        }
    }

    /// The symbol that `bits` begin with and the length of its code, if `count` bits suffice.
    #[inline(always)]
    pub fn symbol(&self, bits: u64, count: u32) -> Result<Option<(usize, u32)>, Bad> {
        let entry = self.short[(bits & ((1 << SHORT) - 1)) as usize];
        let length = u32::from(entry) & LENGTH_MAX as u32;
        if entry == 0 {
            return self.long(bits, count);
        }
        Ok((length <= count).then_some((usize::from(entry >> SYMBOL_SHIFT), length)))
    }

    /// Bit by bit: codes of a length are consecutive numbers, the shortest first.
    fn long(&self, bits: u64, count: u32) -> Result<Option<(usize, u32)>, Bad> {
        let (mut code, mut first, mut place) = (0, 0, 0);
        for length in 1..=LENGTH_MAX {
            if length as u32 > count {
                return Ok(None);
            }
            code |= (bits >> (length - 1) & 1) as usize;
            let of_length = usize::from(self.counts[length]);
            if code < first + of_length {
                let symbol = self.symbols.get(place + code - first).ok_or(Bad)?;
                return Ok(Some((usize::from(*symbol), length as u32)));
            }
            place += of_length;
            first = (first + of_length) << 1;
            code <<= 1;
        }
        Err(Bad)
    }
}
