//! Lines that wait to be written: at most 64 KiB, or one line that is longer.
//!
//! Invariant: every line in it is whole, except that the first may have lost
//! its beginning to a write that took only a part. Memory is taken by the first
//! line, so a log that nothing is written to costs nothing.

/// What a log keeps for a reader that does not read.
const ROOM: usize = 64 * 1024;
/// The same for one of many.
const LITTLE_ROOM: usize = 4 * 1024;

pub struct Lines {
    bytes: Vec<u8>,
    room: usize,
    /// What has been written already, until the next `consume` moves the rest down.
    start: usize,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { bytes: Vec::new(), room: ROOM, start: 0 }
    }
}

impl Lines {
    /// Room for a `buffer=` and a line that does not fit any more.
    pub fn set_room(&mut self, held: usize) {
        self.room = ROOM.saturating_add(held);
    }

    pub fn keep_few(&mut self) {
        self.room = LITTLE_ROOM;
    }

    /// False if there is no room.
    pub fn push(&mut self, line: &[u8]) -> bool {
        let len = self.bytes.len() + line.len() + 1;
        if len > self.bytes.capacity() && !self.grow(len) {
            return false;
        }
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        true
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// What the next write should be: everything, or with a `piece` as many whole
    /// lines as fit in it, or else the rest of one longer line.
    pub fn batch(&self, piece: Option<usize>) -> &[u8] {
        let all = &self.bytes[self.start..];
        let Some(piece) = piece.filter(|piece| all.len() > *piece) else { return all };
        let is_end = |byte: &u8| *byte == b'\n';
        let end = match all[..piece].iter().rposition(is_end) {
            Some(at) => at,
            None => all.iter().position(is_end).unwrap_or(all.len() - 1),
        };
        &all[..=end]
    }

    /// The first `n` bytes are written.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start >= self.bytes.len() {
            self.clear();
        }
    }

    /// Makes what is written free again, after a write that did not take everything.
    pub fn compact(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
    }

    /// Forgets all; how many lines that was.
    pub fn clear(&mut self) -> u64 {
        let lines = self.bytes[self.start.min(self.bytes.len())..].iter();
        let count = lines.filter(|byte| **byte == b'\n').count() as u64;
        self.bytes.clear();
        self.start = 0;
        if self.bytes.capacity() > self.room {
            self.bytes.shrink_to(self.room);
        }
        count
    }

    #[cold]
    fn grow(&mut self, len: usize) -> bool {
        let fits = len <= self.room || self.bytes.is_empty();
        fits && self.bytes.try_reserve_exact(len.max(self.room) - self.bytes.len()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(lines: &mut Lines, piece: Option<usize>) -> Vec<usize> {
        let mut sizes = Vec::new();
        while !lines.is_empty() {
            let batch = lines.batch(piece);
            assert_eq!(batch.last(), Some(&b'\n'));
            sizes.push(batch.len());
            let n = batch.len();
            lines.consume(n);
        }
        sizes
    }

    #[test]
    fn batches_end_with_lines() {
        let mut lines = Lines::default();
        for len in [9, 19, 29, 99, 9] {
            assert!(lines.push(&vec![b'x'; len]));
        }
        assert_eq!(drain(&mut lines, Some(60)), [60, 100, 10]);
        for len in [9, 19] {
            lines.push(&vec![b'x'; len]);
        }
        assert_eq!(drain(&mut lines, None), [30]);
    }

    #[test]
    fn a_long_line_is_finished_first() {
        let mut lines = Lines::default();
        lines.push(&[b'x'; 99]);
        lines.push(b"next");
        assert_eq!(lines.batch(Some(60)).len(), 100);
        lines.consume(70);
        lines.compact();
        assert_eq!(lines.batch(Some(60)), [&[b'x'; 29][..], b"\nnext\n"].concat());
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let mut lines = Lines::default();
        let line = [b'x'; 999];
        let taken = (0..100).filter(|_| lines.push(&line)).count();
        assert_eq!(taken, ROOM / 1000);
        lines.consume(1500);
        lines.compact();
        assert!(lines.push(&line));
        assert_eq!(lines.clear(), 65);
    }

    #[test]
    fn one_line_may_be_longer_than_the_room() {
        let mut lines = Lines::default();
        assert!(lines.push(&vec![b'x'; 2 * ROOM]));
        assert!(!lines.push(b"more"));
        assert_eq!(drain(&mut lines, Some(4096)), [2 * ROOM + 1]);
        assert!(lines.bytes.capacity() <= ROOM);
    }
}
