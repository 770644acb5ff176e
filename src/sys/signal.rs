//! Signals: sets and masks.

use std::mem::MaybeUninit;

use libc::{c_int, sigset_t};

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SigSet(sigset_t);

impl SigSet {
    pub fn empty() -> SigSet {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset fills the whole set and cannot fail.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            SigSet(set.assume_init())
        }
    }

    pub fn with(mut self, signo: c_int) -> SigSet {
        // SAFETY: the set is initialised; a number that is no signal changes nothing.
        unsafe { libc::sigaddset(&mut self.0, signo) };
        self
    }

    pub(super) fn as_ptr(&self) -> *const sigset_t {
        &self.0
    }
}

/// Lets pending signals in for a moment: a ppoll(2) of nothing, without waiting.
pub fn let_in() {
    let (none, now) = (std::ptr::null_mut(), libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: no descriptors are looked at; `now` and the set live through the call.
    unsafe { libc::ppoll(none, 0, &now, SigSet::empty().as_ptr()) };
}
