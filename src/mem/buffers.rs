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
use std::cell::{Cell, OnceCell};
use std::ops::{Deref, DerefMut};

/// Buffers of `size` bytes each.
pub struct Pool {
    /// The first byte of the reserved region; it is never given back.
    start: *mut u8,
    size: usize,
    /// For each buffer, index + 1 of the next free one.
    next: &'static [Cell<u32>],
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
        let start = reserve::<u8>(count.checked_mul(size)?)?.as_mut_ptr();
        let (free, used) = (FreeList::new(count), Cell::new(0));
        Some(Box::leak(Box::new(Pool { start, size, next, free, used })))
    }

    /// A buffer, or `None` when all are taken.
    #[inline(always)]
    pub fn take(&'static self) -> Option<Buf> {
        let index = self.free.take(|free| self.next[free as usize].get())?;
        self.used.set(self.used.get() + 1);
        Some(Buf { pool: self, index })
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.used.get() as usize
    }
}

impl Buf {
    #[inline(always)]
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
    #[inline(always)]
    fn drop(&mut self) {
        let slot = &self.pool.next[self.index as usize];
        slot.set(self.pool.free.give_back(self.index));
        self.pool.used.set(self.pool.used.get() - 1);
    }
}

/// Room for what one request makes of itself: values, paths, captures. Handed out
/// piece by piece and given back all at once; the buffer is taken with the first piece.
///
/// Bytes come from the front, records from the end, so that bytes never lie where a
/// record with padding has been.
///
/// INVARIANT: `0..front` and `back..size` are handed out, each byte once.
pub struct Scratch {
    pool: &'static Pool,
    buffer: OnceCell<Buf>,
    front: Cell<usize>,
    back: Cell<usize>,
    exhausted: Cell<bool>,
}

impl Scratch {
    /// One that will take a buffer of `pool` when it is first used.
    pub fn new(pool: &'static Pool) -> Scratch {
        Scratch {
            pool,
            buffer: OnceCell::new(),
            front: Cell::new(0),
            back: Cell::new(pool.size),
            exhausted: Cell::new(false),
        }
    }

    /// Something did not fit, or there was no buffer.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.get()
    }

    /// The first byte of the buffer.
    #[inline(always)]
    fn start(&self) -> Option<*mut u8> {
        match self.buffer.get() {
            Some(buffer) => Some(buffer.start()),
            None => self.begin(),
        }
    }

    fn begin(&self) -> Option<*mut u8> {
        match self.pool.take() {
            Some(buffer) => Some(self.buffer.get_or_init(|| buffer).start()),
            None => {
                self.exhausted.set(true);
                None
            }
        }
    }

    /// Notes that `len` bytes are not to be had.
    #[inline(always)]
    fn reserve(&self, len: usize) -> Option<usize> {
        let at = self.front.get();
        if len > self.back.get() - at {
            self.exhausted.set(true);
            return None;
        }
        self.front.set(at + len);
        Some(at)
    }

    /// `len` bytes for the caller to fill; what is in them is of no meaning.
    #[allow(clippy::mut_from_ref, reason = "each piece is handed out once")]
    #[inline(always)]
    pub fn take(&self, len: usize) -> Option<&mut [u8]> {
        let start = self.start()?;
        let at = self.reserve(len)?;
        // SAFETY: `at..at + len` lies in the buffer, which lives as long as `self`, and is
        // handed out just now for the first time; only bytes ever lay there.
        Some(unsafe { std::slice::from_raw_parts_mut(start.add(at), len) })
    }

    /// At most `most` bytes: as many as `write` says that it has filled.
    #[inline(always)]
    pub fn write(&self, most: usize, write: impl FnOnce(&mut [u8]) -> usize) -> Option<&[u8]> {
        let room = self.take(most)?;
        let end = self.front.get();
        let len = write(room).min(most);
        // The rest is free again, if nothing has been taken behind it since.
        if self.front.get() == end {
            self.front.set(end - (most - len));
        }
        let room: &[u8] = room;
        room.get(..len)
    }

    /// The pieces, one behind the other.
    pub fn concat(&self, pieces: &[&[u8]]) -> Option<&[u8]> {
        let mut rest = self.take(pieces.iter().map(|piece| piece.len()).sum())?;
        let whole: *const [u8] = rest;
        for piece in pieces {
            let (room, behind) = rest.split_at_mut(piece.len());
            room.copy_from_slice(piece);
            rest = behind;
        }
        // SAFETY: the slice that was taken above, which nothing refers to any more.
        Some(unsafe { &*whole })
    }

    /// Room for `count` records.
    #[inline(always)]
    fn room<T>(&self, count: usize) -> Option<*mut T> {
        const { assert!(!std::mem::needs_drop::<T>() && align_of::<T>() <= 16) }
        let start = self.start()?;
        let len = size_of::<T>().checked_mul(count)?;
        let low = self.back.get().checked_sub(len);
        let aligned = low.and_then(|at| at.checked_sub((start.addr() + at) % align_of::<T>()));
        let Some(at) = aligned.filter(|at| *at >= self.front.get()) else {
            self.exhausted.set(true);
            return None;
        };
        self.back.set(at);
        // SAFETY: `at..at + len` lies in the buffer, is handed out for the first time, and
        // is aligned as the address was made to be.
        Some(unsafe { start.add(at) }.cast())
    }

    /// Keeps `count` records.
    pub fn fill<T>(&self, count: usize, mut make: impl FnMut() -> T) -> Option<&[T]> {
        let first = self.room::<T>(count)?;
        for i in 0..count {
            // SAFETY: `i < count`, so this is inside; a plain write drops nothing.
            unsafe { first.add(i).write(make()) };
        }
        // SAFETY: all `count` of them are initialised; they live as long as the buffer.
        Some(unsafe { std::slice::from_raw_parts(first, count) })
    }

    /// Keeps one record.
    #[inline(always)]
    pub fn place<T>(&self, value: T) -> Option<&T> {
        let place = self.room::<T>(1)?;
        // SAFETY: room for one, which is initialised by this; it lives as long as the buffer.
        unsafe {
            place.write(value);
            Some(&*place)
        }
    }
}

/// Bytes of a buffer are always initialised: what records left, padding, goes.
impl Drop for Scratch {
    #[inline(always)]
    fn drop(&mut self) {
        let (back, size) = (self.back.get(), self.pool.size);
        if let Some(buffer) = self.buffer.get()
            && back < size
        {
            // SAFETY: inside the buffer, and all that referred to it is gone.
            unsafe { buffer.start().add(back).write_bytes(0, size - back) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_hands_out_pieces() {
        let pool = Pool::new(1, 128).unwrap();
        {
            let scratch = Scratch::new(pool);
            assert_eq!(pool.used(), 0, "nothing is taken before it is used");
            let first = scratch.take(3).unwrap();
            first.copy_from_slice(b"abc");
            let second = scratch.write(100, |room| {
                room[..2].copy_from_slice(b"de");
                2
            });
            let records = scratch.fill(2, || (1u8, 7u64)).unwrap();
            let whole = scratch.concat(&[first, second.unwrap(), b"f"]).unwrap();
            assert_eq!((whole, records), (&b"abcdef"[..], &[(1, 7), (1, 7)][..]));
            assert_eq!(scratch.place(5u32), Some(&5));
            assert!(!scratch.is_exhausted());
            assert!(scratch.take(100).is_none() && scratch.is_exhausted());
            assert!(Scratch::new(pool).take(1).is_none(), "the pool has one only");
        }
        assert!(pool.take().unwrap()[64..].iter().all(|byte| *byte == 0));
    }

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
