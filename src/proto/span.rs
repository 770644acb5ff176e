//! A place in a buffer, kept as two offsets.
//!
//! Heads hold spans instead of slices, so that they can live beside the buffer
//! they describe and survive its moving. A span is only as good as the buffer
//! it is used with; used with a wrong one it yields wrong bytes or none, never
//! a panic.

/// Bytes `start..end` of some buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Nothing there. Spans of what is present but empty have a place.
    pub const NONE: Span = Span { start: 0, end: 0 };

    /// Heads are limited far below 4 GiB; beyond it a span would be wrong, so
    /// the limits of the parsers are `u32`.
    #[inline(always)]
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    #[inline(always)]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The bytes, if this span is one at all.
    #[inline(always)]
    pub fn get(self, buffer: &[u8]) -> Option<&[u8]> {
        if self.is_none() { None } else { Some(self.of(buffer)) }
    }

    #[inline(always)]
    pub fn is_none(self) -> bool {
        self.end == 0
    }

    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}
