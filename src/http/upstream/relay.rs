//! An answer's body on its way to the client.
//!
//! What came together with the head mostly is all of it, and leaves with our head. Else two
//! sides run beside each other in a room: one reads from the upstream into a [`Queue`], the
//! other sends to the client what is in it. A slow client holds the queue's buffers and, if
//! it is buffered, a file; a slow upstream holds nothing.

use super::queue::{Chunk, Next, Queue};
use super::ranges::Window;
use super::{Rest, Upstream, settings, tunnel};
use crate::event::{self, Io};
use crate::http::body_filter::Stream;
use crate::http::output::Output;
use crate::http::request::Request;
use crate::http::request_body::TempFile;
use crate::http::send::{self, Source};
use crate::log::Level;
use crate::mem::arena::Held;
use crate::proto::chunked;
use crate::proto::deflate::Flush;
use crate::sys::errno::{Errno, Result};
use crate::time;
use std::future::poll_fn;
use std::pin::pin;
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
        let Some(mut upstream) = request.upstream.take() else { return Ok(()) };
        let sent = if upstream.head.status == 101 {
            let tunnel = request.worker.rooms.place(tunnel::run(request, &mut upstream, output));
            tunnel.ok_or(Errno::ENOMEM)?.await
        } else {
            whole(request, &mut upstream, output).await
        };
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
    match upstream.rest.take(early) {
        Ok((kept, used)) => {
            if used < came {
                more_than_said(request, upstream);
            }
            let early: &'r [u8] = early;
            Ok(early.get(..kept).unwrap_or_default())
        }
        Err(chunked::Bad) => {
            request.log(Level::Error, None, format_args!("upstream sent invalid chunked response"));
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

impl Rest {
    /// Takes apart bytes that came: how many of them are of the body, which are moved to the
    /// front, and how many belong to the answer.
    fn take(&mut self, bytes: &mut [u8]) -> std::result::Result<(usize, usize), chunked::Bad> {
        match self {
            Rest::None => Ok((0, 0)),
            Rest::Length(left) => {
                let count = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                *left -= count as u64;
                Ok((count, count))
            }
            Rest::Chunked(decoder) => decoder.decode(bytes),
            Rest::UntilClose => Ok((bytes.len(), bytes.len())),
        }
    }
}

/// Why the upstream's side has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fed {
    Complete,
    /// Bytes came behind the end.
    TooMuch,
    Premature,
    Invalid,
    Gone,
    Failed(Errno),
}

/// Both sides, beside each other.
async fn run<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
    early: &'r [u8],
    output: &mut Output,
) -> Result<()> {
    request.action = " while reading upstream";
    let queue = Queue::default();
    for _ in 0..2 {
        queue.lend(request.worker.relay_buffer().ok_or(Errno::ENOMEM)?);
    }
    let rate = upstream.conf.limit_rate.of(request);
    let Upstream { conf, link, rest, attempt, .. } = upstream;
    let Some(link) = link else { return Err(Errno::ECANCELED) };
    let folder = conf.temp_path.as_deref();
    let client = &request.conn.io;
    let watched = if conf.ignore_client_abort || request.is_inner { 0 } else { event::CLOSED };
    let feeding = Feeding {
        io: &link.io,
        client: (client, watched),
        conf,
        queue: &queue,
        rate,
        unbuffered: upstream.unbuffered,
        make: &|| TempFile::for_answer(folder),
    };
    let leaving = Leaving {
        stream: None,
        window: upstream.window,
        flush: if upstream.unbuffered { Flush::Sync } else { Flush::No },
    };
    let (mut came, mut length, mut spill_failed) = (0, early.len() as u64, None);
    let mut fed = None;
    let sent = {
        let mut feed = pin!(feeding.run(rest, (&mut came, &mut length), &mut spill_failed));
        let mut send = pin!(consume(request, &queue, early, leaving, output));
        poll_fn(|context| {
            loop {
                let before = queue.changes();
                if fed.is_none()
                    && let Poll::Ready(ended) = feed.as_mut().poll(context)
                {
                    fed = Some(ended);
                    queue.end(matches!(ended, Fed::Complete | Fed::TooMuch));
                }
                let fed_at = queue.changes();
                if let Poll::Ready(sent) = send.as_mut().poll(context) {
                    return Poll::Ready(sent);
                }
                if queue.changes() == fed_at && fed_at == before {
                    return Poll::Pending;
                }
            }
        })
        .await
    };
    if let Some(attempt) = attempt {
        attempt.received.set(attempt.received.get() + came);
        attempt.length.set(length);
    }
    if let Some(errno) = spill_failed {
        request.log(Level::Crit, Some(errno), format_args!("pwrite() to a temporary file failed"));
    }
    conclude(request, upstream, fed, sent)
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
        Some(Fed::Invalid) => {
            request.log(Level::Error, None, format_args!("upstream sent invalid chunked response"));
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

/// The upstream's side.
struct Feeding<'a> {
    io: &'a Io,
    client: (&'a Io, u8),
    conf: &'a settings::Loc,
    queue: &'a Queue,
    rate: u64,
    unbuffered: bool,
    make: &'a dyn Fn() -> Option<TempFile>,
}

impl Feeding<'_> {
    /// Reads until the body is over.
    async fn run(
        &self,
        rest: &mut Rest,
        (came, length): (&mut u64, &mut u64),
        spill_failed: &mut Option<Errno>,
    ) -> Fed {
        let began = time::now_ms();
        loop {
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
            let taken = rest.take(read);
            if let Ok((kept, _)) = taken {
                chunk.end += kept;
                *length += kept as u64;
            }
            self.queue.push(chunk);
            match taken {
                Err(chunked::Bad) => return Fed::Invalid,
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

/// The client's side.
async fn consume<'r>(
    request: &mut Request<'r>,
    queue: &Queue,
    early: &'r [u8],
    mut leaving: Leaving<'r>,
    output: &mut Output,
) -> Result<()> {
    let filters = std::mem::take(&mut request.filters);
    if !filters.is_empty() {
        leaving.stream = Some(Stream::new(request, filters).ok_or(Errno::ENOMEM)?);
    }
    let timeout = request.location.conf.core.send_timeout;
    if !early.is_empty() {
        leaving.pass(request, early, output).await?;
    }
    loop {
        match queue.next() {
            Next::Chunk(chunk) => {
                leaving.pass(request, chunk.bytes(), output).await?;
                queue.lend(chunk.buffer);
            }
            Next::File(from, len) => {
                let len = from_file(request, &mut leaving, queue, (from, len), output).await?;
                queue.left(len);
            }
            Next::Empty => {
                // What comes while the client takes its time counts, too.
                let before = queue.changes();
                output.flush(&request.conn.io, timeout, false).await?;
                poll_fn(
                    |_| if queue.changes() == before { Poll::Pending } else { Poll::Ready(()) },
                )
                .await;
            }
            Next::End(true) => break,
            Next::End(false) => return output.flush(&request.conn.io, timeout, false).await,
        }
    }
    if let Some(stream) = &mut leaving.stream {
        stream.pass(request, b"", Flush::Finish, output).await?;
        stream.note_ratio(request);
    }
    match request.response.chunked && !request.head_only() {
        true => send::last_chunk(request, output).await,
        false => Ok(()),
    }
}

/// What a body passes on its way out.
struct Leaving<'r> {
    stream: Option<Stream<'r>>,
    window: Window,
    flush: Flush,
}

impl<'r> Leaving<'r> {
    /// Sends bytes of the body, through filters if there are any.
    async fn pass(
        &mut self,
        request: &mut Request<'r>,
        bytes: &[u8],
        output: &mut Output,
    ) -> Result<()> {
        let bytes = self.window.cut(bytes);
        if request.head_only() || bytes.is_empty() {
            return Ok(());
        }
        match &mut self.stream {
            Some(stream) => stream.pass(request, bytes, self.flush, output).await,
            None if request.response.chunked => {
                send::chunk(request, &Source::Bytes(bytes), output).await
            }
            None => send::part(request, &Source::Bytes(bytes), output).await,
        }
    }
}

/// Bytes of the file that are read at once where they cannot go straight to the client.
const PIECE: usize = 16 * 1024;

/// Sends bytes of the file; says how many.
async fn from_file<'r>(
    request: &mut Request<'r>,
    leaving: &mut Leaving<'r>,
    queue: &Queue,
    (from, len): (u64, u64),
    output: &mut Output,
) -> Result<u64> {
    let scratch_piece = || request.worker.relay_buffer().ok_or(Errno::ENOMEM);
    let mut buffer = scratch_piece()?;
    let most = (PIECE.min(buffer.len()) as u64).min(len) as usize;
    let room = buffer.get_mut(..most).unwrap_or_default();
    let read = queue.with_file(|file| crate::sys::io::pread(&file.fd, room, from));
    let count = read.ok_or(Errno::EIO)??;
    if count == 0 {
        return Err(Errno::EIO);
    }
    leaving.pass(request, room.get(..count).unwrap_or_default(), output).await?;
    Ok(count as u64)
}
