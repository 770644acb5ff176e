//! What FastCGI puts around a request's body and an answer.

use super::fetch::Failure;
use super::payload::Payload;
use super::send::Sent;
use super::{Broken, Rest, Speaks, Upstream};
use crate::event::Io;
use crate::http::conf::{Location, Server};
use crate::http::connection::Conn;
use crate::http::log::Doing;
use crate::http::request::Request;
use crate::log::{Entry, Level};
use crate::proto::fastcgi::{self, Decoder, END_OF_STDIN, HEAD};
use crate::proto::response::Framing;
use crate::sys::addr::Ip;
use crate::sys::errno::{Errno, Result};
use crate::sys::{io, socket};
use crate::text::escape::Shown;
use std::io::IoSlice;
use std::rc::Rc;

/// Bytes of a body in one record.
const PIECE: u64 = 32 * 1024;
const HEAD_LEN: u64 = HEAD as u64;

/// Something of a body on the wire.
#[derive(Clone, Copy, Default)]
enum Part {
    /// What is left of a record's head.
    Head([u8; HEAD], usize),
    /// So many bytes of the body, from where.
    Data(u64, u64),
    #[default]
    Over,
}

impl Part {
    /// What is at a place of the wire, of a body of `len` bytes.
    fn at(at: u64, len: u64) -> Part {
        let all = len.saturating_add(len.div_ceil(PIECE).saturating_mul(HEAD_LEN));
        if let Some(within) = at.checked_sub(all) {
            return Part::end(within);
        }
        let (record, within) = (at / (HEAD_LEN + PIECE), at % (HEAD_LEN + PIECE));
        let from = record.saturating_mul(PIECE);
        let size = len.saturating_sub(from).min(PIECE);
        match within.checked_sub(HEAD_LEN) {
            Some(done) => Part::Data(from + done, size - done),
            None => Part::Head(fastcgi::stdin(size as u16), within as usize),
        }
    }

    /// What follows all records with bytes in them.
    fn end(within: u64) -> Part {
        match usize::try_from(within) {
            Ok(within) if within < HEAD => Part::Head(END_OF_STDIN, within),
            _ => Part::Over,
        }
    }

    fn len(&self) -> u64 {
        match self {
            Part::Head(head, from) => (head.len() - from) as u64,
            Part::Data(_, len) => *len,
            Part::Over => 0,
        }
    }
}

/// Parts that leave at once.
const AT_ONCE: usize = 7;

/// Sends what goes without waiting; true: all of it is out. `sent.body` are bytes of the wire.
pub fn push(upstream: &Upstream<'_>, sent: &mut Sent) -> Result<bool> {
    let Some(link) = &upstream.link else { return Err(Errno::EPIPE) };
    let (body, len): (&[u8], u64) = match upstream.payload {
        Payload::Bytes(bytes) => (bytes, bytes.len() as u64),
        Payload::File(_, len) => (b"", len),
        Payload::None | Payload::Stream(_) => (b"", 0),
    };
    loop {
        let head = upstream.request.get(sent.head..).unwrap_or_default();
        let mut parts = [Part::Over; AT_ONCE];
        if !matches!(upstream.payload, Payload::Stream(_)) {
            gather(&mut parts, sent.body, len, body.is_empty());
        }
        let slices = parts.each_ref().map(|part| match part {
            Part::Head(bytes, from) => IoSlice::new(bytes.get(*from..).unwrap_or_default()),
            Part::Data(from, len) => {
                let (from, len) = (*from as usize, *len as usize);
                IoSlice::new(body.get(from..from + len).unwrap_or_default())
            }
            Part::Over => IoSlice::new(b""),
        });
        let [a, b, c, d, e, f, g] = slices;
        let all = [IoSlice::new(head), a, b, c, d, e, f, g];
        let outcome = match all.iter().all(|slice| slice.is_empty()) {
            false => gathered(&link.io, &all, len > 0 && body.is_empty()),
            true => match (upstream.payload, parts[0]) {
                (Payload::File(file, _), Part::Data(mut from, len)) => {
                    link.io.try_with(|fd| io::sendfile(fd, &file.fd, &mut from, len as usize))
                }
                _ => return Ok(true),
            },
        };
        match outcome {
            Ok(0) => return Err(Errno::EIO),
            Ok(count) => {
                upstream.count_sent(count);
                let of_head = count.min(head.len());
                sent.head += of_head;
                sent.body += (count - of_head) as u64;
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn gathered(io: &Io, parts: &[IoSlice<'_>], more: bool) -> Result<usize> {
    let flags = if more { socket::MORE } else { 0 };
    io.try_with(|fd| socket::send_parts(fd, parts, flags))
}

/// The parts from a place on, up to bytes of a file.
fn gather(parts: &mut [Part], mut at: u64, len: u64, in_file: bool) {
    for part in parts {
        *part = Part::at(at, len);
        at += part.len();
        if in_file && matches!(part, Part::Data(..)) || matches!(part, Part::Over) {
            return;
        }
    }
}

/// An answer's records, as far as they came.
#[derive(Clone, Copy)]
pub struct Records<'r> {
    decoder: Decoder,
    /// Bytes of the body to come; `None`: nobody knows.
    left: Option<u64>,
    /// The answer has no body, whatever is sent of one.
    bodiless: bool,
    /// The connection is to be used again: the answer is read to its end.
    keeps: bool,
    told: Told<'r>,
}

/// Whose answer it is, for the error log.
#[derive(Clone, Copy)]
struct Told<'r> {
    conn: &'r Conn,
    client: Ip,
    server: &'r Server,
    location: &'r Rc<Location>,
}

impl<'r> Records<'r> {
    pub fn new(request: &Request<'r>, keeps: bool) -> Records<'r> {
        let told = Told {
            conn: request.conn,
            client: request.client.ip,
            server: request.server,
            location: request.location,
        };
        Records { decoder: Decoder::new(), left: None, bodiless: false, keeps, told }
    }

    /// Forgets what came.
    pub fn restart(&mut self) {
        *self = Records { decoder: Decoder::new(), left: None, bodiless: false, ..*self };
    }

    /// A head has come, which says how long the body is.
    pub fn set_framing(&mut self, framing: Framing) {
        self.bodiless = framing == Framing::None;
        self.left = match framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked | Framing::UntilClose => None,
        };
    }

    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// Nothing more of the answer is of interest.
    pub fn is_over(&self) -> bool {
        let is_enough = self.decoder.is_stdout_closed() || self.left == Some(0);
        let is_over = self.decoder.is_at_end() || self.bodiless || !self.keeps && is_enough;
        is_over && self.broken().is_none()
    }

    /// All of it has been read.
    pub fn is_at_end(&self) -> bool {
        self.decoder.is_at_end()
    }

    /// Takes apart bytes that came: see [`Rest`].
    pub fn take(&mut self, bytes: &mut [u8]) -> std::result::Result<(usize, usize), Broken> {
        let came = bytes.len();
        let told = self.told;
        let taken = self.decoder.decode(bytes, |text| told.log(text));
        let (kept, used) = taken.map_err(Broken::Records)?;
        Ok(self.count(kept, used.min(came)))
    }

    /// The same for bytes that are the body's already.
    pub fn count(&mut self, kept: usize, used: usize) -> (usize, usize) {
        if self.bodiless {
            return (0, used);
        }
        let Some(left) = &mut self.left else { return (kept, used) };
        let good = usize::try_from(*left).map_or(kept, |left| left.min(kept));
        *left -= good as u64;
        // More than was said: what is too much was not used.
        (good, used - (kept - good).min(used))
    }

    /// What is wrong behind all that was taken.
    pub fn broken(&self) -> Option<Broken> {
        let is_short = self.decoder.is_stdout_closed() && self.left > Some(0);
        match self.decoder.bad() {
            _ if self.bodiless => None,
            Some(bad) => Some(Broken::Records(bad)),
            None => is_short.then_some(Broken::Short),
        }
    }
}

impl Told<'_> {
    fn log(&self, text: &[u8]) {
        let (level, peer) = (Level::Error, self.conn.peer.ip);
        let log = &self.location.conf.core.error_log;
        let text = trimmed(text);
        if text.is_empty() || !log.enabled(level, peer) {
            return;
        }
        let server = Shown(&self.server.name);
        let context =
            Doing { action: " while reading upstream", client: self.client, server: &server };
        let connection = self.conn.number;
        let text = Shown(text);
        let text = format_args!("FastCGI sent in stderr: \"{text}\"");
        log.put(&Entry { level, connection, errno: None, text, context: Some(&context) }, peer);
    }
}

/// Without the end of a line and of a sentence, as nginx shows it.
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r' | b'.' | b' '] = text {
        text = rest;
    }
    text
}

/// Takes apart what was read while the head is awaited; returns how much of it is output.
pub fn take_head(
    request: &Request<'_>,
    upstream: &mut Upstream<'_>,
    count: usize,
) -> std::result::Result<usize, Failure> {
    let (Rest::Records(records), Speaks::FastCgi(own)) = (&mut upstream.rest, upstream.speaks)
    else {
        return Ok(count);
    };
    let Some(room) = upstream.room.as_deref_mut() else { return Err(Failure::Error) };
    let fresh = room.get_mut(upstream.filled..upstream.filled + count).unwrap_or_default();
    let mut caught = false;
    let taken = records.decoder.decode(fresh, |text| {
        let shown = Shown(trimmed(text));
        request.log(Level::Error, None, format_args!("FastCGI sent in stderr: \"{shown}\""));
        let is_in = |what: &[u8]| text.windows(what.len().max(1)).any(|window| window == what);
        caught |= own.catch_stderr.iter().any(|what| is_in(what));
    });
    match taken {
        Ok(_) if caught => Err(Failure::Invalid),
        Ok((kept, _)) => Ok(kept),
        Err(bad) => {
            request.log(Level::Error, None, format_args!("{bad}"));
            Err(Failure::Invalid)
        }
    }
}

/// There is no head yet: will there be one?
pub fn check_open(
    request: &Request<'_>,
    upstream: &Upstream<'_>,
) -> std::result::Result<(), Failure> {
    let Rest::Records(records) = &upstream.rest else { return Ok(()) };
    if let Some(bad) = records.decoder.bad() {
        request.log(Level::Error, None, format_args!("{bad}"));
        return Err(Failure::Invalid);
    }
    if !records.decoder.is_stdout_closed() {
        return Ok(());
    }
    let what = if records.decoder.end().is_some() { "request" } else { "stdout" };
    let text = format_args!("upstream prematurely closed FastCGI {what}");
    request.log(Level::Error, None, text);
    Err(Failure::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes of the wire, from one place to the next.
    fn wire(len: u64, step: u64) -> Vec<u8> {
        let (mut at, mut all) = (0, Vec::new());
        loop {
            match Part::at(at, len) {
                Part::Over => return all,
                Part::Head(head, from) => {
                    let take = step.min((HEAD - from) as u64);
                    all.extend_from_slice(&head[from..from + take as usize]);
                    at += take;
                }
                Part::Data(from, most) => {
                    let take = step.min(most);
                    all.extend((from..from + take).map(|at| at as u8));
                    at += take;
                }
            }
        }
    }

    #[test]
    fn bodies_on_the_wire() {
        let body = |range: std::ops::Range<u64>| range.map(|at| at as u8).collect::<Vec<u8>>();
        let record = |range: std::ops::Range<u64>| {
            [&fastcgi::stdin((range.end - range.start) as u16)[..], &body(range)].concat()
        };
        for len in [0, 1, 7, 8, 9, PIECE - 1, PIECE, PIECE + 1, PIECE + 8, 3 * PIECE, 3 * PIECE + 5]
        {
            let mut want = Vec::new();
            let mut from = 0;
            while from < len {
                let to = (from + PIECE).min(len);
                want.extend(record(from..to));
                from = to;
            }
            want.extend(END_OF_STDIN);
            for step in [1, 3, 8, 1000, u64::MAX] {
                assert_eq!(wire(len, step), want, "{len} {step}");
            }
        }
    }

    #[test]
    fn what_is_shown_of_errors() {
        assert_eq!(trimmed(b"PHP message: a. b.\n\r\n"), b"PHP message: a. b");
        assert_eq!(trimmed(b" .\n"), b"");
    }
}
