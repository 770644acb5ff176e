//! The request as the upstream gets it.
//!
//! It is framed anew, from what was understood of the client's: `Content-Length` and
//! `Transfer-Encoding` are ours to say, whatever the configuration or the client wants
//! there. What ends at us (RFC 9110 7.6.1) stays here.

use super::{Loc, SetHeader, trailers};
use crate::http::request::Request;
use crate::http::response::{Lines, is_safe};
use crate::http::upstream::{Aim, Payload, Plan, settings};
use crate::log::Level;
use crate::proto::chunked;
use crate::proto::framing::Framing;
use crate::proto::request::{Field, Known, Method, Version};
use crate::text::escape::{self, Shown};
use crate::text::writer::Writer;
use crate::text::{ascii, number};
use crate::vars::Subject;

/// What is to be sent; `None`: it cannot be made, which has been told.
pub fn make<'r>(
    request: &Request<'r>,
    conf: &'r settings::Loc,
    own: &'r Loc,
    aim: &Aim<'r>,
) -> Option<Plan<'r>> {
    let method = match &own.method {
        Some(method) => request.render(method)?,
        None => request.method_name(),
    };
    let uri = uri(request, aim)?;
    let payload = match &own.body {
        Some(text) => Payload::Bytes(request.render(text)?),
        None if !conf.pass_request_body => Payload::None,
        None => Payload::of(request),
    };
    let tail = match payload {
        Payload::Bytes(_) | Payload::File(..) if own.body.is_none() => {
            trailers::tail(request, conf, own, payload.len() > Some(0))?
        }
        _ => b"",
    };
    let lines = lines(request, own)?;
    // Where a body ends that is not passed on, nobody knows who reads a tunnel behind it.
    let passes_body =
        request.head.framing == Framing::None || own.body.is_none() && conf.pass_request_body;
    let upgrades = own.version == Version::V11
        && passes_body
        && lines.find(b"upgrade").is_some_and(|it| !it.is_empty());
    if !ascii::is_token(method) || !is_safe(uri) || uri.is_empty() || !lines.are_safe() {
        let (method, uri) = (Shown(method), Shown(uri));
        let text = format_args!("the request cannot be passed on: \"{method} {uri}\"");
        request.log(Level::Alert, None, text);
        return None;
    }
    let all = lines.iter().map(|line| line.name.len() + line.value.get().len() + 4);
    let most = all.sum::<usize>() + method.len() + uri.len() + request.bytes.len() + MORE;
    let bytes = request.made(most, |out| {
        out.put(method);
        out.put(b" ");
        out.put(uri);
        out.put(if own.version == Version::V10 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
        lines.put(out);
        put_framing(&payload, tail, out);
        if conf.pass_request_headers {
            put_fields(request, own, out);
        }
        out.put(b"\r\n");
        // All of the body is one chunk.
        if let Some(len @ 1..) = payload.len().filter(|_| !tail.is_empty()) {
            out.put(chunked::head(len, &mut [0; chunked::HEAD]));
        }
    })?;
    Some(Plan { bytes, payload, tail, head_only: method == b"HEAD", upgrades, uri })
}

/// What is beside lines and URI: version, framing, line ends.
const MORE: usize = 64 + 2 * number::DECIMAL + chunked::HEAD;

/// The lines that the configuration says, and those that it leaves to us.
fn lines<'r>(request: &Request<'r>, own: &'r Loc) -> Option<Lines<'r>> {
    let scratch = request.scratch();
    let mut lines = Lines::default();
    for SetHeader { name, value } in own.headers.iter() {
        if is_framing(name) {
            continue;
        }
        let is_of_client = value.literal().is_none();
        if is_of_client && name.eq_ignore_ascii_case(b"upgrade") && !may_upgrade(request) {
            continue;
        }
        let value = request.render(value)?;
        if !value.is_empty() {
            lines.add(scratch, name, value)?;
        }
    }
    if !says(own, b"host") {
        let (host, _) = request.attempts.get()?.named.get()?;
        lines.add(scratch, b"Host", host)?;
    }
    if own.version == Version::V10 && !says(own, b"connection") {
        lines.add(scratch, b"Connection", b"close")?;
    }
    Some(lines)
}

/// Whether the client's `Upgrade` means anything: HTTP/1.0 has none, and without `Connection` it
/// was for somebody before us (RFC 9110 7.8).
fn may_upgrade(request: &Request<'_>) -> bool {
    request.head.version == Version::V11 && request.head.connection.upgrade
}

/// Whether the configuration has a line of this name.
#[inline(always)]
pub(super) fn says(own: &Loc, name: &[u8]) -> bool {
    own.headers.iter().any(|line| ascii::eq_ignore_case(&line.name, name))
}

fn is_framing(name: &[u8]) -> bool {
    let is = |of: &[u8]| ascii::eq_ignore_case(name, of);
    is(b"content-length") || is(b"transfer-encoding")
}

fn put_framing(payload: &Payload<'_>, tail: &[u8], out: &mut Writer<'_>) {
    if payload.is_chunked() || !tail.is_empty() {
        out.put(b"Transfer-Encoding: chunked\r\n");
    } else if let Some(len) = payload.len() {
        out.put(b"Content-Length: ");
        out.put_u64(len);
        out.put(b"\r\n");
    }
}

/// The client's lines, those aside that are only for us or that the configuration has said.
fn put_fields(request: &Request<'_>, own: &Loc, out: &mut Writer<'_>) {
    for Field { name, value } in request.head.fields(request.bytes) {
        if is_ours(name) || says(own, name) || ends_here(request, name) {
            continue;
        }
        out.put_field(name, value);
    }
}

/// What is between the client and us.
fn is_ours(name: &[u8]) -> bool {
    match Known::of(name) {
        Some(
            Known::Host
            | Known::Connection
            | Known::ContentLength
            | Known::TransferEncoding
            | Known::Expect
            | Known::Upgrade,
        ) => true,
        Some(_) => false,
        None => name.eq_ignore_ascii_case(b"te") || name.eq_ignore_ascii_case(b"keep-alive"),
    }
}

/// Whether `Connection` names it (RFC 9110 7.6.1). What an upstream trusts us to tell cannot
/// be taken away so.
pub(super) fn ends_here(request: &Request<'_>, name: &[u8]) -> bool {
    if !request.head.connection.names || is_protected(name) {
        return false;
    }
    let mut fields = request.head.fields(request.bytes);
    fields.any(|Field { name: other, value }| {
        other.eq_ignore_ascii_case(b"connection")
            && ascii::list(value).any(|option| option.eq_ignore_ascii_case(name))
    })
}

fn is_protected(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 4] = [b"authorization", b"cookie", b"forwarded", b"x-real-ip"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        || ascii::starts_ignore_case(name, b"x-forwarded-")
}

/// What is asked for (ngx_http_proxy_create_request).
fn uri<'r>(request: &Request<'r>, aim: &Aim<'r>) -> Option<&'r [u8]> {
    match aim.uri {
        Some(uri) if aim.is_made => Some(with_slash(request, uri)?),
        None if request.raw_uri => with_slash(request, request.head.request_uri(request.bytes)),
        uri => {
            // What `rewrite` has made has no location's name to be replaced.
            let uri = match uri.filter(|_| !request.left_location) {
                Some(uri) => with_slash(request, uri)?,
                None => b"",
            };
            let skip = if uri.is_empty() { 0 } else { request.location.name.len() };
            let rest = request.uri.get(skip..).unwrap_or_default();
            let quotes = request.quotes_uri();
            let rest_len =
                if quotes { escape::uri_len(rest, escape::Uri::Path) } else { rest.len() };
            request.made(uri.len() + rest_len + request.args.len() + 1, |out| {
                out.put(uri);
                match quotes {
                    true => escape::uri(rest, escape::Uri::Path, out),
                    false => out.put(rest),
                }
                if !request.args.is_empty() {
                    out.put(b"?");
                    out.put(request.args);
                }
            })
        }
    }
}

/// A URI that is only arguments has the root before it.
#[inline(always)]
fn with_slash<'r>(request: &Request<'r>, uri: &'r [u8]) -> Option<&'r [u8]> {
    match uri.first() {
        Some(b'?') => request.scratch().concat(&[b"/", uri]),
        _ => Some(uri),
    }
}

impl<'r> Request<'r> {
    /// The method by name: the client's, unless the request has become another one.
    pub fn method_name(&self) -> &'r [u8] {
        match self.method {
            method if method == self.head.method => self.head.method_name.of(self.bytes),
            Method::Get => b"GET",
            Method::Head => b"HEAD",
            _ => self.head.method_name.of(self.bytes),
        }
    }

    /// Whether the path has bytes that must be escaped in a request line: it was decoded.
    fn quotes_uri(&self) -> bool {
        self.internal || self.head.complex
    }
}
