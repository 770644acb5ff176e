//! Bits to bytes: the lowest bit first (RFC 1951 3.1.1).

/// Where coded bytes go, and how far.
pub struct Out<'a> {
    pub room: &'a mut [u8],
    pub at: usize,
}

impl<'a> Out<'a> {
    pub fn new(room: &'a mut [u8]) -> Out<'a> {
        Out { room, at: 0 }
    }

    pub fn left(&self) -> usize {
        self.room.len() - self.at
    }

    /// Copies what there is room for and says how much that was.
    #[inline(always)]
    pub fn copy(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.left());
        self.room[self.at..self.at + len].copy_from_slice(&bytes[..len]);
        self.at += len;
        len
    }
}

/// Bits that do not fill a byte yet, or found no room.
#[derive(Clone, Copy, Default)]
pub struct Bits {
    word: u64,
    /// How many of `word` count; the others are 0.
    count: u32,
}

/// What [`Bits::add`] may add at most, after [`Bits::spill`].
pub const ADD_MAX: u32 = 48;

impl Bits {
    #[inline(always)]
    pub fn add(&mut self, bits: u64, count: u32) {
        debug_assert!(self.count + count <= 63 && bits >> count == 0);
        self.word |= bits << self.count;
        self.count += count;
    }

    /// Zeros up to the next whole byte.
    pub fn align(&mut self) {
        self.count = self.count.next_multiple_of(8);
    }

    /// Whether no whole byte waits for room.
    pub fn is_spilled(&self) -> bool {
        self.count < 8
    }

    /// Whether [`ADD_MAX`] bits more can be held.
    pub fn has_room(&self) -> bool {
        self.count + ADD_MAX <= 63
    }

    /// Writes whole bytes: all of them if there is room for eight.
    #[inline(always)]
    pub fn spill(&mut self, out: &mut Out) {
        match out.room.get_mut(out.at..).and_then(|room| room.first_chunk_mut()) {
            Some(chunk) => {
                *chunk = self.word.to_le_bytes();
                out.at += (self.count / 8) as usize;
                self.word >>= self.count & 56;
                self.count &= 7;
            }
            None => self.spill_slowly(out),
        }
    }

    /// To add many while there is room for eight bytes.
    #[inline(always)]
    pub fn ample<'a>(&self, out: &'a mut Out) -> Ample<'a> {
        let room = &mut out.room[out.at..];
        Ample { held: *self, room }
    }

    #[cold]
    fn spill_slowly(&mut self, out: &mut Out) {
        while self.count >= 8 {
            let Some(byte) = out.room.get_mut(out.at) else { return };
            *byte = self.word as u8;
            out.at += 1;
            self.word >>= 8;
            self.count -= 8;
        }
    }
}

/// Bits and room in the hands of an inner loop.
pub struct Ample<'a> {
    held: Bits,
    room: &'a mut [u8],
}

impl Ample<'_> {
    /// As [`Bits::add`] and [`Bits::spill`]. `false`, and nothing is done, when room is short.
    #[inline(always)]
    pub fn add(&mut self, bits: u64, count: u32) -> bool {
        let room = std::mem::take(&mut self.room);
        let Some(chunk) = room.first_chunk_mut() else {
            self.room = room;
            return false;
        };
        self.held.add(bits, count);
        *chunk = self.held.word.to_le_bytes();
        // Below eight, which the compiler cannot know.
        let bytes = (self.held.count / 8 % 8) as usize;
        self.room = &mut room[bytes..];
        self.held.word >>= self.held.count & 56;
        self.held.count &= 7;
        true
    }

    /// What is held, and how much room is left.
    #[inline(always)]
    pub fn end(self) -> (Bits, usize) {
        (self.held, self.room.len())
    }
}
