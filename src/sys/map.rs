//! Memory from the kernel: reserved address space, memory shared between
//! processes, and futexes in it.
//!
//! A mapping gives out its address, not references: what may be made of its
//! bytes is argued in the files of `mem` that do so.

use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use libc::{c_int, c_void};

use super::errno::{Errno, Result, done};
use super::fd::raw;

pub const PAGE: usize = 4096;

/// Readable, writable, zeroed where untouched; unmapped on drop.
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Address space that costs nothing until it is touched. Counts against
    /// RLIMIT_AS at once: ENOMEM there.
    pub fn reserve(len: usize) -> Result<Mapping> {
        // Miri knows mmap, but not this flag.
        let lazily = if cfg!(miri) { 0 } else { libc::MAP_NORESERVE };
        Mapping::map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | lazily, -1)
    }

    /// The first `len` bytes of `fd`, seen by everybody who maps it.
    /// Past the end of the file each touch is SIGBUS: see `file::seal_size`.
    pub fn shared(fd: impl AsFd, len: usize) -> Result<Mapping> {
        Mapping::map(len, libc::MAP_SHARED, raw(&fd))
    }

    /// The same, but what is written here stays here; `fd` need only be readable.
    pub fn view(fd: impl AsFd, len: usize) -> Result<Mapping> {
        Mapping::map(len, libc::MAP_PRIVATE | libc::MAP_NORESERVE, raw(&fd))
    }

    fn map(len: usize, flags: c_int, fd: c_int) -> Result<Mapping> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: with no address asked for, the kernel picks room nobody uses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let start = NonNull::new(start.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Mapping { start, len })
    }

    /// Aligned to a page.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Gives the pages in this range back; they read as zeroes when touched again
    /// (private mappings). Both ends are taken inwards to whole pages.
    pub fn give_back(&self, offset: usize, len: usize) -> Result<()> {
        let end = offset.saturating_add(len).min(self.len) / page_size() * page_size();
        let start = offset.next_multiple_of(page_size());
        if start >= end {
            return Ok(());
        }
        let at = self.start.as_ptr().wrapping_add(start).cast::<c_void>();
        // SAFETY: start..end is within the mapping; zeroes are valid bytes for
        // every owner of a reservation.
        done(unsafe { libc::madvise(at, end - start, libc::MADV_DONTNEED) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, and no reference outlives its owner.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Sleeps while `word` is still `expected`, until woken, at most `ms`.
/// EAGAIN: it was not; ETIMEDOUT; EINTR. Works between processes.
pub fn futex_wait(word: &AtomicU32, expected: u32, ms: u64) -> Result<()> {
    let span =
        libc::timespec { tv_sec: (ms / 1000) as i64, tv_nsec: (ms % 1000) as i64 * 1_000_000 };
    // SAFETY: the word is valid for the length of the call, and so is the span.
    // Not FUTEX_PRIVATE: the waiters are other processes.
    let ret =
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &span) };
    done(ret as c_int)
}

/// Wakes up to `waiters`; returns how many there were.
pub fn futex_wake(word: &AtomicU32, waiters: c_int) -> c_int {
    // SAFETY: the word is valid for the length of the call, which cannot fail then.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, waiters) as c_int }
}

pub fn page_size() -> usize {
    // SAFETY: takes a number; cannot fail for this one.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file;
    use std::sync::atomic::Ordering::SeqCst;

    #[test]
    fn reserved_space_is_free_until_touched() {
        let map = Mapping::reserve(1 << 36).unwrap();
        let end = map.start().as_ptr().wrapping_add(map.len() - 1);
        // SAFETY: the last byte of the mapping.
        unsafe { end.write(7) };
        map.give_back(map.len() - 1, 1).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { end.read() }, 7, "a part of a page is kept");
        map.give_back(map.len() - page_size(), usize::MAX).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { end.read() }, 0);
        assert!(Mapping::reserve(usize::MAX / 2).is_err());
        assert!(Mapping::reserve(0).is_err());
    }

    #[test]
    fn two_mappings_share_a_file_of_fixed_size() {
        let fd = file::memfd(c"limpet:test").unwrap();
        file::ftruncate(&fd, 8192).unwrap();
        file::seal_size(&fd).unwrap();
        assert_eq!(file::ftruncate(&fd, 0), Err(Errno::EPERM));
        let (a, b) = (Mapping::shared(&fd, 8192).unwrap(), Mapping::shared(&fd, 8192).unwrap());
        // SAFETY: both are at least one byte long.
        unsafe {
            a.start().as_ptr().write(9);
            assert_eq!(b.start().as_ptr().read(), 9);
        }
    }

    #[test]
    fn futexes_wait_at_most_their_time() {
        let word = AtomicU32::new(1);
        assert_eq!(futex_wait(&word, 0, 1000), Err(Errno::EAGAIN));
        assert_eq!(futex_wait(&word, 1, 5), Err(Errno::ETIMEDOUT));
        assert_eq!(futex_wake(&word, 1), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(SeqCst) == 1 && futex_wait(&word, 1, 5000) != Err(Errno::EAGAIN) {}
            });
            word.store(2, SeqCst);
            futex_wake(&word, 1);
        });
    }
}
