//! Trailer fields of a client's chunked body, as the upstream gets them (`proxy_pass_trailers`):
//! in chunks, too, even if the body was there before it was sent.

use super::Loc;
use super::request::{ends_here, says};
use crate::http::request::Request;
use crate::http::upstream::settings;
use crate::proto::request::Version;
use crate::proto::trailers;
use crate::text::ascii;
use crate::vars::Subject;

/// What follows the data of the body, if there are trailers to pass on; empty: there are none.
/// `None`: there is no room for it.
pub fn tail<'r>(
    request: &Request<'r>,
    conf: &settings::Loc,
    own: &Loc,
    has_data: bool,
) -> Option<&'r [u8]> {
    let wanted = own.pass_trailers && own.version == Version::V11 && conf.pass_request_headers;
    let section = if wanted { request.trailers.get() } else { b"" };
    let fields = || trailers::fields(section).filter(|(name, _)| is_passed(request, own, name));
    if fields().next().is_none() {
        return Some(b"");
    }
    // Each line is written as it came, perhaps with a blank more.
    request.made(2 * section.len() + LAST.len() + 2, |out| {
        out.put(if has_data { b"\r\n" } else { b"" });
        out.put(LAST);
        for (name, value) in fields() {
            out.put(name);
            out.put(b": ");
            out.put(value);
            out.put(b"\r\n");
        }
        out.put(b"\r\n");
    })
}

const LAST: &[u8] = b"0\r\n";

/// Whether a field would be passed on in the head, too: one that the configuration says in the
/// client's place cannot be said again behind it.
fn is_passed(request: &Request<'_>, own: &Loc, name: &[u8]) -> bool {
    let core = &request.server.conf.core;
    let is_plain = |b: &u8| ascii::is(*b, ascii::NAME) || *b == b'_' && core.underscores_in_headers;
    let is_named = !core.ignore_invalid_headers || name.iter().all(is_plain);
    is_named && !says(own, name) && !ends_here(request, name)
}
