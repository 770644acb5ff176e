//! What goes to the client: one buffer, filled by many answers, sent at once.
//!
//! Pipelined answers gather here and leave in one send; a head and its small body
//! are one piece. Whoever waits for anything flushes first, so no answer is ever
//! held back by a slow next request.
//!
//! INVARIANT: `start..end` is what was written and has not been sent.

use crate::event::{self, Io};
use crate::mem::buffers::Buf;
use crate::proto::range::Part;
use crate::sys::errno::{Errno, Result};
use crate::sys::{io, socket};
use crate::text::writer::Writer;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

/// The most a head may take; an answer is begun only with this much room.
pub const HEAD_MOST: usize = 8 * 1024;
/// Bodies up to this size are copied behind their head; larger ones are sent
/// from where they are.
const COPIED: usize = 8 * 1024;

pub struct Output {
    buffer: Buf,
    start: usize,
    end: usize,
}

impl Output {
    pub fn new(buffer: Buf) -> Output {
        Output { buffer, start: 0, end: 0 }
    }

    /// Bytes that wait to be sent.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// What was written after the first `from` bytes that wait.
    pub fn tail(&self, from: usize) -> &[u8] {
        self.buffer.get(self.start + from..self.end).unwrap_or_default()
    }

    /// Room for the next head.
    pub fn has_room(&self) -> bool {
        self.buffer.len() - self.end >= HEAD_MOST
    }

    /// Writes through `write`; what overflows is taken back and told as `false`.
    pub fn write(&mut self, write: impl FnOnce(&mut Writer<'_>)) -> bool {
        let mut writer = Writer::new(&mut self.buffer[self.end..]);
        write(&mut writer);
        match writer.finish() {
            Ok(count) => {
                self.end += count;
                true
            }
            Err(_) => false,
        }
    }

    /// Sends all that was written. `more`: a body follows at once. Each wait has
    /// `timeout` ms anew, here and below: a slow reader that makes progress is served.
    ///
    /// Cancellation: what was sent was sent; the connection is then of no use.
    pub fn flush(&mut self, io: &Io, timeout: u64, more: bool) -> impl Future<Output = Result<()>> {
        async move {
            let flags = if more { socket::MORE } else { 0 };
            while self.start < self.end {
                match io.try_send(&self.buffer[self.start..self.end], flags) {
                    Ok(count) => self.start += count,
                    Err(Errno::EAGAIN) => io.writable(event::after(timeout)).await?,
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            (self.start, self.end) = (0, 0);
            Ok(())
        }
    }

    /// Adds a body: copied when it is small, so that more answers may follow it,
    /// else sent at once together with what was written before. What has left is taken off
    /// `bytes`, here and below off a part, also where sending fails.
    pub fn body(
        &mut self,
        io: &Io,
        bytes: &mut &[u8],
        timeout: u64,
    ) -> impl Future<Output = Result<()>> {
        async move {
            if bytes.len() <= COPIED && bytes.len() <= self.buffer.len() - self.end {
                self.buffer[self.end..self.end + bytes.len()].copy_from_slice(bytes);
                self.end += bytes.len();
                *bytes = &[];
                return Ok(());
            }
            while self.start < self.end || !bytes.is_empty() {
                let parts = [IoSlice::new(&self.buffer[self.start..self.end]), IoSlice::new(bytes)];
                match io.try_with(|fd| socket::send_parts(fd, &parts, 0)) {
                    Ok(count) => {
                        let of_head = count.min(self.end - self.start);
                        self.start += of_head;
                        *bytes = &bytes[count - of_head..];
                    }
                    Err(Errno::EAGAIN) => io.writable(event::after(timeout)).await?,
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            (self.start, self.end) = (0, 0);
            Ok(())
        }
    }
}

/// Sends a part of a file, at most `most` (0: any number) bytes before the others have their
/// turn. A file that ends early is `EIO`.
pub fn send_file(
    io: &Io,
    file: &OwnedFd,
    part: &mut Part,
    most: u64,
    timeout: u64,
) -> impl Future<Output = Result<()>> {
    async move {
        /// What the kernel takes at once.
        const MOST: u64 = 0x7fff_f000;
        let most = if most == 0 { MOST } else { most.min(MOST) };
        while part.start < part.end {
            let chunk = part.len().min(most) as usize;
            match io.try_with(|socket| io::sendfile(socket, file, &mut part.start, chunk)) {
                Ok(0) => return Err(Errno::EIO),
                Ok(count) if count == chunk && part.start < part.end => event::yield_now().await,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => io.writable(event::after(timeout)).await?,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// As [`send_file`], but through a buffer (`sendfile off`: for file systems whose
/// page cache does not tell the truth).
pub fn copy_file(
    io: &Io,
    file: &OwnedFd,
    part: &mut Part,
    output: &mut Output,
    timeout: u64,
) -> impl Future<Output = Result<()>> {
    async move {
        while part.start < part.end {
            if output.end == output.buffer.len() {
                if let Err(errno) = output.flush(io, timeout, true).await {
                    part.start = part.start.saturating_sub(output.len() as u64);
                    return Err(errno);
                }
                event::yield_now().await;
            }
            let room = &mut output.buffer[output.end..];
            let most = usize::try_from(part.len()).map_or(room.len(), |left| left.min(room.len()));
            match io::pread(file, &mut room[..most], part.start) {
                Ok(0) => return Err(Errno::EIO),
                Ok(count) => {
                    output.end += count;
                    part.start += count as u64;
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}
