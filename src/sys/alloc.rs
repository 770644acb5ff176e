//! The allocator: the system's, counted.
//!
//! Serving must not allocate; the counters are how that is known. They are
//! plain loads and stores, not atomic additions: the process has one thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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

// SAFETY: each call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counted {
    /// # Safety
    /// As `GlobalAlloc::alloc` demands.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as u64);
        // SAFETY: what the caller promised us is what the system's allocator wants.
        unsafe { System.alloc(layout) }
    }

    /// # Safety
    /// As `GlobalAlloc::alloc_zeroed` demands.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as u64);
        // SAFETY: what the caller promised us is what the system's allocator wants.
        unsafe { System.alloc_zeroed(layout) }
    }

    /// # Safety
    /// As `GlobalAlloc::realloc` demands.
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note((size as u64).wrapping_sub(layout.size() as u64));
        // SAFETY: what the caller promised us is what the system's allocator wants.
        unsafe { System.realloc(at, layout, size) }
    }

    /// # Safety
    /// As `GlobalAlloc::dealloc` demands.
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.store(BYTES.load(Relaxed).wrapping_sub(layout.size() as u64), Relaxed);
        // SAFETY: what the caller promised us is what the system's allocator wants.
        unsafe { System.dealloc(at, layout) }
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
}
