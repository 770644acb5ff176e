//! What MD5 and SHA-1 have in common: blocks of 64 bytes, the last one padded
//! and closed by the length in bits (RFC 1321 section 3, RFC 3174 section 4).
//!
//! Both are broken as signatures. They are here because files of passwords,
//! signed links and the names of cached files are made with them.

use super::writer::copy;

/// How one block changes the state.
pub trait Rounds {
    /// The digest's bytes.
    type Output;
    const START: Self;

    fn block(&mut self, block: &[u8; 64]);
    /// The length as the last eight bytes tell it.
    fn length(bits: u64) -> [u8; 8];
    fn output(&self) -> Self::Output;
}

/// A digest in the making.
pub struct Digest<R> {
    rounds: R,
    /// What is not yet a whole block: the first `len % 64` bytes.
    rest: [u8; 64],
    len: u64,
}

impl<R: Rounds> Digest<R> {
    pub fn new() -> Digest<R> {
        Digest { rounds: R::START, rest: [0; 64], len: 0 }
    }

    /// The digest of all of `parts`, one behind the other.
    pub fn of(parts: &[&[u8]]) -> R::Output {
        let mut digest = Digest::<R>::new();
        parts.iter().for_each(|part| digest.add(part));
        digest.finish()
    }

    pub fn add(&mut self, mut bytes: &[u8]) {
        let filled = (self.len % 64) as usize;
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if filled > 0 {
            let (head, tail) = bytes.split_at(bytes.len().min(64 - filled));
            copy(&mut self.rest[filled..filled + head.len()], head);
            if filled + head.len() < 64 {
                return;
            }
            self.rounds.block(&self.rest);
            bytes = tail;
        }
        let (blocks, rest) = bytes.as_chunks::<64>();
        blocks.iter().for_each(|block| self.rounds.block(block));
        copy(&mut self.rest[..rest.len()], rest);
    }

    pub fn finish(mut self) -> R::Output {
        let length = R::length(self.len.wrapping_mul(8));
        let filled = (self.len % 64) as usize;
        // One bit, then zeros until eight bytes are left in a block.
        let mut last = [0; 64];
        copy(&mut last[..filled], &self.rest[..filled]);
        last[filled] = 0x80;
        if filled >= 56 {
            self.rounds.block(&last);
            last = [0; 64];
        }
        last[56..].copy_from_slice(&length);
        self.rounds.block(&last);
        self.rounds.output()
    }
}
