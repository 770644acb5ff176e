//! The request goes out, and the head of its answer comes in, perhaps before all of the
//! request is out.

use super::fetch::Failure;
use super::payload::Payload;
use super::{Speaks, Upstream, interim, records, stream};
use crate::event;
use crate::http::request::Request;
use crate::log::Level;
use crate::proto::response::{Outcome, Rules};
use crate::sys::errno::{Errno, Result};
use crate::sys::{io, socket};
use std::io::IoSlice;

/// What of a request is out.
#[derive(Default)]
pub(super) struct Sent {
    pub head: usize,
    pub body: u64,
    pub tail: usize,
}

/// Sends the request and reads until the head of the answer is complete.
///
/// Cancellation: the connection is of no use any more.
pub async fn run<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
) -> std::result::Result<(), Failure> {
    let (mut sent, mut broken, mut done) = (Sent::default(), None, false);
    request.action = " while sending request to upstream";
    loop {
        if !done {
            match push(upstream, &mut sent) {
                Ok(out) => done = out,
                Err(Errno::EAGAIN) => {}
                // It may have answered before it closed: a refusal of the body.
                Err(errno) => broken = Some(errno),
            }
            if done && matches!(upstream.payload, Payload::Stream(_)) {
                upstream.streamed = true;
                if stream::run(request, upstream).await? {
                    return Ok(());
                }
            }
            if done {
                upstream.mark_sent();
            }
            done |= broken.is_some();
            if done {
                request.action = " while reading response header from upstream";
            }
        }
        let complete = pull(request, upstream, broken).await?;
        if complete {
            return Ok(());
        }
        wait(request, upstream, done).await?;
    }
}

async fn wait(
    request: &Request<'_>,
    upstream: &Upstream<'_>,
    done: bool,
) -> std::result::Result<(), Failure> {
    let Some(link) = &upstream.link else { return Err(Failure::Error) };
    let (want, timeout) = match done {
        true => (event::READ, upstream.conf.read_timeout),
        false => (event::READ | event::WRITE, upstream.conf.send_timeout),
    };
    let wanted = [(&link.io, want), upstream.watched(request)];
    if let Err(errno) = event::any_of(wanted, event::after(timeout)).await {
        request.log(Level::Error, Some(errno), format_args!("upstream timed out"));
        return Err(Failure::Timeout);
    }
    match link.io.may(want) {
        true => Ok(()),
        false => upstream.still_there(request),
    }
}

/// Sends what goes without waiting; true: all of it is out.
fn push(upstream: &Upstream<'_>, sent: &mut Sent) -> Result<bool> {
    if let Speaks::FastCgi(_) = upstream.speaks {
        return records::push(upstream, sent);
    }
    let (head, tail) = (upstream.request, upstream.tail);
    let (file, len) = match upstream.payload {
        Payload::File(file, len) => (file, len),
        Payload::Bytes(body) => {
            return upstream.push_parts([head, body, tail], &mut sent.head, 0).map(|()| true);
        }
        Payload::None | Payload::Stream(_) => {
            return upstream.push_parts([head, b"", b""], &mut sent.head, 0).map(|()| true);
        }
    };
    let flags = if len > 0 { socket::MORE } else { 0 };
    upstream.push_parts([head, b"", b""], &mut sent.head, flags)?;
    let Some(link) = &upstream.link else { return Err(Errno::EPIPE) };
    while sent.body < len {
        const MOST: u64 = 0x7fff_f000;
        let most = (len - sent.body).min(MOST) as usize;
        match link.io.try_with(|fd| io::sendfile(fd, &file.fd, &mut sent.body, most)) {
            Ok(0) => return Err(Errno::EIO),
            Ok(count) => upstream.note_sent(count),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    upstream.push_parts([b"", b"", tail], &mut sent.tail, 0).map(|()| true)
}

/// Reads what there is of the head, and hands on what comes before it; true: it is complete.
/// `broken`: why no more can be sent.
///
/// Cancellation: neither connection is of any use.
pub(super) async fn pull<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
    broken: Option<Errno>,
) -> std::result::Result<bool, Failure> {
    if broken.is_some()
        && let Some(link) = &upstream.link
    {
        link.io.look_again();
    }
    let mut complete = read(request, upstream, broken)?;
    while upstream.hints.is_some() {
        interim::send(request, upstream).await?;
        complete = parse(request, upstream)?
            || upstream.hints.is_none() && read(request, upstream, broken)?;
    }
    Ok(complete)
}

/// Reads what there is of the head, or of one that comes before it.
fn read<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
    broken: Option<Errno>,
) -> std::result::Result<bool, Failure> {
    loop {
        let (Some(link), Some(room)) = (&upstream.link, upstream.room.as_deref_mut()) else {
            return Err(Failure::Error);
        };
        let count = match link.io.try_read(room.get_mut(upstream.filled..).unwrap_or_default()) {
            Ok(0) => {
                let text = format_args!("upstream prematurely closed connection");
                request.log(Level::Error, None, text);
                return Err(Failure::Error);
            }
            Ok(count) => count,
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) if broken.is_none() => return Ok(false),
            Err(errno) => {
                let errno = broken.unwrap_or(errno);
                let what = if broken.is_some() { "send" } else { "recv" };
                request.log(Level::Error, Some(errno), format_args!("{what}() failed"));
                return Err(Failure::Error);
            }
        };
        if let Some(attempt) = upstream.attempt {
            attempt.received.set(attempt.received.get() + count as u64);
        }
        upstream.filled += records::take_head(request, upstream, count)?;
        let complete = parse(request, upstream)?;
        if complete || upstream.hints.is_some() {
            return Ok(complete);
        }
        records::check_open(request, upstream)?;
    }
}

/// Looks at what has been read, as far as the next that is to be handed on.
fn parse<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
) -> std::result::Result<bool, Failure> {
    loop {
        let Some(room) = upstream.room.as_deref_mut() else { return Err(Failure::Error) };
        let rules = upstream.conf.rules(room.len());
        let rules = match upstream.speaks {
            Speaks::Http(own) => Rules { no_status_line: own.allow_no_status_line, ..rules },
            Speaks::FastCgi(_) => Rules { cgi: true, ..rules },
        };
        let read = room.get(..upstream.filled).unwrap_or_default();
        match upstream.head.parse(read, &rules) {
            Outcome::Partial => return Ok(false),
            Outcome::Done if upstream.head.is_interim() => {
                interim::pass(request, upstream)?;
                if upstream.hints.is_some() {
                    return Ok(false);
                }
            }
            Outcome::Done if upstream.head.status == 101 && !upstream.upgrades => {
                request.log(
                    Level::Error,
                    None,
                    format_args!("upstream sent unexpected status 101: nobody asked for it"),
                );
                return Err(Failure::Invalid);
            }
            Outcome::Done => return Ok(true),
            Outcome::Bad(bad) => {
                let words = upstream.head.complain(read, bad);
                request.log(Level::Error, None, format_args!("{words}"));
                return Err(Failure::Invalid);
            }
        }
    }
}

impl Upstream<'_> {
    /// The peer may have sent something.
    pub(super) fn has_news(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.io.may(event::READ))
    }

    /// Sends pieces that follow each other, of which `sent` bytes are out, as far as they go
    /// without waiting.
    pub(super) fn push_parts(&self, parts: [&[u8]; 3], sent: &mut usize, flags: i32) -> Result<()> {
        let Some(link) = &self.link else { return Err(Errno::EPIPE) };
        loop {
            let mut skip = *sent;
            let rest = parts.map(|part| {
                let from = skip.min(part.len());
                skip -= from;
                part.get(from..).unwrap_or_default()
            });
            let outcome = match rest {
                [[], [], []] => return Ok(()),
                [only, [], []] => link.io.try_send(only, flags),
                rest => {
                    let rest = rest.map(IoSlice::new);
                    link.io.try_with(|fd| socket::send_parts(fd, &rest, flags))
                }
            };
            match outcome {
                Ok(count) => {
                    self.note_sent(count);
                    *sent += count;
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn note_sent(&self, count: usize) {
        if let Some(attempt) = self.attempt {
            attempt.sent.set(attempt.sent.get() + count as u64);
        }
    }

    /// All of the request is out: its connection may be used again.
    pub(super) fn mark_sent(&mut self) {
        if let Some(link) = &mut self.link {
            link.keeps = true;
        }
    }

    pub(super) fn count_sent(&self, count: usize) {
        self.note_sent(count);
    }
}
