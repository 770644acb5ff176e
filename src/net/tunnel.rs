//! Bytes both ways between two connections, until one side has ended, or another worker goes
//! on with it.
//!
//! A tunnel knows nothing of what passes: what is to be known of it later, by whoever takes
//! it over, is in [`Tunnel`].

use crate::event::{self, Deadline, Io};
use crate::mem::buffers::Buf;
use crate::net::handover::parcel;
use crate::sys::errno::Errno;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Buffers that pass one way before it is the other's turn, and other tunnels'.
const BATCH: u32 = 32;

/// How long after nobody has taken it a tunnel is offered again, in ms.
const AGAIN_MS: u64 = 1000;

/// What is on its way in one direction.
pub struct Way {
    buffer: Buf,
    start: usize,
    end: usize,
    /// Its source has ended.
    ended: bool,
    /// Bytes that have passed.
    pub passed: u64,
    /// Bytes that came, without those that were there already.
    pub came: u64,
}

/// Both directions.
pub struct Tunnel {
    /// From the client to the upstream.
    pub up: Way,
    /// From the upstream to the client.
    pub down: Way,
    /// It ends when nothing passes for so long, in ms; and when that is.
    timeout: u64,
    deadline: Deadline,
    /// When it is offered to other workers again, if it has been.
    again: Option<Deadline>,
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

/// Why nothing passes at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    Ended(Ended),
    /// The worker leaves: somebody else is to go on.
    Leaves,
}

impl Way {
    /// With bytes that are there already; those that do not fit are `None`.
    pub fn new(mut buffer: Buf, already: &[u8]) -> Option<Way> {
        buffer.get_mut(..already.len())?.copy_from_slice(already);
        Some(Way { buffer, start: 0, end: already.len(), ended: false, passed: 0, came: 0 })
    }

    /// As another worker had it.
    fn carried(buffer: Buf, way: &parcel::Way<'_>) -> Option<Way> {
        let parcel::Way { ended, came, passed, pending } = *way;
        Some(Way { ended, came, passed, ..Way::new(buffer, pending)? })
    }

    fn as_parcel(&self) -> parcel::Way<'_> {
        let pending = self.buffer.get(self.start..self.end).unwrap_or_default();
        parcel::Way { ended: self.ended, came: self.came, passed: self.passed, pending }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn is_over(&self) -> bool {
        self.ended && self.is_empty()
    }

    /// Moves what goes without waiting; false: there may be more. The errors are those of
    /// reading and writing.
    fn advance(&mut self, from: &Io, to: &Io) -> Result<bool, Side> {
        for _ in 0..BATCH {
            while !self.is_empty() {
                let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
                match to.try_send(bytes, 0) {
                    Ok(count) => {
                        self.start += count;
                        self.passed += count as u64;
                    }
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => return Ok(true),
                    Err(errno) => return Err(Side::Writing(errno)),
                }
            }
            if self.ended {
                return Ok(true);
            }
            match from.try_read(&mut self.buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    (self.start, self.end) = (0, count);
                    self.came += count as u64;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(true),
                Err(errno) => return Err(Side::Reading(errno)),
            }
        }
        Ok(false)
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
    /// `timeout` ms without any bytes end it.
    pub fn new(up: Way, down: Way, timeout: u64) -> Tunnel {
        Tunnel { up, down, timeout, deadline: event::after(timeout), again: None }
    }

    /// As another worker had it; its silence may last so much longer. `None`: the bytes on their
    /// way do not fit.
    pub fn carried(
        (up, down): (Buf, Buf),
        tunnel: &parcel::Tunnel<'_>,
        left_ms: u32,
    ) -> Option<Tunnel> {
        let (up, down) = (Way::carried(up, &tunnel.up)?, Way::carried(down, &tunnel.down)?);
        let deadline = event::after(left_ms.into());
        Some(Tunnel { deadline, ..Tunnel::new(up, down, tunnel.timeout_ms) })
    }

    /// What another worker has to know of it; `context`: what its owner does.
    pub fn as_parcel<'a>(&'a self, owner: parcel::Owner, context: &'a [u8]) -> parcel::Tunnel<'a> {
        let (up, down) = (self.up.as_parcel(), self.down.as_parcel());
        parcel::Tunnel { owner, timeout_ms: self.timeout, up, down, context }
    }

    /// When it ends if nothing passes.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Nobody has taken it: it goes on here, and is offered again in a while.
    pub fn stays(&mut self) {
        self.again = Some(event::after(AGAIN_MS));
    }

    /// Lets bytes pass.
    ///
    /// Cancellation: nothing is lost, what is on its way is in the tunnel.
    pub async fn run(&mut self, client: &Io, upstream: &Io) -> Stop {
        loop {
            let is_quiet = match self.advance(client, upstream) {
                Ok(is_quiet) => is_quiet,
                Err(ended) => return Stop::Ended(ended),
            };
            if self.up.is_over() || self.down.is_over() {
                return Stop::Ended(Ended::Closed);
            }
            if !is_quiet {
                event::yield_now().await;
            }
            if let Some(stop) = self.wait(client, upstream).await {
                return stop;
            }
            self.deadline = event::after(self.timeout);
        }
    }

    /// Both ways; false: there may be more.
    fn advance(&mut self, client: &Io, upstream: &Io) -> Result<bool, Ended> {
        let up = self.up.advance(client, upstream).map_err(|side| match side {
            Side::Reading(errno) => Ended::ClientFailed(errno),
            Side::Writing(errno) => Ended::UpstreamFailed(errno),
        })?;
        let down = self.down.advance(upstream, client).map_err(|side| match side {
            Side::Reading(errno) => Ended::UpstreamFailed(errno),
            Side::Writing(errno) => Ended::ClientFailed(errno),
        })?;
        Ok(up && down)
    }

    /// Until bytes can pass, which is `None`.
    async fn wait(&self, client: &Io, upstream: &Io) -> Option<Stop> {
        let ((read_client, write_upstream), (read_upstream, write_client)) =
            (self.up.wants(), self.down.wants());
        let wanted =
            [(client, read_client | write_client), (upstream, read_upstream | write_upstream)];
        let mut ready = pin!(event::any_of(wanted, self.deadline));
        poll_fn(|context| {
            if event::draining() && self.again.is_none_or(event::is_due) {
                return Poll::Ready(Some(Stop::Leaves));
            }
            let ready = ready.as_mut().poll(context);
            ready.map(|ready| ready.err().map(|_| Stop::Ended(Ended::TimedOut)))
        })
        .await
    }
}
