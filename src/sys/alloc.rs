//! The allocator: a stretch for the start, then the system's, and all of it counted.
//!
//! Serving must not allocate; the counters are how that is known. They are
//! plain loads and stores, not atomic additions: the process has one thread.
//!
//! The start makes thousands of small things, most of which stay. The system's
//! allocator asks the kernel for pages and gives them back many times meanwhile, which
//! was a fifth of the time to the first answer. So what is small comes from one stretch
//! of [`STRETCH`] bytes, one behind the other, until that is used up or [`started`].
//! What is freed there is used again only if it was the last, and is lost otherwise.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Enough for configurations of a few hundred lines; untouched pages cost nothing.
const STRETCH: usize = 128 * 1024;
/// Larger things are the system's.
const SMALL: usize = 8 * 1024;

#[global_allocator]
static COUNTED: Counted = Counted;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Calls that asked for memory (a realloc is one) since the process began,
/// counting those of the parents it was forked from.
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Relaxed)
}

/// What is allocated now.
pub fn bytes_in_use() -> u64 {
    BYTES.load(Relaxed)
}

struct Counted;

// SAFETY: each call is handed on to the system's allocator unchanged, or answered from
// the stretch, of which no two blocks overlap.
unsafe impl GlobalAlloc for Counted {
    /// # Safety
    /// As `GlobalAlloc::alloc` demands.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as u64);
        if let Some(at) = START.take(layout) {
            return at;
        }
        // SAFETY: what the caller promised us is what the system's allocator wants.
        unsafe { System.alloc(layout) }
    }

    /// # Safety
    /// As `GlobalAlloc::alloc_zeroed` demands.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as u64);
        if let Some(at) = START.take(layout) {
            // SAFETY: just taken, with this length.
            unsafe { at.write_bytes(0, layout.size()) };
            return at;
        }
        // SAFETY: what the caller promised us is what the system's allocator wants.
        unsafe { System.alloc_zeroed(layout) }
    }

    /// # Safety
    /// As `GlobalAlloc::realloc` demands.
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note((size as u64).wrapping_sub(layout.size() as u64));
        if !START.has(at) {
            // SAFETY: what the caller promised us is what the system's allocator wants.
            return unsafe { System.realloc(at, layout, size) };
        }
        if START.resize(at, layout.size(), size) || size <= layout.size() {
            return at;
        }
        // SAFETY: the caller promised that `size` goes with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: not of size zero, as the caller promised.
        let new = START.take(wanted).unwrap_or_else(|| unsafe { System.alloc(wanted) });
        if !new.is_null() {
            // SAFETY: two blocks, each at least that long.
            unsafe { new.copy_from_nonoverlapping(at, size.min(layout.size())) };
        }
        new
    }

    /// # Safety
    /// As `GlobalAlloc::dealloc` demands.
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.store(BYTES.load(Relaxed).wrapping_sub(layout.size() as u64), Relaxed);
        if START.has(at) {
            START.resize(at, layout.size(), 0);
            return;
        }
        // SAFETY: what the caller promised us is what the system's allocator wants.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Blocks one behind the other. INVARIANT: all blocks in use lie below `used`, and each
/// byte below it belongs to one block at most.
struct Start {
    bytes: UnsafeCell<[u8; STRETCH]>,
    used: AtomicUsize,
    /// The start is over: nothing more is taken from here.
    over: AtomicBool,
}

// SAFETY: `used` gives each range of the bytes to one caller, whichever thread asks.
unsafe impl Sync for Start {}

/// All zero, so that it takes no room in the file.
static START: Start = Start {
    bytes: UnsafeCell::new([0; STRETCH]),
    used: AtomicUsize::new(0),
    over: AtomicBool::new(false),
};

/// The start is over: from now on all comes from the system's allocator.
pub fn started() {
    START.over.store(true, Relaxed);
}

impl Start {
    fn first(&self) -> usize {
        self.bytes.get() as usize
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        if self.over.load(Relaxed) || layout.size() > SMALL {
            return None;
        }
        let mut at = 0;
        let next = |used: usize| {
            at = (self.first() + used).next_multiple_of(layout.align()) - self.first();
            Some(at + layout.size()).filter(|next| *next <= STRETCH)
        };
        self.used.fetch_update(Relaxed, Relaxed, next).ok()?;
        Some(self.bytes.get().cast::<u8>().wrapping_add(at))
    }

    fn has(&self, at: *mut u8) -> bool {
        (at as usize).wrapping_sub(self.first()) < STRETCH
    }

    /// Makes the last block `size` bytes long; false if it is not the last, or too long then.
    fn resize(&self, at: *mut u8, len: usize, size: usize) -> bool {
        let start = at as usize - self.first();
        let grows = !self.over.load(Relaxed) && size <= SMALL && start + size <= STRETCH;
        let fits = size <= len || grows;
        let last = |used: usize| (used == start + len && fits).then_some(start + size);
        self.used.fetch_update(Relaxed, Relaxed, last).is_ok()
    }
}

fn note(more: u64) {
    ALLOCATIONS.store(ALLOCATIONS.load(Relaxed) + 1, Relaxed);
    BYTES.store(BYTES.load(Relaxed).wrapping_add(more), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_counted() {
        let before = allocations();
        drop(std::hint::black_box(Box::new([0u8; 100])));
        assert!(allocations() > before);
    }

    fn stretch() -> Start {
        Start {
            bytes: UnsafeCell::new([0; STRETCH]),
            used: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    fn take(start: &Start, size: usize, align: usize) -> Option<usize> {
        let at = start.take(Layout::from_size_align(size, align).unwrap())?;
        assert!(start.has(at) && (at as usize).is_multiple_of(align));
        Some(at as usize - start.first())
    }

    #[test]
    fn blocks_of_the_start_lie_behind_each_other() {
        let start = stretch();
        let (a, b) = (take(&start, 3, 1).unwrap(), take(&start, 8, 8).unwrap());
        assert!(b >= a + 3);
        let at = |offset: usize| (start.first() + offset) as *mut u8;
        assert!(!start.resize(at(a), 3, 4), "not the last");
        assert!(start.resize(at(b), 8, SMALL));
        assert!(!start.resize(at(b), SMALL, SMALL + 1), "too long");
        assert!(start.resize(at(b), SMALL, 0));
        assert_eq!(take(&start, 1, 1), Some(b), "the last one's place is used again");
        assert_eq!(take(&start, SMALL + 1, 1), None);
        while take(&start, SMALL, 16).is_some() {}
        assert!(!start.has(at(STRETCH)) && start.used.load(Relaxed) <= STRETCH);
        start.over.store(true, Relaxed);
        assert_eq!(take(&start, 1, 1), None);
    }
}
