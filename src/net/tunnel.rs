//! Bytes both ways between two connections, until one side has ended.
//!
//! A tunnel knows nothing of what passes: what is to be known of it later, by whoever takes
//! it over, is in [`Tunnel`].

use crate::event::{self, Io};
use crate::mem::buffers::Buf;
use crate::sys::errno::{Errno, Result};

/// What is on its way in one direction.
pub struct Way {
    buffer: Buf,
    start: usize,
    end: usize,
    /// Its source has ended.
    ended: bool,
    /// Bytes that have passed.
    pub passed: u64,
    /// Bytes that came.
    pub came: u64,
}

/// Both directions.
pub struct Tunnel {
    /// From the client to the upstream.
    pub up: Way,
    /// From the upstream to the client.
    pub down: Way,
}

/// Why a tunnel has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// One of them has closed, and the other has got all that it sent.
    Closed,
    /// Nothing has passed for so long.
    TimedOut,
    ClientFailed(Errno),
    UpstreamFailed(Errno),
}

impl Way {
    /// With bytes that are there already; those that do not fit are `None`.
    pub fn new(mut buffer: Buf, already: &[u8]) -> Option<Way> {
        buffer.get_mut(..already.len())?.copy_from_slice(already);
        let came = already.len() as u64;
        Some(Way { buffer, start: 0, end: already.len(), ended: false, passed: 0, came })
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn is_over(&self) -> bool {
        self.ended && self.is_empty()
    }

    /// Moves what goes without waiting; the errors are those of reading and writing.
    fn advance(&mut self, from: &Io, to: &Io) -> std::result::Result<(), Side> {
        loop {
            while !self.is_empty() {
                let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
                match to.try_send(bytes, 0) {
                    Ok(count) => {
                        self.start += count;
                        self.passed += count as u64;
                    }
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => return Ok(()),
                    Err(errno) => return Err(Side::Writing(errno)),
                }
            }
            if self.ended {
                return Ok(());
            }
            match from.try_read(&mut self.buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    (self.start, self.end) = (0, count);
                    self.came += count as u64;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(Side::Reading(errno)),
            }
        }
    }

    /// What to wait for of its source, and of its target.
    fn wants(&self) -> (u8, u8) {
        match (self.is_empty(), self.ended) {
            (false, _) => (0, event::WRITE),
            (true, false) => (event::READ, 0),
            (true, true) => (0, 0),
        }
    }
}

enum Side {
    Reading(Errno),
    Writing(Errno),
}

impl Tunnel {
    /// Lets bytes pass; `timeout` ms without any end it.
    ///
    /// Cancellation: nothing is lost, what is on its way is in the tunnel.
    pub async fn run(&mut self, client: &Io, upstream: &Io, timeout: u64) -> Ended {
        loop {
            match self.up.advance(client, upstream) {
                Ok(()) => {}
                Err(Side::Reading(errno)) => return Ended::ClientFailed(errno),
                Err(Side::Writing(errno)) => return Ended::UpstreamFailed(errno),
            }
            match self.down.advance(upstream, client) {
                Ok(()) => {}
                Err(Side::Reading(errno)) => return Ended::UpstreamFailed(errno),
                Err(Side::Writing(errno)) => return Ended::ClientFailed(errno),
            }
            if self.up.is_over() || self.down.is_over() {
                return Ended::Closed;
            }
            if self.wait(client, upstream, timeout).await.is_err() {
                return Ended::TimedOut;
            }
        }
    }

    async fn wait(&self, client: &Io, upstream: &Io, timeout: u64) -> Result<()> {
        let ((read_client, write_upstream), (read_upstream, write_client)) =
            (self.up.wants(), self.down.wants());
        let wanted =
            [(client, read_client | write_client), (upstream, read_upstream | write_upstream)];
        event::any_of(wanted, event::after(timeout)).await
    }
}
