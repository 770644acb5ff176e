//! How far a request has come, and what was answered.

use super::connection::number;
use super::{BuiltIn, built_in, ending, settable, written};
use crate::conf::parse_size;
use crate::http::request::Request;
use crate::log::Level;
use crate::text::escape::Shown;
use crate::text::number::DECIMAL;

pub static TABLE: &[BuiltIn] = &[
    written("status", DECIMAL, |request, out| out.put_padded(status(request).into(), 3)),
    written("body_bytes_sent", DECIMAL, |request, out| out.put_u64(request.body_sent)),
    written("bytes_sent", DECIMAL, |request, out| {
        out.put_u64(request.head_sent + request.body_sent);
    }),
    written("request_time", DECIMAL + 4, |request, out| out.put_seconds(request.age())),
    ending("request_completion", |request| Some(if request.complete { b"OK" } else { b"" })),
    built_in("pipe", |request| Some(if request.pipelined { b"p" } else { b"." })),
    settable(
        "limit_rate",
        |request| {
            let rate = request.limit_rate.rate;
            number(request, request.own_rate.unwrap_or(rate))
        },
        |request, value| match parse_size(value) {
            Some(rate) => request.own_rate = Some(rate),
            None => {
                let value = Shown(value);
                request.log(Level::Error, None, format_args!("invalid $limit_rate \"{value}\""));
            }
        },
    ),
];

/// What was sent; before that, what an error page or a `return` will be sent with.
fn status(request: &Request<'_>) -> u16 {
    match (request.err_status, request.status) {
        (0, 0) if request.body_only() => 9,
        (0, status) => status,
        (status, _) if request.head_sent == 0 => status,
        (_, status) => status,
    }
}
