//! Answers before the answer (RFC 9110 15.2): `100 Continue`, `103 Early Hints` and those
//! that nobody knows. None of them may be taken for the answer itself, which would put the
//! client out of step (nginx does that).

use super::Upstream;
use super::fetch::Failure;
use crate::http::request::Request;
use crate::log::Level;
use crate::proto::response::Head;

/// How many of them one answer may have before it.
const MOST: u32 = 64;

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
    request.log(Level::Debug, None, format_args!("upstream sent interim response {status}"));
    room.copy_within(len..upstream.filled, 0);
    upstream.filled -= len;
    upstream.head = Head::default();
    Ok(())
}
