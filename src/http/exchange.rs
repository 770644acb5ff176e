//! Requests of one connection, one after the other, until its input is used up.
//!
//! This is the larger future: it lives from the first byte of a request to the
//! last byte of an answer. Pipelined requests are answered into one output, which
//! is flushed before anything is waited for.

use super::answer::{self, Progress};
use super::conf::{Http, Listening, Site};
use super::connection::{Conn, Limits};
use super::core::Srv;
use super::input::Input;
use super::output::Output;
use super::request::{Origin, Request};
use super::step::{Answer, Wait};
use super::worker::Worker;
use super::{
    auth_request, body, handover, linger, log, mirror, proxied, request_body, respond, upstream,
};
use crate::event::{self, Io};
use crate::log::Level;
use crate::proto::framing::Framing;
use crate::proto::request::{Bad, Head, Outcome, Rules};
use crate::sys::errno::Errno;
use crate::sys::socket;
use crate::text::escape::Shown;
use crate::time;
use std::cell::OnceCell;

/// Pipelined requests answered before the other connections have their turn.
const BATCH: u32 = 64;

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The connection lives on.
    Kept,
    /// It is to be closed once the answer has left; the client may still send.
    Close,
    /// It is to be closed, and this request has no answer (444 and its like).
    Silent,
    /// It is of no use any more.
    Broken,
}

/// Where requests of a connection come to.
#[derive(Clone, Copy)]
struct Here<'h> {
    worker: &'static Worker,
    http: &'h Http,
    site: &'h Site,
    /// When the request began to arrive.
    started_at: u64,
}

/// Serves requests from `input`; gives the connection back when it is idle and may
/// live on.
///
/// Cancellation: closes the connection.
pub fn run(
    worker: &'static Worker,
    mut conn: Conn,
    mut input: Input,
) -> impl Future<Output = Option<Conn>> {
    async move {
        let http = worker.http();
        let site = site_of(http.listening.get(usize::from(conn.listening))?, &conn.io)?;
        let mut limits = Limits::of(&site.default_server.location);
        let mut output = worker.output()?;
        if conn.requests == 0 {
            if site.proxy_protocol && !worker.headers.has(&conn) {
                proxied::read(worker, &conn, site, &mut input).await?;
                if input.is_empty() {
                    let timeout = site.default_server.conf.core.client_header_timeout;
                    conn.keep_for(timeout.saturating_sub(conn.age()));
                    return Some(conn);
                }
            }
            conn.debug(&site.default_server, format_args!("client {} connected", conn.peer));
        }
        loop {
            let here = Here { worker, http: &http, site, started_at: time::unix_ms() };
            let ending = one(here, &mut conn, &mut input, &mut output, &mut limits).await;
            match ending {
                Ending::Kept => {}
                Ending::Close => {
                    conn.debug(&site.default_server, format_args!("close http connection"));
                    // "More" is the end of the connection: data and FIN leave in one segment.
                    flush(site, &conn, &mut output, &limits, true).await?;
                    linger::close(conn, input, &limits).await;
                    return None;
                }
                Ending::Silent => {
                    // Those before it have.
                    flush(site, &conn, &mut output, &limits, true).await?;
                    if limits.reset_timedout {
                        conn.reset_on_close();
                    }
                    return None;
                }
                Ending::Broken => return None,
            }
            limits.pipelined = !input.is_empty();
            if input.is_empty() {
                flush(site, &conn, &mut output, &limits, false).await?;
                conn.debug(&site.default_server, format_args!("set http keepalive handler"));
                conn.keep_for(limits.keepalive_timeout);
                return Some(conn);
            }
            if !output.has_room() {
                flush(site, &conn, &mut output, &limits, false).await?;
            }
            if conn.requests.is_multiple_of(BATCH) {
                event::yield_now().await;
            }
        }
    }
}

/// The address a connection came to; the kernel is asked only where there is a choice.
pub fn site_of<'h>(listening: &'h Listening, io: &Io) -> Option<&'h Site> {
    match &*listening.sites {
        [only] => Some(only),
        _ => Some(listening.site(&socket::getsockname(io).ok()?)),
    }
}

/// What a head may be, as the default server says: the name is in the head.
fn rules(core: &Srv) -> Rules {
    let (number, size) = core.large_client_header_buffers;
    Rules {
        line: size as u32,
        head: number.saturating_mul(size).min(u64::from(u32::MAX)) as u32,
        underscores: core.underscores_in_headers,
        ignore_invalid: core.ignore_invalid_headers,
        headers: match core.max_headers {
            0 => u16::MAX,
            most => u16::try_from(most).unwrap_or(u16::MAX),
        },
        strict_line_endings: core.strict_line_endings,
        colonless: core.allow_colonless_headers,
        controls: core.allow_control_bytes,
    }
}

/// Sends what was written; `None` when the connection is of no use any more.
fn flush(
    site: &Site,
    conn: &Conn,
    output: &mut Output,
    limits: &Limits,
    more: bool,
) -> impl Future<Output = Option<()>> {
    async move {
        match output.flush(&conn.io, limits.send_timeout, more).await {
            Ok(()) => Some(()),
            Err(errno) => {
                conn.send_failed(&site.default_server, conn.peer.ip, errno, limits.reset_timedout);
                None
            }
        }
    }
}

/// One request: head, answer, log, rest of the body.
fn one(
    here: Here<'_>,
    conn: &mut Conn,
    input: &mut Input,
    output: &mut Output,
    limits: &mut Limits,
) -> impl Future<Output = Ending> {
    async move {
        let Here { worker, http, site, started_at } = here;
        let mut head = Head::default();
        let (scratch, received) = (worker.scratch(), OnceCell::new());
        let bad = match read_head(here, conn, input, output, (&mut head, limits)).await {
            Ok(None) if body::is_broken(head.framing, &input.bytes()[head.len as usize..]) => {
                Some(Bad::ChunkedBody)
            }
            Ok(bad) => bad,
            Err(ending) => return ending,
        };
        conn.requests += 1;
        worker.requests.set(worker.requests.get() + 1);
        let ending = {
            let (scratch, pipelined, body) = (&scratch, limits.pipelined, &received);
            let origin = Origin { worker, conn, http, site, scratch, started_at, pipelined, body };
            let mut request = Request::new(origin, input.bytes(), &head);
            request.find_server();
            answered(&mut request, bad, output, limits).await
        };
        if bad.is_some() {
            limits.unread = true;
            return ending;
        }
        input.consume(head.len as usize);
        let mut is_cut = false;
        if let Some(received) = received.into_inner() {
            received.settle(input);
            (head.framing, is_cut) = (Framing::None, received.is_cut);
        }
        limits.unread = is_cut || head.framing != Framing::None || !input.is_empty();
        match ending {
            Ending::Kept => body::discard(conn, input, output, head.framing, limits).await,
            ending => ending,
        }
    }
}

/// From the first result of the phases to the line in the log.
///
/// Cancellation: the request is given up.
fn answered<'r>(
    request: &mut Request<'r>,
    bad: Option<Bad>,
    output: &mut Output,
    limits: &mut Limits,
) -> impl Future<Output = Ending> {
    async move {
        let progress = match bad {
            Some(bad) => answer::refuse(request, bad, limits.pipelined),
            None => {
                request.tell_left_out();
                answer::find(request)
            }
        };
        let Some(found) = conclude(request, progress, output, limits).await else {
            return Ending::Broken;
        };
        let (head, conn) = (request.head, request.conn);
        // A body that waits to be asked for, and is not: whether it comes, nobody knows, so
        // nothing can follow it (RFC 9110 10.1.1).
        let is_awaited = !matches!(head.framing, Framing::None | Framing::Length(0))
            && request.bytes.len() == head.len as usize;
        if head.expects_continue && is_awaited && request.body.get().is_none() {
            request.keep_alive = false;
        }
        let line = Shown(head.line.of(request.bytes));
        request.log(Level::Debug, None, format_args!("http request line: \"{line}\""));
        let sent = respond::send(request, &found, output).await;
        if request.is_gone {
            return Ending::Broken;
        }
        request.complete = sent.is_ok() && !matches!(found, Answer::Close { .. });
        if request.mirrors.is_some() && sent.is_ok() {
            // The answer first: nobody waits for what is only copied.
            flush(request.site, conn, output, limits, false).await;
            mirror::run(request).await;
        }
        tell_end(request);
        log::record(request);
        if let Err(errno) = sent {
            request.log_sending(errno);
            if errno == Errno::ETIMEDOUT && request.location.conf.core.reset_timedout_connection {
                conn.reset_on_close();
            }
        }
        *limits = Limits::of(request.location);
        match found {
            Answer::Close { .. } => Ending::Silent,
            _ if sent.is_err() => Ending::Broken,
            _ if request.keep_alive => Ending::Kept,
            _ => Ending::Close,
        }
    }
}

pub fn tell_end(request: &Request<'_>) {
    let (status, sent) = (request.status, request.body_sent);
    request.log(Level::Debug, None, format_args!("http finalize request: {status}, {sent}"));
}

/// Waits as often as the phases have to. `None` when the client has gone.
///
/// Cancellation: the request is given up.
fn conclude<'r>(
    request: &mut Request<'r>,
    mut progress: Progress<'r>,
    output: &mut Output,
    limits: &Limits,
) -> impl Future<Output = Option<Answer<'r>>> {
    async move {
        loop {
            match progress {
                Progress::Answer(answer) => return Some(answer),
                Progress::Wait(wait) => {
                    flush(request.site, request.conn, output, limits, false).await?;
                    progress = wait_for(wait, request).await;
                }
            }
        }
    }
}

/// Waits for what the phases of a request need, and goes on with them.
///
/// Cancellation: the request is given up.
pub async fn wait_for<'r>(wait: Wait, request: &mut Request<'r>) -> Progress<'r> {
    match wait {
        Wait::For(ms) => {
            if !request.conn.io.outlasts(event::after(ms)).await {
                return answer::abandon(request);
            }
        }
        Wait::Permission => auth_request::ask(request).await,
        Wait::Upstream => {
            let step = upstream::ask(request).await;
            return answer::go_on(request, step);
        }
        Wait::Body => {
            if let Err(status) = request_body::read(request).await {
                return answer::fail(request, status);
            }
        }
    }
    answer::resume(request)
}

/// Reads until the head is complete. `Some`: it is bad, and why.
fn read_head(
    here: Here<'_>,
    conn: &Conn,
    input: &mut Input,
    output: &mut Output,
    (head, limits): (&mut Head, &Limits),
) -> impl Future<Output = Result<Option<Bad>, Ending>> {
    async move {
        let Here { worker, http, site, started_at } = here;
        let server = &site.default_server;
        let rules = rules(&server.conf.core);
        let mut deadline = None;
        loop {
            match head.parse(input.bytes(), &rules) {
                Outcome::Done => return Ok(None),
                Outcome::Bad(bad) => return Ok(Some(bad)),
                Outcome::Partial => {}
            }
            if input.is_full() {
                match worker.large() {
                    Some(large) if large.len() > input.capacity() => input.grow(large),
                    _ => return Ok(Some(Bad::TooLarge)),
                }
            }
            flush(site, conn, output, limits, false).await.ok_or(Ending::Broken)?;
            // One deadline for the whole head: a trickle of bytes does not move it.
            let timeout = server.conf.core.client_header_timeout;
            let deadline = *deadline.get_or_insert_with(|| event::after(timeout));
            let reading = worker.reading();
            let leaves = handover::may_leave(conn, input);
            let read = conn.io.read_until_drain(input.room(), deadline, leaves).await;
            drop(reading);
            let errno = match read {
                Err(Errno::ECANCELED) => {
                    if handover::pass(worker, conn, input.bytes(), deadline).await != Some(false) {
                        return Err(Ending::Broken);
                    }
                    continue;
                }
                Ok(0) => None,
                Ok(count) => {
                    input.filled(count);
                    continue;
                }
                Err(errno) => Some(errno),
            };
            let (scratch, received) = (worker.scratch(), OnceCell::new());
            let (scratch, pipelined, body) = (&scratch, limits.pipelined, &received);
            let origin = Origin { worker, conn, http, site, scratch, started_at, pipelined, body };
            let mut request = Request::new(origin, input.bytes(), head);
            request.find_server();
            abandoned(request, limits.pipelined, errno);
            return Err(Ending::Broken);
        }
    }
}

/// The client left, or was too slow, in the middle of a head: there is a log line
/// (400 or 408, as in nginx) and no answer.
fn abandoned(mut request: Request<'_>, pipelined: bool, errno: Option<Errno>) {
    if request.bytes.is_empty() {
        return;
    }
    request.status = if errno == Some(Errno::ETIMEDOUT) { 408 } else { 400 };
    match errno {
        Some(Errno::ETIMEDOUT) => {
            request.log_reading(pipelined, errno, format_args!("client timed out"));
            if request.location.conf.core.reset_timedout_connection {
                request.conn.reset_on_close();
            }
        }
        Some(_) => request.log_reading(pipelined, errno, format_args!("recv() failed")),
        None => {
            let text = format_args!("client prematurely closed connection");
            request.log_reading(pipelined, None, text);
        }
    }
    log::record(&request);
}
