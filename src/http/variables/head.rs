//! What the header lines of the request say.

use super::connection::{self, number};
use super::{BuiltIn, built_in};
use crate::http::auth_basic;
use crate::http::request::Request;
use crate::proto::request::Known;
use crate::text::ascii;
use crate::vars::{Subject, Value};

pub static TABLE: &[BuiltIn] = &[
    built_in("host", host),
    built_in("content_length", content_length),
    built_in("content_type", |request| known(request, Known::ContentType)),
    built_in("request_port", |request| match request.head.port {
        Some(port) => number(request, port.into()),
        None => Some(b""),
    }),
    built_in("is_request_port", |request| {
        Some(if request.head.port.is_some() { b":" } else { b"" })
    }),
    // Whether or not anybody checks it.
    built_in("remote_user", |request| auth_basic::credentials(request).map(|(user, _)| user)),
    built_in("proxy_add_x_forwarded_for", forwarded),
];

/// The name in the request, in lower case; else the server's.
fn host<'r>(request: &Request<'r>) -> Value<'r> {
    let host = request.head.host.of(request.bytes);
    match host {
        [] => Some(&request.server.name),
        _ if !request.head.host_has_upper => Some(host),
        _ => request.made(host.len(), |out| {
            host.iter().for_each(|byte| out.put_byte(byte.to_ascii_lowercase()));
        }),
    }
}

/// Who the request came from, and through whom.
fn forwarded<'r>(request: &Request<'r>) -> Value<'r> {
    let client = connection::remote_addr(request)?;
    match known(request, Known::XForwardedFor) {
        None => Some(client),
        Some(others) => request.scratch().concat(&[others, b", ", client]),
    }
}

/// `$http_name` of a header that the head has a place for.
pub fn known<'r>(request: &Request<'r>, known: Known) -> Value<'r> {
    match request.head.is_repeated(known) {
        false => request.header(known),
        true => {
            let dashed = known.name();
            let between: &[u8] = if known == Known::Cookie { b"; " } else { b", " };
            of_fields(request, |name| ascii::eq_ignore_case(name, dashed), between)
        }
    }
}

/// As it was sent; of a body in chunks once it has been read.
fn content_length<'r>(request: &Request<'r>) -> Value<'r> {
    let told = request.header(Known::ContentLength);
    told.or_else(|| number(request, request.body.get()?.size))
}

/// `$http_name`: the lines of that name (dashes as underscores), joined as a list.
pub fn header<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    of_fields(request, |field| is_called(field, name), b", ")
}

/// The values of all lines of one name as one text; as it stands if there is only one.
pub fn joined<'r, V: Iterator<Item = &'r [u8]>>(
    request: &Request<'r>,
    values: impl Fn() -> V,
    between: &[u8],
) -> Value<'r> {
    let mut rest = values();
    let first = rest.next()?;
    if rest.next().is_none() {
        return Some(first);
    }
    let most = values().map(|value| value.len() + between.len()).sum();
    request.made(most, |out| {
        for (i, value) in values().enumerate() {
            out.put(if i > 0 { between } else { b"" });
            out.put(value);
        }
    })
}

fn of_fields<'r>(
    request: &Request<'r>,
    is_wanted: impl Fn(&[u8]) -> bool,
    between: &[u8],
) -> Value<'r> {
    let values = || {
        let all = request.head.fields(request.bytes);
        all.filter(|field| is_wanted(field.name)).map(|field| field.value)
    };
    joined(request, values, between)
}

/// Whether a header of this name is what `$http_variable` means.
pub fn is_called(name: &[u8], variable: &[u8]) -> bool {
    let as_variable = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    name.len() == variable.len()
        && name.iter().zip(variable).all(|(byte, wanted)| as_variable(byte) == *wanted)
}

/// `$cookie_name`: of all `Cookie` lines the first one that has it.
pub fn cookie<'r>(request: &Request<'r>, name: &'r [u8]) -> Value<'r> {
    request.header(Known::Cookie)?;
    let all = request.head.fields(request.bytes);
    let lines = all.filter(|field| ascii::eq_ignore_case(field.name, b"cookie"));
    lines.map(|field| field.value).find_map(|line| cookie_in(line, name))
}

/// As nginx looks for it: commas part cookies too, but do not end a value.
fn cookie_in<'r>(mut line: &'r [u8], name: &[u8]) -> Option<&'r [u8]> {
    loop {
        line = without_blanks(line);
        let (key, rest) = line.split_at_checked(name.len())?;
        if ascii::eq_ignore_case(key, name)
            && let Some(value) = without_blanks(rest).strip_prefix(b"=")
        {
            return without_blanks(value).split(|byte| *byte == b';').next();
        }
        let end = line.iter().position(|byte| matches!(byte, b';' | b','))?;
        line = line.get(end + 1..)?;
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let from = text.iter().position(|byte| *byte != b' ').unwrap_or(text.len());
    text.get(from..).unwrap_or_default()
}
