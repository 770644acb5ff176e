//! What came from the client and has not been consumed.
//!
//! One buffer holds a request's head and whatever came behind it. It begins as a
//! small one; a head that does not fit moves, once, into a large one, whose size
//! is what `large_client_header_buffers` allows in all.
//!
//! INVARIANT: `start <= end <= buffer.len()`; `start..end` are bytes from the client.

use crate::mem::buffers::Buf;

pub struct Input {
    buffer: Buf,
    start: usize,
    end: usize,
}

impl Input {
    pub fn new(buffer: Buf) -> Input {
        Input { buffer, start: 0, end: 0 }
    }

    /// Begins with these; as many as fit.
    pub fn with(mut self, bytes: &[u8]) -> Input {
        let len = bytes.len().min(self.buffer.len());
        self.buffer[..len].copy_from_slice(&bytes[..len]);
        (self.start, self.end) = (0, len);
        self
    }

    /// The bytes not consumed yet.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where to read to; empty when the buffer is full. What was consumed makes room.
    #[inline(always)]
    pub fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// `count` bytes were read into [`Input::room`].
    pub fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.buffer.len());
    }

    pub fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
    }

    /// Moves into a larger buffer.
    pub fn grow(&mut self, mut larger: Buf) {
        let len = self.end - self.start;
        larger[..len].copy_from_slice(&self.buffer[self.start..self.end]);
        self.buffer = larger;
        (self.start, self.end) = (0, len);
    }

    pub fn is_full(&self) -> bool {
        self.end - self.start == self.buffer.len()
    }

    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    pub fn capacity(&self) -> usize {
        self.buffer.len()
    }
}
