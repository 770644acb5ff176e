//! Where the kernel's process becomes ours: C's `main`, in place of Rust's.
//!
//! Rust's own start aborts when one of descriptors 0–2 is closed and there is
//! no /dev/null, and its arguments come from libc hooks that musl does not
//! have. So this is the whole start-up. What Rust's would have done besides:
//! ignore SIGPIPE (ours to decide later) and flush stdout at exit (we do not
//! use its buffer).

use std::ffi::{c_char, c_int};

use super::{fd, file, title};

/// The only call upwards from this floor: the program itself.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, argv: *const *mut c_char) -> c_int {
    fill_standard();
    // SAFETY: this is main's argv, and nothing has run before us.
    let args = unsafe { title::adopt(argv) };
    crate::run(args)
}

/// Opens whichever of 0–2 is closed, so that no socket or log file ever gets
/// its number. Without a /dev/null it is a file in memory that cannot grow:
/// writes to it fail, they do not fill memory.
fn fill_standard() {
    for number in 0..=2 {
        if fd::is_open(number) {
            continue;
        }
        // The kernel gives the lowest free number, which is this one.
        let filler = file::open(c"/dev/null", file::RDWR, 0).or_else(|_| {
            let memory = file::memfd(c"limpet:closed")?;
            file::seal_size(&memory).map(|()| memory)
        });
        if let Ok(filler) = filler {
            let _ = fd::set_cloexec(&filler, false);
            std::mem::forget(filler);
        }
    }
}
