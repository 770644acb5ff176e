//! A client connection from accept to close.
//!
//! Between requests it is this small future and no buffer; a request borrows the
//! connection, a buffer and a slot for the larger future, and gives them back.

use super::conf::{Location, Server};
use super::core::Lingering;
use super::input::Input;
use super::worker::Worker;
use crate::event::{self, Accepted, Deadline, Dismissal, Io};
use crate::log::{Entry, Level};
use crate::mem::arena::{Arena, Placed};
use crate::sys::addr::Peer;
use crate::sys::errno::Errno;
use crate::sys::sockopt;
use crate::text::escape::Shown;
use crate::time;
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
    /// Requests begun.
    pub requests: u32,
    /// When it was accepted, in ms of [`time::now_ms`].
    pub accepted_at: u64,
    /// How long it may stay idle, in ms: the last request's location says.
    pub keep_ms: u64,
}

impl Conn {
    /// An answer could not be sent to its end: says why, in nginx's words.
    pub fn send_failed(&self, server: &Server, errno: Errno, reset_timedout: bool) {
        let text = match errno {
            Errno::ETIMEDOUT => "client timed out",
            _ => "send() failed",
        };
        if errno == Errno::ETIMEDOUT && reset_timedout {
            self.reset_on_close();
        }
        let (ip, name) = (self.peer.ip, Shown(&server.name));
        let text = format_args!(
            "{text} ({errno}) while sending response to client, client: {ip}, server: {name}"
        );
        self.log(server, Level::Info, text);
    }

    /// Part of the story of this connection.
    pub fn debug(&self, server: &Server, text: fmt::Arguments<'_>) {
        self.log(server, Level::Debug, text);
    }

    fn log(&self, server: &Server, level: Level, text: fmt::Arguments<'_>) {
        let log = &server.location.conf.core.error_log;
        let client = self.peer.ip;
        if log.enabled(level, client) {
            let entry = Entry { level, connection: self.number, errno: None, text, context: None };
            log.put(&entry, client);
        }
    }

    /// Closing shall drop what has not been sent, and tell the other side by a reset.
    pub fn reset_on_close(&self) {
        // A failure changes nothing: the connection is closed either way.
        let _ = sockopt::set_linger_reset(&self.io);
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
            reset_timedout: core.reset_timedout_connection,
        }
    }
}

/// How long a connection may stay silent before its first request once the worker
/// drains, in ms: its request may be on the way.
const UNSPOKEN_MS: u64 = 1000;

/// Serves one connection until it closes. `make` builds the future of [`super::exchange::run`]
/// in `arena`.
///
/// Cancellation: closes the connection, gives back whatever it holds.
pub async fn serve<E: Future<Output = Option<Conn>>>(
    worker: &'static Worker,
    accepted: Accepted,
    arena: &'static Arena<E>,
    make: impl Fn(&'static Worker, Conn, Input) -> E,
) {
    let mut conn = Conn {
        io: accepted.io,
        peer: accepted.peer,
        number: worker.next_number(),
        listening: accepted.listener as u16,
        requests: 0,
        accepted_at: time::now_ms(),
        keep_ms: 0,
    };
    let mut deadline = worker.first_deadline(&conn);
    loop {
        let Some(mut input) = worker.input() else { return };
        match conn.io.try_read(input.room()) {
            Ok(0) => return,
            Ok(count) => input.filled(count),
            Err(Errno::EAGAIN) => {
                drop(input);
                if !silence(&conn, deadline).await {
                    return;
                }
                continue;
            }
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        }
        let Some(exchange) = Placed::new(arena, || make(worker, conn, input)) else { return };
        match exchange.await {
            Some(kept) => conn = kept,
            None => return,
        }
        deadline = event::after(conn.keep_ms);
    }
}

/// Waits for the next request's first bytes; false when the connection is to close.
async fn silence(conn: &Conn, deadline: Deadline) -> bool {
    match conn.io.idle(deadline).await {
        Dismissal::Readable => true,
        Dismissal::TimedOut => false,
        Dismissal::Draining if conn.requests > 0 => false,
        Dismissal::Draining => conn.io.readable(event::after(UNSPOKEN_MS)).await.is_ok(),
    }
}

const _: () = assert!(size_of::<Conn>() <= 64);
