//! A pool of equal buffers, handed out as owned handles that return on drop.
//!
//! The pool is reserved address space, sized by the configuration; a buffer's
//! pages are touched when it is first used, and the one given back last is taken
//! first. A buffer's contents are what its last user left: only what was written
//! through the handle may be read, which is why the pool never promises zeros.
//!
//! INVARIANT: an index is either on the free list or in exactly one `Buf`.
#![allow(unsafe_code, reason = "one of the three files of mem that own raw memory")]

use super::arena::reserve;
use super::free_list::FreeList;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// Buffers of `size` bytes each.
pub struct Pool {
    /// The first byte of the reserved region; it is never given back.
    start: *mut u8,
    size: usize,
    /// For each buffer, index + 1 of the next free one.
    next: Box<[Cell<u32>]>,
    free: FreeList,
    used: Cell<u32>,
}

/// The unique owner of one buffer.
pub struct Buf {
    pool: &'static Pool,
    index: u32,
}

impl Pool {
    /// Reserves `count` buffers of `size` bytes for the life of the process;
    /// `None` when the address space cannot be had.
    pub fn new(count: usize, size: usize) -> Option<&'static Pool> {
        let next = reserve::<Cell<u32>>(count)?;
        let region: &'static mut [u8] = Box::leak(reserve::<u8>(count.checked_mul(size)?)?);
        let start = region.as_mut_ptr();
        let (free, used) = (FreeList::new(count), Cell::new(0));
        Some(Box::leak(Box::new(Pool { start, size, next, free, used })))
    }

    /// A buffer, or `None` when all are taken.
    #[inline]
    pub fn take(&'static self) -> Option<Buf> {
        let index = self.free.take(|free| self.next[free as usize].get())?;
        self.used.set(self.used.get() + 1);
        Some(Buf { pool: self, index })
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.used.get() as usize
    }

    /// Bytes in each buffer.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl Buf {
    fn start(&self) -> *mut u8 {
        // SAFETY: index < count by the pool's construction, so the product stays
        // inside the region reserved in `Pool::new`.
        unsafe { self.pool.start.add(self.index as usize * self.pool.size) }
    }
}

impl Deref for Buf {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the region was zeroed when reserved, so every byte is initialised;
        // this handle is the only one to its index, and `&self` forbids writes.
        unsafe { std::slice::from_raw_parts(self.start(), self.pool.size) }
    }
}

impl DerefMut for Buf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.pool.size) }
    }
}

impl Drop for Buf {
    #[inline]
    fn drop(&mut self) {
        let slot = &self.pool.next[self.index as usize];
        slot.set(self.pool.free.give_back(self.index));
        self.pool.used.set(self.pool.used.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_each_buffer_once() {
        let pool = Pool::new(3, 64).unwrap();
        let mut first = pool.take().unwrap();
        let mut second = pool.take().unwrap();
        first.fill(1);
        second.fill(2);
        assert!(first.iter().all(|&byte| byte == 1) && second.iter().all(|&byte| byte == 2));
        let third = pool.take().unwrap();
        assert!(pool.take().is_none());
        assert_eq!((pool.used(), third.len()), (3, 64));
        drop(first);
        assert_eq!(pool.take().unwrap()[0], 1, "the one given back last comes first");
        drop((second, third));
        assert_eq!(pool.used(), 0);
    }
}
