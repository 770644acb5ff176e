//! Bytes to bits: the lowest bit first (RFC 1951 3.1.1).

/// Bits of the longest symbol: a length and a distance with their extra bits.
const SYMBOL_MAX: u32 = 48;

/// All input is taken, and it is not enough.
pub struct Hungry;

/// Bits that were taken and not used.
#[derive(Clone, Copy, Default)]
pub struct Bits {
    /// The next is lowest.
    pub word: u64,
    /// How many of `word` count; the others are 0.
    pub count: u32,
}

impl Bits {
    /// The next `count` bits (at most 48), when all have come.
    pub fn next(&mut self, input: &mut &[u8], count: u32) -> Result<u64, Hungry> {
        while self.count < count {
            self.pull(input)?;
        }
        let bits = self.word & ((1 << count) - 1);
        self.drop(count);
        Ok(bits)
    }

    /// The next `count` bits, which are there.
    pub fn held(&mut self, count: u32) -> usize {
        let bits = self.word & ((1 << count) - 1);
        self.drop(count);
        bits as usize
    }

    /// One byte more. Elsewhere than in `symbols`, bytes are taken only when they are
    /// needed, so that nothing behind the member's end is.
    #[inline(always)]
    pub fn pull(&mut self, input: &mut &[u8]) -> Result<(), Hungry> {
        let (&byte, rest) = input.split_first().ok_or(Hungry)?;
        *input = rest;
        self.word |= u64::from(byte) << self.count;
        self.count += 8;
        Ok(())
    }

    /// Bits for a whole symbol at least, if eight bytes are left.
    #[inline(always)]
    pub fn refill(&mut self, input: &mut &[u8]) {
        if self.count < SYMBOL_MAX
            && let Some(word) = input.first_chunk()
        {
            let bytes = (63 - self.count) / 8;
            let new = u64::from_le_bytes(*word) & (u64::MAX >> (64 - 8 * bytes));
            self.word |= new << self.count;
            self.count += 8 * bytes;
            *input = &input[bytes as usize % 8..];
        }
    }

    /// Gives whole bytes back that this step took out of `all` and did not need. Older ones
    /// there are none of: they did not suffice for a symbol, or a byte would have been left.
    pub fn give_back<'a>(&mut self, all: &'a [u8], input: &mut &'a [u8]) {
        let taken = all.len() - input.len();
        let bytes = taken.min(self.count as usize / 8);
        *input = &all[taken - bytes..];
        self.count -= 8 * bytes as u32;
        self.word &= (1 << self.count) - 1;
    }

    #[inline(always)]
    pub fn drop(&mut self, count: u32) {
        self.word >>= count;
        self.count -= count;
    }

    /// On to the next whole byte.
    pub fn align(&mut self) {
        self.drop(self.count % 8);
    }
}
