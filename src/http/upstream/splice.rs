//! Large bodies that pass as they are: the kernel moves them from one socket to the other,
//! through a pipe that holds a little.

use super::feed::Fed;
use super::{Rest, Upstream};
use crate::event::{self, Io};
use crate::http::request::Request;
use crate::net::pipe::Pipe;
use crate::sys::errno::{Errno, Result};

/// Smaller bodies are copied: that is one system call less for each piece.
const LEAST: u64 = 64 * 1024;
/// Bytes taken at once.
const MOST: usize = 1 << 20;
/// Bytes before the others of the worker have their turn.
const TURN: u64 = 4 << 20;
/// How long a client may take nothing before what comes for it is buffered, in milliseconds.
const PATIENCE: u64 = 500;

/// How it went.
pub enum Passed {
    /// The upstream's side has ended, and the client has all that came.
    Ended(Fed),
    /// The client takes nothing: the rest is to be buffered. What is in the pipe comes first.
    Blocked(Pipe),
}

/// Whether a body may go this way.
pub fn suits(request: &Request<'_>, upstream: &Upstream<'_>) -> bool {
    let large = match upstream.rest {
        Rest::Length(left) => left >= LEAST,
        Rest::UntilClose => true,
        Rest::None | Rest::Chunked(_) | Rest::Records(_) => false,
    };
    large
        && request.filters.is_empty()
        && !request.response.chunked
        && request.limit_rate.rate == 0
        && upstream.conf.limit_rate.is_zero()
        && upstream.window.is_whole()
        && !request.head_only()
        && upstream.stored.is_none()
}

/// Whether what comes for a slow client may be kept.
pub fn buffers(upstream: &Upstream<'_>) -> bool {
    !upstream.unbuffered && upstream.conf.max_temp_file_size > 0
}

/// What is counted on the way.
#[derive(Default)]
pub struct Counts {
    pub came: u64,
    pub left: u64,
}

/// Lets the body pass. `buffers`: what comes for a client that is too slow is kept elsewhere.
///
/// Cancellation: neither connection is of any use.
pub async fn run(
    request: &Request<'_>,
    upstream: &mut Upstream<'_>,
    (mut pipe, buffers): (Pipe, bool),
    counts: &mut Counts,
) -> Result<Passed> {
    let (client, timeout) = (&request.conn.io, request.location.conf.core.send_timeout);
    let watched = upstream.watched(request).1;
    let read_timeout = upstream.conf.read_timeout;
    let Upstream { link, rest, .. } = upstream;
    let Some(link) = link else { return Ok(Passed::Ended(Fed::Premature)) };
    let (mut ended, mut turn) = (None, 0);
    loop {
        if ended.is_none() {
            ended = fill(&mut pipe, &link.io, rest, counts);
        }
        let moved = match pipe.held() {
            0 => Ok(0),
            _ => pipe.drain(client, ended.is_none()),
        };
        match moved {
            Ok(count) => (counts.left, turn) = (counts.left + count as u64, turn + count as u64),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        match ended {
            Some(fed) if pipe.held() == 0 => {
                request.worker.pipes.give_back(pipe);
                return Ok(Passed::Ended(fed));
            }
            _ if moved.is_ok_and(|count| count > 0) && turn < TURN => continue,
            _ if turn >= TURN => {
                turn = 0;
                event::yield_now().await;
                continue;
            }
            _ => {}
        }
        if pipe.held() > 0 {
            let ms = if buffers && ended.is_none() { PATIENCE.min(timeout) } else { timeout };
            match client.writable(event::after(ms)).await {
                Err(Errno::ETIMEDOUT) if buffers && ended.is_none() => {
                    return Ok(Passed::Blocked(pipe));
                }
                outcome => outcome?,
            }
        } else if let Some(fed) = wait(&link.io, (client, watched), read_timeout).await {
            return Ok(Passed::Ended(fed));
        }
    }
}

/// Takes what has come. `Some`: no more comes.
fn fill(pipe: &mut Pipe, io: &Io, rest: &mut Rest<'_>, counts: &mut Counts) -> Option<Fed> {
    let most = match rest {
        Rest::Length(left) => usize::try_from(*left).map_or(MOST, |left| left.min(MOST)),
        _ => MOST,
    };
    match pipe.fill(io, most) {
        Ok(0) if matches!(rest, Rest::UntilClose) => Some(Fed::Complete),
        Ok(0) => Some(Fed::Premature),
        Ok(count) => {
            counts.came += count as u64;
            if let Rest::Length(left) = rest {
                *left -= count as u64;
            }
            rest.is_over().then_some(Fed::Complete)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => None,
        Err(errno) => Some(Fed::Failed(errno)),
    }
}

/// Waits for more; `Some`: none comes.
async fn wait(io: &Io, client: (&Io, u8), timeout: u64) -> Option<Fed> {
    match event::any_of([(io, event::READ), client], event::after(timeout)).await {
        Ok(()) if io.may(event::READ) || !client.0.is_closed() => None,
        Ok(()) => Some(Fed::Gone),
        Err(errno) => Some(Fed::Failed(errno)),
    }
}
