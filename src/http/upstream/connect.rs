//! A connection to a peer: one that rests in the pool, or a new one.

use super::fetch::Failure;
use super::settings::{self, Bind};
use super::{Link, Upstream};
use crate::event::{self, Io};
use crate::http::request::Request;
use crate::log::Level;
use crate::net::upstream::Lease;
use crate::sys::addr::Addr;
use crate::sys::errno::{Errno, Result};
use crate::sys::{socket, sockopt};
use crate::text::escape::Shown;
use crate::time;
use crate::vars::Subject;
use std::fmt;
use std::os::fd::OwnedFd;

/// A host that is gone leaves connections without an answer for half a minute: so the name of a
/// peer is looked up when it has been silent for so many milliseconds.
const SILENT_MS: u64 = 500;

/// Gets hold of a connection to the peer of this lease.
///
/// Cancellation: the connection is closed.
pub fn connect<'r>(
    request: &Request<'r>,
    upstream: &mut Upstream<'r>,
    lease: Lease,
) -> impl Future<Output = std::result::Result<(), Failure>> {
    async move {
        let pool = &request.worker.pool;
        let bind = local(request, upstream.conf);
        let from = bind.map(|(local, _)| local.peer());
        let used = pool.take(upstream.owner(), lease.addr(), from);
        if let Some(used) = used.filter(|_| !upstream.stale) {
            let crate::net::pool::Used { io, requests, since, .. } = used;
            let requests = requests + 1;
            upstream.link =
                Some(Link { io, lease, reused: true, requests, since, from, keeps: false });
            note_connected(upstream);
            return Ok(());
        }
        let io = match open(request, upstream.conf, bind, &lease) {
            Ok(io) => io,
            Err(failure) => {
                upstream.refused(lease);
                return Err(failure);
            }
        };
        upstream.link = Some(Link {
            io,
            lease,
            reused: false,
            requests: 1,
            since: upstream.began,
            from,
            keeps: false,
        });
        let Some(link) = &upstream.link else { return Err(Failure::Error) };
        let deadline = event::after(upstream.conf.connect_timeout);
        let watched = upstream.watched(request);
        loop {
            let wanted = [(&link.io, event::WRITE), watched];
            let until = match link.lease.peer().server.is_named() {
                true => deadline.earlier(event::after(SILENT_MS)),
                false => deadline,
            };
            match event::any_of(wanted, until).await {
                Ok(()) => {}
                Err(Errno::ETIMEDOUT) if !event::is_due(deadline) => {
                    if upstream.whom.group.has_moved(link.lease.peer(), SILENT_MS).await {
                        left(request);
                        return Err(Failure::Unconnected);
                    }
                    continue;
                }
                Err(errno) => return Err(timed_out(request, errno)),
            }
            if link.io.may(event::WRITE) {
                break;
            }
            upstream.still_there(request)?;
        }
        if link.io.is_closed()
            && let Ok(Some(errno)) = sockopt::take_error(&link.io)
        {
            fail(request, errno, format_args!("connect() failed"));
            return Err(Failure::Unconnected);
        }
        note_connected(upstream);
        Ok(())
    }
}

fn note_connected(upstream: &Upstream<'_>) {
    if let Some(attempt) = upstream.attempt {
        attempt.connect_time.set(Some(time::now_ms().saturating_sub(upstream.began)));
    }
}

fn timed_out(request: &Request<'_>, errno: Errno) -> Failure {
    request.log(Level::Error, Some(errno), format_args!("upstream timed out"));
    Failure::Timeout
}

fn left(request: &Request<'_>) {
    let text = format_args!("no answer from upstream, and its name has other addresses now");
    request.log(Level::Warn, None, text);
}

fn fail(request: &Request<'_>, errno: Errno, what: fmt::Arguments<'_>) {
    // Of what is not there nginx says less.
    let level = match errno {
        Errno::EAGAIN
        | Errno::ECONNREFUSED
        | Errno::ECONNRESET
        | Errno::ETIMEDOUT
        | Errno::ENETDOWN
        | Errno::ENETUNREACH
        | Errno::EHOSTDOWN
        | Errno::EHOSTUNREACH => Level::Error,
        _ => Level::Crit,
    };
    request.log(level, Some(errno), what);
}

/// Where connections come from, and whether that may be another machine's (`proxy_bind`).
fn local<'r>(request: &Request<'r>, conf: &'r settings::Loc) -> Option<(Addr, bool)> {
    let Bind::From(from, transparent) = &conf.bind else { return None };
    let text = request.render(from).unwrap_or_default();
    let local = settings::local(text);
    if local.is_none() && !text.is_empty() {
        let text = Shown(text);
        request.log(Level::Error, None, format_args!("invalid local address \"{text}\""));
    }
    Some((local?, *transparent))
}

/// A socket on its way to the peer. What is wrong here, and not there, is no failure of it: it
/// would be the same with any other.
fn open(
    request: &Request<'_>,
    conf: &settings::Loc,
    from: Option<(Addr, bool)>,
    lease: &Lease,
) -> std::result::Result<Io, Failure> {
    let local = |level, errno, what: fmt::Arguments<'_>| {
        request.log(level, errno, what);
        Failure::Local(500)
    };
    let addr = lease.addr();
    let fd = socket_to(addr, conf.socket_keepalive)
        .map_err(|errno| local(Level::Alert, Some(errno), format_args!("socket() failed")))?;
    if let Some((from, transparent)) = from {
        bind(&fd, &from, transparent).map_err(|errno| {
            local(Level::Crit, Some(errno), format_args!("bind({from}) failed"))
        })?;
    }
    Io::connect(fd, addr).map_err(|errno| match errno {
        Errno::EMFILE => {
            local(Level::Alert, None, format_args!("worker_connections are not enough"))
        }
        errno => {
            fail(request, errno, format_args!("connect() to {} failed", Shown(lease.name())));
            Failure::Unconnected
        }
    })
}

fn socket_to(addr: &Addr, keepalive: bool) -> Result<OwnedFd> {
    let fd = socket::socket(addr.family(), socket::STREAM)?;
    if keepalive {
        sockopt::set_keepalive(&fd, true)?;
    }
    if !addr.is_unix() {
        sockopt::set_nodelay(&fd, true)?;
    }
    Ok(fd)
}

fn bind(fd: &OwnedFd, local: &Addr, transparent: bool) -> Result<()> {
    if transparent {
        sockopt::set_transparent(fd, local.family())?;
    }
    if local.port() == 0 {
        // The port is chosen when it connects: then it need not be free for every peer.
        sockopt::set_bind_address_no_port(fd)?;
    }
    socket::bind(fd, local)
}
