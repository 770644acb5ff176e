//! Which of a number of places are free: the one given back last comes first.
//!
//! The links of the list stand in the places themselves, so a place that was never
//! used is never touched. Links are an index plus one; 0 ends the list.
//!
//! INVARIANT: an index is free or taken, never both; what `give_back` returns is
//! what `take` is told when the same index is free again.

use std::cell::Cell;

pub struct FreeList {
    len: u32,
    first: Cell<u32>,
    /// Places from here on have never been taken.
    fresh: Cell<u32>,
}

impl FreeList {
    pub fn new(len: usize) -> FreeList {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        FreeList { len, first: Cell::new(0), fresh: Cell::new(0) }
    }

    /// A free place, or `None` when all are taken. `link` reads the link of a place.
    #[inline(always)]
    pub fn take(&self, link: impl FnOnce(u32) -> u32) -> Option<u32> {
        match self.first.get() {
            0 if self.fresh.get() == self.len => None,
            0 => Some(self.fresh.replace(self.fresh.get() + 1)),
            first => {
                self.first.set(link(first - 1));
                Some(first - 1)
            }
        }
    }

    /// Frees a place; the caller keeps the result as its link.
    #[inline]
    #[must_use]
    pub fn give_back(&self, index: u32) -> u32 {
        self.first.replace(index + 1)
    }

    /// Places below this index have been taken at least once.
    pub fn high_water(&self) -> u32 {
        self.fresh.get()
    }
}
