//! The last 32 KiB that were coded and up to 32 KiB that are to be coded.
//!
//! A ring of 64 KiB is indexed by `u16`: positions wrap by themselves, no index
//! can be out of range, and nothing ever slides. What stands at the ring's start
//! is repeated behind its end, so that a match is compared in one run of bytes.

/// A power of two that `u16` fills.
const SIZE: usize = 1 << 16;
/// The longest match and the eight bytes compared at once, rounded up.
const MIRROR: usize = 272;
/// How far back a match may reach. One less than the format's 32,768, so that
/// the chain's link of a position is not yet overwritten while it is followed.
pub const DISTANCE_MAX: u32 = (1 << 15) - 1;
/// How much may wait to be coded, so that it never overwrites what matches reach.
pub const AHEAD_MAX: u32 = 1 << 15;
/// The longest match there is (RFC 1951 3.2.5).
pub const MATCH_MAX: u32 = 258;

pub type Bytes = [u8; SIZE + MIRROR];

pub struct Ring {
    bytes: Box<Bytes>,
}

impl Ring {
    pub fn new() -> Ring {
        Ring { bytes: zeroed() }
    }

    /// Copies `bytes` (at most [`AHEAD_MAX`]) to `at` and behind.
    pub fn put(&mut self, at: u16, bytes: &[u8]) {
        let at = usize::from(at);
        let (first, rest) = bytes.split_at(bytes.len().min(SIZE - at));
        self.bytes[at..at + first.len()].copy_from_slice(first);
        self.bytes[..rest.len()].copy_from_slice(rest);
        if at < MIRROR || !rest.is_empty() {
            self.bytes.copy_within(..MIRROR, SIZE);
        }
    }

    /// The `len` bytes from `at`, in two parts if they go round.
    pub fn get(&self, at: u16, len: usize) -> (&[u8], &[u8]) {
        let at = usize::from(at);
        let first = len.min(SIZE - at);
        let rest = (len - first).min(SIZE);
        (&self.bytes[at..at + first], &self.bytes[..rest])
    }

    #[inline(always)]
    pub fn byte(&self, at: u16) -> u8 {
        self.bytes[usize::from(at)]
    }

    /// The four bytes from `at`, the first in the lowest bits.
    #[inline(always)]
    pub fn word(&self, at: u16) -> u32 {
        let at = usize::from(at);
        let byte = |i| self.bytes[at + i];
        u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
    }

    /// How many bytes from `a` and from `b` are the same, at most `most`.
    #[inline(always)]
    pub fn same(&self, a: u16, b: u16, most: u32) -> u32 {
        let (a, b) = (usize::from(a), usize::from(b));
        let (a, b) = (&self.bytes[a..a + MIRROR], &self.bytes[b..b + MIRROR]);
        for (i, (a, b)) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0).enumerate() {
            let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
            if difference != 0 {
                return (i as u32 * 8 + difference.trailing_zeros() / 8).min(most);
            }
            if i as u32 * 8 + 8 >= most {
                break;
            }
        }
        most
    }
}

/// Memory made once; the stack never holds it.
pub fn zeroed<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    let Ok(array) = vec![T::default(); N].into_boxed_slice().try_into() else {
        unreachable!("a vector of N makes an array of N")
    };
    array
}
