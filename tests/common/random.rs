//! Mutations of bytes, the same on every run.

/// xorshift: the same mutations on every run.
pub struct Random(pub u32);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % bound
    }

    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let odd = b"\r\n\0 \t:;,=%/?#\"\\\x7f\xff0-9";
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes[at] = odd[self.below(odd.len())],
            1 => bytes.insert(at, odd[self.below(odd.len())]),
            2 => drop(bytes.remove(at)),
            3 => bytes[at] = self.below(256) as u8,
            4 => bytes.truncate(at.max(1)),
            _ => {
                let from = self.below(bytes.len());
                let piece = bytes[from..bytes.len().min(from + 20)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}
