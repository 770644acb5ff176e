//! The header lines of an upstream's answer: which of them are handed on, and what the others
//! say to us.

use super::{Pass, Speaks, Upstream, settings};
use crate::http::proxy;
use crate::http::request::Request;
use crate::http::step::Target;
use crate::proto::response::{Field, Known};
use crate::text::number;
use crate::vars::Subject;

/// Whose lines they are.
struct From<'u, 'r> {
    conf: &'r settings::Loc,
    speaks: Speaks<'r>,
    pass: &'r Pass,
    unbuffered: &'u mut bool,
}

/// Hands on what is to be handed on; `None`: there is no room for it.
pub fn take<'r>(request: &mut Request<'r>, upstream: &mut Upstream<'r>) -> Option<()> {
    let Upstream { head, bytes, conf, speaks, pass, unbuffered, .. } = upstream;
    let mut from = From { conf, speaks: *speaks, pass, unbuffered };
    let response = &mut request.response;
    response.status = head.status;
    response.status_line = head.status_line.of(bytes);
    response.length = head.length.filter(|_| !head.chunked);
    // What the upstream may say in our place we do not say for it.
    response.has_server = conf.pass.has(b"server");
    response.has_date = conf.pass.has(b"date");
    for field in head.fields(bytes) {
        match field.known {
            Some(known) => known_line(request, &mut from, known, &field)?,
            None => add(request, conf, &field, field.value)?,
        }
    }
    Some(())
}

fn known_line<'r>(
    request: &mut Request<'r>,
    from: &mut From<'_, 'r>,
    known: Known,
    field: &Field<'r>,
) -> Option<()> {
    let value = field.value;
    let is_http = matches!(from.speaks, Speaks::Http(_));
    let is_shown = from.conf.pass.has(field.name);
    match known {
        // Between us and the upstream; how our own answer is framed, we say ourselves.
        Known::Connection
        | Known::KeepAlive
        | Known::ContentLength
        | Known::TransferEncoding
        | Known::Trailer => return Some(()),
        Known::Upgrade if !matches!(request.response.status, 101 | 426) => return Some(()),
        // A CGI program's are those of its server; its status is a status line.
        Known::Date | Known::Server | Known::XPad if is_http && !is_shown => return Some(()),
        Known::Status if !is_http && !is_shown => return Some(()),
        Known::ContentType => {
            if !is_hidden(from.conf, field.name) {
                request.response.content_type = value;
            }
            return Some(());
        }
        Known::LastModified => request.response.modified_line = true,
        Known::ContentEncoding => request.response.is_coded |= !value.is_empty(),
        Known::Location => {
            let told = match from.speaks {
                Speaks::Http(_) => proxy::location(request, from.pass, value)?,
                Speaks::FastCgi(_) => value,
            };
            if told != value && told.starts_with(b"/") {
                // One that was made here is absolute if ours are (nginx).
                request.moved = Some(Target::Text(told));
                return Some(());
            }
            return add(request, from.conf, field, told);
        }
        Known::Refresh => {
            let value = match from.speaks {
                Speaks::Http(_) => proxy::refresh(request, from.pass, value)?,
                Speaks::FastCgi(_) => value,
            };
            return add(request, from.conf, field, value);
        }
        Known::SetCookie => {
            let value = cookie(request, from.speaks, value)?;
            return add(request, from.conf, field, value);
        }
        Known::AcceptRanges if from.conf.force_ranges => return Some(()),
        Known::XAccelRedirect
        | Known::XAccelExpires
        | Known::XAccelLimitRate
        | Known::XAccelBuffering
        | Known::XAccelCharset => {
            obey(request, from, known, value);
            if !is_shown {
                return Some(());
            }
        }
        _ => {}
    }
    add(request, from.conf, field, value)
}

/// What an upstream asks of its proxy (`X-Accel-*`). Of `X-Accel-Charset` nothing comes where
/// no charset is recoded.
fn obey<'r>(request: &mut Request<'r>, from: &mut From<'_, 'r>, known: Known, value: &'r [u8]) {
    let ignored = &from.conf.ignore;
    match known {
        Known::XAccelLimitRate if !ignored.limit_rate => {
            request.own_rate = number::parse_u64(value).or(request.own_rate);
        }
        Known::XAccelBuffering if !ignored.buffering => match () {
            () if value.eq_ignore_ascii_case(b"no") => *from.unbuffered = true,
            () if value.eq_ignore_ascii_case(b"yes") => *from.unbuffered = false,
            () => {}
        },
        _ => {}
    }
}

fn add<'r>(
    request: &mut Request<'r>,
    conf: &settings::Loc,
    field: &Field<'r>,
    value: &'r [u8],
) -> Option<()> {
    if is_hidden(conf, field.name) {
        return Some(());
    }
    let (scratch, early) = (request.scratch(), &mut request.response.early);
    match std::ptr::eq(value, field.value) {
        true => early.add_parsed(scratch, field.name, value),
        false => early.add(scratch, field.name, value),
    }
}

/// `proxy_hide_header` and `proxy_pass_header`
#[inline(always)]
fn is_hidden(conf: &settings::Loc, name: &[u8]) -> bool {
    conf.hide.has(name) && !conf.pass.has(name)
}

/// What nginx keeps of the answer that has redirected us: what is said of the content, and
/// cookies.
pub fn keep_for_redirect<'r>(request: &mut Request<'r>, upstream: &Upstream<'r>) -> Option<()> {
    let Upstream { head, bytes, conf, speaks, .. } = upstream;
    for field in head.fields(bytes) {
        let Some(known) = field.known else {
            let name = field.name;
            if name.eq_ignore_ascii_case(b"content-disposition") {
                add(request, conf, &field, field.value)?;
            }
            continue;
        };
        match known {
            Known::ContentType => request.response.content_type = field.value,
            Known::SetCookie => {
                let value = cookie(request, *speaks, field.value)?;
                add(request, conf, &field, value)?;
            }
            Known::CacheControl | Known::Expires | Known::AcceptRanges => {
                add(request, conf, &field, field.value)?;
            }
            Known::XAccelLimitRate if !conf.ignore.limit_rate => {
                request.own_rate = number::parse_u64(field.value).or(request.own_rate);
            }
            _ => {}
        }
    }
    Some(())
}

/// A page of ours in the place of a 401 asks what the upstream asked.
pub fn keep_challenge<'r>(request: &mut Request<'r>, upstream: &Upstream<'r>) {
    let scratch = request.scratch();
    for field in upstream.head.fields(upstream.bytes) {
        if field.known == Some(Known::WwwAuthenticate) {
            // Without room for it the client is told less.
            let _ = request.response.early.add(scratch, b"WWW-Authenticate", field.value);
        }
    }
}

fn cookie<'r>(request: &Request<'r>, speaks: Speaks<'r>, value: &'r [u8]) -> Option<&'r [u8]> {
    match speaks {
        Speaks::Http(_) => proxy::cookie(request, value),
        Speaks::FastCgi(_) => Some(value),
    }
}
