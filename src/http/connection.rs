//! A client connection from accept to close.
//!
//! Between requests it is this small future and no buffer; a request borrows the
//! connection, a buffer and a slot for the larger future, and gives them back.

use super::conf::{Location, Server, Site};
use super::core::Lingering;
use super::handover::{self, Arrived};
use super::health;
use super::input::Input;
use super::log::Doing;
use super::proxied;
use super::upstream;
use super::worker::Worker;
use crate::event::{self, Accepted, Deadline, Dismissal, Io};
use crate::log::{Context, Entry, Level, log};
use crate::mem::arena::{Arena, Placed, Room};
use crate::sys::addr::{Ip, Peer};
use crate::sys::errno::Errno;
use crate::sys::sockopt;
use crate::text::escape::Shown;
use crate::time;
use std::cell::Cell;
use std::fmt;
use std::future::Future;

/// What a connection is, whatever it does.
pub struct Conn {
    pub io: Io,
    pub peer: Peer,
    /// nginx's `*N`, unique over workers and reloads.
    pub number: u64,
    /// Which entry of `Http::listening` accepted it.
    pub listening: u16,
    /// TCP_NODELAY is set, as it was on the listening socket.
    pub nodelay: Cell<bool>,
    /// No other worker takes it.
    pub stays: Cell<bool>,
    /// Requests begun.
    pub requests: u32,
    /// When it was accepted, in ms of [`time::now_ms`], cut to what a life can be.
    accepted_at: u32,
    /// How long it may stay idle, in ms: the last request's location says.
    keep_ms: u32,
}

impl Conn {
    fn new(worker: &Worker, accepted: Accepted) -> Conn {
        Conn {
            io: accepted.io,
            peer: accepted.peer,
            number: worker.next_number(),
            listening: accepted.listener as u16,
            nodelay: Cell::new(true),
            stays: Cell::new(false),
            requests: 0,
            accepted_at: time::now_ms() as u32,
            keep_ms: 0,
        }
    }

    /// One that another worker had; and what came with it of its next request.
    fn handed(worker: &Worker, accepted: Accepted, arrived: Arrived) -> (Conn, Option<Input>) {
        let Arrived { number, requests, age_ms, left_ms, nodelay, input, proxied, .. } = arrived;
        let conn = Conn {
            io: accepted.io,
            peer: accepted.peer,
            number,
            listening: accepted.listener as u16,
            nodelay: Cell::new(nodelay),
            stays: Cell::new(false),
            requests,
            accepted_at: (time::now_ms() as u32).wrapping_sub(age_ms),
            keep_ms: left_ms,
        };
        if !proxied.is_empty() {
            // No room: this configuration knows of no such headers.
            let _ = worker.headers.keep(&conn, &proxied);
        }
        (conn, input)
    }

    /// Whether there may be another request on it after this one: also if that will be another
    /// worker's.
    pub fn may_live_on(&self, worker: &Worker) -> bool {
        health::keeps_connections() || (!self.stays.get() && worker.handover.has_receivers())
    }

    /// Milliseconds since it was accepted.
    pub fn age(&self) -> u64 {
        u64::from((time::now_ms() as u32).wrapping_sub(self.accepted_at))
    }

    /// How long it may stay idle from now on, in ms.
    pub fn keep_for(&mut self, ms: u64) {
        self.keep_ms = u32::try_from(ms).unwrap_or(u32::MAX);
    }

    /// An answer could not be sent to its end: says why, in nginx's words.
    pub fn send_failed(&self, server: &Server, client: Ip, errno: Errno, reset_timedout: bool) {
        if errno == Errno::ETIMEDOUT && reset_timedout {
            self.reset_on_close();
        }
        let action = " while sending response to client";
        let doing = Doing { action, client, server: &Shown(&server.name) };
        self.log(
            server,
            Level::Info,
            Some(errno),
            format_args!("{}", not_sent(errno)),
            Some(&doing),
        );
    }

    /// It ends before it has asked for anything.
    pub fn ended_unasked(&self, site: &Site, action: &'static str, errno: Option<Errno>) {
        let text = match errno {
            None => "client closed connection",
            Some(Errno::ETIMEDOUT) => "client timed out",
            Some(_) => "recv() failed",
        };
        let doing = Doing { action, client: self.peer.ip, server: &site.addr };
        let server = &site.default_server;
        self.log(server, Level::Info, errno, format_args!("{text}"), Some(&doing));
    }

    /// Part of the story of this connection.
    #[inline(always)]
    pub fn debug(&self, server: &Server, text: fmt::Arguments<'_>) {
        self.log(server, Level::Debug, None, text, None);
    }

    #[inline]
    pub fn log(
        &self,
        server: &Server,
        level: Level,
        errno: Option<Errno>,
        text: fmt::Arguments<'_>,
        doing: Option<&Doing<'_>>,
    ) {
        let log = &server.location.conf.core.error_log;
        let client = self.peer.ip;
        if log.enabled(level, client) {
            let context = doing.map(|doing| doing as &dyn Context);
            let entry = Entry { level, connection: self.number, errno, text, context };
            log.put(&entry, client);
        }
    }

    /// `tcp_nodelay` of the location that answers. Where it cannot be set (unix sockets)
    /// nothing is delayed.
    pub fn set_nodelay(&self, on: bool) {
        if self.nodelay.replace(on) != on {
            let _ = sockopt::set_nodelay(&self.io, on);
        }
    }

    /// Closing shall drop what has not been sent, and tell the other side by a reset.
    pub fn reset_on_close(&self) {
        // A failure changes nothing: the connection is closed either way.
        let _ = sockopt::set_linger_reset(&self.io);
    }
}

/// A worker that was to leave in peace leaves this behind (ngx_worker_process_exit).
impl Drop for Conn {
    fn drop(&mut self) {
        if let Some((fd, slot)) = self.io.left_open() {
            log!(Level::Alert, "*{} open socket #{fd} left in connection {slot}", self.number);
        }
    }
}

/// What a request's location says of its connection, for what comes after it.
#[derive(Clone, Copy)]
pub struct Limits {
    pub send_timeout: u64,
    pub keepalive_timeout: u64,
    pub lingering_close: Lingering,
    pub lingering_time: u64,
    pub lingering_timeout: u64,
    /// The longest body that is read, in bytes; 0: any.
    pub body_most: u64,
    /// The client may be sending what nobody has read.
    pub unread: bool,
    /// The next request came with this one.
    pub pipelined: bool,
    /// `reset_timedout_connection`
    pub reset_timedout: bool,
}

impl Limits {
    pub fn of(location: &Location) -> Limits {
        let core = &location.conf.core;
        Limits {
            send_timeout: core.send_timeout,
            keepalive_timeout: core.keepalive_timeout,
            lingering_close: core.lingering_close,
            lingering_time: core.lingering_time,
            lingering_timeout: core.lingering_timeout,
            body_most: core.client_max_body_size,
            unread: false,
            pipelined: false,
            reset_timedout: core.reset_timedout_connection,
        }
    }
}

/// How long a connection may stay silent before its first request once the worker
/// drains, in ms: its request may be on the way.
const UNSPOKEN_MS: u64 = 1000;

/// What the conversations of a worker run on: its shared things, and room for the
/// futures of requests in flight.
pub struct Service<E: 'static> {
    pub worker: &'static Worker,
    pub exchanges: Arena<E>,
}

/// A connection, or its requests with it.
enum Held<E: Future + 'static> {
    Idle(Conn),
    Busy(Placed<E>),
    /// The rest of it is a tunnel that another worker had.
    Tunnel(Room<'static, ()>),
}

/// Why an answer did not leave.
pub fn not_sent(errno: Errno) -> &'static str {
    match errno {
        Errno::ETIMEDOUT => "client timed out",
        _ => "send() failed",
    }
}

/// Serves one connection until it closes. `make` builds the future of
/// [`super::exchange::run`]. Not an `async fn`, which would store its arguments twice.
///
/// Cancellation: closes the connection, gives back whatever it holds.
pub fn serve<E: Future<Output = Option<Conn>>>(
    service: &'static Service<E>,
    accepted: Accepted,
    make: impl Fn(&'static Worker, Conn, Input) -> E + Copy,
) -> impl Future<Output = ()> {
    let handed = accepted.handed;
    let (mut held, mut deadline) = arrive(service, accepted, make);
    // Whether the last look found nothing.
    let mut quiet = false;
    async move {
        if !handed
            && service.worker.handover.is_uneven()
            && let Some(Held::Idle(conn)) = &held
            && handover::balance(service.worker, conn, deadline).await != Some(false)
        {
            return;
        }
        loop {
            let conn = match &mut held {
                Some(Held::Idle(conn)) => conn,
                Some(Held::Busy(exchange)) => {
                    let Some(conn) = exchange.await else { return };
                    deadline = event::after(conn.keep_ms.into());
                    held = Some(Held::Idle(conn));
                    quiet = false;
                    continue;
                }
                Some(Held::Tunnel(tunnel)) => return tunnel.await,
                None => return,
            };
            if event::draining()
                && !conn.stays.get()
                && handover::pass(service.worker, conn, [], deadline).await != Some(false)
            {
                return;
            }
            if quiet {
                match conn.io.idle(deadline).await {
                    Dismissal::Readable => {}
                    Dismissal::Draining if !conn.stays.get() => continue,
                    Dismissal::Draining if conn.requests == 0 => {
                        deadline = event::after(UNSPOKEN_MS).earlier(deadline);
                        if conn.io.readable(deadline).await.is_err() {
                            return;
                        }
                    }
                    Dismissal::TimedOut => {
                        return ended(service.worker, conn, Some(Errno::ETIMEDOUT));
                    }
                    Dismissal::Draining => return,
                }
            }
            match first_bytes(service.worker, conn) {
                First::Bytes(input) => {
                    let Some(Held::Idle(conn)) = held.take() else { return };
                    held = begin(service, conn, input, make);
                }
                First::NotYet => quiet = true,
                First::Ended(errno) => return ended(service.worker, conn, errno),
                First::NoBuffer => return,
            }
        }
    }
}

/// What a new conversation begins with, and until when it may be silent.
fn arrive<E: Future<Output = Option<Conn>>>(
    service: &'static Service<E>,
    accepted: Accepted,
    make: impl Fn(&'static Worker, Conn, Input) -> E,
) -> (Option<Held<E>>, Deadline) {
    let worker = service.worker;
    let arrived = if accepted.handed { worker.arrived.take() } else { None };
    let Some(mut arrived) = arrived else {
        let conn = Conn::new(worker, accepted);
        let deadline = worker.first_deadline(&conn);
        return (Some(Held::Idle(conn)), deadline);
    };
    let tunnel = arrived.tunnel.take();
    let (conn, input) = Conn::handed(worker, accepted, arrived);
    let deadline = event::after(conn.keep_ms.into());
    match (tunnel, input) {
        (Some(tunnel), _) => {
            let room = worker.rooms.place(upstream::resume(worker, conn, tunnel));
            (room.map(Held::Tunnel), deadline)
        }
        (None, Some(input)) => (begin(service, conn, input, make), deadline),
        (None, None) => (Some(Held::Idle(conn)), deadline),
    }
}

/// The first byte of a request is there; `None`: there is no room for it.
fn begin<E: Future<Output = Option<Conn>>>(
    service: &'static Service<E>,
    conn: Conn,
    input: Input,
    make: impl Fn(&'static Worker, Conn, Input) -> E,
) -> Option<Held<E>> {
    let begun = Placed::new(&service.exchanges, || make(service.worker, conn, input));
    begun.map(Held::Busy)
}

/// What a connection has to say between requests.
enum First {
    Bytes(Input),
    NotYet,
    /// By the client, or for this reason.
    Ended(Option<Errno>),
    NoBuffer,
}

/// Tries to read; the buffer goes back at once when there is nothing. A function of its own,
/// so that no buffer has a place in the future of an idle connection.
#[inline]
fn first_bytes(worker: &Worker, conn: &Conn) -> First {
    let Some(mut input) = worker.input() else { return First::NoBuffer };
    loop {
        match conn.io.try_read(input.room()) {
            Ok(0) => return First::Ended(None),
            Ok(count) => {
                input.filled(count);
                return First::Bytes(input);
            }
            Err(Errno::EAGAIN) => return First::NotYet,
            Err(Errno::EINTR) => {}
            Err(errno) => return First::Ended(Some(errno)),
        }
    }
}

/// Tells of a connection that ends between requests, or before the first one.
fn ended(worker: &Worker, conn: &Conn, errno: Option<Errno>) {
    let http = worker.http();
    let sites = http.listening.get(usize::from(conn.listening)).map(|it| &it.sites);
    let Some(site) = sites.and_then(|sites| sites.last()) else { return };
    match (conn.requests, errno) {
        (0, errno) => {
            let is_silent = site.proxy_protocol && !worker.headers.has(conn);
            let action = if is_silent { proxied::READING } else { " while waiting for request" };
            conn.ended_unasked(site, action, errno);
        }
        (_, None) => {
            let client = conn.peer.ip;
            let text = format_args!("client {client} closed keepalive connection");
            conn.log(&site.default_server, Level::Info, None, text, None);
        }
        (_, Some(_)) => {}
    }
}

const _: () = assert!(size_of::<Conn>() <= 56);
