//! Where the lines of a log go, without ever making us wait for a reader.
//!
//! O_NONBLOCK belongs to the open description, which an inherited descriptor
//! shares with whoever gave it to us (the user's shell). So it is never set on
//! one: the master opens what is behind it anew through /proc, for itself. Where
//! that is refused, sockets are told with each call, and pipes too; only a
//! terminal of somebody else is left, and is written as nginx writes everything.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::io::IoSlice;
use std::os::fd::{OwnedFd, RawFd};

use crate::sys::socket;
use crate::sys::{Errno, Result, fd, file, io};

/// A write to a pipe of at most so many bytes is whole or not at all, and never
/// mixed with another process's (PIPE_BUF, pipe(7)).
const PIPE_BUF: usize = 4096;

pub struct Output {
    fd: OwnedFd,
    way: Cell<Way>,
}

/// How to write without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A file, or a device without a reader: it takes everything at once.
    Plain,
    /// A pipe or terminal whose description is ours, with O_NONBLOCK.
    Own,
    /// MSG_DONTWAIT
    Socket,
    /// RWF_NOWAIT, for an inherited pipe
    Nowait,
    /// Nothing of this works.
    Waits,
}

impl Output {
    /// By path; made if it does not exist.
    pub fn open(path: &[u8]) -> Result<Output> {
        Output::at(&CString::new(path).map_err(|_| Errno::EINVAL)?)
    }

    pub fn at(path: &CStr) -> Result<Output> {
        let fd = open(path)?;
        let waits = file::fstat(&fd)?.is_fifo() || fd::is_terminal(&fd);
        let way = if waits { Way::Own } else { Way::Plain };
        Ok(Output::new(fd, way))
    }

    /// What we were started with as descriptor `number`.
    pub fn inherited(number: RawFd) -> Result<Output> {
        let fd = fd::duplicate_number(number)?;
        let stat = file::fstat(&fd)?;
        if stat.is_socket() {
            return Ok(Output::new(fd, Way::Socket));
        }
        if !stat.is_fifo() && !fd::is_terminal(&fd) {
            return Ok(Output::new(fd, Way::Plain));
        }
        match reopen(number) {
            Ok(own) => Ok(Output::new(own, Way::Own)),
            Err(_) if stat.is_fifo() => Ok(Output::new(fd, Way::Nowait)),
            Err(_) => Ok(Output::new(fd, Way::Waits)),
        }
    }

    fn new(fd: OwnedFd, way: Way) -> Output {
        Output { fd, way: Cell::new(way) }
    }

    /// Whether a slow reader can make us wait after all.
    pub fn waits(&self) -> bool {
        self.way.get() == Way::Waits
    }

    /// EAGAIN when it does not take anything now; ENOTSUP when from here on it waits.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        match self.way.get() {
            Way::Plain | Way::Own | Way::Waits => io::write(&self.fd, bytes),
            Way::Socket => socket::send(&self.fd, bytes, socket::DONTWAIT),
            Way::Nowait => match io::write_nowait(&self.fd, &[IoSlice::new(bytes)]) {
                // A kernel that cannot do this for pipes.
                Err(Errno::ENOTSUP | Errno::ENOSYS | Errno::EINVAL) => {
                    self.way.set(Way::Waits);
                    Err(Errno::ENOTSUP)
                }
                result => result,
            },
        }
    }

    /// The most that may be written at once, if the output has an opinion.
    pub fn piece(&self) -> Option<usize> {
        (self.way.get() != Way::Plain).then_some(PIPE_BUF)
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

/// Opens a file for lines, which make it if it does not exist.
pub fn open(path: &CStr) -> Result<OwnedFd> {
    let flags = file::APPEND | file::NONBLOCK | file::NOCTTY;
    match file::open(path, flags | file::WRONLY | file::CREAT, 0o644) {
        // A fifo that nobody reads yet. Being a reader too, we need not wait for one.
        Err(Errno::ENXIO) => file::open(path, flags | file::RDWR, 0),
        result => result,
    }
}

fn reopen(number: RawFd) -> Result<OwnedFd> {
    let path = CString::new(format!("/proc/self/fd/{number}")).map_err(|_| Errno::EINVAL)?;
    let flags = file::WRONLY | file::APPEND | file::NONBLOCK | file::NOCTTY;
    file::open(&path, flags, 0)
}
