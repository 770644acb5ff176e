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
