//! A bounded writer over a borrowed slice.
//!
//! Writing past the end is not an error at the call: the writer remembers it,
//! takes nothing more, and tells at the end. So a response head is written
//! straight through and checked once.
use crate::text::number;
use std::fmt;

/// Writes bytes into a slice and remembers whether all of them fitted.
pub struct Writer<'a> {
    room: &'a mut [u8],
    len: usize,
    overflowed: bool,
}

/// Something did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl<'a> Writer<'a> {
    pub fn new(room: &'a mut [u8]) -> Writer<'a> {
        Writer { room, len: 0, overflowed: false }
    }

    /// Appends all of `bytes`, or nothing ever again.
    #[inline(always)]
    pub fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.take(bytes.len()) {
            copy(room, bytes);
        }
    }

    #[inline]
    pub fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Appends `count` times `byte`.
    #[inline(always)]
    pub fn fill(&mut self, byte: u8, count: usize) {
        if let Some(room) = self.take(count) {
            room.fill(byte);
        }
    }

    /// The next `count` bytes of the room for the caller to fill.
    #[inline(always)]
    pub fn take(&mut self, count: usize) -> Option<&mut [u8]> {
        let (at, end) = (self.len, self.len + count);
        if end > self.room.len() {
            self.overflow();
            return None;
        }
        self.len = end;
        self.room.get_mut(at..end)
    }

    /// Leaves no room for what would fit.
    #[cold]
    fn overflow(&mut self) {
        self.overflowed = true;
        self.room = std::mem::take(&mut self.room).get_mut(..self.len).unwrap_or_default();
    }

    /// A header line with its end.
    pub fn put_field(&mut self, name: &[u8], value: &[u8]) {
        let Some(room) = self.take(name.len() + value.len() + 4) else { return };
        let (to, room) = room.split_at_mut(name.len());
        copy(to, name);
        let (to, room) = room.split_at_mut(2);
        to.copy_from_slice(b": ");
        let (to, end) = room.split_at_mut(value.len());
        copy(to, value);
        end.copy_from_slice(b"\r\n");
    }

    /// Decimal.
    #[inline(always)]
    pub fn put_u64(&mut self, n: u64) {
        self.put(number::format_u64(n, &mut [0; number::DECIMAL]));
    }

    /// Decimal with a minus sign where needed.
    pub fn put_i64(&mut self, n: i64) {
        if n < 0 {
            self.put_byte(b'-');
        }
        self.put_u64(n.unsigned_abs());
    }

    /// Decimal with zeros in front up to `width` digits (`%0Nui`).
    #[inline]
    pub fn put_padded(&mut self, n: u64, width: usize) {
        let mut room = [0; number::DECIMAL];
        let digits = number::format_u64(n, &mut room);
        self.fill(b'0', width.saturating_sub(digits.len()));
        self.put(digits);
    }

    /// Lower-case hexadecimal (`%xL`).
    pub fn put_hex(&mut self, n: u64) {
        self.put(number::format_hex(n, &mut [0; number::HEX]));
    }

    /// Seconds with three decimals (`%T.%03M`), from milliseconds.
    pub fn put_seconds(&mut self, ms: u64) {
        self.put_u64(ms / 1000);
        self.put_byte(b'.');
        self.put_padded(ms % 1000, 3);
    }

    /// Writes over what has been written at `at`.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(room) = self.room.get_mut(at..at.saturating_add(bytes.len())) {
            copy(room, bytes);
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// How many more bytes fit.
    pub fn left(&self) -> usize {
        self.room.len() - self.len
    }

    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// What has been written, whether or not it was all.
    pub fn written(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// How much was written, if all of it fitted.
    pub fn finish(self) -> Result<usize, Overflow> {
        if self.overflowed { Err(Overflow) } else { Ok(self.len) }
    }
}

/// Copies a piece into room of its length. A head is some twenty short pieces, and
/// for each of them a call of memcpy costs more than the copy: so both ends are
/// copied as words that may overlap.
#[inline(always)]
pub(super) fn copy(room: &mut [u8], bytes: &[u8]) {
    match bytes.len() {
        0 => {}
        1..4 => room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from),
        4..8 => copy_ends::<4>(room, bytes),
        8..16 => copy_ends::<8>(room, bytes),
        16..=32 => copy_ends::<16>(room, bytes),
        33..=64 => copy_ends::<32>(room, bytes),
        _ => room.copy_from_slice(bytes),
    }
}

/// Copies `N` to `2 * N` bytes.
#[inline(always)]
fn copy_ends<const N: usize>(room: &mut [u8], bytes: &[u8]) {
    if let (Some(to), Some(from)) = (room.first_chunk_mut::<N>(), bytes.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (room.last_chunk_mut::<N>(), bytes.last_chunk::<N>()) {
        *to = *from;
    }
}

impl fmt::Write for Writer<'_> {
    /// Fails when full, so that `write!` stops; the overflow is remembered too.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        if self.overflowed { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn writes_and_counts() {
        let mut room = [0; 64];
        let mut w = Writer::new(&mut room);
        w.put(b"a");
        w.put_u64(42);
        w.put_byte(b' ');
        w.put_padded(7, 3);
        w.put_padded(1234, 3);
        w.put_hex(0xbeef);
        w.put_i64(-5);
        w.put_seconds(12_034);
        write!(w, " {}", 9).unwrap();
        w.put_field(b"Name", b"value");
        w.put_field(b"N", b"");
        assert_eq!(w.written(), b"a42 0071234beef-512.034 9Name: value\r\nN: \r\n");
        assert_eq!(w.left(), 64 - w.len());
        assert_eq!(w.finish(), Ok(43));
    }

    #[test]
    fn overflow_is_final() {
        let mut room = [0; 4];
        let mut w = Writer::new(&mut room);
        w.put(b"abc");
        w.put(b"de");
        w.put(b"f");
        assert!(w.overflowed() && write!(w, "g").is_err());
        assert_eq!(w.written(), b"abc");
        assert_eq!(w.finish(), Err(Overflow));
    }
}
