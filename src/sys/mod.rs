//! The kernel, safely: the only floor, with three files of `mem`, that may be unsafe.
//!
//! Each function is one call and one conversion: errors become `Result`,
//! buffers become slices, out-parameters become return values, descriptors
//! become owned or borrowed types, and calls that do many things (fcntl,
//! ioctl, setsockopt, prctl) become one function for each thing we do with
//! them. No policy, no logging, no allocation: what an error means is for the
//! caller to say. The one file that asks the processor is `vector`.
//!
//! Invariants: every descriptor made here is close-on-exec from its first
//! moment; every socket, pipe and event descriptor is non-blocking unless its
//! name says otherwise; the process has one thread.
#![allow(dead_code, reason = "the floor is complete for all that stands on it, now or later")]
#![allow(unsafe_code, reason = "this floor is where the system calls are")]

pub mod addr;
pub mod alloc;
pub mod clock;
pub mod crypt;
#[cfg(not(test))]
mod entry;
pub mod env;
pub mod epoll;
pub mod errno;
pub mod fd;
pub mod file;
pub mod guard;
pub mod image;
pub mod inotify;
pub mod io;
pub mod limits;
pub mod map;
pub mod msg;
pub mod process;
pub mod random;
pub mod sched;
pub mod signal;
pub mod socket;
pub mod sockopt;
pub mod title;
#[cfg(not(debug_assertions))]
mod unwind;
pub mod user;
pub mod vector;

#[allow(unused_imports, reason = "for the floors above")]
pub use errno::{Errno, Result};
