//! After `101 Switching Protocols`: bytes both ways, whatever they mean, here and in the workers
//! that go on with them.

use super::carried::{self, Far, Opening};
use crate::event::Io;
use crate::http::connection::{Conn, Limits};
use crate::http::exchange::{site_of, tell_end};
use crate::http::output::Output;
use crate::http::request::{Origin, Request};
use crate::http::worker::Worker;
use crate::http::{handover, limit_conn, linger, log, request_body};
use crate::log::Level;
use crate::net::handover::Carried;
use crate::net::handover::message::Reason;
use crate::net::tunnel::{Ended, Stop, Tunnel, Way};
use crate::net::upstream::Lease;
use crate::sys::errno::{Errno, Result};
use crate::time;
use std::cell::OnceCell;
use std::rc::Rc;

/// Lets bytes pass until one side has ended; the connection is closed after it.
///
/// Cancellation: both connections are closed.
pub async fn run(request: &mut Request<'_>, output: &mut Output) -> Result<()> {
    request.keep_alive = false;
    // The rest stays in the request: variables ask for it.
    let link = request.upstream.as_mut().and_then(|upstream| upstream.link.take());
    let Some(link) = link else { return Err(Errno::ECANCELED) };
    let sent = through(request, &link.io, output).await;
    let Some(mut upstream) = request.upstream.take() else { return sent };
    // Of one that has gone there is nothing to tell of the peer yet.
    upstream.link = Some(link).filter(|_| !request.is_gone);
    upstream.release(request);
    request.upstream = Some(upstream);
    sent
}

async fn through(request: &mut Request<'_>, peer: &Io, output: &mut Output) -> Result<()> {
    let io = &request.conn.io;
    output.flush(io, request.location.conf.core.send_timeout, false).await?;
    let Some(upstream) = &request.upstream else { return Err(Errno::ECANCELED) };
    let worker = request.worker;
    // A body before it has been sent already.
    let ahead = request_body::behind(request);
    let way = |already| Way::new(worker.relay_buffer()?, already);
    let (Some(up), Some(down)) = (way(ahead), way(upstream.early)) else {
        request.log(Level::Alert, None, format_args!("no room for a tunnel"));
        return Err(Errno::ECANCELED);
    };
    if let Some(attempt) = upstream.attempt {
        attempt.length.set(upstream.early.len() as u64);
    }
    let mut tunnel = Tunnel::new(up, down, upstream.conf.read_timeout);
    let (group, began) = (Rc::clone(&upstream.whom.group), upstream.began);
    pass(request, &mut tunnel, &Far { io: peer, group: &group.name, began }).await;
    Ok(())
}

/// A tunnel that another worker had, and its request.
pub struct Resumed {
    tunnel: Tunnel,
    other: Io,
    /// What is known of the request: see [`carried`].
    context: Box<[u8]>,
    lease: Option<Lease>,
}

impl Resumed {
    /// Finds room for one, in the place that has been reserved for its client.
    pub fn new(
        worker: &Worker,
        carried: Carried<'_>,
        left_ms: u32,
    ) -> std::result::Result<Box<Resumed>, Reason> {
        let Carried { other, tunnel } = carried;
        let opening = Opening::parse(tunnel.context).ok_or(Reason::Invalid)?;
        let buffers = worker.relay_buffer().zip(worker.relay_buffer()).ok_or(Reason::Full)?;
        let context = tunnel.context.into();
        let tunnel = Tunnel::carried(buffers, &tunnel, left_ms).ok_or(Reason::Full)?;
        let other = Io::adopt(other).ok_or(Reason::Full)?;
        let lease = opening.lease(worker);
        Ok(Box::new(Resumed { tunnel, other, context, lease }))
    }
}

/// Goes on with a tunnel until one side has ended, and tells of its request.
///
/// Cancellation: both connections are closed.
pub async fn resume(worker: &'static Worker, conn: Conn, mut resumed: Box<Resumed>) {
    if let Some(limits) = ended(worker, &conn, &mut resumed).await
        && let Some(input) = worker.input()
    {
        drop(resumed);
        linger::close(conn, input, &limits).await;
    }
}

/// `None`: it has gone, to another worker.
async fn ended(worker: &'static Worker, conn: &Conn, resumed: &mut Resumed) -> Option<Limits> {
    let http = worker.http();
    let site = site_of(http.listening.get(usize::from(conn.listening))?, &conn.io)?;
    let Resumed { tunnel, other, context, lease } = resumed;
    let Opening { head, bytes, group, began, started_at, pipelined, mut rest, .. } =
        Opening::parse(context)?;
    let (scratch, body) = (worker.scratch(), OnceCell::new());
    let (http, scratch, body) = (&http, &scratch, &body);
    let origin = Origin { worker, conn, http, site, scratch, started_at, pipelined, body };
    let mut request = Request::new(origin, bytes, &head);
    request.keep_alive = false;
    if carried::learn(&mut request, &mut rest).is_none() {
        let text = format_args!("a worker has not told all that it should of a tunnel");
        request.log(Level::Alert, None, text);
    }
    limit_conn::count(&request);
    if !pass(&mut request, tunnel, &Far { io: other, group, began }).await {
        return None;
    }
    let attempt = request.attempts.get().and_then(|attempts| attempts.last());
    if let Some(attempt) = attempt {
        let took = time::now_ms().saturating_sub(began);
        attempt.response_time.set(Some(took));
        if let Some(lease) = lease {
            lease.carried(attempt.sent.get(), attempt.received.get());
            lease.took_last_byte(took);
        }
    }
    request.complete = true;
    tell_end(&request);
    log::record(&request);
    Some(Limits::of(request.location))
}

/// Lets bytes pass, and tells why no more do; false: they do in another worker.
async fn pass(request: &mut Request<'_>, tunnel: &mut Tunnel, far: &Far<'_>) -> bool {
    request.action = " while proxying upgraded connection";
    let ended = loop {
        match tunnel.run(&request.conn.io, far.io).await {
            Stop::Ended(ended) => break ended,
            Stop::Leaves if offer(request, tunnel, far).await => {
                request.is_gone = true;
                return false;
            }
            Stop::Leaves => tunnel.stays(),
        }
    };
    match ended {
        Ended::Closed => {}
        Ended::TimedOut => {
            // Nothing is wrong: nobody has said anything.
            request.log_info(Some(Errno::ETIMEDOUT), format_args!("upstream timed out"));
        }
        Ended::ClientFailed(errno) => {
            request.log(Level::Info, Some(errno), format_args!("recv() failed"));
        }
        Ended::UpstreamFailed(errno) => {
            request.log(Level::Error, Some(errno), format_args!("recv() failed"));
        }
    }
    request.action = "";
    request.body_sent += tunnel.down.passed;
    if let Some(attempt) = request.attempts.get().and_then(|attempts| attempts.last()) {
        attempt.received.set(attempt.received.get() + tunnel.down.came);
        attempt.length.set(attempt.length.get() + tunnel.down.came);
        attempt.sent.set(attempt.sent.get() + tunnel.up.passed);
    }
    true
}

/// Gives it to another worker, if there is one.
async fn offer(request: &Request<'_>, tunnel: &Tunnel, far: &Far<'_>) -> bool {
    let (worker, conn) = (request.worker, request.conn);
    let pack = || match carried::pack(request, tunnel, far) {
        Ok(parcel) => Some(parcel),
        Err(errno) => {
            if !conn.stays.replace(true) {
                let text = format_args!("a tunnel cannot be handed over");
                request.log(Level::Warn, Some(errno), text);
            }
            None
        }
    };
    worker.handover.has_receivers()
        && handover::pass_tunnel(worker, conn, (far.io, &pack), tunnel.deadline()).await
}
