//! The request as the responder gets it: parameters, the client's header lines among them.

use super::{Loc, Param};
use crate::http::request::Request;
use crate::http::upstream::{Payload, Plan, settings};
use crate::proto::fastcgi::{self, Params};
use crate::proto::request::{Field, Method};
use crate::vars::Subject;
use std::cell::Cell;

const PREFIX: &[u8] = b"HTTP_";

/// What is to be sent; `None`: there is no room for it.
pub fn make<'r>(request: &Request<'r>, conf: &'r settings::Loc, own: &'r Loc) -> Option<Plan<'r>> {
    let payload = match conf.pass_request_body {
        true => Payload::of(request),
        false => Payload::None,
    };
    let scratch = request.scratch();
    // Each value is made once: what is measured is what is written.
    let values = scratch.fill(own.params.len(), || Cell::new(None))?;
    for (param, place) in own.params.iter().zip(values) {
        place.set(value(request, param)?);
    }
    let params =
        || own.params.iter().zip(values).filter_map(|(it, value)| Some((it, value.get()?)));
    let fields = || headers(request, conf, own);
    let of_params = params().map(|(param, value)| Params::pair_len(param.name.len(), value.len()));
    let of_fields = fields().map(|header| Params::pair_len(header.name_len(), header.value_len()));
    let most =
        fastcgi::BEGIN + fastcgi::params_len(of_params.sum::<usize>() + of_fields.sum::<usize>());
    let bytes = scratch.write(most, |room| {
        let Some((begin, room)) = room.split_first_chunk_mut() else { return 0 };
        *begin = fastcgi::begin(own.keep_conn);
        let mut out = Params::new(room);
        params().for_each(|(param, value)| out.pair(&param.name, value));
        fields().for_each(|header| header.put(&mut out));
        out.finish().map_or(0, |len| fastcgi::BEGIN + len)
    })?;
    let head_only = request.method == Method::Head;
    (!bytes.is_empty()).then_some(Plan {
        bytes,
        payload,
        tail: b"",
        head_only,
        upgrades: false,
        uri: b"",
    })
}

/// The value of a parameter that is passed on; the outer `None`: there is no room for it.
fn value<'r>(request: &Request<'r>, param: &'r Param) -> Option<Option<&'r [u8]>> {
    // One that only takes a header away.
    if param.header().is_some() && param.value.literal() == Some(b"") {
        return Some(None);
    }
    let value = request.render(&param.value)?;
    Some(Some(value).filter(|value| !(param.if_not_empty && value.is_empty())))
}

/// The client's lines of one name, which are one parameter.
#[derive(Clone, Copy)]
struct Header<'q, 'r> {
    request: &'q Request<'r>,
    name: &'r [u8],
}

/// The client's header lines that are passed on, each name once.
fn headers<'q, 'r>(
    request: &'q Request<'r>,
    conf: &settings::Loc,
    own: &'q Loc,
) -> impl Iterator<Item = Header<'q, 'r>> {
    let fields = || request.head.fields(request.bytes);
    let passed = conf.pass_request_headers.then(fields).into_iter().flatten().enumerate();
    passed.filter_map(move |(i, Field { name, .. })| {
        let is_same = |other: &[u8]| is_same(name, other);
        let is_said = || own.params.iter().filter_map(Param::header).any(is_same);
        let came_before = || fields().take(i).any(|before| is_same(before.name));
        // Programs would take `Proxy` for their own proxy's address (httpoxy).
        let is_kept = !is_same(b"proxy") && !is_said() && !came_before();
        is_kept.then_some(Header { request, name })
    })
}

/// Whether two names are one as parameters.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| upper(*a) == upper(*b))
}

/// A byte of a header's name in a parameter's.
fn upper(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

impl<'r> Header<'_, 'r> {
    fn values(self) -> impl Iterator<Item = &'r [u8]> {
        let fields = self.request.head.fields(self.request.bytes);
        fields.filter(move |field| is_same(field.name, self.name)).map(|field| field.value)
    }

    /// What stands between several values.
    fn between(self) -> &'static [u8] {
        if self.name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b", " }
    }

    fn name_len(self) -> usize {
        PREFIX.len() + self.name.len()
    }

    fn value_len(self) -> usize {
        let (count, len) = self.values().fold((0, 0), |(n, len), it| (n + 1, len + it.len()));
        len + self.between().len() * usize::saturating_sub(count, 1)
    }

    fn put(self, out: &mut Params<'_>) {
        out.lengths(self.name_len(), self.value_len());
        out.bytes(PREFIX);
        let mut room = [0; 64];
        for part in self.name.chunks(room.len()) {
            room.iter_mut().zip(part).for_each(|(to, from)| *to = upper(*from));
            out.bytes(room.get(..part.len()).unwrap_or_default());
        }
        for (i, value) in self.values().enumerate() {
            out.bytes(if i > 0 { self.between() } else { b"" });
            out.bytes(value);
        }
    }
}
