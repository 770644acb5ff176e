//! MD5 (RFC 1321).

use super::digest::{Digest, Rounds};

pub type Md5 = Digest<State>;

/// The digest of all of `parts`, one behind the other.
pub fn md5(parts: &[&[u8]]) -> [u8; 16] {
    Md5::of(parts)
}

pub struct State([u32; 4]);

/// How far each step rotates: four to a round, in turn.
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// `floor(2^32 * abs(sin(i + 1)))`
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

impl Rounds for State {
    type Output = [u8; 16];
    const START: State = State([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]);

    fn block(&mut self, block: &[u8; 64]) {
        let (bytes, _) = block.as_chunks::<4>();
        let words: [u32; 16] = std::array::from_fn(|at| u32::from_le_bytes(bytes[at]));
        let before = self.0;
        round(&mut self.0, &words, 0, |b, c, d| d ^ (b & (c ^ d)), |step| step);
        round(&mut self.0, &words, 1, |b, c, d| c ^ (d & (b ^ c)), |step| 5 * step + 1);
        round(&mut self.0, &words, 2, |b, c, d| b ^ c ^ d, |step| 3 * step + 5);
        round(&mut self.0, &words, 3, |b, c, d| c ^ (b | !d), |step| 7 * step);
        for (state, before) in self.0.iter_mut().zip(before) {
            *state = state.wrapping_add(before);
        }
    }

    fn length(bits: u64) -> [u8; 8] {
        bits.to_le_bytes()
    }

    fn output(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        let (words, _) = digest.as_chunks_mut::<4>();
        words.iter_mut().zip(self.0).for_each(|(to, word)| *to = word.to_le_bytes());
        digest
    }
}

/// Sixteen steps: how three words of the state are mixed, and which word of the block is
/// taken at each. Inlined, so that both are known when it is compiled.
#[inline(always)]
fn round(
    state: &mut [u32; 4],
    words: &[u32; 16],
    number: usize,
    mix: impl Fn(u32, u32, u32) -> u32,
    place: impl Fn(usize) -> usize,
) {
    let [mut a, mut b, mut c, mut d] = *state;
    let turns = TURNS[number];
    let step = |a: u32, b: u32, c: u32, d: u32, at: usize| {
        // `b` is the newest, so what needs it comes last.
        let early = a.wrapping_add(words[place(at) % 16]).wrapping_add(SINES[16 * number + at]);
        b.wrapping_add(early.wrapping_add(mix(b, c, d)).rotate_left(turns[at % 4]))
    };
    for at in (0..16).step_by(4) {
        a = step(a, b, c, d, at);
        d = step(d, a, b, c, at + 1);
        c = step(c, d, a, b, at + 2);
        b = step(b, c, d, a, at + 3);
    }
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digest: &[u8]) -> String {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 1321 section A.5.
    #[test]
    fn the_suite_of_the_rfc() {
        let digits = "1234567890".repeat(8);
        for (text, want) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (&digits, "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            assert_eq!(hex(&md5(&[text.as_bytes()])), want, "{text}");
        }
    }

    #[test]
    fn parts_are_one_text() {
        let text: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for cut in 0..200 {
            let (a, b) = text.split_at(cut);
            assert_eq!(md5(&[a, b]), md5(&[&text]), "{cut}");
            let (a, b) = text[..cut].split_at(cut / 2);
            assert_eq!(md5(&[a, b"", b]), md5(&[&text[..cut]]), "{cut}");
        }
    }
}
