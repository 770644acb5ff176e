//! Trailer fields of answers (`proxy_pass_trailers`).

use super::{Rest, Speaks, Upstream};
use crate::http::request::Request;
use crate::http::trailers::{Section, decoder};
use crate::log::Level;
use crate::proto::trailers;
use crate::vars::Subject;

/// The answer's trailers are kept, if they are wanted: as many as its head may be long.
pub fn expect<'r>(request: &Request<'r>, upstream: &mut Upstream<'r>) {
    let wanted = match upstream.speaks {
        Speaks::Http(own) => own.pass_trailers,
        Speaks::FastCgi(_) => false,
    };
    if wanted && matches!(upstream.rest, Rest::Chunked(_)) {
        upstream.section = Some(Section::new(request.scratch(), upstream.conf.buffer_size));
        upstream.rest = Rest::Chunked(decoder(upstream.section.as_ref()));
    }
}

/// The client gets the fields that may be trailers and are not hidden, if its chunks take
/// them there.
pub fn hand_on<'r>(request: &mut Request<'r>, section: &Section<'r>) {
    if !request.response.chunked {
        return;
    }
    let conf = &request.location.conf.proxy_exchange;
    for (name, value) in trailers::fields(section.bytes()) {
        if conf.hide.has(name) && !conf.pass.has(name) {
            continue;
        }
        let scratch = request.scratch();
        if request.response.trailers.add(scratch, name, value).is_none() {
            let text = format_args!("no room for an upstream's trailers");
            return request.log(Level::Alert, None, text);
        }
    }
}
