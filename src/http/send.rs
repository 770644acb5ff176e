//! Sending a body: from where it is to the client, as fast as it may.

use super::body_filter;
use super::file_cache::{Contents, File};
use super::output::{Output, copy_file, send_file};
use super::request::Request;
use crate::event;
use crate::proto::chunked;
use crate::proto::range::Part;
use crate::sys::errno::{Errno, Result};
use crate::text::number;
use crate::text::writer::Writer;
use crate::time;

/// Bytes of a body, and where they are.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Bytes(&'a [u8]),
    File(&'a File, Part),
}

impl<'a> Source<'a> {
    /// All of a file.
    pub fn of_file(file: &'a File) -> Source<'a> {
        Source::File(file, Part { start: 0, end: file.stat.size })
    }

    pub fn len(&self) -> u64 {
        match self {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File(_, part) => part.len(),
        }
    }

    /// The bytes `from..from + len` of it.
    fn piece(&self, from: u64, len: u64) -> Self {
        match *self {
            Source::Bytes(bytes) => {
                Source::Bytes(bytes.get(from as usize..(from + len) as usize).unwrap_or_default())
            }
            Source::File(file, part) => {
                let start = part.start + from;
                Source::File(file, Part { start, end: start + len })
            }
        }
    }
}

/// Makes room for a piece that is written here.
fn make_room(request: &Request<'_>, output: &mut Output) -> impl Future<Output = Result<()>> {
    async move {
        if output.has_room() {
            return Ok(());
        }
        output.flush(&request.conn.io, request.location.conf.core.send_timeout, true).await
    }
}

/// Writes a piece of the body that is made here.
pub async fn put(
    request: &mut Request<'_>,
    output: &mut Output,
    write: impl FnOnce(&mut Writer<'_>),
) -> Result<()> {
    make_room(request, output).await?;
    let before = output.len();
    output.write(write);
    request.body_sent += (output.len() - before) as u64;
    Ok(())
}

/// Sends a whole body, if bodies are to be sent at all.
///
/// Cancellation, here and below: the answer is cut off; the connection must be closed.
pub fn whole(
    request: &mut Request<'_>,
    source: &Source<'_>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        if request.head_only() {
            return Ok(());
        }
        if !request.filters.is_empty() {
            // In a room of its own: few answers need so much.
            let filters = std::mem::take(&mut request.filters);
            let rooms = request.worker.rooms;
            let stream = rooms.place(body_filter::stream(request, filters, source, output));
            return stream.ok_or(Errno::ENOMEM)?.await;
        }
        if !request.response.chunked {
            return part(request, source, output).await;
        }
        if source.len() > 0 {
            chunk(request, source, output).await?;
        }
        last_chunk(request, output).await
    }
}

/// Sends a piece as one chunk.
pub fn chunk(
    request: &mut Request<'_>,
    source: &Source<'_>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        chunk_head(request, source.len(), output).await?;
        part(request, source, output).await?;
        chunk_end(request, output).await
    }
}

/// What stands before a chunk of so many bytes.
pub fn chunk_head(
    request: &mut Request<'_>,
    len: u64,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    put(request, output, move |out| out.put(chunked::head(len, &mut [0; chunked::HEAD])))
}

/// What stands behind it.
pub fn chunk_end(
    request: &mut Request<'_>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    put(request, output, |out| out.put(chunked::TAIL))
}

/// Ends a chunked body: trailers, if there are any.
pub fn last_chunk(
    request: &mut Request<'_>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        let trailers = request.response.trailers;
        put(request, output, |out| {
            out.put(b"0\r\n");
            trailers.put(out);
            out.put(b"\r\n");
        })
        .await
    }
}

/// Sends a piece of a body.
pub fn part(
    request: &mut Request<'_>,
    source: &Source<'_>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        if request.limit_rate.rate == 0 {
            return at_once(request, source, output).await;
        }
        let mut sent = 0;
        while sent < source.len() {
            let allowed = allowance(request).await;
            let len = allowed.min(source.len() - sent);
            at_once(request, &source.piece(sent, len), output).await?;
            // What was sent counts only when it has left; nothing may follow for a while.
            output.flush(&request.conn.io, request.location.conf.core.send_timeout, false).await?;
            sent += len;
        }
        Ok(())
    }
}

fn at_once(
    request: &mut Request<'_>,
    source: &Source<'_>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        let core = &request.location.conf.core;
        let (io, timeout) = (&request.conn.io, core.send_timeout);
        let mut left = *source;
        let result = match &mut left {
            Source::Bytes(bytes) => output.body(io, bytes, timeout).await,
            Source::File(file, part) => match &file.contents {
                Contents::Bytes(all) => {
                    let range = part.start as usize..part.end as usize;
                    let mut bytes = all.get(range).unwrap_or_default();
                    let result = output.body(io, &mut bytes, timeout).await;
                    part.start = part.end - bytes.len() as u64;
                    result
                }
                Contents::Descriptor(fd) => {
                    if core.sendfile {
                        output.flush(io, timeout, true).await?;
                        send_file(io, fd, part, core.sendfile_max_chunk, timeout).await
                    } else {
                        copy_file(io, fd, part, output, timeout).await
                    }
                }
            },
        };
        // What has left counts, also where the rest does not.
        request.body_sent += source.len() - left.len();
        result
    }
}

/// How fast a body may leave (`limit_rate`).
#[derive(Clone, Copy, Default)]
pub struct Rate {
    /// Bytes a second; 0: as fast as it goes.
    pub rate: u64,
    /// Bytes that are not counted.
    pub after: u64,
}

/// How many bytes may leave now; waits until it is one (ngx_http_write_filter).
async fn allowance(request: &Request<'_>) -> u64 {
    /// No piece is larger, so that none waits long for the next.
    const MOST: u64 = 1 << 20;
    loop {
        let Rate { rate, after } = request.limit_rate;
        let seconds = (time::unix_secs() - request.started_sec()).max(0) as u64 + 1;
        let sent = request.head_sent + request.body_sent;
        let due = rate.saturating_mul(seconds).saturating_add(after);
        if sent < due {
            return (due - sent).min(MOST);
        }
        let behind = (sent - due).saturating_mul(1000) / rate;
        // More is due when the next second begins.
        let tick = 1000 - time::unix_ms() % 1000;
        event::sleep(event::after(behind.max(tick))).await;
    }
}

const _: () = assert!(chunked::HEAD > number::HEX);
