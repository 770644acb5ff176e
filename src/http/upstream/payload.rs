//! The body of a request, as it goes to an upstream.

use crate::http::request::Request;
use crate::http::request_body::{self, TempFile};
use crate::proto::framing::Framing;
use crate::proto::request::Method;

/// What is sent behind the head.
#[derive(Clone, Copy)]
pub enum Payload<'r> {
    None,
    Bytes(&'r [u8]),
    /// So many bytes of a file.
    File(&'r TempFile, u64),
    /// It is read from the client as it is sent on.
    Stream(Framing),
}

impl<'r> Payload<'r> {
    /// The body of the client's request: as it was read, or as it will be.
    pub fn of(request: &Request<'r>) -> Payload<'r> {
        if !belongs_to(request) {
            return Payload::None;
        }
        match request.body.get() {
            None => Payload::Stream(request.head.framing),
            Some(body) => match (&body.file, body.bytes()) {
                (Some(file), _) => Payload::File(file, body.size),
                (None, Some(bytes)) => Payload::Bytes(bytes),
                (None, None) => Payload::Bytes(b""),
            },
        }
    }

    /// Its length, if that is known before it is sent.
    pub fn len(&self) -> Option<u64> {
        match *self {
            Payload::None => None,
            Payload::Bytes(bytes) => Some(bytes.len() as u64),
            Payload::File(_, len) => Some(len),
            Payload::Stream(Framing::Length(len)) => Some(len),
            Payload::Stream(_) => None,
        }
    }

    /// It goes out in chunks.
    pub fn is_chunked(&self) -> bool {
        matches!(self, Payload::Stream(Framing::Chunked))
    }
}

/// Whether the client's body is one of this request: those inside others have it only if
/// they repeat it (`mirror`).
fn belongs_to(request: &Request<'_>) -> bool {
    let repeats = !request.is_inner || request.repeats_body;
    repeats && (request.head.framing != Framing::None || request.body.get().is_some())
}

/// Whether it has to be read before anything is sent.
pub fn is_awaited(request: &Request<'_>, buffering: bool, chunks: bool) -> bool {
    // HTTP/1.0 has no chunks: the length must be known (nginx).
    let unknown = request.head.framing == Framing::Chunked && !chunks;
    request_body::is_to_come(request) && (buffering || unknown || is_there(request))
}

/// Whether all of it came together with the head: then it can be sent to more than one peer.
fn is_there(request: &Request<'_>) -> bool {
    let came = request.bytes.len().saturating_sub(request.head.len as usize);
    matches!(request.head.framing, Framing::Length(length) if length <= came as u64)
}

/// Whether a request of this method may be asked twice (RFC 9110 9.2.2, as nginx has it).
pub fn is_idempotent(method: Method) -> bool {
    !matches!(method, Method::Post | Method::Lock | Method::Patch)
}
