//! What an upstream's answer said: `$upstream_http_name`, `$upstream_cookie_name`; and where
//! it was asked: `$proxy_host`, `$proxy_port`.

use crate::http::request::Request;
use crate::http::variables::{BuiltIn, built_in, connection, is_called, joined};
use crate::vars::Value;

pub static VARIABLES: &[BuiltIn] = &[
    built_in("proxy_host", |request| Some(request.attempts.get()?.named.get()?.0)),
    built_in("proxy_port", |request| {
        let (_, port) = request.attempts.get()?.named.get()?;
        connection::port(request, port)
    }),
];

/// `$upstream_http_name`: the lines of that name, joined as a list.
pub fn header<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    let upstream = request.upstream.as_ref()?;
    let (head, bytes) = (upstream.head, upstream.bytes);
    let values = || {
        let fields = head.fields(bytes);
        fields.filter(|field| is_called(field.name, name)).map(|field| field.value)
    };
    joined(request, values, b", ")
}

/// `$upstream_cookie_name`: the value that `Set-Cookie` gives it.
pub fn cookie<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    let upstream = request.upstream.as_ref()?;
    let (head, bytes) = (upstream.head, upstream.bytes);
    let mut cookies =
        head.fields(bytes).filter(|field| field.name.eq_ignore_ascii_case(b"set-cookie"));
    cookies.find_map(|field| {
        let rest = field.value.trim_ascii_start();
        let (start, rest) = rest.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b"=").filter(|_| start.eq_ignore_ascii_case(name))?;
        value.split(|byte| *byte == b';').next()
    })
}

/// `$upstream_trailer_name`
pub fn trailer<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    let upstream = request.upstream.as_ref()?;
    let lines = upstream.section.as_ref()?.bytes().split(|byte| *byte == b'\n');
    lines.into_iter().find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (own, value) = line.split_at(colon);
        is_called(own, name).then(|| value[1..].trim_ascii())
    })
}
