//! CRC-32 (RFC 1952 8), sixteen bytes at a time.

/// Of bytes so far; starts as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc32(u32);

impl Crc32 {
    pub fn value(self) -> u32 {
        self.0
    }

    #[inline(never)]
    pub fn add(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<16>();
        let mut crc = !self.0;
        for block in blocks {
            // The sum so far comes last: all else can be looked up while it is waited for.
            let (now, later) = block.split_at(4);
            let mut next = 0;
            for (&byte, table) in later.iter().zip(TABLES[..12].iter().rev()) {
                next ^= table[usize::from(byte)];
            }
            for ((&byte, of_crc), table) in
                now.iter().zip(crc.to_le_bytes()).zip(TABLES[12..].iter().rev())
            {
                next ^= table[usize::from(byte ^ of_crc)];
            }
            crc = next;
        }
        for &byte in rest {
            crc = crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)];
        }
        self.0 = !crc;
    }
}

/// The reversed polynomial.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// `TABLES[n][byte]`: what a byte does to the sum when `n` bytes follow it.
static TABLES: [[u32; 256]; 16] = {
    let mut tables = [[0; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < 16 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[n - 1][byte];
            tables[n][byte] = crc >> 8 ^ tables[0][(crc & 255) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u32 {
        let mut crc = Crc32::default();
        crc.add(bytes);
        crc.value()
    }

    #[test]
    fn known_sums() {
        assert_eq!(of(b""), 0);
        assert_eq!(of(b"123456789"), 0xcbf4_3926);
        assert_eq!(of(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
        assert_eq!(of(&[0; 32]), 0x190a_55ad);
    }

    #[test]
    fn in_parts_as_at_once() {
        let bytes: Vec<u8> = (0..100).map(|n: u8| n.wrapping_mul(37)).collect();
        for cut in 0..bytes.len() {
            let mut crc = Crc32::default();
            crc.add(&bytes[..cut]);
            crc.add(&bytes[cut..]);
            assert_eq!(crc.value(), of(&bytes), "{cut}");
        }
    }
}
