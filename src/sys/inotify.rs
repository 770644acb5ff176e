//! inotify(7): word of changes to files, and to what is in a folder.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use super::errno::{Errno, Result, done};
use super::fd::{own, raw};
use super::io;

/// A name comes, goes, or is given to something else; a file has been written.
const CHANGES: u32 = libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_CLOSE_WRITE
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE_SELF;

pub fn new() -> Result<OwnedFd> {
    // SAFETY: plain numbers.
    own(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) })
}

/// Tells of changes to a file, or of what is in a folder. What is watched already stays so.
pub fn watch(fd: impl AsFd, path: &CStr) -> Result<()> {
    // SAFETY: `path` ends with a NUL.
    done(unsafe { libc::inotify_add_watch(raw(&fd), path.as_ptr(), CHANGES) })
}

/// Reads everything there is to tell; whether that was anything.
pub fn drain(fd: impl AsFd) -> Result<bool> {
    // An event is 16 bytes and a name; a buffer that is too small for one is an error.
    let mut room = [0; 4096];
    let mut told = false;
    loop {
        match io::read(&fd, &mut room) {
            Ok(0) | Err(Errno::EAGAIN) => return Ok(told),
            Ok(_) => told = true,
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}
