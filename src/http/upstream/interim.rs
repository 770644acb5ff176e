//! Answers before the answer (RFC 9110 15.2): `100 Continue`, `103 Early Hints` and those
//! that nobody knows. None of them may be taken for the answer itself, which would put the
//! client out of step (nginx does that).

use super::fetch::Failure;
use super::{Upstream, settings};
use crate::event;
use crate::http::request::Request;
use crate::log::Level;
use crate::proto::request::Version;
use crate::proto::response::{Head, Known};
use crate::sys::errno::Errno;
use crate::vars::Subject;

/// How many of them one answer may have before it.
const MOST: u32 = 64;

/// `early_hints`
fn are_wanted(request: &Request<'_>) -> bool {
    let conditions = &request.location.conf.core.early_hints;
    let is_true = |text| request.render(text).is_some_and(|it| !it.is_empty() && it != b"0");
    request.head.version == Version::V11
        && !request.is_inner
        && !conditions.is_empty()
        && conditions.iter().all(is_true)
}

/// The hints as the client gets them: without what is between the upstream and us.
fn hints<'r>(
    request: &Request<'r>,
    conf: &settings::Loc,
    head: &Head,
    bytes: &[u8],
) -> Option<&'r [u8]> {
    const LINE: &[u8] = b"HTTP/1.1 103 Early Hints\r\n";
    let fields = head.fields(bytes).filter(|field| {
        let ours = matches!(
            field.known,
            Some(
                Known::Connection
                    | Known::KeepAlive
                    | Known::ContentLength
                    | Known::TransferEncoding
                    | Known::Upgrade
            )
        );
        !ours && (!conf.hide.has(field.name) || conf.pass.has(field.name))
    });
    request.made(LINE.len() + 2 * bytes.len(), |out| {
        out.put(LINE);
        for field in fields {
            out.put_field(field.name, field.value);
        }
        out.put(b"\r\n");
    })
}

/// Sends what has been made of them.
///
/// Cancellation: the client's connection is of no use any more.
pub async fn send<'r>(request: &Request<'r>, upstream: &mut Upstream<'r>) -> Result<(), Failure> {
    let Some(mut rest) = upstream.hints.take() else { return Ok(()) };
    let (io, timeout) = (&request.conn.io, request.location.conf.core.send_timeout);
    while !rest.is_empty() {
        let sent = match io.try_send(rest, 0) {
            Err(Errno::EAGAIN) => io.writable(event::after(timeout)).await.map(|()| 0),
            Err(Errno::EINTR) => Ok(0),
            sent => sent,
        };
        match sent {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(errno) => {
                request.log_info(Some(errno), format_args!("send() failed"));
                return Err(Failure::Gone);
            }
        }
    }
    Ok(())
}

/// Takes one out of the way.
pub fn pass<'r>(request: &mut Request<'r>, upstream: &mut Upstream<'r>) -> Result<(), Failure> {
    let len = upstream.head.len as usize;
    upstream.interims += 1;
    let Some(room) = upstream.room.as_deref_mut() else { return Err(Failure::Error) };
    if upstream.interims > MOST {
        let text = format_args!("upstream sent too many interim responses");
        request.log(Level::Error, None, text);
        return Err(Failure::Invalid);
    }
    let status = upstream.head.status;
    let read = room.get(..len).unwrap_or_default();
    if status == 103 && are_wanted(request) {
        upstream.hints = hints(request, upstream.conf, &upstream.head, read);
    }
    request.log(Level::Debug, None, format_args!("upstream sent interim response {status}"));
    room.copy_within(len..upstream.filled, 0);
    upstream.filled -= len;
    upstream.head = Head::default();
    Ok(())
}
