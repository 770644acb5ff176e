//! Request bodies that nobody wants: read and thrown away, within limits.
//!
//! What follows a request must be read to its end before the next request can be
//! told from it. A body that does not end in time, or breaks its own framing,
//! costs the connection, never the answer, which has already been written.

use super::connection::{Conn, Limits};
use super::exchange::Ending;
use super::input::Input;
use super::output::Output;
use crate::event;
use crate::proto::chunked::{self, Decoder, Step};
use crate::proto::framing::Framing;
use crate::sys::errno::Errno;

/// What is still to come of a body.
enum Left {
    Bytes(u64),
    /// In chunks, of which so many bytes have come.
    Chunks(Decoder, u64),
    Nothing,
}

/// Whether what has come of a body cannot be one: then there is no other answer than 400.
pub fn is_broken(framing: Framing, mut bytes: &[u8]) -> bool {
    let mut decoder = match framing {
        Framing::Chunked => Decoder::new(),
        Framing::None | Framing::Length(_) => return false,
    };
    loop {
        match decoder.step(bytes) {
            Err(chunked::Bad) => return true,
            Ok(Step::Data { framing, len }) => {
                bytes = bytes.get(framing + len..).unwrap_or_default()
            }
            Ok(Step::More | Step::End { .. }) => return false,
        }
    }
}

/// Reads the rest of a body, first what is in `input`.
///
/// Cancellation: the connection is of no use, its framing is lost.
pub async fn discard(
    conn: &Conn,
    input: &mut Input,
    output: &mut Output,
    framing: Framing,
    limits: &Limits,
) -> Ending {
    let mut left = match framing {
        Framing::None => return Ending::Kept,
        Framing::Length(length) => Left::Bytes(length),
        Framing::Chunked => Left::Chunks(Decoder::new(), 0),
    };
    let over = event::after(limits.lingering_time);
    loop {
        left = match take(left, input, limits.body_most) {
            Ok(Left::Nothing) => return Ending::Kept,
            Ok(left) => left,
            Err(()) => return Ending::Close,
        };
        if output.flush(&conn.io, limits.send_timeout, false).await.is_err() {
            return Ending::Broken;
        }
        let deadline = event::after(limits.lingering_timeout).earlier(over);
        match conn.io.read(input.room(), deadline).await {
            Ok(0) => return Ending::Broken,
            Ok(count) => input.filled(count),
            Err(Errno::ETIMEDOUT) => return Ending::Close,
            Err(_) => return Ending::Broken,
        }
    }
}

/// Consumes what `input` has of the body; an error is a broken framing, or a body of
/// more than `most` bytes.
fn take(left: Left, input: &mut Input, most: u64) -> Result<Left, ()> {
    match left {
        Left::Nothing => Ok(Left::Nothing),
        Left::Bytes(length) => {
            let here = length.min(input.bytes().len() as u64);
            input.consume(here as usize);
            Ok(if here == length { Left::Nothing } else { Left::Bytes(length - here) })
        }
        Left::Chunks(mut decoder, mut seen) => loop {
            match decoder.step(input.bytes()) {
                Err(chunked::Bad) => return Err(()),
                Ok(Step::Data { framing, len }) => {
                    input.consume(framing + len);
                    seen += len as u64;
                    if most > 0 && seen > most {
                        return Err(());
                    }
                }
                Ok(Step::More) => {
                    input.consume(input.bytes().len());
                    return Ok(Left::Chunks(decoder, seen));
                }
                Ok(Step::End { framing }) => {
                    input.consume(framing);
                    return Ok(Left::Nothing);
                }
            }
        },
    }
}
