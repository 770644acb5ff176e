//! What has come of an answer and has not left: a few buffers, and a file behind them for
//! clients that are slower than the upstream (`proxy_buffers`, `proxy_max_temp_file_size`).
//!
//! One side fills it, the other empties it; both are parts of one task, so that neither
//! wakes the other: whoever runs both looks at [`Queue::changes`].
//!
//! INVARIANT: what is in the file is older than what is in `ready`, and younger than what
//! has been taken.

use crate::http::request_body::TempFile;
use crate::mem::buffers::Buf;
use crate::mem::sort::sort_by;
use crate::net::pipe::Pipe;
use crate::sys::errno::{Errno, Result};
use crate::sys::io;
use std::cell::{Cell, RefCell};

/// Bytes in a buffer.
pub struct Chunk {
    pub buffer: Buf,
    pub start: usize,
    pub end: usize,
}

impl Chunk {
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }
}

/// What is next.
pub enum Next {
    Chunk(Chunk),
    /// So many bytes of the file, from here on.
    File(u64, u64),
    /// Nothing yet.
    Empty,
    /// Nothing any more; false: the upstream has not sent all.
    End(bool),
}

#[derive(Default)]
struct Spilled {
    file: Option<TempFile>,
    from: u64,
    to: u64,
    /// No file can be had, or written.
    failed: bool,
}

/// Buffers in use at once: one is filled while the other leaves.
const BUFFERS: usize = 2;

#[derive(Default)]
pub struct Queue {
    free: RefCell<[Option<Buf>; BUFFERS]>,
    ready: RefCell<[Option<Chunk>; BUFFERS]>,
    spilled: RefCell<Spilled>,
    ended: Cell<Option<bool>>,
    changes: Cell<u32>,
}

impl Queue {
    /// Gives it a buffer to work with.
    pub fn lend(&self, buffer: Buf) {
        if let Some(place) = self.free.borrow_mut().iter_mut().find(|place| place.is_none()) {
            *place = Some(buffer);
        }
        self.changed();
    }

    /// Grows whenever one side has done something that the other may wait for.
    pub fn changes(&self) -> u32 {
        self.changes.get()
    }

    fn changed(&self) {
        self.changes.set(self.changes.get().wrapping_add(1));
    }

    /// A chunk to fill: the last one if it has room, else a free one.
    pub fn room(&self) -> Option<Chunk> {
        let mut ready = self.ready.borrow_mut();
        let last = ready.iter_mut().rev().find(|place| place.is_some());
        if let Some(last) = last
            && last.as_ref().is_some_and(|last| last.end < last.buffer.len())
        {
            return last.take();
        }
        let mut free = self.free.borrow_mut();
        let buffer = free.iter_mut().find_map(Option::take)?;
        Some(Chunk { buffer, start: 0, end: 0 })
    }

    /// Puts a chunk behind the others.
    pub fn push(&self, chunk: Chunk) {
        let mut ready = self.ready.borrow_mut();
        if chunk.start == chunk.end {
            drop(ready);
            return self.lend(chunk.buffer);
        }
        if let Some(place) = ready.iter_mut().find(|place| place.is_none()) {
            *place = Some(chunk);
        }
        self.changed();
    }

    /// No more comes; false: it should have.
    pub fn end(&self, complete: bool) {
        self.ended.set(Some(complete));
        self.changed();
    }

    /// Moves what is ready into the file, if that may hold it: `most` bytes in all. The error
    /// of the first failure; after that there is none and no file.
    pub fn spill(&self, most: u64, make: impl FnOnce() -> Option<TempFile>) -> Result<bool> {
        let (mut ready, mut spilled) = (self.ready.borrow_mut(), self.spilled.borrow_mut());
        let len: usize = ready.iter().flatten().map(|chunk| chunk.bytes().len()).sum();
        if spilled.failed || len == 0 || spilled.to + len as u64 > most {
            return Ok(false);
        }
        if spilled.file.is_none() {
            spilled.file = make();
            spilled.failed = spilled.file.is_none();
        }
        let mut at = spilled.to;
        for place in ready.iter_mut() {
            let Some(file) = &spilled.file else { return Ok(false) };
            let Some(chunk) = place else { continue };
            if let Err(errno) = write(file, chunk, &mut at) {
                spilled.failed = true;
                spilled.to = at;
                return Err(errno);
            }
            spilled.to = at;
            if let Some(chunk) = place.take()
                && let Some(free) = self.free.borrow_mut().iter_mut().find(|it| it.is_none())
            {
                *free = Some(chunk.buffer);
            }
        }
        self.changed();
        Ok(true)
    }

    /// Begins with what is in a pipe; nothing has come before. False: there is no file for it.
    pub fn begin_with(&self, pipe: &mut Pipe, file: Option<TempFile>) -> Result<bool> {
        let Some(file) = file else { return Ok(false) };
        let held = pipe.held() as u64;
        pipe.empty_into(&file.fd)?;
        let mut spilled = self.spilled.borrow_mut();
        (spilled.file, spilled.from, spilled.to) = (Some(file), 0, held);
        Ok(true)
    }

    /// What is to leave next.
    pub fn next(&self) -> Next {
        let spilled = self.spilled.borrow();
        if spilled.from < spilled.to {
            return Next::File(spilled.from, spilled.to - spilled.from);
        }
        let mut ready = self.ready.borrow_mut();
        let first = ready.iter_mut().find_map(Option::take);
        sort_by(&mut *ready, |a, b| a.is_none().cmp(&b.is_none()));
        match (first, self.ended.get()) {
            (Some(chunk), _) => Next::Chunk(chunk),
            (None, Some(complete)) => Next::End(complete),
            (None, None) => Next::Empty,
        }
    }

    /// Forgets what is next: nobody wants it.
    pub fn skip(&self) {
        match self.next() {
            Next::Chunk(chunk) => self.lend(chunk.buffer),
            Next::File(_, len) => self.left(len),
            Next::Empty | Next::End(_) => {}
        }
    }

    /// So many bytes of the file have left.
    pub fn left(&self, count: u64) {
        let mut spilled = self.spilled.borrow_mut();
        spilled.from += count;
        if spilled.from >= spilled.to {
            (spilled.from, spilled.to) = (0, 0);
        }
        drop(spilled);
        self.changed();
    }

    /// Looks at the file.
    pub fn with_file<T>(&self, look: impl FnOnce(&TempFile) -> T) -> Option<T> {
        self.spilled.borrow().file.as_ref().map(look)
    }
}

/// Writes a chunk, and says in it how much of it is out.
fn write(file: &TempFile, chunk: &mut Chunk, at: &mut u64) -> Result<()> {
    while chunk.start < chunk.end {
        match io::pwrite(&file.fd, chunk.bytes(), *at) {
            Ok(0) => return Err(Errno::ENOSPC),
            Ok(count) => {
                chunk.start += count;
                *at += count as u64;
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
