//! Who is connected, and to what.

use super::{BuiltIn, built_in, ending, written};
use crate::http::request::Request;
use crate::sys::addr::{Addr, Ip};
use crate::sys::{socket, sockopt};
use crate::text::number::DECIMAL;
use crate::text::writer::Writer;
use crate::vars::{Subject, Value};
use std::fmt::Write as _;

/// The longest text of an address, a unix socket's among them.
const ADDR_MOST: usize = 128;

pub static TABLE: &[BuiltIn] = &[
    written("remote_addr", ADDR_MOST, |request, out| put_ip(request.client.ip, out)),
    built_in("binary_remote_addr", binary_remote_addr),
    built_in("remote_port", |request| port(request, request.client.port)),
    written("realip_remote_addr", ADDR_MOST, |request, out| put_ip(request.conn.peer.ip, out)),
    built_in("realip_remote_port", |request| port(request, request.conn.peer.port)),
    built_in("server_name", |request| Some(&request.server.name)),
    built_in("server_port", |request| port(request, request.site.addr.port())),
    built_in("server_addr", server_addr),
    written("connection", DECIMAL, |request, out| out.put_u64(request.conn.number)),
    written("connection_requests", DECIMAL, |request, out| {
        out.put_u64(request.conn.requests.into());
    }),
    written("connection_time", DECIMAL, |request, out| out.put_seconds(request.conn.age())),
    ending("tcpinfo_rtt", |request| tcp_info(request, |info| info.rtt_us)),
    ending("tcpinfo_rttvar", |request| tcp_info(request, |info| info.rttvar_us)),
    ending("tcpinfo_snd_cwnd", |request| tcp_info(request, |info| info.snd_cwnd)),
    ending("tcpinfo_rcv_space", |request| tcp_info(request, |info| info.rcv_space)),
];

pub fn number<'r>(request: &Request<'r>, number: u64) -> Value<'r> {
    request.made(DECIMAL, |out| out.put_u64(number))
}

/// What is no port is an empty text.
pub fn port<'r>(request: &Request<'r>, port: u16) -> Value<'r> {
    if port == 0 { Some(b"") } else { number(request, port.into()) }
}

pub fn remote_addr<'r>(request: &Request<'r>) -> Value<'r> {
    request.made(ADDR_MOST, |out| put_ip(request.client.ip, out))
}

/// Octet by octet: the formatting machinery costs more than the rest of a log's line.
fn put_ip(ip: Ip, out: &mut Writer<'_>) {
    match ip {
        Ip::V4(ip) => {
            let [a, rest @ ..] = ip.octets();
            out.put_u64(u64::from(a));
            for octet in rest {
                out.put(b".");
                out.put_u64(u64::from(octet));
            }
        }
        other => {
            // A writer that is full remembers it by itself.
            let _ = write!(out, "{other}");
        }
    }
}

fn binary_remote_addr<'r>(request: &Request<'r>) -> Value<'r> {
    match request.client.ip {
        Ip::V4(ip) => request.scratch().concat(&[&ip.octets()]),
        Ip::V6(ip) => request.scratch().concat(&[&ip.octets()]),
        Ip::Unix => Some(b"unix:"),
    }
}

fn server_addr<'r>(request: &Request<'r>) -> Value<'r> {
    match socket::getsockname(&request.conn.io).ok()? {
        Addr::Unix(name) => shown(request, name),
        other => shown(request, other.peer().ip),
    }
}

pub fn shown<'r>(request: &Request<'r>, what: impl std::fmt::Display) -> Value<'r> {
    request.made(ADDR_MOST, |out| {
        // A writer that is full remembers it by itself.
        let _ = write!(out, "{what}");
    })
}

fn tcp_info<'r>(request: &Request<'r>, of: fn(&sockopt::TcpInfo) -> u32) -> Value<'r> {
    let info = sockopt::tcp_info(&request.conn.io).ok()?;
    number(request, of(&info).into())
}
