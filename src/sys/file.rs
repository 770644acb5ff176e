//! Files and directories: opening, asking, naming, locking. Bytes move in io.rs.
//!
//! Paths are `&CStr`: the hot path has them ready, and the cold one makes them
//! with `path`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{c_char, c_int, c_uint, mode_t};

use super::errno::{Errno, Result, check, count, done};
use super::fd::{own, raw};

pub const RDONLY: c_int = libc::O_RDONLY;
pub const WRONLY: c_int = libc::O_WRONLY;
pub const RDWR: c_int = libc::O_RDWR;
pub const CREAT: c_int = libc::O_CREAT;
pub const EXCL: c_int = libc::O_EXCL;
pub const TRUNC: c_int = libc::O_TRUNC;
pub const APPEND: c_int = libc::O_APPEND;
/// Not to be held up by a FIFO or a device in place of a file.
pub const NONBLOCK: c_int = libc::O_NONBLOCK;
/// A terminal that is opened does not become ours (setsid).
pub const NOCTTY: c_int = libc::O_NOCTTY;
pub const NOFOLLOW: c_int = libc::O_NOFOLLOW;
pub const DIRECTORY: c_int = libc::O_DIRECTORY;
/// A place in the tree, not an open file.
pub const PATH: c_int = libc::O_PATH;
pub const DIRECT: c_int = libc::O_DIRECT;

/// A path for the calls below; one with a NUL inside names no file.
pub fn path(path: impl AsRef<Path>) -> Result<CString> {
    CString::new(path.as_ref().as_os_str().as_bytes()).map_err(|_| Errno::ENOENT)
}

/// `mode` counts only with CREAT, under the umask.
pub fn open(path: &CStr, flags: c_int, mode: mode_t) -> Result<OwnedFd> {
    open_at_number(libc::AT_FDCWD, path, flags, mode)
}

/// As `open`, but a relative path starts at `dir`.
pub fn openat(dir: impl AsFd, path: &CStr, flags: c_int, mode: mode_t) -> Result<OwnedFd> {
    open_at_number(raw(&dir), path, flags, mode)
}

fn open_at_number(dir: RawFd, path: &CStr, flags: c_int, mode: mode_t) -> Result<OwnedFd> {
    // SAFETY: `path` ends in NUL.
    own(unsafe { libc::openat(dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode) })
}

/// As `openat`, but whatever `..` and symlinks say, the file is below `dir`
/// (else EXDEV). ENOSYS before Linux 5.6, EPERM or ENOSYS under some seccomp filters.
pub fn open_beneath(dir: impl AsFd, path: &CStr, flags: c_int) -> Result<OwnedFd> {
    const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
    const RESOLVE_BENEATH: u64 = 0x08;
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let how = OpenHow {
        flags: (flags | libc::O_CLOEXEC) as u64,
        mode: 0,
        resolve: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    // SAFETY: `path` ends in NUL; `how` is a whole struct open_how of the size given.
    let ret = unsafe {
        libc::syscall(libc::SYS_openat2, raw(&dir), path.as_ptr(), &how, size_of::<OpenHow>())
    };
    own(ret as c_int)
}

/// A file without a name in `dir`; EOPNOTSUPP where the file system has none.
pub fn open_unnamed(dir: &CStr, mode: mode_t) -> Result<OwnedFd> {
    open(dir, libc::O_TMPFILE | RDWR, mode)
}

/// A file in memory, never executable.
pub fn memfd(name: &CStr) -> Result<OwnedFd> {
    const NOEXEC_SEAL: c_uint = 0x0008;
    const FLAGS: c_uint = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    match memfd_with(name, FLAGS | NOEXEC_SEAL) {
        // Kernels before 6.3 do not know the flag.
        Err(Errno::EINVAL) => memfd_with(name, FLAGS),
        answer => answer,
    }
}

fn memfd_with(name: &CStr, flags: c_uint) -> Result<OwnedFd> {
    // SAFETY: `name` ends in NUL.
    own(unsafe { libc::memfd_create(name.as_ptr(), flags) })
}

/// Fixes the size of a file in memory for good: nobody who has it can make a
/// touch of its mapping a SIGBUS in somebody else.
pub fn seal_size(memory: impl AsFd) -> Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: plain numbers.
    done(unsafe { libc::fcntl(raw(&memory), libc::F_ADD_SEALS, seals) })
}

/// Whether it is such a file, of that size.
pub fn is_sealed(memory: impl AsFd, size: usize) -> bool {
    const SEALS: c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    // SAFETY: plain numbers.
    let seals = unsafe { libc::fcntl(raw(&memory), libc::F_GET_SEALS) };
    seals > 0 && seals & SEALS == SEALS && fstat(memory).is_ok_and(|stat| stat.size == size as u64)
}

/// What the file system knows about a file, as far as we care.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: libc::nlink_t,
    pub size: u64,
    /// What it occupies, in units of 512 bytes.
    pub blocks: u64,
    pub mtime: i64,
    pub mtime_ns: u32,
    pub ctime: i64,
    pub ctime_ns: u32,
}

/// Field by field the compiler makes a `memcmp` of it, which in musl goes byte by byte.
impl PartialEq for Stat {
    fn eq(&self, other: &Stat) -> bool {
        let wide = (self.dev ^ other.dev)
            | (self.ino ^ other.ino)
            | (self.size ^ other.size)
            | (self.blocks ^ other.blocks);
        let times = (self.mtime ^ other.mtime) | (self.ctime ^ other.ctime);
        let narrow = (self.mode ^ other.mode)
            | (self.uid ^ other.uid)
            | (self.gid ^ other.gid)
            | (self.mtime_ns ^ other.mtime_ns)
            | (self.ctime_ns ^ other.ctime_ns);
        wide | times as u64 | u64::from(narrow) == 0 && self.nlink == other.nlink
    }
}

impl Stat {
    pub fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    pub fn is_dir(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    pub fn is_symlink(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }

    pub fn is_socket(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFSOCK
    }

    pub fn is_fifo(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFIFO
    }

    /// The same file, whatever its names.
    pub fn same_file(&self, other: &Stat) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

/// Follows symlinks.
pub fn stat(path: &CStr) -> Result<Stat> {
    // SAFETY: `path` ends in NUL, `to` is room for one stat.
    fill(|to| unsafe { libc::stat(path.as_ptr(), to) })
}

/// Of the symlink itself.
pub fn lstat(path: &CStr) -> Result<Stat> {
    // SAFETY: as in `stat`.
    fill(|to| unsafe { libc::lstat(path.as_ptr(), to) })
}

/// As `lstat`, but a relative path starts at `dir`.
pub fn lstat_at(dir: impl AsFd, path: &CStr) -> Result<Stat> {
    const FLAGS: c_int = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: as in `stat`.
    fill(|to| unsafe { libc::fstatat(raw(&dir), path.as_ptr(), to, FLAGS) })
}

pub fn fstat(fd: impl AsFd) -> Result<Stat> {
    // SAFETY: `to` is room for one stat.
    fill(|to| unsafe { libc::fstat(raw(&fd), to) })
}

fn fill(call: impl FnOnce(*mut libc::stat) -> c_int) -> Result<Stat> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    done(call(stat.as_mut_ptr()))?;
    // SAFETY: the call succeeded, so it has filled the struct.
    let stat = unsafe { stat.assume_init() };
    Ok(Stat {
        dev: stat.st_dev,
        ino: stat.st_ino,
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        nlink: stat.st_nlink,
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        mtime: stat.st_mtime,
        mtime_ns: stat.st_mtime_nsec as u32,
        ctime: stat.st_ctime,
        ctime_ns: stat.st_ctime_nsec as u32,
    })
}

/// Whether the path can be opened for `mode` by the effective user (R_OK, W_OK, X_OK).
pub fn access(path: &CStr, mode: c_int) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    done(unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) })
}

pub fn unlink(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    done(unsafe { libc::unlink(path.as_ptr()) })
}

pub fn rename(from: &CStr, to: &CStr) -> Result<()> {
    // SAFETY: both end in NUL.
    done(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) })
}

pub fn mkdir(path: &CStr, mode: mode_t) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    done(unsafe { libc::mkdir(path.as_ptr(), mode) })
}

pub fn rmdir(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    done(unsafe { libc::rmdir(path.as_ptr()) })
}

/// None leaves the group alone.
pub fn chown(path: &CStr, uid: u32, gid: Option<u32>) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    done(unsafe { libc::chown(path.as_ptr(), uid, gid.unwrap_or(u32::MAX)) })
}

pub fn fchown(fd: impl AsFd, uid: u32, gid: Option<u32>) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::fchown(raw(&fd), uid, gid.unwrap_or(u32::MAX)) })
}

pub fn chmod(path: &CStr, mode: mode_t) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    done(unsafe { libc::chmod(path.as_ptr(), mode) })
}

pub fn fchmod(fd: impl AsFd, mode: mode_t) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::fchmod(raw(&fd), mode) })
}

/// When it was read and changed last, in seconds since 1970.
pub fn set_times(fd: impl AsFd, seconds: i64) -> Result<()> {
    let times = [libc::timespec { tv_sec: seconds, tv_nsec: 0 }; 2];
    // SAFETY: two times, as the call reads them, which outlive it.
    done(unsafe { libc::futimens(raw(&fd), times.as_ptr()) })
}

pub fn ftruncate(fd: impl AsFd, size: u64) -> Result<()> {
    let size = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
    // SAFETY: plain numbers.
    done(unsafe { libc::ftruncate(raw(&fd), size) })
}

/// Where a symlink points; a target longer than `buf` is cut.
pub fn readlink<'a>(path: &CStr, buf: &'a mut [u8]) -> Result<&'a [u8]> {
    let to = buf.as_mut_ptr().cast::<c_char>();
    // SAFETY: `path` ends in NUL; at most `buf.len()` bytes are written.
    let len = count(unsafe { libc::readlink(path.as_ptr(), to, buf.len()) })?;
    Ok(&buf[..len])
}

/// The path with every link followed.
pub fn realpath<'a>(path: &CStr, room: &'a mut [u8]) -> Result<&'a [u8]> {
    if room.len() < libc::PATH_MAX as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    let to = room.as_mut_ptr().cast::<c_char>();
    // SAFETY: `path` ends in NUL; at most PATH_MAX bytes, the last a NUL, are written.
    if unsafe { libc::realpath(path.as_ptr(), to) }.is_null() {
        return Err(Errno::last());
    }
    let len = room.iter().position(|byte| *byte == 0).unwrap_or(0);
    Ok(&room[..len])
}

/// An exclusive lock on the open file; EAGAIN where another holds it.
pub fn try_lock(fd: impl AsFd) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::flock(raw(&fd), libc::LOCK_EX | libc::LOCK_NB) })
}

pub fn unlock(fd: impl AsFd) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::flock(raw(&fd), libc::LOCK_UN) })
}

/// Tells the kernel that the file will be read from start to end (`read_ahead`).
pub fn advise_sequential(fd: impl AsFd) -> Result<()> {
    // SAFETY: plain numbers. The error is the return value itself, not errno.
    match unsafe { libc::posix_fadvise(raw(&fd), 0, 0, libc::POSIX_FADV_SEQUENTIAL) } {
        0 => Ok(()),
        error => Err(Errno(error)),
    }
}

/// (free bytes for us, size of a block) of the file system that holds `path`.
pub fn free_space(path: &CStr) -> Result<(u64, u64)> {
    let mut fs = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in NUL, `fs` is room for the answer.
    done(unsafe { libc::statvfs(path.as_ptr(), fs.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled the struct.
    let fs = unsafe { fs.assume_init() };
    Ok((fs.f_bavail.saturating_mul(fs.f_frsize), fs.f_frsize))
}

/// Changes to watched files become readable bytes.
pub struct Inotify(OwnedFd);

impl Inotify {
    pub fn new() -> Result<Inotify> {
        // SAFETY: plain numbers.
        own(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) }).map(Inotify)
    }

    /// The number tells the watch again in an event and to `unwatch`.
    pub fn watch(&self, path: &CStr, changes: u32) -> Result<c_int> {
        // SAFETY: `path` ends in NUL.
        check(unsafe { libc::inotify_add_watch(raw(&self.0), path.as_ptr(), changes) })
    }

    pub fn unwatch(&self, watch: c_int) -> Result<()> {
        // SAFETY: plain numbers.
        done(unsafe { libc::inotify_rm_watch(raw(&self.0), watch) })
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `/proc/self/fd/N` for a descriptor: opening it gives a new open description.
pub fn proc_path(fd: impl AsFd) -> CString {
    let text = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::io;

    #[test]
    fn a_file_in_memory() {
        let fd = memfd(c"limpet:test").unwrap();
        ftruncate(&fd, 8192).unwrap();
        assert_eq!(io::pwrite(&fd, b"hello", 100), Ok(5));
        let stat = fstat(&fd).unwrap();
        assert!(stat.is_file() && stat.size == 8192);
        let mut buf = [0; 8];
        assert_eq!(io::pread(&fd, &mut buf, 100), Ok(8));
        assert_eq!(&buf, b"hello\0\0\0");
        assert_eq!(io::pread(&fd, &mut buf, u64::MAX), Err(Errno::EOVERFLOW));
        let mut link = [0; 64];
        let target = readlink(&proc_path(&fd), &mut link).unwrap();
        assert_eq!(target, b"/memfd:limpet:test (deleted)");
    }

    #[test]
    fn names_in_a_directory() {
        let dir = std::env::temp_dir().join(format!("limpet-file-{}", std::process::id()));
        let dir = path(&dir).unwrap();
        mkdir(&dir, 0o700).unwrap();
        assert_eq!(mkdir(&dir, 0o700), Err(Errno::EEXIST));
        let tree = open(&dir, PATH | DIRECTORY, 0).unwrap();
        let file = openat(&tree, c"a", RDWR | CREAT | EXCL, 0o600).unwrap();
        try_lock(&file).unwrap();
        let again = openat(&tree, c"a", RDONLY, 0).unwrap();
        assert_eq!(try_lock(&again), Err(Errno::EAGAIN));
        unlock(&file).unwrap();
        let a = path(Path::new(std::str::from_utf8(dir.to_bytes()).unwrap()).join("a")).unwrap();
        assert!(stat(&a).unwrap().same_file(&fstat(&again).unwrap()));
        match open_beneath(&tree, c"../a", RDONLY) {
            Err(Errno::EXDEV | Errno::ENOSYS | Errno::EPERM) => {}
            other => panic!("escaped: {other:?}"),
        }
        assert!(open_unnamed(&dir, 0o600).is_ok_and(|fd| fstat(&fd).unwrap().nlink == 0));
        unlink(&a).unwrap();
        assert_eq!(stat(&a), Err(Errno::ENOENT));
        rmdir(&dir).unwrap();
    }

    #[test]
    fn a_path_with_nul_names_no_file() {
        assert_eq!(path("a\0b"), Err(Errno::ENOENT));
    }
}
