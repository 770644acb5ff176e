//! Who is connected, and to what.

use super::{BuiltIn, built_in};
use crate::http::request::Request;
use crate::sys::socket;
use crate::vars::{Subject, Value};
use std::fmt::Write as _;

/// The longest text of an address, a unix socket's among them.
const ADDR_MOST: usize = 128;
const NUMBER_MOST: usize = 20;

pub static TABLE: &[BuiltIn] = &[
    built_in("remote_addr", |request| shown(request, request.client.ip)),
    built_in("remote_port", |request| port(request, request.client.port)),
    built_in("realip_remote_addr", |request| shown(request, request.conn.peer.ip)),
    built_in("realip_remote_port", |request| port(request, request.conn.peer.port)),
    built_in("server_name", |request| Some(&request.server.name)),
    built_in("server_port", |request| port(request, request.site.addr.port())),
    built_in("server_addr", |request| {
        shown(request, socket::getsockname(&request.conn.io).ok()?.peer().ip)
    }),
    built_in("connection", |request| number(request, request.conn.number)),
    built_in("connection_requests", |request| number(request, request.conn.requests.into())),
];

pub fn number<'r>(request: &Request<'r>, number: u64) -> Value<'r> {
    request.made(NUMBER_MOST, |out| out.put_u64(number))
}

/// What is no port is an empty text.
pub fn port<'r>(request: &Request<'r>, port: u16) -> Value<'r> {
    match port {
        0 => Some(b""),
        port => number(request, port.into()),
    }
}

pub fn shown<'r>(request: &Request<'r>, what: impl std::fmt::Display) -> Value<'r> {
    request.made(ADDR_MOST, |out| {
        // A writer that is full remembers it by itself.
        let _ = write!(out, "{what}");
    })
}
