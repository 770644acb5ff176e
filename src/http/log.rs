//! `access_log`: where a request's line goes.

use crate::conf::{Args, Context, Cx, Directive, Error, LogPath, Msec, Node, settings};
use crate::http::request::Request;
use crate::proto::request::Known;
use crate::sys::addr::Ip;
use crate::text::writer::Writer;
use crate::text::{ascii, base64, escape};
use crate::time;
use std::fmt::Write as _;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// Empty: off.
        pub access_logs: Rc<Vec<AccessLog>> = Rc::new(Vec::new()),
        pub log_not_found: bool = true,
    }
}

/// One `access_log` line.
#[derive(Clone, Debug)]
pub struct AccessLog {
    pub log: Rc<LogPath>,
    /// `buffer=`: lines wait until they fill so many bytes.
    pub buffer: Option<u64>,
    /// `flush=`: no line waits longer.
    pub flush: Option<Msec>,
}

pub static LOC: [Directive<LocRaw>; 1] =
    [Directive::call("access_log", Context::ALL, Args::ONE_MORE, access_log)];

fn access_log(_raw: &mut LocRaw, _cx: &mut Cx, _node: Node) -> Result<(), Error> {
    Ok(())
}

/// Writes the line of a request that has been answered (`combined`).
pub fn record(request: &Request<'_>) {
    let logs = &request.location.conf.log.access_logs;
    if logs.is_empty() {
        return;
    }
    let mut room = request.worker.line.borrow_mut();
    let mut out = Writer::new(&mut room);
    put_combined(request, &mut out);
    for log in logs.iter() {
        let _ = log; // file
    }
}

fn put_combined(request: &Request<'_>, out: &mut Writer<'_>) {
    put_ip(request.conn.peer.ip, out);
    out.put(b" - ");
    put_user(request, out);
    out.put(b" [");
    out.put(&time::log_local());
    out.put(b"] \"");
    escape::log(request.head.line.of(request.bytes), out);
    out.put(b"\" ");
    out.put_padded(u64::from(request.status), 3);
    out.put(b" ");
    out.put_u64(request.body_sent);
    out.put(b" \"");
    put_header(request, Known::Referer, out);
    out.put(b"\" \"");
    put_header(request, Known::UserAgent, out);
    out.put(b"\"");
}

/// Octet by octet: the formatting machinery costs more than the rest of the line.
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

fn put_header(request: &Request<'_>, known: Known, out: &mut Writer<'_>) {
    match request.header(known) {
        None | Some(b"") => out.put(b"-"),
        Some(value) => escape::log(value, out),
    }
}

/// The name in `Authorization: Basic`, whether or not anybody checks it.
fn put_user(request: &Request<'_>, out: &mut Writer<'_>) {
    let value = request.header(Known::Authorization).unwrap_or_default();
    let mut room = [0; 256];
    let user = value
        .split_at_checked(6)
        .filter(|(scheme, _)| ascii::eq_ignore_case(scheme, b"basic "))
        .and_then(|(_, text)| base64::decode(text.trim_ascii(), &mut room))
        .and_then(|pair| pair.split(|&byte| byte == b':').next());
    match user {
        None | Some(b"") => out.put(b"-"),
        Some(user) => escape::log(user, out),
    }
}
