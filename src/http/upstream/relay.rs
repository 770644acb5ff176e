//! An answer's body on its way to the client.
//!
//! What came together with the head mostly is all of it, and leaves with our head. Else two
//! sides run beside each other in a room: one reads from the upstream into a [`Queue`], the
//! other sends to the client what is in it. A slow client holds the queue's buffers and, if
//! it is buffered, a file; a slow upstream holds nothing.

use super::feed::{Fed, Feeding};
use super::leave::{Leaving, consume};
use super::queue::Queue;
use super::splice::{self, Passed};
use super::{Stored, Upstream, trailers, tunnel};
use crate::http::output::Output;
use crate::http::request::Request;
use crate::http::request_body::TempFile;
use crate::http::send::{self, Source};
use crate::log::Level;
use crate::mem::arena::Held;
use crate::proto::deflate::Flush;
use crate::sys::errno::{Errno, Result};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

/// Sends the body of the upstream's answer, whose head has been written. `ECANCELED`: it is
/// not complete, which has been told.
///
/// Cancellation: both connections are closed.
pub fn relay<'r>(
    request: &mut Request<'r>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        if request.upstream.as_ref().is_some_and(|upstream| upstream.head.status == 101) {
            let tunnel = request.worker.rooms.place(tunnel::run(request, output));
            return tunnel.ok_or(Errno::ENOMEM)?.await;
        }
        let Some(mut upstream) = request.upstream.take() else { return Ok(()) };
        let sent = whole(request, &mut upstream, output).await;
        upstream.release(request);
        request.upstream = Some(upstream);
        sent
    }
}

/// What is there of it at once, and all else in a room.
fn whole<'r>(
    request: &mut Request<'r>,
    upstream: &mut Held<'r, Upstream<'r>>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        let early = match take_early(request, upstream) {
            Ok(early) => early,
            Err(errno) => return Err(errno),
        };
        if upstream.rest.is_over() {
            if let Some(attempt) = upstream.attempt {
                attempt.length.set(early.len() as u64);
            }
            // The connection is free for others before this client has its answer.
            upstream.release(request);
            if let Some(stored) = upstream.stored.take() {
                stored.write(early);
                stored.keep();
                stored.conclude(request);
            }
            if let Some(section) = &upstream.section {
                trailers::hand_on(request, section);
            }
            let early = upstream.window.cut(early);
            return send::whole(request, &Source::Bytes(early), output).await;
        }
        let rooms = request.worker.rooms;
        let run = rooms.place(run(request, upstream, early, output));
        run.ok_or(Errno::ENOMEM)?.await
    }
}

/// Takes apart what came of the body together with the head.
fn take_early<'r>(request: &mut Request<'r>, upstream: &mut Upstream<'r>) -> Result<&'r [u8]> {
    let early = std::mem::take(&mut upstream.early);
    let came = early.len();
    match upstream.rest.take_early(early, upstream.section.as_ref()) {
        Ok((kept, used)) => {
            if used < came {
                more_than_said(request, upstream);
            }
            let early: &'r [u8] = early;
            Ok(early.get(..kept).unwrap_or_default())
        }
        Err(broken) => {
            request.log(Level::Error, None, format_args!("{broken}"));
            Err(cut_short(request, upstream))
        }
    }
}

/// The upstream sends more than it said, which belongs to nothing.
fn more_than_said(request: &mut Request<'_>, upstream: &mut Upstream<'_>) {
    if let Some(link) = &mut upstream.link {
        link.keeps = false;
    }
    let text = format_args!("upstream sent more data than specified in its header");
    request.log(Level::Warn, None, text);
}

/// The answer cannot be completed: the client learns it by the end of its connection.
fn cut_short(request: &mut Request<'_>, upstream: &mut Upstream<'_>) -> Errno {
    request.keep_alive = false;
    if let Some(link) = &mut upstream.link {
        link.keeps = false;
    }
    Errno::ECANCELED
}

/// Both sides, beside each other.
fn run<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
    early: &'r [u8],
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        request.action = " while reading upstream";
        let queue = Queue::default();
        let mut length = early.len() as u64;
        let early = match splice::suits(request, upstream) {
            false => early,
            true => match straight(request, upstream, early, &queue, &mut length, output).await? {
                Some(fed) => return conclude(request, upstream, Some(fed), Ok(())),
                None => b"",
            },
        };
        for _ in 0..2 {
            queue.lend(request.worker.relay_buffer().ok_or(Errno::ENOMEM)?);
        }
        let rate = upstream.conf.limit_rate.of(request);
        let client = (&request.conn.io, upstream.watched(request).1);
        let Upstream { conf, link, rest, attempt, section, stored, .. } = upstream;
        let (section, stored) = (section.as_ref(), stored.as_ref());
        let Some(link) = link else { return Err(Errno::ECANCELED) };
        let folder = conf.temp_path.as_deref();
        if let Some(stored) = stored {
            stored.write(early);
        }
        let feeding = Feeding {
            io: &link.io,
            client,
            conf,
            queue: &queue,
            rate,
            unbuffered: upstream.unbuffered,
            make: &|| TempFile::for_answer(folder),
            section,
            stored,
        };
        let leaving = Leaving {
            stream: None,
            window: upstream.window,
            flush: if upstream.unbuffered { Flush::Sync } else { Flush::No },
            section,
        };
        let (mut came, mut spill_failed) = (0, None);
        let mut fed = None;
        let sent = {
            let feed = pin!(feeding.run(rest, (&mut came, &mut length), &mut spill_failed));
            let send = pin!(consume(request, &queue, early, leaving, output));
            both(&queue, feed, send, (&mut fed, stored)).await
        };
        if let Some(attempt) = attempt {
            attempt.received.set(attempt.received.get() + came);
            attempt.length.set(length);
        }
        if let Some(errno) = spill_failed {
            request.log(
                Level::Crit,
                Some(errno),
                format_args!("pwrite() to a temporary file failed"),
            );
        }
        conclude(request, upstream, fed, sent)
    }
}

/// Both sides, until the client's has ended; what is to stay as a file is read to its end,
/// though the client has gone. They are one task: neither wakes the other.
fn both<'a>(
    queue: &'a Queue,
    mut feed: Pin<&'a mut impl Future<Output = Fed>>,
    mut send: Pin<&'a mut impl Future<Output = Result<()>>>,
    (fed, stored): (&'a mut Option<Fed>, Option<&'a Stored<'_>>),
) -> impl Future<Output = Result<()>> {
    let mut sent = None;
    poll_fn(move |context| {
        loop {
            let before = queue.changes();
            if fed.is_none()
                && let Poll::Ready(ended) = feed.as_mut().poll(context)
            {
                let complete = matches!(ended, Fed::Complete | Fed::TooMuch);
                if let Some(stored) = stored.filter(|_| complete) {
                    stored.keep();
                }
                *fed = Some(ended);
                queue.end(complete);
            }
            let fed_at = queue.changes();
            match sent {
                None => match send.as_mut().poll(context) {
                    Poll::Ready(ended) => {
                        sent = Some(ended);
                        continue;
                    }
                    Poll::Pending => {}
                },
                Some(sent) if fed.is_some() || stored.is_none() => return Poll::Ready(sent),
                Some(_) => queue.skip(),
            }
            if queue.changes() == fed_at && fed_at == before {
                return Poll::Pending;
            }
        }
    })
}

/// The way through the kernel, as far as it goes. `None`: the rest goes through the queue,
/// which has what is on its way.
async fn straight<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
    early: &'r [u8],
    queue: &Queue,
    length: &mut u64,
    output: &mut Output,
) -> Result<Option<Fed>> {
    let timeout = request.location.conf.core.send_timeout;
    send::part(request, &Source::Bytes(early), output).await?;
    output.flush(&request.conn.io, timeout, true).await?;
    let (mut counts, mut buffers) = (splice::Counts::default(), splice::buffers(upstream));
    let mut pipe = request.worker.pipes.take().ok_or(Errno::EMFILE)?;
    let fed = loop {
        let passed = splice::run(request, upstream, (pipe, buffers), &mut counts).await;
        request.body_sent += std::mem::take(&mut counts.left);
        match passed? {
            Passed::Ended(fed) => break Some(fed),
            Passed::Blocked(held) => pipe = held,
        }
        let file = TempFile::for_answer(upstream.conf.temp_path.as_deref());
        match queue.begin_with(&mut pipe, file) {
            Ok(true) => break None,
            Ok(false) => buffers = false,
            Err(errno) => {
                let text = format_args!("splice() to a temporary file failed");
                request.log(Level::Crit, Some(errno), text);
                return Err(errno);
            }
        }
    };
    *length += counts.came;
    if let Some(attempt) = upstream.attempt {
        attempt.received.set(attempt.received.get() + counts.came);
        attempt.length.set(*length);
    }
    Ok(fed)
}

/// Says what went wrong, if anything has.
fn conclude(
    request: &mut Request<'_>,
    upstream: &mut Upstream<'_>,
    fed: Option<Fed>,
    sent: Result<()>,
) -> Result<()> {
    match fed {
        Some(Fed::Complete) => {}
        Some(Fed::TooMuch) => more_than_said(request, upstream),
        Some(Fed::Premature) => {
            let text = format_args!("upstream prematurely closed connection");
            request.log(Level::Error, None, text);
        }
        Some(Fed::Invalid(broken)) => {
            request.log(Level::Error, None, format_args!("{broken}"));
        }
        Some(Fed::Failed(Errno::ETIMEDOUT)) => {
            let errno = Some(Errno::ETIMEDOUT);
            request.log(Level::Error, errno, format_args!("upstream timed out"));
        }
        Some(Fed::Failed(errno)) => {
            request.log(Level::Error, Some(errno), format_args!("recv() failed"));
        }
        Some(Fed::Gone) => {
            let text = "client prematurely closed connection, so upstream connection is closed too";
            request.log_info(None, format_args!("{text}"));
        }
        None => {}
    }
    if let Some(stored) = upstream.stored.take() {
        stored.conclude(request);
    }
    request.action = "";
    let complete = matches!(fed, Some(Fed::Complete | Fed::TooMuch));
    match sent {
        Ok(()) if complete => Ok(()),
        Ok(()) => Err(cut_short(request, upstream)),
        Err(errno) => {
            cut_short(request, upstream);
            Err(errno)
        }
    }
}
