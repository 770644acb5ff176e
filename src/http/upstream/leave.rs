//! The client's side of a relay: what is in the queue leaves.

use super::queue::{Next, Queue};
use super::ranges::Window;
use super::{Section, trailers};
use crate::http::body_filter::Stream;
use crate::http::output::Output;
use crate::http::request::Request;
use crate::http::send::{self, Source};
use crate::proto::deflate::Flush;
use crate::sys::errno::{Errno, Result};
use std::future::poll_fn;
use std::task::Poll;

/// The client's side.
pub fn consume<'r>(
    request: &mut Request<'r>,
    queue: &Queue,
    early: &'r [u8],
    mut leaving: Leaving<'_, 'r>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
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
                    poll_fn(|_| {
                        if queue.changes() == before { Poll::Pending } else { Poll::Ready(()) }
                    })
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
        if let Some(section) = leaving.section {
            trailers::hand_on(request, section);
        }
        match request.response.chunked && !request.head_only() {
            true => send::last_chunk(request, output).await,
            false => Ok(()),
        }
    }
}

/// What a body passes on its way out.
pub struct Leaving<'a, 'r> {
    pub stream: Option<Stream<'r>>,
    pub window: Window,
    pub flush: Flush,
    pub section: Option<&'a Section<'r>>,
}

impl<'r> Leaving<'_, 'r> {
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
    leaving: &mut Leaving<'_, 'r>,
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
