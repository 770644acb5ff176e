//! Trailer fields of answers (`proxy_pass_trailers`): what stands behind the last chunk is kept
//! until the client has had all before it.

use super::{Rest, Speaks, Upstream, settings};
use crate::http::request::Request;
use crate::log::Level;
use crate::mem::buffers::Scratch;
use crate::proto::chunked::{Bad, Decoder};
use crate::proto::trailers;
use crate::vars::Subject;
use std::cell::Cell;

/// What comes behind the last chunk, as it comes.
pub struct Section<'r> {
    conf: &'r settings::Loc,
    scratch: &'r Scratch,
    room: Cell<&'r mut [u8]>,
    filled: Cell<usize>,
    /// All of it, once it is there.
    whole: Cell<&'r [u8]>,
}

/// The answer's trailers are kept, if they are wanted.
pub fn expect<'r>(request: &Request<'r>, upstream: &mut Upstream<'r>) {
    let wanted = match upstream.speaks {
        Speaks::Http(own) => own.pass_trailers,
        Speaks::FastCgi(_) => false,
    };
    if wanted && matches!(upstream.rest, Rest::Chunked(_)) {
        upstream.rest = Rest::Chunked(Decoder::keeping_trailers());
        upstream.section = Some(Section {
            conf: upstream.conf,
            scratch: request.scratch(),
            room: Cell::default(),
            filled: Cell::new(0),
            whole: Cell::default(),
        });
    }
}

impl<'r> Section<'r> {
    /// Takes what of the bytes behind a body's data belongs to it; says how much that is.
    /// No section is longer than the room for a head.
    pub fn take(&self, decoder: &mut Decoder, fresh: &[u8]) -> Result<usize, Bad> {
        if fresh.is_empty() || !decoder.is_at_trailers() {
            return Ok(0);
        }
        let (used, is_all) = decoder.trailers(fresh)?;
        let (start, end) = (self.filled.get(), self.filled.get() + used);
        let room = match self.room.take() {
            [] => {
                let most = usize::try_from(self.conf.buffer_size).unwrap_or(usize::MAX);
                self.scratch.take(if is_all { used.min(most) } else { most }).ok_or(Bad)?
            }
            room => room,
        };
        let (fresh, place) = (fresh.get(..used), room.get_mut(start..end));
        place.ok_or(Bad)?.copy_from_slice(fresh.unwrap_or_default());
        self.filled.set(end);
        if is_all {
            let room: &'r [u8] = room;
            self.whole.set(room.get(..end).unwrap_or_default());
        } else {
            self.room.set(room);
        }
        Ok(used)
    }

    /// All of it, or nothing as long as it has not come whole.
    pub fn bytes(&self) -> &'r [u8] {
        self.whole.get()
    }

    /// The client gets the fields that may be trailers and are not hidden, if its chunks take
    /// them there.
    pub fn hand_on(&self, request: &mut Request<'r>) {
        if !request.response.chunked {
            return;
        }
        for (name, value) in trailers::fields(self.bytes()) {
            if self.conf.hide.has(name) && !self.conf.pass.has(name) {
                continue;
            }
            let scratch = request.scratch();
            if request.response.trailers.add(scratch, name, value).is_none() {
                let text = format_args!("no room for an upstream's trailers");
                return request.log(Level::Alert, None, text);
            }
        }
    }
}
