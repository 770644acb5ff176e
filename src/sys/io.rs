//! Moving bytes: read and write in their forms, sendfile, splice, pipes.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use libc::{c_int, c_uint};

use super::errno::{Errno, Result, count, done};
use super::fd::{own, raw};

pub fn read(fd: impl AsFd, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `buf.len()` bytes into `buf`.
    count(unsafe { libc::read(raw(&fd), buf.as_mut_ptr().cast(), buf.len()) })
}

pub fn pread(fd: impl AsFd, buf: &mut [u8], offset: u64) -> Result<usize> {
    let offset = file_offset(offset)?;
    // SAFETY: the kernel writes at most `buf.len()` bytes into `buf`.
    count(unsafe { libc::pread(raw(&fd), buf.as_mut_ptr().cast(), buf.len(), offset) })
}

#[inline(always)]
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads at most `bytes.len()` bytes from `bytes`.
    count(unsafe { libc::write(raw(&fd), bytes.as_ptr().cast(), bytes.len()) })
}

/// All of it, however long it takes. For what people and pipes read, not for logs.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(&fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

pub fn pwrite(fd: impl AsFd, bytes: &[u8], offset: u64) -> Result<usize> {
    let offset = file_offset(offset)?;
    // SAFETY: the kernel reads at most `bytes.len()` bytes from `bytes`.
    count(unsafe { libc::pwrite(raw(&fd), bytes.as_ptr().cast(), bytes.len(), offset) })
}

pub fn writev(fd: impl AsFd, parts: &[IoSlice<'_>]) -> Result<usize> {
    // SAFETY: IoSlice is documented to have the layout of iovec; its slices live through the call.
    count(unsafe { libc::writev(raw(&fd), parts.as_ptr().cast(), iov_count(parts)) })
}

/// A write that would block gives EAGAIN, whatever the open description's
/// O_NONBLOCK says: pwritev2 at the current position with RWF_NOWAIT.
/// Works on pipes and files, not on terminals (EOPNOTSUPP).
pub fn write_nowait(fd: impl AsFd, parts: &[IoSlice<'_>]) -> Result<usize> {
    const RWF_NOWAIT: c_int = 8;
    // SAFETY: as in writev. The offset -1 (both halves) means the current position.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_pwritev2,
            raw(&fd),
            parts.as_ptr(),
            iov_count(parts),
            -1_i64,
            -1_i64,
            RWF_NOWAIT,
        )
    };
    count(ret as isize)
}

/// From a file to a socket without copying; moves `offset` past what was sent.
pub fn sendfile(to: impl AsFd, from: impl AsFd, offset: &mut u64, len: usize) -> Result<usize> {
    let mut position = file_offset(*offset)?;
    // SAFETY: `position` is a valid off_t for the length of the call.
    let sent = count(unsafe { libc::sendfile(raw(&to), raw(&from), &mut position, len) })?;
    *offset += sent as u64;
    Ok(sent)
}

/// Between a pipe and anything else, without copying and without waiting.
///
/// EAGAIN has two causes: the source is empty, or the target is full.
pub fn splice(from: impl AsFd, to: impl AsFd, len: usize, more: bool) -> Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | splice_more(more);
    let none = std::ptr::null_mut();
    // SAFETY: null offsets mean the current positions; nothing else is dereferenced.
    count(unsafe { libc::splice(raw(&from), none, raw(&to), none, len, flags) })
}

/// Copies what one pipe holds into another and leaves it in the first.
pub fn tee(from: impl AsFd, to: impl AsFd, len: usize) -> Result<usize> {
    // SAFETY: plain numbers.
    count(unsafe { libc::tee(raw(&from), raw(&to), len, libc::SPLICE_F_NONBLOCK) })
}

/// (read end, write end)
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: pipe2 writes two ints.
    done(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    Ok((own(ends[0])?, own(ends[1])?))
}

/// The real size may be larger, never smaller; EPERM above the user's limit.
pub fn set_pipe_size(pipe: impl AsFd, bytes: c_int) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::fcntl(raw(&pipe), libc::F_SETPIPE_SZ, bytes) })
}

fn splice_more(more: bool) -> c_uint {
    if more { libc::SPLICE_F_MORE } else { 0 }
}

/// The kernel takes IOV_MAX (1024) parts at once: the rest is a short write.
fn iov_count(parts: &[IoSlice<'_>]) -> c_int {
    parts.len().min(1024) as c_int
}

fn file_offset(offset: u64) -> Result<i64> {
    i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd;

    #[test]
    fn a_full_pipe_does_not_block_a_nowait_write() {
        let (_reader, writer) = pipe().unwrap();
        fd::set_nonblocking(&writer, false).unwrap();
        let block = [b'x'; 4096];
        let mut total = 0;
        let error = loop {
            match write_nowait(&writer, &[IoSlice::new(&block)]) {
                Ok(n) => total += n,
                Err(e) => break e,
            }
        };
        assert_eq!(error, Errno::EAGAIN);
        assert!(total >= 4096);
    }

    #[test]
    fn splice_and_tee_move_bytes() {
        let (reader, writer) = pipe().unwrap();
        let (copy_reader, copy_writer) = pipe().unwrap();
        write(&writer, b"hello").unwrap();
        assert_eq!(tee(&reader, &copy_writer, 100), Ok(5));
        assert_eq!(splice(&reader, &copy_writer, 100, false), Ok(5));
        let mut buf = [0; 16];
        assert_eq!(read(&copy_reader, &mut buf), Ok(10));
        assert_eq!(&buf[..10], b"hellohello");
        assert_eq!(splice(&reader, &copy_writer, 100, false), Err(Errno::EAGAIN));
    }
}
