//! CRC-32 (RFC 1952 8), sixteen bytes at a time.

use std::sync::LazyLock;

/// Of bytes so far; starts as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc32(u32);

impl Crc32 {
    pub fn value(self) -> u32 {
        self.0
    }

    #[inline(never)]
    pub fn add(&mut self, bytes: &[u8]) {
        let (words, _) = bytes.as_chunks::<4>();
        let (blocks, rest) = (words.as_chunks::<4>().0, bytes.as_chunks::<16>().1);
        let tables: &Tables = &TABLES;
        let four = |bytes, behind| four(tables, bytes, behind);
        let mut crc = !self.0;
        for &[now, a, b, c] in blocks {
            // The sum so far comes last: all else can be looked up while it is waited for.
            let later = four(a, 8) ^ four(b, 4) ^ four(c, 0);
            let now = u32::from_le_bytes(now) ^ crc;
            crc = later ^ four(now.to_le_bytes(), 12);
        }
        for &byte in rest {
            crc = crc >> 8 ^ tables[0][usize::from(crc as u8 ^ byte)];
        }
        self.0 = !crc;
    }
}

/// What four bytes do to the sum when `behind` bytes follow them.
#[inline(always)]
fn four(tables: &Tables, [a, b, c, d]: [u8; 4], behind: usize) -> u32 {
    let told = |byte: u8, behind: usize| tables[behind][usize::from(byte)];
    told(a, behind + 3) ^ told(b, behind + 2) ^ told(c, behind + 1) ^ told(d, behind)
}

/// The reversed polynomial.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// `TABLES[n][byte]`: what a byte does to the sum when `n` bytes follow it. Made when first
/// asked for: in the binary they would take 16 KiB.
type Tables = [[u32; 256]; 16];

static TABLES: LazyLock<Box<Tables>> = LazyLock::new(|| {
    let mut tables: Box<Tables> = Box::new([[0; 256]; 16]);
    for byte in 0..256 {
        let mut crc = byte as u32;
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
        }
        tables[0][byte] = crc;
    }
    for n in 1..16 {
        for byte in 0..256 {
            let crc = tables[n - 1][byte];
            tables[n][byte] = crc >> 8 ^ tables[0][(crc & 255) as usize];
        }
    }
    tables
});

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
