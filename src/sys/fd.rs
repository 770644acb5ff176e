//! Descriptors: owning, borrowing, duplicating, and fcntl/ioctl one thing at a time.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::c_int;

use super::errno::{Errno, Result, check, done};

// SAFETY: entry.rs has opened whichever of 0–2 was missing, and nothing ever
// closes them: they are only replaced in place, by `replace`.
pub const STDIN: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(0) };
// SAFETY: as above.
pub const STDOUT: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(1) };
// SAFETY: as above.
pub const STDERR: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(2) };

/// The one place where a number returned by the kernel becomes an owned descriptor.
pub(super) fn own(ret: c_int) -> Result<OwnedFd> {
    let fd = check(ret)?;
    // SAFETY: the kernel has just returned this number to us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes over a descriptor that was inherited through exec, by its number.
///
/// Only a descriptor without close-on-exec can have been inherited, and all of
/// ours have it; taking sets it. So this gives each inherited one out once, and
/// never one that we opened ourselves.
pub fn inherit(number: RawFd) -> Result<OwnedFd> {
    if number <= 2 || is_cloexec(number)? {
        return Err(Errno::EBADF);
    }
    // SAFETY: open, and without close-on-exec: not one of ours, not yet taken.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    set_cloexec(&fd, true)?;
    Ok(fd)
}

/// A copy of descriptor `number` (a user's `/proc/self/fd/N`), which is left alone.
pub fn duplicate_number(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: plain numbers; a number that is not open gives EBADF.
    own(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) })
}

/// A copy that shares the open description, close-on-exec, above 0–2.
pub fn duplicate(fd: impl AsFd) -> Result<OwnedFd> {
    duplicate_number(raw(&fd))
}

/// Makes one of 0–2 mean what `fd` means (dup2; stays open across exec).
pub fn replace(standard: BorrowedFd<'static>, fd: impl AsFd) -> Result<()> {
    // SAFETY: plain numbers; the replaced one stays open, so no owner is betrayed.
    done(unsafe { libc::dup2(raw(&fd), standard.as_raw_fd()) })
}

pub fn is_open(number: RawFd) -> bool {
    is_cloexec(number).is_ok()
}

fn is_cloexec(number: RawFd) -> Result<bool> {
    // SAFETY: plain numbers.
    let flags = check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    Ok(flags & libc::FD_CLOEXEC != 0)
}

/// Off only for what a new image is meant to inherit, just before its exec.
pub fn set_cloexec(fd: impl AsFd, on: bool) -> Result<()> {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: plain numbers.
    done(unsafe { libc::fcntl(raw(&fd), libc::F_SETFD, flags) })
}

/// The same for one that is known by its number. Whoever calls it for an exec undoes it when
/// that fails: see `inherit`.
pub fn set_inheritable(number: RawFd, on: bool) -> Result<()> {
    let flags = if on { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: plain numbers.
    done(unsafe { libc::fcntl(number, libc::F_SETFD, flags) })
}

/// The open description's flags: access mode, O_APPEND, O_NONBLOCK.
pub fn status_flags(fd: impl AsFd) -> Result<c_int> {
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(raw(&fd), libc::F_GETFL) })
}

/// Belongs to the open description: never set it on one that others gave us.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> Result<()> {
    let mut flag = c_int::from(on);
    // SAFETY: FIONBIO reads one int.
    done(unsafe { libc::ioctl(raw(&fd), libc::FIONBIO as _, &mut flag) })
}

/// SIGIO to the owner when the descriptor becomes ready.
pub fn set_async(fd: impl AsFd, on: bool) -> Result<()> {
    let mut flag = c_int::from(on);
    // SAFETY: FIOASYNC reads one int.
    done(unsafe { libc::ioctl(raw(&fd), libc::FIOASYNC as _, &mut flag) })
}

/// Who gets that SIGIO.
pub fn set_owner(fd: impl AsFd, pid: i32) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::fcntl(raw(&fd), libc::F_SETOWN, pid) })
}

/// Bytes that a read would give now.
pub fn bytes_readable(fd: impl AsFd) -> Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: FIONREAD writes one int.
    done(unsafe { libc::ioctl(raw(&fd), libc::FIONREAD as _, &mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

pub fn is_terminal(fd: impl AsFd) -> bool {
    // SAFETY: a plain number.
    unsafe { libc::isatty(raw(&fd)) == 1 }
}

pub(super) fn raw(fd: &impl AsFd) -> RawFd {
    fd.as_fd().as_raw_fd()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::io;

    #[test]
    fn an_inherited_descriptor_is_given_once() {
        let (reader, _writer) = io::pipe().unwrap();
        let number = reader.as_raw_fd();
        assert_eq!(inherit(number).unwrap_err(), Errno::EBADF, "one of ours");
        set_cloexec(&reader, false).unwrap();
        std::mem::forget(reader);
        let taken = inherit(number).unwrap();
        assert_eq!(inherit(number).unwrap_err(), Errno::EBADF, "taken before");
        drop(taken);
        assert_eq!(inherit(2).unwrap_err(), Errno::EBADF);
        assert_eq!(inherit(-1).unwrap_err(), Errno::EBADF);
    }

    #[test]
    fn flags_and_readiness() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(status_flags(&reader).unwrap() & libc::O_NONBLOCK != 0);
        set_nonblocking(&reader, false).unwrap();
        assert!(status_flags(&reader).unwrap() & libc::O_NONBLOCK == 0);
        assert_eq!(io::write(&writer, b"four"), Ok(4));
        assert_eq!(bytes_readable(&reader), Ok(4));
    }
}
