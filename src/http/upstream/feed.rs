//! The upstream's side of a relay: what comes goes into the queue.

use super::queue::{Chunk, Queue};
use super::{Broken, Rest, Section, Stored, settings};
use crate::event::{self, Io};
use crate::http::request_body::TempFile;
use crate::http::trailers::decode;
use crate::proto::chunked;
use crate::sys::errno::{Errno, Result};
use crate::time;
use std::future::poll_fn;
use std::task::Poll;

/// Why the upstream's side has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    Complete,
    /// Bytes came behind the end.
    TooMuch,
    Premature,
    Invalid(Broken),
    Gone,
    Failed(Errno),
}

impl Rest<'_> {
    /// The same for what came together with the head.
    pub(super) fn take_early(
        &mut self,
        bytes: &mut [u8],
        section: Option<&Section<'_>>,
    ) -> std::result::Result<(usize, usize), Broken> {
        match self {
            // Its records were taken apart before the head could be read.
            Rest::Records(records) => Ok(records.count(bytes.len(), bytes.len())),
            _ => self.take(bytes, section),
        }
    }

    /// Takes apart bytes that came: how many of them are of the body, which are moved to the
    /// front, and how many belong to the answer.
    fn take(
        &mut self,
        bytes: &mut [u8],
        section: Option<&Section<'_>>,
    ) -> std::result::Result<(usize, usize), Broken> {
        match self {
            Rest::None => Ok((0, 0)),
            Rest::Length(left) => {
                let count = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                *left -= count as u64;
                Ok((count, count))
            }
            Rest::Chunked(decoder) => {
                decode(decoder, bytes, section).map_err(|chunked::Bad| Broken::Chunks)
            }
            Rest::UntilClose => Ok((bytes.len(), bytes.len())),
            Rest::Records(records) => records.take(bytes),
        }
    }
}

/// The upstream's side.
pub struct Feeding<'a, 'r> {
    pub io: &'a Io,
    pub client: (&'a Io, u8),
    pub conf: &'a settings::Loc,
    pub queue: &'a Queue,
    pub rate: u64,
    pub unbuffered: bool,
    pub make: &'a dyn Fn() -> Option<TempFile>,
    pub section: Option<&'a Section<'r>>,
    pub stored: Option<&'a Stored<'r>>,
}

impl Feeding<'_, '_> {
    /// Reads until the body is over.
    pub async fn run(
        &self,
        rest: &mut Rest<'_>,
        (came, length): (&mut u64, &mut u64),
        spill_failed: &mut Option<Errno>,
    ) -> Fed {
        let began = time::now_ms();
        loop {
            if let Rest::Records(records) = rest
                && let Some(broken) = records.broken()
            {
                return Fed::Invalid(broken);
            }
            let Some(mut chunk) = self.room(spill_failed).await else { return Fed::Gone };
            let most = self.allowed(began, *came, chunk.buffer.len() - chunk.end).await;
            let end = chunk.end;
            let room = chunk.buffer.get_mut(end..end + most).unwrap_or_default();
            let count = match self.io.try_read(room) {
                Ok(count) => count,
                Err(Errno::EINTR | Errno::EAGAIN) => {
                    self.queue.push(chunk);
                    match self.wait().await {
                        Ok(true) => continue,
                        Ok(false) => return Fed::Gone,
                        Err(errno) => return Fed::Failed(errno),
                    }
                }
                Err(errno) => {
                    self.queue.push(chunk);
                    return Fed::Failed(errno);
                }
            };
            *came += count as u64;
            let read = room.get_mut(..count).unwrap_or_default();
            let taken = rest.take(read, self.section);
            if let Ok((kept, _)) = taken {
                chunk.end += kept;
                if let Some(stored) = self.stored {
                    stored.write(read.get(..kept).unwrap_or_default());
                }
                *length += kept as u64;
            }
            self.queue.push(chunk);
            match taken {
                Err(broken) => return Fed::Invalid(broken),
                Ok(_) if count == 0 && matches!(rest, Rest::UntilClose) => return Fed::Complete,
                Ok(_) if count == 0 => return Fed::Premature,
                Ok((_, used)) if used < count => return Fed::TooMuch,
                Ok(_) if rest.is_over() => return Fed::Complete,
                Ok(_) => {}
            }
            // The client's side has its turn, and the others of the worker.
            event::yield_now().await;
        }
    }

    /// Room to read into; `None`: the client has gone.
    async fn room(&self, spill_failed: &mut Option<Errno>) -> Option<Chunk> {
        loop {
            if let Some(chunk) = self.queue.room() {
                return Some(chunk);
            }
            let most = if self.unbuffered { 0 } else { self.conf.max_temp_file_size };
            match self.queue.spill(most, self.make) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(errno) => *spill_failed = Some(errno),
            }
            let before = self.queue.changes();
            let queue = self.queue;
            poll_fn(|_| if queue.changes() == before { Poll::Pending } else { Poll::Ready(()) })
                .await;
        }
    }

    /// How many bytes may be read now (`proxy_limit_rate`).
    async fn allowed(&self, began: u64, came: u64, room: usize) -> usize {
        if self.rate == 0 {
            return room;
        }
        loop {
            let seconds = time::now_ms().saturating_sub(began) / 1000 + 1;
            let due = self.rate.saturating_mul(seconds);
            if came < due {
                return usize::try_from(due - came).map_or(room, |due| due.min(room));
            }
            let behind = (came - due).saturating_mul(1000) / self.rate;
            event::sleep(event::after(behind.max(1))).await;
        }
    }

    /// Waits for more; false: the client has gone.
    async fn wait(&self) -> Result<bool> {
        let wanted = [(self.io, event::READ), self.client];
        event::any_of(wanted, event::after(self.conf.read_timeout)).await?;
        Ok(self.io.may(event::READ) || !self.client.0.is_closed())
    }
}
