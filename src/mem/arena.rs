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
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::{Deref, DerefMut};
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

/// Bytes of a room.
const ROOM: usize = 2048;

/// The contents of a room.
#[repr(align(16))]
struct Space(UnsafeCell<MaybeUninit<[u8; ROOM]>>);

/// A place for any future that fits.
struct RoomSlot {
    space: Space,
    /// Index + 1 of the next free one; 0 ends the list.
    next: Cell<u32>,
}

// SAFETY: the space is MaybeUninit, `next` zero is "none".
unsafe impl Zeroed for RoomSlot {}

/// A fixed number of places for futures of any type: work inside work, which cannot name
/// its own type (a request that a request waits for).
pub struct Rooms {
    slots: &'static [RoomSlot],
    free: FreeList,
}

impl Rooms {
    /// Reserves `len` rooms for the life of the process; `None` when the address space
    /// cannot be had.
    pub fn new(len: usize) -> Option<&'static Rooms> {
        let rooms = Rooms { slots: reserve(len)?, free: FreeList::new(len) };
        Some(Box::leak(Box::new(rooms)))
    }

    /// Moves a future into a room; `None` when all are taken.
    pub fn place<'f, F: Future + 'f>(&'static self, future: F) -> Option<Room<'f, F::Output>> {
        const { assert!(size_of::<F>() <= ROOM && align_of::<F>() <= 16, "it fits no room") }
        let index = self.free.take(|free| self.slots[free as usize].next.get())?;
        let space = self.slots[index as usize].space.0.get().cast::<F>();
        // SAFETY: it was free, so nothing refers to the space, which is large enough and
        // aligned, as asserted.
        unsafe { space.write(future) };
        Some(Room {
            rooms: self,
            index,
            poll: poll::<F>,
            drop: drop_in_place::<F>,
            life: PhantomData,
        })
    }

    /// Moves a value into a room; `None` when all are taken.
    #[inline(always)]
    pub fn hold<'h, T: 'h>(&'static self, value: T) -> Option<Held<'h, T>> {
        const { assert!(size_of::<T>() <= ROOM && align_of::<T>() <= 16, "it fits no room") }
        let index = self.free.take(|free| self.slots[free as usize].next.get())?;
        // SAFETY: it was free, so nothing refers to the space, which is large enough and
        // aligned, as asserted.
        unsafe { self.space(index).cast::<T>().write(value) };
        Some(Held { rooms: self, index, value: PhantomData })
    }

    #[inline(always)]
    fn space(&self, index: u32) -> *mut () {
        self.slots[index as usize].space.0.get().cast()
    }
}

/// Polls the future of type `F` at `space`.
///
/// # Safety
/// There is one, it is pinned there, and nothing else refers to it.
unsafe fn poll<F: Future>(space: *mut (), context: &mut Context<'_>) -> Poll<F::Output> {
    // SAFETY: as the caller promises.
    unsafe { Pin::new_unchecked(&mut *space.cast::<F>()) }.poll(context)
}

/// Drops the future of type `F` at `space`.
///
/// # Safety
/// There is one, and nothing refers to it now or later.
unsafe fn drop_in_place<F>(space: *mut ()) {
    // SAFETY: as the caller promises.
    unsafe { space.cast::<F>().drop_in_place() };
}

/// A future in a room, owned like a box; dropping it cancels it.
///
/// INVARIANT: while it lives there is a future of the type that `poll` and `drop` are for.
pub struct Room<'f, T> {
    rooms: &'static Rooms,
    index: u32,
    poll: unsafe fn(*mut (), &mut Context<'_>) -> Poll<T>,
    drop: unsafe fn(*mut ()),
    life: PhantomData<&'f mut ()>,
}

impl<T> Future for Room<'_, T> {
    type Output = T;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // SAFETY: the invariant; `&mut self` is the only way to it, and slots never move.
        unsafe { (self.poll)(self.rooms.space(self.index), context) }
    }
}

impl<T> Drop for Room<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the invariant, and this is the end of it.
        unsafe { (self.drop)(self.rooms.space(self.index)) };
        self.rooms.slots[self.index as usize].next.set(self.rooms.free.give_back(self.index));
    }
}

/// A value in a room, owned like a box.
///
/// INVARIANT: while it lives there is a value of this type in its room, and nothing else
/// refers to it.
pub struct Held<'h, T: 'h> {
    rooms: &'static Rooms,
    index: u32,
    value: PhantomData<(T, &'h mut ())>,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the invariant; `&self` forbids writes.
        unsafe { &*self.rooms.space(self.index).cast::<T>() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the invariant; `&mut self` is the only way to it.
        unsafe { &mut *self.rooms.space(self.index).cast::<T>() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the invariant, and this is the end of it.
        unsafe { self.rooms.space(self.index).cast::<T>().drop_in_place() };
        self.rooms.slots[self.index as usize].next.set(self.rooms.free.give_back(self.index));
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
    fn rooms_take_any_future() {
        let owned = Rc::new(());
        let rooms = Rooms::new(2).unwrap();
        let text = String::from("borrowed");
        let borrowed = &text;
        let first = rooms.place(borrows_itself(5, owned.clone())).unwrap();
        let second = rooms.place(async move {
            turns(1).await;
            borrowed.len()
        });
        assert!(rooms.place(turns(1)).is_none(), "there are two");
        assert_eq!(drive(pin!(second.unwrap()), 9), Some(8));
        let third = rooms.place(borrows_itself(6, owned.clone())).unwrap();
        let mut first = pin!(first);
        assert_eq!((drive(first.as_mut(), 1), drive(pin!(third), 1)), (None, None));
        assert_eq!(Rc::strong_count(&owned), 2, "what is dropped is cancelled");
        assert_eq!(drive(first, 9), Some(7));
    }

    #[test]
    fn rooms_hold_any_value() {
        let owned = Rc::new(());
        let rooms = Rooms::new(2).unwrap();
        let mut first = rooms.hold((owned.clone(), 5)).unwrap();
        let second = rooms.hold([7; 100]).unwrap();
        assert!(rooms.hold(1).is_none(), "there are two");
        first.1 += 1;
        assert_eq!((first.1, second[99], Rc::strong_count(&owned)), (6, 7, 2));
        drop(first);
        assert_eq!(Rc::strong_count(&owned), 1, "what is dropped is dropped once");
        assert!(rooms.hold(1).is_some());
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
