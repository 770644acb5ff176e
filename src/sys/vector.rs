//! Sixteen bytes at once: the vectors that every x86-64 has, and loops elsewhere.

/// Bytes that are looked at together.
pub const LANES: usize = 16;

#[cfg(target_arch = "x86_64")]
pub use sse2::Lanes;

#[cfg(not(target_arch = "x86_64"))]
pub use plain::Lanes;

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use super::LANES;
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8, _mm_sub_epi8,
    };

    /// A byte in each lane; of a comparison 0xff where it holds, else 0.
    #[derive(Clone, Copy)]
    pub struct Lanes(__m128i);

    impl Lanes {
        #[inline(always)]
        pub fn load(bytes: &[u8; LANES]) -> Lanes {
            // SAFETY: the bytes are there to be read; this load asks for no alignment.
            Lanes(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        }

        #[inline(always)]
        pub fn equal(self, byte: u8) -> Lanes {
            // SAFETY: SSE2 is part of x86-64, here and below.
            Lanes(unsafe { _mm_cmpeq_epi8(self.0, _mm_set1_epi8(byte as i8)) })
        }

        /// Which are `first..=last`.
        #[inline(always)]
        pub fn within(self, first: u8, last: u8) -> Lanes {
            // SAFETY: as above.
            Lanes(unsafe {
                let above = _mm_sub_epi8(self.0, _mm_set1_epi8(first as i8));
                let most = _mm_set1_epi8(last.wrapping_sub(first) as i8);
                _mm_cmpeq_epi8(_mm_min_epu8(above, most), above)
            })
        }

        #[inline(always)]
        pub fn or(self, other: Lanes) -> Lanes {
            // SAFETY: as above.
            Lanes(unsafe { _mm_or_si128(self.0, other.0) })
        }

        /// The highest bit of each lane, that of the first in the lowest place.
        #[inline(always)]
        pub fn bits(self) -> u32 {
            // SAFETY: as above.
            unsafe { _mm_movemask_epi8(self.0) as u32 }
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use super::LANES;

    /// A byte in each lane; of a comparison 0xff where it holds, else 0.
    #[derive(Clone, Copy)]
    pub struct Lanes([u8; LANES]);

    impl Lanes {
        pub fn load(bytes: &[u8; LANES]) -> Lanes {
            Lanes(*bytes)
        }

        pub fn equal(self, byte: u8) -> Lanes {
            self.within(byte, byte)
        }

        /// Which are `first..=last`.
        pub fn within(self, first: u8, last: u8) -> Lanes {
            Lanes(self.0.map(|b| if (first..=last).contains(&b) { 0xff } else { 0 }))
        }

        pub fn or(self, other: Lanes) -> Lanes {
            Lanes(std::array::from_fn(|lane| self.0[lane] | other.0[lane]))
        }

        /// The highest bit of each lane, that of the first in the lowest place.
        pub fn bits(self) -> u32 {
            self.0.iter().rev().fold(0, |bits, b| bits << 1 | u32::from(b >> 7))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LANES, Lanes, plain};

    #[test]
    fn lanes_are_what_loops_say() {
        for at in 0..LANES {
            for byte in 0..=255 {
                let mut bytes: [u8; LANES] = std::array::from_fn(|lane| (lane * 17) as u8);
                bytes[at] = byte;
                let (fast, plain) = (Lanes::load(&bytes), plain::Lanes::load(&bytes));
                assert_eq!(fast.bits(), plain.bits());
                for other in [0, 1, 0x1f, 0x20, 0x7f, 0x80, 0xff] {
                    assert_eq!(fast.equal(other).bits(), plain.equal(other).bits());
                    let (low, high) = (other.min(byte), other.max(byte));
                    assert_eq!(fast.within(low, high).bits(), plain.within(low, high).bits());
                    let both = fast.or(fast.equal(other)).bits();
                    assert_eq!(both, plain.or(plain.equal(other)).bits());
                }
            }
        }
    }
}
