//! What the request line says, and what has become of it.

use super::{BuiltIn, built_in};
use crate::conf::parse_size;
use crate::http::request::Request;
use crate::proto::request::{Method, Version};
use crate::text::ascii;
use crate::vars::{Subject, Value};

pub static TABLE: &[BuiltIn] = &[
    BuiltIn {
        name: "args",
        get: |request| Some(request.args),
        set: Some(|request, value| request.args = value),
    },
    BuiltIn {
        name: "limit_rate",
        get: |request| {
            let rate = request
                .own_rate
                .unwrap_or_else(|| request.location.conf.core.limit_rate.of(request));
            request.made(20, |out| out.put_u64(rate))
        },
        set: Some(|request, value| request.own_rate = parse_size(value)),
    },
    built_in("query_string", |request| Some(request.args)),
    built_in("is_args", |request| Some(if request.args.is_empty() { b"" } else { b"?" })),
    built_in("uri", |request| Some(request.uri)),
    built_in("document_uri", |request| Some(request.uri)),
    built_in("request_uri", |request| Some(request.head.request_uri(request.bytes))),
    built_in("request", |request| Some(request.line())),
    built_in("request_method", method),
    built_in("server_protocol", |request| Some(protocol(request))),
    built_in("scheme", |_| Some(b"http")),
    built_in("https", |_| Some(b"")),
];

/// What error pages are fetched with is GET, whatever was sent.
fn method<'r>(request: &Request<'r>) -> Value<'r> {
    match request.method {
        Method::Get if request.head.method != Method::Get => Some(b"GET"),
        _ => Some(request.head.method_name.of(request.bytes)),
    }
}

/// As it was sent; HTTP/0.9 has none.
fn protocol<'r>(request: &Request<'r>) -> &'r [u8] {
    let line = request.head.line.of(request.bytes);
    match request.head.version {
        Version::V09 => b"",
        _ => line.rsplit(|byte| *byte == b' ').next().unwrap_or_default(),
    }
}

/// `$arg_name`: the first argument of that name, in any case, as it was sent.
pub fn argument<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    request.args.split(|byte| *byte == b'&').find_map(|pair| {
        let (key, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        ascii::eq_ignore_case(key, name).then(|| &value[1..])
    })
}
