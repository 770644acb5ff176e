//! What the request line says, and what has become of it.

use super::{BuiltIn, built_in, settable, written};
use crate::http::request::Request;
use crate::proto::request::{Method, Version};
use crate::text::ascii;
use crate::text::number::DECIMAL;
use crate::vars::Value;

pub static TABLE: &[BuiltIn] = &[
    settable("args", arguments, |request, value| {
        // The line is no longer what is asked for.
        (request.args, request.raw_uri) = (value, false);
    }),
    built_in("query_string", arguments),
    built_in("is_args", |request| Some(if request.args.is_empty() { b"" } else { b"?" })),
    built_in("uri", path),
    built_in("document_uri", path),
    built_in("request_uri", |request| {
        understood(request)?;
        Some(request.head.request_uri(request.bytes))
    }),
    built_in("request", |request| Some(request.line()).filter(|line| !line.is_empty())),
    built_in("request_method", method),
    built_in("server_protocol", protocol),
    built_in("scheme", |request| Some(if request.site.ssl { b"https" } else { b"http" })),
    built_in("https", |request| Some(if request.site.ssl { b"on" } else { b"" })),
    built_in("http2", |_| Some(b"")),
    built_in("http3", |_| Some(b"")),
    written("request_length", DECIMAL, |request, out| out.put_u64(request.length())),
    // Bodies that are read for somebody have them.
];

/// Nothing, if there is nothing behind the question mark.
fn arguments<'r>(request: &Request<'r>) -> Value<'r> {
    Some(request.args).filter(|args| !args.is_empty())
}

/// Of a request whose line makes no sense there is nothing to tell.
fn understood(request: &Request<'_>) -> Option<()> {
    request.head.has_line().then_some(())
}

fn path<'r>(request: &Request<'r>) -> Value<'r> {
    understood(request)?;
    Some(request.uri)
}

/// What error pages are fetched with is GET, whatever was sent; subrequests tell what was.
fn method<'r>(request: &Request<'r>) -> Value<'r> {
    match request.method {
        Method::Get if request.head.method != Method::Get && !request.is_inner => Some(b"GET"),
        _ => Some(request.head.method_name.of(request.bytes)).filter(|name| !name.is_empty()),
    }
}

/// As it was sent; HTTP/0.9 has none.
fn protocol<'r>(request: &Request<'r>) -> Value<'r> {
    let line = request.head.line.of(request.bytes);
    match request.head.version {
        Version::V09 => None,
        _ => line.rsplit(|byte| *byte == b' ').next(),
    }
}

/// `$arg_name`: the first argument of that name, in any case, as it was sent.
pub fn argument<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    request.args.split(|byte| *byte == b'&').filter(|_| !name.is_empty()).find_map(|pair| {
        let (key, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        ascii::eq_ignore_case(key, name).then(|| &value[1..])
    })
}
