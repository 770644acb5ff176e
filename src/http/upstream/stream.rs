//! A request's body on its way from the client to the upstream, as it comes
//! (`proxy_request_buffering off`): one buffer of it at a time, framed anew.

use super::fetch::Failure;
use super::send;
use super::{Speaks, Upstream};
use crate::event;
use crate::http::proxy;
use crate::http::request::Request;
use crate::http::request_body::{Received, expected, go_on};
use crate::http::trailers::{Section, decode, decoder};
use crate::log::Level;
use crate::mem::buffers::Buf;
use crate::proto::chunked::{self, Decoder};
use crate::proto::fastcgi::{CONTENT_MAX, END_OF_STDIN, HEAD, stdin};
use crate::proto::framing::Framing;
use crate::sys::errno::Errno;
use std::ops::Range;

/// What is read of the client.
struct Source<'r> {
    buffer: Buf,
    /// `None`: so many bytes are to come.
    decoder: Option<Decoder>,
    section: Option<Section<'r>>,
    around: Around,
    left: u64,
    /// Bytes of the body, and of all that it came in.
    size: u64,
    raw: u64,
    /// Bytes of the connection's input that belong to it.
    taken: usize,
    /// What of the buffer belongs to the next request.
    beyond: Range<usize>,
}

/// What pieces of a body are framed by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Nothing,
    Chunks,
    Records,
}

/// A piece on its way: its framing, and where in the buffer it is.
#[derive(Default)]
struct Piece<'r> {
    head: [u8; chunked::HEAD],
    head_len: usize,
    data: Range<usize>,
    tail: &'r [u8],
    sent: usize,
}

/// Lets the body through; true: the head of the answer is there, whatever is left.
///
/// Cancellation: neither connection is of any use.
pub async fn run<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
) -> Result<bool, Failure> {
    let mut source = Source::new(request, upstream).ok_or(Failure::Local(500))?;
    let outcome = pass(request, upstream, &mut source).await;
    let is_cut = outcome != Ok(false);
    if outcome.is_err() && source.raw == 0 {
        return outcome;
    }
    // What has been read nobody gets again, and where the next request begins is not known.
    request.keep_alive &= !is_cut;
    source.settle(request, is_cut);
    outcome
}

async fn pass<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
    source: &mut Source<'r>,
) -> Result<bool, Failure> {
    let mut piece = Piece::default();
    let mut ended = false;
    if request.head.expects_continue && source.has_nothing_yet(request) {
        go_on(request).await.map_err(|errno| client_failed(request, errno))?;
    }
    loop {
        if piece.is_out() && !ended {
            match source.more(request) {
                Ok(data) => {
                    source.check_size(request)?;
                    ended = source.is_over();
                    let tail = source.tail(request, upstream, data.is_empty())?;
                    piece = Piece::of(data, source.around, tail);
                }
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(client_failed(request, errno)),
            }
        }
        match piece.push(upstream, &source.buffer) {
            Ok(()) if ended => return Ok(false),
            Ok(()) if request.conn.io.may(event::READ) && !upstream.has_news() => continue,
            Ok(()) | Err(Errno::EAGAIN) => {}
            Err(errno) => return send::pull(request, upstream, Some(errno)).await,
        }
        if send::pull(request, upstream, None).await? {
            // Nobody wants the rest of the body.
            return Ok(true);
        }
        wait(request, upstream, piece.is_out()).await?;
    }
}

async fn wait(
    request: &Request<'_>,
    upstream: &Upstream<'_>,
    wants_more: bool,
) -> Result<(), Failure> {
    let Some(link) = &upstream.link else { return Err(Failure::Error) };
    let (want, from_client, timeout) = match wants_more {
        true => (event::READ, event::READ, request.location.conf.core.client_body_timeout),
        false => (event::READ | event::WRITE, event::CLOSED, upstream.conf.send_timeout),
    };
    let wanted = [(&link.io, want), (&request.conn.io, from_client)];
    match event::any_of(wanted, event::after(timeout)).await {
        Ok(()) if wants_more || link.io.may(want) => Ok(()),
        Ok(()) => upstream.still_there(request),
        Err(errno) if wants_more => Err(client_failed(request, errno)),
        Err(errno) => {
            request.log(Level::Error, Some(errno), format_args!("upstream timed out"));
            Err(Failure::Timeout)
        }
    }
}

/// The client has not sent what it said it would.
fn client_failed(request: &Request<'_>, errno: Errno) -> Failure {
    match errno {
        Errno::ETIMEDOUT => {
            request.log_info(Some(errno), format_args!("client timed out"));
            Failure::Local(408)
        }
        Errno::EPIPE => {
            request.log_info(None, format_args!("client prematurely closed connection"));
            Failure::Local(400)
        }
        Errno::EINVAL => {
            request.log(Level::Info, None, format_args!("client sent invalid chunked body"));
            Failure::Local(400)
        }
        _ => {
            request.log_info(Some(errno), format_args!("recv() failed"));
            Failure::Local(400)
        }
    }
}

impl<'r> Source<'r> {
    fn new(request: &Request<'r>, upstream: &Upstream<'_>) -> Option<Source<'r>> {
        let section = expected(request);
        let (decoder, left) = match request.head.framing {
            Framing::None => (None, 0),
            Framing::Length(length) => (None, length),
            Framing::Chunked => (Some(decoder(section.as_ref())), 0),
        };
        let buffer = request.worker.relay_buffer()?;
        let around = match (upstream.speaks, &decoder) {
            (Speaks::FastCgi(_), _) => Around::Records,
            (Speaks::Http(_), Some(_)) => Around::Chunks,
            (Speaks::Http(_), None) => Around::Nothing,
        };
        let (size, raw, taken, beyond) = (0, 0, 0, 0..0);
        Some(Source { buffer, decoder, section, around, left, size, raw, taken, beyond })
    }

    fn ahead(&self, request: &Request<'r>) -> &'r [u8] {
        request.bytes.get(request.head.len as usize + self.taken..).unwrap_or_default()
    }

    fn has_nothing_yet(&self, request: &Request<'r>) -> bool {
        self.ahead(request).is_empty()
    }

    fn is_over(&self) -> bool {
        self.decoder.as_ref().map_or(self.left == 0, Decoder::is_at_end)
    }

    /// More of it in the buffer; EPIPE: the client has gone, EINVAL: it sends no chunks.
    fn more(&mut self, request: &Request<'r>) -> Result<Range<usize>, Errno> {
        if self.is_over() {
            return Ok(0..0);
        }
        let fits = match self.around {
            Around::Records => self.buffer.len().min(CONTENT_MAX),
            Around::Nothing | Around::Chunks => self.buffer.len(),
        };
        let most = match self.decoder {
            Some(_) => fits,
            None => usize::try_from(self.left).map_or(fits, |left| left.min(fits)),
        };
        let ahead = self.ahead(request);
        let room = self.buffer.get_mut(..most).unwrap_or_default();
        let from_input = !ahead.is_empty();
        let count = if from_input {
            let count = ahead.len().min(most);
            room[..count].copy_from_slice(&ahead[..count]);
            count
        } else {
            match request.conn.io.try_read(room)? {
                0 => return Err(Errno::EPIPE),
                count => count,
            }
        };
        let Some(decoder) = &mut self.decoder else {
            self.taken += if from_input { count } else { 0 };
            self.left -= count as u64;
            self.raw += count as u64;
            self.size += count as u64;
            return Ok(0..count);
        };
        let read = self.buffer.get_mut(..count).unwrap_or_default();
        let decoded = decode(decoder, read, self.section.as_ref());
        let (kept, used) = decoded.map_err(|chunked::Bad| Errno::EINVAL)?;
        match from_input {
            true => self.taken += used,
            false => self.beyond = used..count,
        }
        self.raw += used as u64;
        self.size += kept as u64;
        Ok(0..kept)
    }

    fn check_size(&self, request: &Request<'_>) -> Result<(), Failure> {
        let most = request.location.conf.core.client_max_body_size;
        if most == 0 || self.size <= most {
            return Ok(());
        }
        let size = self.size;
        let text = format_args!("client intended to send too large chunked body: {size} bytes");
        request.log(Level::Error, None, text);
        Err(Failure::Local(413))
    }

    /// What follows a piece of it.
    fn tail(
        &self,
        request: &Request<'r>,
        upstream: &Upstream<'_>,
        is_empty: bool,
    ) -> Result<&'r [u8], Failure> {
        let is_last = self.is_over();
        if let (Some(section), Speaks::Http(own), true) = (&self.section, upstream.speaks, is_last)
        {
            request.trailers.set(section.bytes());
            let tail = proxy::tail(request, upstream.conf, own, !is_empty);
            let tail = tail.ok_or(Failure::Local(500))?;
            if !tail.is_empty() {
                return Ok(tail);
            }
        }
        Ok(match (self.around, is_empty, is_last) {
            (Around::Chunks, true, true) => b"0\r\n\r\n",
            (Around::Chunks, false, true) => b"\r\n0\r\n\r\n",
            (Around::Chunks, false, false) => b"\r\n",
            (Around::Records, _, true) => &END_OF_STDIN,
            _ => b"",
        })
    }

    /// It has been read: what came behind it is the next request's, unless it `is_cut`.
    fn settle(self, request: &Request<'_>, is_cut: bool) {
        let Source { buffer, size, raw, taken, beyond, .. } = self;
        let mut passed = Received::passed_on(buffer, (size, raw), taken, beyond);
        passed.is_cut = is_cut;
        // It is read once.
        let _ = request.body.set(passed);
    }
}

impl<'r> Piece<'r> {
    fn of(data: Range<usize>, around: Around, tail: &'r [u8]) -> Piece<'r> {
        let mut piece = Piece { data, tail, ..Piece::default() };
        let is_empty = piece.data.is_empty();
        let len = piece.data.len();
        match around {
            Around::Chunks if !is_empty => {
                piece.head_len = chunked::head(len as u64, &mut piece.head).len();
            }
            Around::Records if !is_empty => {
                piece.head_len = HEAD;
                // More than fits a record is never read.
                piece.head[..HEAD].copy_from_slice(&stdin(len as u16));
            }
            _ => {}
        }
        piece
    }

    fn len(&self) -> usize {
        self.head_len + self.data.len() + self.tail.len()
    }

    fn is_out(&self) -> bool {
        self.sent == self.len()
    }

    /// Sends what goes without waiting.
    fn push(&mut self, upstream: &Upstream<'_>, buffer: &[u8]) -> Result<(), Errno> {
        let head = self.head.get(..self.head_len).unwrap_or_default();
        let data = buffer.get(self.data.clone()).unwrap_or_default();
        upstream.push_parts([head, data, self.tail], &mut self.sent, 0)
    }
}
