//! Hashes for tables: fast and repeatable, not secret.
//!
//! For maps whose keys come from the configuration or from the owner of the
//! machine. A table that clients can fill needs bounded chains instead.

/// A 64-bit hash of `bytes`: eight at a time, folded multiplication.
#[inline(always)]
pub fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = SEED ^ bytes.len() as u64;
    for word in words {
        state = mix(state ^ u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(state ^ u64::from_le_bytes(last)))
}

/// The hash of `bytes` with ASCII letters taken as lower case.
pub fn hash_ignore_case(bytes: &[u8]) -> u64 {
    let mut state = SEED ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        word.make_ascii_lowercase();
        state = mix(state ^ u64::from_le_bytes(word));
    }
    mix(state)
}

/// Odd constants of the golden ratio and of pi.
const SEED: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(word: u64) -> u64 {
    let wide = u128::from(word ^ SEED) * u128::from(FACTOR);
    wide as u64 ^ (wide >> 64) as u64
}

/// `std`'s maps over this hash: `HashMap<K, V, Build>`.
#[derive(Clone, Copy, Default)]
pub struct Build;

/// The running state behind [`Build`].
#[derive(Clone, Copy, Default)]
pub struct State(u64);

impl std::hash::BuildHasher for Build {
    type Hasher = State;

    fn build_hasher(&self) -> State {
        State(0)
    }
}

impl std::hash::Hasher for State {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = mix(self.0 ^ hash(bytes));
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = mix(self.0 ^ n);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// MurmurHash2 with seed 0, as `split_clients` has it.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let (words, rest) = bytes.as_chunks::<4>();
    let mut state = words.iter().fold(bytes.len() as u32, |state, word| {
        let word = u32::from_le_bytes(*word).wrapping_mul(M);
        state.wrapping_mul(M) ^ (word ^ word >> 24).wrapping_mul(M)
    });
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        state = (state ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    state = (state ^ state >> 13).wrapping_mul(M);
    state ^ state >> 15
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

static CRC: [u32; 256] = crc_table();

/// CRC-32 as in gzip and in nginx's `ngx_crc32_long`.
pub fn crc32(bytes: &[u8]) -> u32 {
    !crc32_more(!0, bytes)
}

/// Goes on with a CRC that began with `!0` and is inverted at the end.
pub fn crc32_more(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &b| CRC[usize::from(crc as u8 ^ b)] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
        assert_eq!(!crc32_more(crc32_more(!0, b"1234"), b"56789"), 0xcbf4_3926);
    }

    #[test]
    fn murmur_is_the_known_one() {
        // From the reference implementation, seed 0.
        for (text, expected) in [("", 0), ("a", 0x9268_5f5e), ("abcd", 0x2687_3021)] {
            assert_eq!(
                murmur2(text.as_bytes()),
                expected,
                "{text:?} {:x}",
                murmur2(text.as_bytes())
            );
        }
    }

    #[test]
    fn spreads() {
        let buckets = 1 << 12;
        let mut counts = vec![0u32; buckets];
        for i in 0..buckets * 4 {
            counts[hash(format!("server{i}.example.com").as_bytes()) as usize % buckets] += 1;
        }
        assert!(counts.iter().max() < Some(&20));
        assert!(counts.iter().filter(|&&n| n == 0).count() < buckets / 20);
    }

    #[test]
    fn length_and_case_matter_as_told() {
        assert_ne!(hash(b"a"), hash(b"a\0"));
        assert_ne!(hash(b"abcdefgh"), hash(b"abcdefgh\0"));
        assert_ne!(hash(b"Host"), hash(b"host"));
        for (a, b) in [("Host", "hOST"), ("If-Modified-Since", "if-modified-since"), ("", "")] {
            assert_eq!(hash_ignore_case(a.as_bytes()), hash_ignore_case(b.as_bytes()));
        }
    }
}
