//! The deflate coding (RFC 1951) in gzip's wrapping (RFC 1952), written and read.
//!
//! A [`Coder`] is all the memory of one answer that is being compressed: it is made
//! when its pool is, about 256 KiB, and used again and again. It takes bytes and
//! gives bytes as they come and as there is room; between the two it holds up to
//! 32 KiB and one block of symbols, never more.
//!
//! `ring` holds the text, `finder` looks for matches in it (`fast` for level 1,
//! `lazy` for the others), `block` collects symbols and writes them in the code
//! that `trees` and `huffman` make for them. `inflate` reads it all.
mod alphabet;
mod bits;
mod block;
pub mod crc32;
mod fast;
mod finder;
mod gzip;
mod huffman;
pub mod inflate;
mod lazy;
mod ring;
#[cfg(test)]
mod tests;
mod trees;

use bits::{Bits, Out};
use block::{Block, Kind};
use crc32::Crc32;
use finder::Finder;
use ring::Ring;

/// What is to be done with what was taken and not yet written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Hold it for better compression: more will come.
    No,
    /// Write all of it, up to a whole byte, so that the reader can go on (as zlib's
    /// Z_SYNC_FLUSH).
    Sync,
    /// Write all of it: nothing comes after.
    Finish,
}

/// What one call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of input that were taken.
    pub taken: usize,
    /// Bytes of output that were written.
    pub written: usize,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All input was taken, and all that `Flush` asked for is written.
    Hungry,
    /// The output is full: call again with more room.
    Full,
    /// The last byte is written.
    Done,
}

/// One answer being compressed.
pub struct Coder {
    ring: Ring,
    finder: Finder,
    block: Block,
    /// Bytes searched since the block began.
    block_bytes: u32,
    bits: Bits,
    front: Front,
    writing: Writing,
    crc: Crc32,
    size: u32,
    stage: Stage,
}

// No more than zlib takes (zconf.h).
const _: () = assert!(Coder::BYTES <= 256 << 10);

/// Small things that are ready to be written: before what `Writing` says.
struct Front {
    bytes: [u8; trees::HEAD_MAX + 8],
    len: usize,
    written: usize,
}

/// The block that is being written.
#[derive(Clone, Copy)]
enum Writing {
    Nothing,
    Symbols,
    Stored { at: u16, left: u32 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is something that no flush has ended.
    Open,
    /// A sync flush has ended all there was.
    Synced,
    /// The last block is written, the trailer follows.
    Closed,
    /// The trailer is written, or in front.
    Ended,
}

impl Coder {
    /// What one coder takes, all in all.
    pub const BYTES: usize =
        size_of::<Coder>() + size_of::<ring::Bytes>() + Finder::BYTES + Block::BYTES;

    /// Allocates; [`Coder::reset`] is to be called before its use.
    pub fn new() -> Coder {
        Coder {
            ring: Ring::new(),
            finder: Finder::new(),
            block: Block::new(),
            block_bytes: 0,
            bits: Bits::default(),
            front: Front { bytes: [0; trees::HEAD_MAX + 8], len: 0, written: 0 },
            writing: Writing::Nothing,
            crc: Crc32::default(),
            size: 0,
            stage: Stage::Ended,
        }
    }

    /// Begins anew, at a level from 1 to 9. A size that is known makes small things cheaper;
    /// one that is too small costs compression, and nothing else.
    pub fn reset(&mut self, level: u8, size: Option<u64>) {
        self.finder.reset(level, size);
        self.block.clear();
        self.block_bytes = 0;
        self.bits = Bits::default();
        self.front.set(&gzip::header(level));
        self.writing = Writing::Nothing;
        self.crc = Crc32::default();
        self.size = 0;
        self.stage = Stage::Open;
    }

    /// Takes `input` and writes to `room`, until one is used up. Room behind what was
    /// written may be written to.
    pub fn step(&mut self, input: &[u8], room: &mut [u8], flush: Flush) -> Step {
        let mut out = Out::new(room);
        let mut taken = 0;
        let state = loop {
            if !self.write(&mut out) {
                break State::Full;
            }
            let rest = &input[taken..];
            if matches!(self.stage, Stage::Closed | Stage::Ended) {
                if self.end() {
                    break State::Done;
                }
                continue;
            }
            taken += self.take(rest);
            let more = taken < input.len() || flush == Flush::No;
            self.search(more);
            if self.block.is_full() {
                self.close_block(false);
            } else if taken == input.len() && !self.flush(flush) {
                break State::Hungry;
            }
        };
        Step { taken, written: out.at, state }
    }

    fn take(&mut self, input: &[u8]) -> usize {
        let taken = self.finder.take(input, &mut self.ring);
        if !taken.is_empty() {
            self.crc.add(taken);
            self.size = self.size.wrapping_add(taken.len() as u32);
            self.stage = Stage::Open;
        }
        taken.len()
    }

    fn search(&mut self, more: bool) {
        let before = self.finder.place.ahead;
        self.finder.search(&self.ring, &mut self.block, more);
        let searched = before - self.finder.place.ahead;
        self.block_bytes = self.block_bytes.saturating_add(searched);
    }

    /// Ends what is searched. `false` if nothing is left to be written for it.
    fn flush(&mut self, flush: Flush) -> bool {
        match (flush, self.stage) {
            (Flush::No, _) | (Flush::Sync, Stage::Synced) => return false,
            (Flush::Sync, _) if !self.block.is_empty() => self.close_block(false),
            (Flush::Sync, _) => {
                self.front.stored(false, 0, &mut self.bits);
                self.stage = Stage::Synced;
            }
            (Flush::Finish, _) => {
                self.close_block(true);
                self.stage = Stage::Closed;
            }
        }
        true
    }

    /// Puts the trailer in front; `true` if that was done before.
    fn end(&mut self) -> bool {
        let ended = self.stage == Stage::Ended;
        if !ended {
            self.front.align(&mut self.bits);
            self.front.add(&gzip::trailer(self.crc, self.size));
            self.stage = Stage::Ended;
        }
        ended
    }

    fn close_block(&mut self, last: bool) {
        let len = self.block_bytes;
        // It can be stored if it is all in the ring still.
        let kept = u32::from(u16::MAX) - self.finder.place.ahead;
        let storable = (len <= kept).then_some(len);
        let at = self.finder.place.at.wrapping_sub(len as u16);
        let mut out = self.front.room();
        let kind = self.block.close(last, storable, &mut self.bits, &mut out);
        self.front.len = out.at;
        self.writing = match kind {
            Kind::Coded => Writing::Symbols,
            Kind::Stored => {
                self.front.stored(last, len as u16, &mut self.bits);
                self.block.clear();
                Writing::Stored { at, left: len }
            }
        };
        self.block_bytes = 0;
    }

    /// Writes what is ready. `false` if there was no room for all of it.
    fn write(&mut self, out: &mut Out) -> bool {
        if !self.front.write(out) {
            return false;
        }
        match self.writing {
            Writing::Nothing => return true,
            Writing::Symbols => {
                if !self.block.write(&mut self.bits, out) {
                    return false;
                }
                self.block.clear();
            }
            Writing::Stored { at, left } => {
                let (first, rest) = self.ring.get(at, left as usize);
                let written = (out.copy(first) + out.copy(rest)) as u32;
                if written < left {
                    let at = at.wrapping_add(written as u16);
                    self.writing = Writing::Stored { at, left: left - written };
                    return false;
                }
            }
        }
        self.writing = Writing::Nothing;
        true
    }
}

impl Front {
    fn set(&mut self, bytes: &[u8]) {
        (self.len, self.written) = (0, 0);
        self.add(bytes);
    }

    fn add(&mut self, bytes: &[u8]) {
        self.len += self.room().copy(bytes);
    }

    /// The room behind what is there.
    fn room(&mut self) -> Out<'_> {
        Out { room: &mut self.bytes, at: self.len }
    }

    /// Zeros up to a whole byte.
    fn align(&mut self, bits: &mut Bits) {
        bits.align();
        let mut out = self.room();
        bits.spill(&mut out);
        self.len = out.at;
    }

    /// The head of a stored block (RFC 1951 3.2.4).
    fn stored(&mut self, last: bool, len: u16, bits: &mut Bits) {
        bits.add(u64::from(last), 3);
        self.align(bits);
        self.add(&len.to_le_bytes());
        self.add(&(!len).to_le_bytes());
    }

    fn write(&mut self, out: &mut Out) -> bool {
        self.written += out.copy(&self.bytes[self.written..self.len]);
        let all = self.written == self.len;
        if all {
            (self.len, self.written) = (0, 0);
        }
        all
    }
}
