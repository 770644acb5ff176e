//! What matches refer to: the output of this step, and the last 32 KiB before it.
use super::super::bits::Out;
use super::super::ring::zeroed;

/// How far back a match may reach.
const WINDOW: usize = 1 << 15;

pub struct Window {
    /// The last of the bytes that earlier steps wrote.
    bytes: Box<[u8; WINDOW]>,
    /// Bytes of the member that earlier steps wrote.
    total: u64,
}

impl Window {
    pub fn new() -> Window {
        Window { bytes: zeroed(), total: 0 }
    }

    pub fn reset(&mut self) {
        self.total = 0;
    }

    /// Bytes of the member so far.
    #[inline(always)]
    pub fn total(&self, out: &Out) -> u64 {
        self.total + out.at as u64
    }

    /// Repeats what stood `distance` bytes before, as far as there is room, and says how much
    /// is left to do.
    #[inline(always)]
    pub fn copy(&self, out: &mut Out, length: usize, distance: usize) -> usize {
        let len = length.min(out.left());
        let mut done = 0;
        if distance > out.at {
            let before = distance - out.at;
            done = len.min(before);
            let from = (self.total as usize).wrapping_sub(before);
            for (i, byte) in out.room[out.at..][..done].iter_mut().enumerate() {
                *byte = self.bytes[from.wrapping_add(i) % WINDOW];
            }
            out.at += done;
        }
        if done < len {
            repeat(out, len - done, distance);
        }
        length - len
    }

    /// Remembers what a step wrote.
    pub fn keep(&mut self, written: &[u8]) {
        let skipped = written.len().saturating_sub(WINDOW);
        self.total += skipped as u64;
        let mut rest = &written[skipped..];
        while !rest.is_empty() {
            let at = self.total as usize % WINDOW;
            let (now, later) = rest.split_at(rest.len().min(WINDOW - at));
            self.bytes[at..at + now.len()].copy_from_slice(now);
            self.total += now.len() as u64;
            rest = later;
        }
    }
}

/// Repeats `len` bytes of the output from `distance` before its end; there is room.
#[inline(always)]
fn repeat(out: &mut Out, len: usize, distance: usize) {
    let room = &mut out.room[out.at - distance..];
    out.at += len;
    // Eight bytes at a time, if what is read was written before, and there is room to spare.
    if distance >= 8 && room.len() >= distance + len + 8 {
        for i in (0..len).step_by(8) {
            let mut word = [0; 8];
            word.copy_from_slice(&room[i..i + 8]);
            room[distance + i..distance + i + 8].copy_from_slice(&word);
        }
    } else {
        for i in 0..len {
            room[distance + i] = room[i];
        }
    }
}
