//! A request that has become a tunnel, as another worker has to know it: for the rest of its
//! accounts, and for the line that tells of it in the end.
//!
//! What stands in its head, and in the receiver's configuration, is found out again there. What
//! only the worker knows that has seen the answer (`set`, captures, fields of the answer …) is
//! told by name, as far as lines of the log need it. Counters and times go along as numbers.

use super::attempts::Attempts;
use crate::event::Io;
use crate::http::conf::Kind;
use crate::http::log;
use crate::http::request::Request;
use crate::http::request_body::Received;
use crate::http::worker::Worker;
use crate::net::handover::fields::{Reader, put_flag, put_option, put_peer, put_text};
use crate::net::handover::parcel::Owner;
use crate::net::tunnel::Tunnel;
use crate::net::upstream::Lease;
use crate::proto::request::{Head, Outcome, Rules};
use crate::sys::errno::{Errno, Result};
use crate::text::writer::Writer;
use crate::time;
use crate::vars::Subject;
use std::os::fd::OwnedFd;

/// Of all that follows in this file.
const VERSION: u16 = 1;

/// The other end of a tunnel.
pub struct Far<'a> {
    pub io: &'a Io,
    /// Where its peer belongs to.
    pub group: &'a [u8],
    /// When the peer was chosen, in ms of [`time::now_ms`].
    pub began: u64,
}

/// What stands in front.
pub struct Opening<'a> {
    /// The head of the request, and its bytes.
    pub head: Head,
    pub bytes: &'a [u8],
    pub group: &'a [u8],
    pub peer: &'a [u8],
    pub began: u64,
    pub started_at: u64,
    pub pipelined: bool,
    /// For [`learn`].
    pub rest: Reader<'a>,
}

/// Writes a tunnel into a file that travels with it. EFBIG: it is too large to.
pub fn pack(request: &Request<'_>, tunnel: &Tunnel, far: &Far<'_>) -> Result<OwnedFd> {
    let mut room = request.worker.line.borrow_mut();
    let mut out = Writer::new(&mut room);
    put_opening(request, far, &mut out);
    put(request, &mut out);
    put_values(request, &mut out);
    let len = out.finish().map_err(|_| Errno::EFBIG)?;
    tunnel.as_parcel(Owner::Http, room.get(..len).unwrap_or_default()).pack()
}

fn put_opening(request: &Request<'_>, far: &Far<'_>, out: &mut Writer<'_>) {
    out.put(&VERSION.to_ne_bytes());
    put_text(request.bytes.get(..request.head.len as usize).unwrap_or_default(), out);
    let last = request.attempts.get().and_then(Attempts::last);
    put_text(far.group, out);
    put_text(last.map_or(b"", |attempt| attempt.addr), out);
    out.put(&time::now_ms().saturating_sub(far.began).to_ne_bytes());
    out.put(&request.started_at.to_ne_bytes());
    put_flag(request.pipelined, out);
}

fn put(request: &Request<'_>, out: &mut Writer<'_>) {
    put_peer(request.client, out);
    put_text(request.uri, out);
    put_text(request.args, out);
    let is_named = request.location.kind == Kind::Named;
    put_text(if is_named { &request.location.name } else { b"" }, out);
    out.put(&request.status.to_ne_bytes());
    out.put(&request.err_status.to_ne_bytes());
    out.put(&request.head_sent.to_ne_bytes());
    let (size, raw) = request.body.get().map_or((0, 0), |body| (body.size, body.raw));
    put_flag(request.body.get().is_some(), out);
    out.put(&size.to_ne_bytes());
    out.put(&raw.to_ne_bytes());
    put_option(request.id.get(), out);
    request.attempts.get().unwrap_or(&Attempts::default()).put(out);
}

/// Each value is made once, however often the tunnel is offered.
fn put_values(request: &Request<'_>, out: &mut Writer<'_>) {
    let mut ids: Vec<_> = log::variables(request).collect();
    ids.sort_unstable();
    ids.dedup();
    let variables = &request.http.variables;
    let told: Vec<_> = ids.iter().filter_map(|id| variables.told(request, *id)).collect();
    out.put(&(told.len() as u32).to_ne_bytes());
    for (name, value) in told {
        put_text(name, out);
        put_option(value, out);
        variables.learn(request, name, value);
    }
}

impl<'a> Opening<'a> {
    /// `None`: it is not understood here.
    pub fn parse(context: &'a [u8]) -> Option<Opening<'a>> {
        let mut rest = Reader(context);
        if rest.u16()? != VERSION {
            return None;
        }
        let bytes = rest.text()?;
        // It has been found good.
        let rules = Rules {
            line: u32::MAX,
            head: u32::MAX,
            headers: u16::MAX,
            underscores: true,
            ignore_invalid: true,
            ..Rules::default()
        };
        let mut head = Head::default();
        if !matches!(head.parse(bytes, &rules), Outcome::Done) || head.len as usize != bytes.len() {
            return None;
        }
        let (group, peer) = (rest.text()?, rest.text()?);
        let began = time::now_ms().saturating_sub(rest.u64()?);
        let (started_at, pipelined) = (rest.u64()?, rest.flag()?);
        Some(Opening { head, bytes, group, peer, began, started_at, pipelined, rest })
    }

    /// A place at the peer, if there still is one in the group.
    pub fn lease(&self, worker: &Worker) -> Option<Lease> {
        let http = worker.http();
        let groups = http.upstreams.all().iter().map(|upstream| &upstream.group);
        let found = groups.filter(|group| group.name == self.group.into());
        found.filter_map(|group| group.join(self.peer, self.began)).next()
    }
}

/// Makes the request what it was in another worker; `None`: what that has told is not all that it
/// should be.
pub fn learn<'r>(request: &mut Request<'r>, rest: &mut Reader<'r>) -> Option<()> {
    request.client = rest.addr()?.peer();
    (request.uri, request.args) = (rest.text()?, rest.text()?);
    match rest.text()? {
        b"" => request.find_location(),
        name => {
            if let Some(location) = request.server.find_named(name) {
                request.enter(location);
            }
        }
    }
    (request.status, request.err_status) = (rest.u16()?, rest.u16()?);
    request.response.status = request.status;
    request.head_sent = rest.u64()?;
    let (has_body, sizes) = (rest.flag()?, (rest.u64()?, rest.u64()?));
    if has_body && let Some(buffer) = request.worker.body_buffer() {
        let _ = request.body.set(Received::passed_on(buffer, sizes, 0, 0..0));
    }
    request.id.set(rest.option()?);
    let scratch = request.scratch();
    let attempts = scratch.place(Attempts::default())?;
    request.attempts.set(Some(attempts));
    attempts.learn(scratch, rest)?;
    let variables = &request.http.variables;
    for _ in 0..rest.u32()? {
        let (name, value) = (rest.text()?, rest.option()?);
        variables.learn(request, name, value);
    }
    rest.0.is_empty().then_some(())
}
