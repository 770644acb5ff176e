//! Arenas: futures that are built, polled and dropped where they stand.
//!
//! A worker allocates nothing while it serves, so a conversation's future lives
//! in a slot of an [`Arena`] sized by `worker_connections`. The slots are zeroed
//! address space: an untouched slot costs no memory, and reuse is last in, first
//! out, so that a quiet worker touches few pages.
//!
//! INVARIANT: `live` is true exactly while the slot holds an initialised future,
//! and a live slot never moves: that is what makes pinning structural.
#![allow(unsafe_code, reason = "one of the three files of mem that own raw memory")]

use super::free_list::FreeList;
use crate::sys::map::{Mapping, PAGE};
use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A type for which all-zero bytes are a valid, empty value.
///
/// # Safety
/// Implement it only for types that are valid when every byte is zero.
pub unsafe trait Zeroed {}

// SAFETY: an integer is valid for every bit pattern.
unsafe impl Zeroed for u8 {}
// SAFETY: an integer is valid for every bit pattern.
unsafe impl Zeroed for u16 {}
// SAFETY: an integer is valid for every bit pattern.
unsafe impl Zeroed for u32 {}
// SAFETY: an integer is valid for every bit pattern.
unsafe impl Zeroed for i32 {}
// SAFETY: an integer is valid for every bit pattern.
unsafe impl Zeroed for u64 {}
// SAFETY: zero is false.
unsafe impl Zeroed for bool {}
// SAFETY: the null pointer is None, as the library's documentation guarantees.
unsafe impl<T> Zeroed for Option<Box<T>> {}
// SAFETY: a Cell has the layout of its contents.
unsafe impl<T: Zeroed> Zeroed for Cell<T> {}
// SAFETY: `live` zero is false, `next` zero is "none", the future is MaybeUninit.
unsafe impl<F> Zeroed for Slot<F> {}

/// Declares a record that a [`reserve`]d slice may hold: all its fields must be
/// `Zeroed`, and the compiler checks that they are.
macro_rules! zeroed_record {
    ($(#[$outer:meta])* $vis:vis struct $name:ident {
        $($(#[$inner:meta])* $field_vis:vis $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$outer])*
        $vis struct $name { $($(#[$inner])* $field_vis $field: $type),* }
        // SAFETY: all-zero bytes are valid for every field, as the bounds prove.
        #[expect(unsafe_code, reason = "the bounds carry the proof")]
        unsafe impl $crate::mem::arena::Zeroed for $name
        where
            $($type: $crate::mem::arena::Zeroed),*
        {
        }
    };
}
pub(crate) use zeroed_record;

/// Reserves `len` zeroed values for the life of the process without touching them;
/// `None` when the address space cannot be had (RLIMIT_AS).
///
/// From the kernel, not from the allocator, which keeps notes at both ends of what it
/// gives: two pages each that nobody else needs.
pub fn reserve<T: Zeroed>(len: usize) -> Option<&'static mut [T]> {
    const { assert!(align_of::<T>() <= PAGE) };
    let size = len.checked_mul(size_of::<T>())?;
    let mapping = ManuallyDrop::new(Mapping::reserve(size).ok()?);
    // SAFETY: a fresh mapping of that size, aligned to a page and never unmapped, which
    // nobody else knows of; it reads as zero, and zero is valid for T.
    Some(unsafe { std::slice::from_raw_parts_mut(mapping.start().cast().as_ptr(), len) })
}

/// One place for a future.
struct Slot<F> {
    future: UnsafeCell<MaybeUninit<F>>,
    /// Index + 1 of the next free slot; 0 ends the list.
    next: Cell<u32>,
    live: Cell<bool>,
    polling: Cell<bool>,
}

/// A fixed number of places for futures of one type.
pub struct Arena<F: 'static> {
    slots: &'static [Slot<F>],
    free: FreeList,
    used: Cell<u32>,
}

impl<F: Future + 'static> Arena<F> {
    /// Bytes that one slot takes once it has been used.
    pub const SLOT: usize = size_of::<Slot<F>>();

    /// Reserves `len` slots; `None` when the address space cannot be had.
    pub fn new(len: usize) -> Option<Arena<F>> {
        let slots = reserve::<Slot<F>>(len)?;
        Some(Arena { slots, free: FreeList::new(len), used: Cell::new(0) })
    }

    pub fn used(&self) -> usize {
        self.used.get() as usize
    }

    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Slots below this index have been used at least once.
    pub fn high_water(&self) -> u32 {
        self.free.high_water()
    }

    pub fn is_live(&self, index: u32) -> bool {
        self.slots.get(index as usize).is_some_and(|slot| slot.live.get())
    }

    /// Takes a free slot, the one given back last first; `None` when all are taken.
    pub fn take(&self) -> Option<u32> {
        let index = self.free.take(|free| self.slots[free as usize].next.get())?;
        self.used.set(self.used.get() + 1);
        Some(index)
    }

    /// Gives back a slot that was taken and holds no future.
    pub fn give_back(&self, index: u32) {
        let slot = &self.slots[index as usize];
        assert!(!slot.live.get());
        slot.next.set(self.free.give_back(index));
        self.used.set(self.used.get() - 1);
    }

    /// Builds a future in a slot that was taken.
    #[inline]
    pub fn put(&self, index: u32, make: impl FnOnce() -> F) {
        let slot = &self.slots[index as usize];
        assert!(!slot.live.get());
        // SAFETY: not live, so nothing refers to the contents; `make` cannot reach
        // them either, since no handle to this slot's future exists yet.
        unsafe { (*slot.future.get()).write(make()) };
        slot.live.set(true);
    }

    /// Polls the future in a live slot.
    #[inline]
    pub fn poll(&self, index: u32, context: &mut Context<'_>) -> Poll<F::Output> {
        let slot = &self.slots[index as usize];
        assert!(slot.live.get() && !slot.polling.replace(true));
        // SAFETY: live means initialised; slots are mapped for good and never move; `polling`
        // shuts out a second reference while this one is in use.
        let future = unsafe { Pin::new_unchecked((*slot.future.get()).assume_init_mut()) };
        let outcome = future.poll(context);
        slot.polling.set(false);
        outcome
    }

    /// Drops the future where it stands and frees the slot: cancellation.
    pub fn drop_in_place(&self, index: u32) {
        let slot = &self.slots[index as usize];
        assert!(slot.live.replace(false) && !slot.polling.get());
        // SAFETY: it was live and is not polled now, so this is the only reference.
        unsafe { (*slot.future.get()).assume_init_drop() };
        self.give_back(index);
    }
}

/// A future that lives in an arena, owned like a box; dropping it cancels it.
pub struct Placed<F: Future + 'static> {
    arena: &'static Arena<F>,
    index: u32,
}

impl<F: Future> Placed<F> {
    /// Builds a future in a slot of `arena`; `None` when the arena is full.
    #[inline]
    pub fn new(arena: &'static Arena<F>, make: impl FnOnce() -> F) -> Option<Placed<F>> {
        let index = arena.take()?;
        arena.put(index, make);
        Some(Placed { arena, index })
    }
}

impl<F: Future> Future for Placed<F> {
    type Output = F::Output;
    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.arena.poll(self.index, context)
    }
}

impl<F: Future> Drop for Placed<F> {
    fn drop(&mut self) {
        self.arena.drop_in_place(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Waker;

    async fn turns(mut left: u32) {
        poll_fn(move |_| match left {
            0 => Poll::Ready(()),
            _ => {
                left -= 1;
                Poll::Pending
            }
        })
        .await;
    }

    /// Borrows from itself across waits and owns something that counts.
    async fn borrows_itself(start: u32, owned: Rc<()>) -> u32 {
        let mut values = [start; 8];
        let middle = &mut values[3];
        turns(2).await;
        *middle += 1;
        turns(1).await;
        *middle += 1;
        let result = *middle;
        drop(owned);
        result
    }

    fn arena_for<A, B, F: Future>(_: impl Fn(A, B) -> F, len: usize) -> &'static Arena<F> {
        Box::leak(Box::new(Arena::new(len).expect("a small arena")))
    }

    fn drive<F: Future>(mut future: Pin<&mut F>, most: u32) -> Option<F::Output> {
        let mut context = Context::from_waker(Waker::noop());
        (0..most).find_map(|_| match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    }

    #[test]
    fn runs_reuses_and_cancels() {
        let owned = Rc::new(());
        let arena = arena_for(borrows_itself, 2);
        let first = Placed::new(arena, || borrows_itself(5, owned.clone())).unwrap();
        let second = Placed::new(arena, || borrows_itself(6, owned.clone())).unwrap();
        assert!(Placed::new(arena, || borrows_itself(7, owned.clone())).is_none());
        assert_eq!(arena.used(), 2);
        assert_eq!(drive(pin!(first), 9), Some(7));
        {
            let mut second = pin!(second);
            assert_eq!(drive(second.as_mut(), 1), None);
            assert_eq!(Rc::strong_count(&owned), 2);
            second.set(Placed::new(arena, || borrows_itself(1, owned.clone())).unwrap());
            assert_eq!(Rc::strong_count(&owned), 2, "the old future was dropped in place");
            assert_eq!(drive(second, 9), Some(3));
        }
        assert_eq!(arena.used(), 0);
    }

    #[test]
    fn reuses_the_slot_given_back_last() {
        let arena = arena_for(borrows_itself, 8);
        let taken: Vec<_> = (0..4).map(|_| arena.take().unwrap()).collect();
        assert_eq!(taken, [0, 1, 2, 3]);
        arena.give_back(1);
        arena.give_back(3);
        assert_eq!((arena.take(), arena.take(), arena.take()), (Some(3), Some(1), Some(4)));
        assert_eq!(arena.high_water(), 5);
    }

    #[test]
    fn a_reservation_that_cannot_be_had_is_none() {
        assert!(reserve::<u8>(0).is_none());
        assert!(reserve::<u32>(usize::MAX / 2).is_none());
    }
}
