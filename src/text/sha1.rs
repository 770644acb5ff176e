//! SHA-1 (RFC 3174).

use super::digest::{Digest, Rounds};

pub type Sha1 = Digest<State>;

/// The digest of all of `parts`, one behind the other.
pub fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    Sha1::of(parts)
}

pub struct State([u32; 5]);

impl Rounds for State {
    type Output = [u8; 20];
    const START: State = State([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]);

    fn block(&mut self, block: &[u8; 64]) {
        let mut words = [0_u32; 80];
        let (given, _) = block.as_chunks::<4>();
        words.iter_mut().zip(given).for_each(|(to, word)| *to = u32::from_be_bytes(*word));
        for at in 16..80 {
            let mixed = words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16];
            words[at] = mixed.rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = self.0;
        for (step, word) in words.into_iter().enumerate() {
            let (mixed, constant) = match step / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let sum = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e);
            let sum = sum.wrapping_add(word).wrapping_add(constant);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum);
        }
        for (state, now) in self.0.iter_mut().zip([a, b, c, d, e]) {
            *state = state.wrapping_add(now);
        }
    }

    fn length(bits: u64) -> [u8; 8] {
        bits.to_be_bytes()
    }

    fn output(&self) -> [u8; 20] {
        let mut digest = [0; 20];
        let (words, _) = digest.as_chunks_mut::<4>();
        words.iter_mut().zip(self.0).for_each(|(to, word)| *to = word.to_be_bytes());
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3174 section 7.3, and the empty text.
    #[test]
    fn the_suite_of_the_rfc() {
        let octal = "01234567".repeat(80);
        let alphabet = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        for (text, want) in [
            ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (alphabet, "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
            (&octal, "dea356a2cddd90c7a7ecedc5ebb563934f460452"),
        ] {
            let digest = sha1(&[text.as_bytes()]);
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, want, "{text}");
        }
    }
}
