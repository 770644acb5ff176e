//! Pipes, through which the kernel moves bytes between sockets and files without a copy.

use crate::event::Io;
use crate::sys::errno::{Errno, Result};
use crate::sys::io;
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

/// A pipe and what is in it.
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

/// Bytes that a pipe is asked to hold; above the user's limit it stays as the kernel made it.
const SIZE: i32 = 256 * 1024;

impl Pipe {
    fn new() -> Result<Pipe> {
        let (read, write) = io::pipe()?;
        // A smaller one does as well.
        let _ = io::set_pipe_size(&write, SIZE);
        Ok(Pipe { read, write, held: 0 })
    }

    /// Bytes in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes up to `most` bytes from a socket. 0 is the end; EAGAIN: there are none, or the
    /// pipe is full.
    pub fn fill(&mut self, from: &Io, most: usize) -> Result<usize> {
        let pipe = &self.write;
        let is_empty = self.held == 0;
        let count = from.try_take(is_empty, |fd| io::splice(fd, pipe, most, false))?;
        self.held += count;
        Ok(count)
    }

    /// Gives bytes to a socket; `more`: others follow at once.
    pub fn drain(&mut self, to: &Io, more: bool) -> Result<usize> {
        let (pipe, held) = (&self.read, self.held);
        let count = to.try_with(|fd| io::splice(pipe, fd, held, more))?;
        self.held -= count;
        Ok(count)
    }

    /// Gives all of it to a file, at its position.
    pub fn empty_into(&mut self, file: impl AsFd) -> Result<()> {
        while self.held > 0 {
            match io::splice(&self.read, &file, self.held, false) {
                Ok(0) => return Err(Errno::ENOSPC),
                Ok(count) => self.held -= count,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// Pipes that nobody uses at the moment.
#[derive(Default)]
pub struct Pipes {
    idle: RefCell<Vec<Pipe>>,
}

/// How many are kept.
const KEPT: usize = 32;

impl Pipes {
    /// An empty one; `None`: there are no descriptors.
    pub fn take(&self) -> Option<Pipe> {
        let idle = self.idle.borrow_mut().pop();
        idle.or_else(|| Pipe::new().ok())
    }

    /// Keeps one for others; what is not empty is closed.
    pub fn give_back(&self, pipe: Pipe) {
        let mut idle = self.idle.borrow_mut();
        if pipe.held == 0 && idle.len() < KEPT {
            idle.push(pipe);
        }
    }
}
