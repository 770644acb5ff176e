//! What a body goes through between its source and the client: filters, one behind the
//! other.
//!
//! A filter takes bytes and gives bytes, as they come and as there is room; the coder of
//! `gzip` is one. A header filter decides whether an answer needs it and puts it into
//! `Request::filters`; `send::whole` then lets the body run through. To add one (`ssi`,
//! `sub_filter`, `gunzip`, ...), write its file, with its header filter and a
//! [`BodyFilter`], and give it a variant of [`Filter`].

use super::file_cache::Contents;
use super::gzip::{self, Lent};
use super::output::Output;
use super::request::Request;
use super::send::{self, Source};
use crate::event;
use crate::proto::deflate::{Coder, Flush, State, Step};
use crate::sys::errno::{Errno, Result};
use crate::sys::io;
use crate::vars::Subject;

/// A filter, as [`Coder::step`] has it.
pub trait BodyFilter {
    /// Takes `input` and writes to `room`, until one is used up.
    fn step(&mut self, input: &[u8], room: &mut [u8], flush: Flush) -> Step;
}

impl BodyFilter for Coder {
    fn step(&mut self, input: &[u8], room: &mut [u8], flush: Flush) -> Step {
        Coder::step(self, input, room, flush)
    }
}

/// All filters that there are.
pub enum Filter {
    Gzip(Lent),
}

impl BodyFilter for Filter {
    fn step(&mut self, input: &[u8], room: &mut [u8], flush: Flush) -> Step {
        match self {
            Filter::Gzip(coder) => coder.step(input, room, flush),
        }
    }
}

/// The filters of an answer, in the order that bytes pass them.
#[derive(Default)]
pub struct Filters {
    /// What changes the text.
    pub text: Option<Filter>,
    /// What codes it.
    pub coding: Option<Filter>,
}

impl Filters {
    pub fn is_empty(&self) -> bool {
        self.text.is_none() && self.coding.is_none()
    }
}

/// Bytes that others wait for at most, and read from a file at once.
const PIECE: usize = 16 * 1024;

/// Sends a body through filters.
///
/// Cancellation: the answer is cut off; the connection must be closed.
pub fn stream(
    request: &mut Request<'_>,
    filters: Filters,
    source: &Source<'_>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        let from = request.scratch().take(PIECE).ok_or(Errno::ENOMEM)?;
        let mut stream = Stream::new(request, filters).ok_or(Errno::ENOMEM)?;
        let mut at = 0;
        loop {
            let piece = piece(source, at, from)?;
            at += piece.len() as u64;
            let last = at == source.len();
            let flush = if last { Flush::Finish } else { Flush::No };
            stream.pass(request, piece, flush, output).await?;
            if last {
                break;
            }
            event::yield_now().await;
        }
        stream.note_ratio(request);
        match request.response.chunked {
            true => send::last_chunk(request, output).await,
            false => Ok(()),
        }
    }
}

/// A body on its way through filters.
pub struct Stream<'r> {
    filters: Filters,
    between: Between<'r>,
    to: &'r mut [u8],
    taken: u64,
    written: u64,
}

impl<'r> Stream<'r> {
    /// `None`: there is no room for it.
    pub fn new(request: &Request<'r>, filters: Filters) -> Option<Stream<'r>> {
        let scratch = request.scratch();
        let between = Between::new(match (&filters.text, &filters.coding) {
            (Some(_), Some(_)) => scratch.take(PIECE)?,
            _ => &mut [],
        });
        Some(Stream { filters, between, to: scratch.take(PIECE)?, taken: 0, written: 0 })
    }

    /// Sends what becomes of a piece.
    ///
    /// Cancellation: the answer is cut off.
    pub fn pass(
        &mut self,
        request: &mut Request<'r>,
        piece: &[u8],
        flush: Flush,
        output: &mut Output,
    ) -> impl Future<Output = Result<()>> {
        async move {
            let Stream { filters, between, to, .. } = self;
            let mut taken = 0;
            loop {
                let step = through(filters, between, &piece[taken..], to, flush);
                taken += step.taken;
                self.taken += step.taken as u64;
                self.written += step.written as u64;
                let written = Source::Bytes(&to[..step.written]);
                if step.written > 0 && request.response.chunked {
                    send::chunk(request, &written, output).await?;
                } else if step.written > 0 {
                    send::part(request, &written, output).await?;
                }
                if step.state != State::Full {
                    return Ok(());
                }
            }
        }
    }

    /// How much smaller the body has become.
    pub fn note_ratio(&self, request: &mut Request<'_>) {
        request.response.ratio = gzip::ratio(self.taken, self.written);
    }
}

/// The next bytes of a body.
pub fn piece<'a>(source: &Source<'a>, at: u64, room: &'a mut [u8]) -> Result<&'a [u8]> {
    let cut = |bytes: &'a [u8], at: u64| {
        let rest = bytes.get(at as usize..).unwrap_or_default();
        &rest[..rest.len().min(PIECE)]
    };
    match *source {
        Source::Bytes(bytes) => Ok(cut(bytes, at)),
        Source::File(file, part) => match &file.contents {
            Contents::Bytes(bytes) => Ok(cut(bytes, part.start + at)),
            Contents::Descriptor(fd) => match io::pread(fd, room, part.start + at)? {
                0 => Err(Errno::EIO),
                count => Ok(&room[..count]),
            },
        },
    }
}

/// Room for a piece of a body.
pub fn room_for_piece() -> Vec<u8> {
    vec![0; PIECE]
}

/// All filters as one.
fn through(
    filters: &mut Filters,
    between: &mut Between<'_>,
    input: &[u8],
    room: &mut [u8],
    flush: Flush,
) -> Step {
    match (&mut filters.text, &mut filters.coding) {
        (Some(first), Some(second)) => join(first, second, between, input, room, flush),
        (Some(only), None) | (None, Some(only)) => only.step(input, room, flush),
        (None, None) => {
            let count = input.len().min(room.len());
            room[..count].copy_from_slice(&input[..count]);
            let state = if count < input.len() { State::Full } else { State::Done };
            Step { taken: count, written: count, state }
        }
    }
}

/// What one filter gave and the next has not taken.
struct Between<'a> {
    room: &'a mut [u8],
    start: usize,
    end: usize,
    /// The first has given all that it had to, of what it was asked for.
    ended: bool,
}

impl<'a> Between<'a> {
    fn new(room: &'a mut [u8]) -> Between<'a> {
        Between { room, start: 0, end: 0, ended: false }
    }
}

/// Two filters as one: what the first gives, the second takes.
fn join(
    first: &mut impl BodyFilter,
    second: &mut impl BodyFilter,
    between: &mut Between<'_>,
    input: &[u8],
    room: &mut [u8],
    flush: Flush,
) -> Step {
    let (mut taken, mut written) = (0, 0);
    loop {
        let ahead = &between.room[between.start..between.end];
        let then = if between.ended { flush } else { Flush::No };
        let step = second.step(ahead, &mut room[written..], then);
        between.start += step.taken;
        written += step.written;
        if between.ended || step.state != State::Hungry {
            between.ended &= step.state == State::Full;
            return Step { taken, written, state: step.state };
        }
        let step = first.step(&input[taken..], between.room, flush);
        taken += step.taken;
        (between.start, between.end) = (0, step.written);
        between.ended = step.state != State::Full;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives each byte so often, and a full stop at the end.
    struct Repeats {
        times: usize,
        pending: Vec<u8>,
        ended: bool,
    }

    impl BodyFilter for Repeats {
        fn step(&mut self, input: &[u8], room: &mut [u8], flush: Flush) -> Step {
            for byte in input {
                self.pending.extend(std::iter::repeat_n(byte, self.times));
            }
            if flush == Flush::Finish && !std::mem::replace(&mut self.ended, true) {
                self.pending.push(b'.');
            }
            let written = self.pending.len().min(room.len());
            room[..written].copy_from_slice(&self.pending[..written]);
            self.pending.drain(..written);
            let state = match (self.pending.is_empty(), flush) {
                (false, _) => State::Full,
                (true, Flush::Finish) => State::Done,
                (true, _) => State::Hungry,
            };
            Step { taken: input.len(), written, state }
        }
    }

    fn repeats(times: usize) -> Repeats {
        Repeats { times, pending: Vec::new(), ended: false }
    }

    #[test]
    fn two_filters_are_one() {
        for (between_len, room_len, cut) in [(1, 1, 1), (2, 7, 2), (64, 3, 3), (5, 64, 1)] {
            let (mut first, mut second) = (repeats(2), repeats(3));
            let mut bytes = vec![0; between_len];
            let mut between = Between::new(&mut bytes);
            let mut room = vec![0; room_len];
            let mut all = Vec::new();
            let pieces: Vec<&[u8]> = b"abc".chunks(cut).collect();
            for (i, piece) in pieces.iter().enumerate() {
                let flush = if i + 1 == pieces.len() { Flush::Finish } else { Flush::No };
                let mut taken = 0;
                loop {
                    let rest = &piece[taken..];
                    let step = join(&mut first, &mut second, &mut between, rest, &mut room, flush);
                    taken += step.taken;
                    all.extend_from_slice(&room[..step.written]);
                    if step.state != State::Full {
                        assert_eq!(step.state == State::Done, flush == Flush::Finish);
                        break;
                    }
                }
                assert_eq!(taken, piece.len());
            }
            assert_eq!(all, b"aaaaaabbbbbbcccccc....", "{between_len} {room_len} {cut}");
        }
    }
}
