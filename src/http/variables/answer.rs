//! `$sent_http_*`, `$sent_trailer_*`: what the head of the answer says, and what follows
//! the body. `Date`, `Server` and `Vary` are nothing that nginx would tell of.

use super::connection::number;
use super::head::{is_called, joined};
use super::{BuiltIn, built_in};
use crate::http::request::Request;
use crate::http::response::{self, Line};
use crate::proto::range;
use crate::text::date;
use crate::text::number::DECIMAL;
use crate::vars::{Subject, Value};

pub static TABLE: &[BuiltIn] = &[
    built_in("sent_http_content_type", content_type),
    built_in("sent_http_content_length", |request| number(request, request.response.length?)),
    built_in("sent_http_last_modified", |request| match request.response.last_modified {
        Some(modified) => request.scratch().concat(&[&date::http(modified)]),
        None => line(request, b"last_modified"),
    }),
    built_in("sent_http_location", location),
    built_in("sent_http_connection", |request| {
        Some(if request.keep_alive { b"keep-alive" } else { b"close" })
    }),
    built_in("sent_http_keep_alive", keep_alive),
    built_in("sent_http_transfer_encoding", |request| {
        request.response.chunked.then_some(b"chunked")
    }),
    built_in("sent_http_etag", |request| match request.response.etag {
        b"" => line(request, b"etag"),
        etag => Some(etag),
    }),
    built_in("sent_http_accept_ranges", |request| match request.response.accept_ranges {
        true => Some(b"bytes"),
        false => line(request, b"accept_ranges"),
    }),
    built_in("sent_http_content_encoding", |request| match request.response.content_encoding {
        b"" => line(request, b"content_encoding"),
        coding => Some(coding),
    }),
    built_in("sent_http_content_range", content_range),
];

/// Its charset is a part of it only once it has been sent (nginx).
fn content_type<'r>(request: &Request<'r>) -> Value<'r> {
    let response = &request.response;
    match (response.content_type, response.charset) {
        (b"", _) => None,
        (content_type, b"") => Some(content_type),
        (content_type, _) if request.head_sent == 0 => Some(content_type),
        (content_type, charset) => {
            request.scratch().concat(&[content_type, b"; charset=", charset])
        }
    }
}

fn location<'r>(request: &Request<'r>) -> Value<'r> {
    if request.moved.is_none() {
        return line(request, b"location");
    }
    // A byte of the path becomes three at most; scheme, name and port come to it.
    let path = request.uri.len() * 3 + request.args.len();
    let text = request.moved.as_ref().map_or(0, |to| to.len());
    let host = request.head.host.of(request.bytes).len() + request.server.name.len();
    request.made(path + text + host + 128, |out| response::put_location(request, out))
}

fn keep_alive<'r>(request: &Request<'r>) -> Value<'r> {
    let seconds = request.location.conf.core.keepalive_header;
    if !request.keep_alive || seconds == 0 {
        return None;
    }
    request.made(DECIMAL + 8, |out| {
        out.put(b"timeout=");
        out.put_u64(seconds);
    })
}

fn content_range<'r>(request: &Request<'r>) -> Value<'r> {
    match (request.unsatisfied, request.response.content_range) {
        (None, None) => line(request, b"content_range"),
        (Some(size), _) => request.made(DECIMAL + 8, |out| range::put_unsatisfied(size, out)),
        (None, Some((part, size))) => {
            request.made(3 * DECIMAL + 8, |out| range::put_content_range(*part, *size, out))
        }
    }
}

/// `$sent_http_name`: the lines of that name, joined as a list.
pub fn line<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    let response = &request.response;
    of_lines(request, || response.early.iter().chain(response.late.iter()), name)
}

/// `$sent_trailer_name`
pub fn trailer<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    of_lines(request, || request.response.trailers.iter(), name)
}

fn of_lines<'r, L: Iterator<Item = &'r Line<'r>>>(
    request: &Request<'r>,
    lines: impl Fn() -> L,
    name: &[u8],
) -> Value<'r> {
    let wanted = |line: &&Line<'r>| !line.value.get().is_empty() && is_called(line.name, name);
    joined(request, || lines().filter(wanted).map(|line| line.value.get()), b", ")
}
