//! One peer after the other, until one has answered with a head.

use super::attempts::{Attempt, Attempts};
use super::ranges::Window;
use super::target::{self, Aim, Pass};
use super::{Link, Records, Rest, Speaks, Upstream, answer, connect, payload, send, settings};
use crate::event::{self, Io};
use crate::http::request::Request;
use crate::http::step::Step;
use crate::http::upstream::next::Next;
use crate::http::upstream::payload::Payload;
use crate::http::upstreams::sticky::{bind, bound};
use crate::http::{fastcgi, proxy};
use crate::log::Level;
use crate::mem::arena::Held;
use crate::net::pool::Keep;
use crate::net::upstream::{Ask, Lease, Peer, Refusal, Tries};
use crate::proto::response::Head;
use crate::time;
use crate::vars::Subject;
use std::rc::Rc;

/// Why a peer has not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    Error,
    /// Nothing was sent: there was no connection.
    Unconnected,
    Timeout,
    /// What it sent is no answer.
    Invalid,
    /// It answered with a status after which another one is asked.
    Status(Next, u16),
    /// The client has gone.
    Gone,
    /// It is not the peer's fault: nobody else is asked.
    Local(u16),
}

/// What is asked, as a protocol has made it.
pub struct Plan<'r> {
    pub bytes: &'r [u8],
    pub payload: Payload<'r>,
    /// What follows it.
    pub tail: &'r [u8],
    pub head_only: bool,
    pub upgrades: bool,
    /// What the log says behind the peer's address.
    pub uri: &'r [u8],
}

/// Asks the upstream of the request's location. What comes of it is how the phases go on.
///
/// Cancellation: the connection is closed, the request is given up.
pub async fn fetch<'r>(request: &mut Request<'r>, pass: &'r Pass) -> Step<'r> {
    let aim = match target::aim(request, pass).await {
        Ok(aim) => aim,
        Err(status) => return Step::Status(status),
    };
    if request.attempts.get().is_none() {
        request.attempts.set(request.scratch().place(Attempts::default()));
    }
    let Some(attempts) = request.attempts.get() else { return Step::Status(500) };
    attempts.named.set(Some((aim.host, aim.port)));
    let conf = &request.location.conf;
    let (speaks, conf) = match pass.protocol {
        target::Protocol::Http => (Speaks::Http(&conf.proxy), &conf.proxy_exchange),
        target::Protocol::FastCgi => (Speaks::FastCgi(&conf.fastcgi), &conf.fastcgi_exchange),
    };
    let made = match speaks {
        Speaks::Http(own) => proxy::make(request, conf, own, &aim),
        Speaks::FastCgi(own) => fastcgi::make(request, conf, own),
    };
    let Some(plan) = made else { return Step::Status(500) };
    let Some(mut upstream) = begin(request, (speaks, conf), (pass, aim), plan) else {
        request.log(Level::Alert, None, format_args!("no room for an upstream's answer"));
        return Step::Status(500);
    };
    let asked = ask(request, &mut upstream).await;
    request.action = "";
    let step = match asked {
        Ok(()) => answer::accept(request, &mut upstream),
        Err(Failure::Gone) => Step::Status(499),
        Err(failure) => Step::Status(failure.status()),
    };
    // An answer that is not let through is not read.
    request.upstream = Some(upstream);
    match step {
        Step::Answer(answer) => {
            bind_client(request).map_or(Step::Status(502), |()| Step::Answer(answer))
        }
        step => step,
    }
}

/// The client belongs to this peer from now on, if its group says so.
fn bind_client(request: &mut Request<'_>) -> Option<()> {
    let upstream = request.upstream.as_mut()?;
    let Some(known) = upstream.known else { return Some(()) };
    let Some(link) = upstream.link.take() else { return Some(()) };
    let bound = bind(known, request, &link.lease);
    request.upstream.as_mut()?.link = Some(link);
    bound
}

fn begin<'r>(
    request: &mut Request<'r>,
    (speaks, conf): (Speaks<'r>, &'r Rc<settings::Loc>),
    (pass, aim): (&'r Pass, Aim<'r>),
    plan: Plan<'r>,
) -> Option<Held<'r, Upstream<'r>>> {
    let size = usize::try_from(conf.buffer_size).ok()?;
    let room = request.scratch().take(size)?;
    let (protocol, rest) = match speaks {
        Speaks::Http(_) => (target::Protocol::Http, Rest::None),
        Speaks::FastCgi(own) => {
            (target::Protocol::FastCgi, Rest::Records(Records::new(request, own.keep_conn)))
        }
    };
    request.attempts.get()?.begin(protocol.scheme(), plan.uri);
    request.worker.rooms.hold(Upstream {
        conf,
        speaks,
        pass,
        whom: aim.upstream,
        known: aim.known,
        key: aim.key,
        unconnected: None,
        interims: 0,
        hints: None,
        tries: Tries::default(),
        started: time::now_ms(),
        began: time::now_ms(),
        request: plan.bytes,
        payload: plan.payload,
        tail: plan.tail,
        head_only: plan.head_only,
        upgrades: plan.upgrades,
        stale: false,
        streamed: false,
        attempt: None,
        link: None,
        room: Some(room),
        filled: 0,
        head: Head::default(),
        bytes: b"",
        early: &mut [],
        rest,
        unbuffered: !conf.buffering,
        section: None,
        stored: None,
        window: Window::WHOLE,
    })
}

/// How long a request waits to hear that its peer has moved, in milliseconds.
const LOOK_AGAIN_MS: u64 = 1000;

/// Until there is a head.
async fn ask<'r>(request: &mut Request<'r>, upstream: &mut Upstream<'r>) -> Result<(), Failure> {
    let (mut tries, mut resolved) = (upstream.tries(), false);
    let mut looked_again = false;
    loop {
        let before = upstream.tries;
        let lease = match pick(request, upstream) {
            Ok(lease) => lease,
            Err(Refusal::Unresolved) if !resolved => {
                resolved = true;
                let within = request.location.conf.resolver.timeout;
                if let Err(unresolved) = upstream.whom.group.resolve(within).await {
                    request.log(Level::Error, None, format_args!("{unresolved}"));
                }
                tries = upstream.tries();
                continue;
            }
            Err(refusal) => return Err(refuse(request, upstream, refusal)),
        };
        upstream.attempt = note(request, lease.name());
        upstream.began = time::now_ms();
        upstream.forget_answer();
        let failure = match one(request, upstream, lease, tries).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        // What was closed while it rested says nothing of the peer.
        upstream.stale = failure == Failure::Error
            && upstream.filled == 0
            && upstream.link.as_ref().is_some_and(|it| it.reused);
        match upstream.stale {
            true => upstream.tries = before,
            false => tries = tries.saturating_sub(1),
        }
        upstream.blame(request, failure);
        let again = tries > 0 && upstream.may_go_on(request, failure);
        let lost = upstream.lost_peer(failure);
        upstream.link = None;
        if again {
            continue;
        }
        // Perhaps the only peer has moved: then nothing has been asked of anybody yet.
        match lost {
            Some(peer) if !looked_again => {
                looked_again = true;
                if !upstream.whom.group.has_moved(&peer, LOOK_AGAIN_MS).await {
                    return Err(failure);
                }
                tries = 1;
            }
            _ => return Err(failure),
        }
    }
}

/// The next peer.
fn pick<'r>(request: &mut Request<'r>, upstream: &mut Upstream<'r>) -> Result<Lease, Refusal> {
    request.action = " while connecting to upstream";
    let sticky = upstream.known.map_or(b"".as_slice(), |known| bound(known, request));
    let Upstream { whom, tries, key, .. } = upstream;
    let asked = Ask { key, client: request.client.ip, sticky, now_ms: time::now_ms() };
    whom.group.pick(tries, &asked)
}

/// Writes down who is asked; without room for it nothing is known of that.
fn note<'r>(request: &Request<'r>, name: &[u8]) -> Option<&'r Attempt<'r>> {
    let name = request.made(name.len(), |out| out.put(name))?;
    request.attempts.get()?.add(request.scratch(), name)
}

/// Nobody can be asked.
fn refuse<'r>(request: &mut Request<'r>, upstream: &mut Upstream<'r>, refusal: Refusal) -> Failure {
    let name = &upstream.whom.group.name;
    upstream.attempt = note(request, name);
    if let Some(attempt) = upstream.attempt {
        attempt.status.set(502);
        attempt.response_time.set(Some(0));
    }
    match refusal {
        Refusal::NoLive => request.log(Level::Error, None, format_args!("no live upstreams")),
        // Why has been told.
        Refusal::Unresolved => {}
    }
    Failure::Local(502)
}

/// One peer.
async fn one<'r>(
    request: &mut Request<'r>,
    upstream: &mut Upstream<'r>,
    lease: Lease,
    tries: u32,
) -> Result<(), Failure> {
    connect::connect(request, upstream, lease).await?;
    send::run(request, upstream).await?;
    let status = upstream.head.status;
    if let Some(next) = Next::of_status(status)
        && tries > 1
        && upstream.may_go_on(request, Failure::Status(next, status))
    {
        return Err(Failure::Status(next, status));
    }
    Ok(())
}

impl Failure {
    fn status(self) -> u16 {
        match self {
            Failure::Timeout => 504,
            Failure::Status(_, status) | Failure::Local(status) => status,
            Failure::Gone => 499,
            Failure::Error | Failure::Unconnected | Failure::Invalid => 502,
        }
    }

    fn next(self) -> Option<Next> {
        match self {
            Failure::Error | Failure::Unconnected => Some(Next::ERROR),
            Failure::Timeout => Some(Next::TIMEOUT),
            Failure::Invalid => Some(Next::INVALID_HEADER),
            Failure::Status(next, _) => Some(next),
            Failure::Gone | Failure::Local(_) => None,
        }
    }
}

impl<'r> Upstream<'r> {
    /// How many peers may be asked.
    fn tries(&self) -> u32 {
        let peers = self.whom.group.next_tries();
        match u32::try_from(self.conf.next_tries).unwrap_or(u32::MAX) {
            0 => peers,
            most => peers.min(most),
        }
    }

    pub(super) fn owner(&self) -> usize {
        Rc::as_ptr(&self.whom).addr()
    }

    pub(super) fn keep(&self) -> Keep {
        let keepalive = &self.whom.group.keepalive;
        Keep {
            connections: keepalive.connections as usize,
            requests: keepalive.requests,
            time: keepalive.time_ms,
            timeout: keepalive.timeout_ms,
        }
    }

    /// The client's connection, if its end ends the exchange.
    pub(super) fn watched<'q>(&self, request: &'q Request<'_>) -> (&'q Io, u8) {
        let is_alone = self.conf.ignore_client_abort || request.is_inner || self.conf.store.is_on();
        (&request.conn.io, if is_alone { 0 } else { event::CLOSED })
    }

    /// Whether the client still waits for the answer.
    pub(super) fn still_there(&self, request: &Request<'_>) -> Result<(), Failure> {
        let (io, watched) = self.watched(request);
        if watched == 0 || !io.is_closed() {
            return Ok(());
        }
        let text = "client prematurely closed connection, so upstream connection is closed too";
        request.log_info(None, format_args!("{text}"));
        Err(Failure::Gone)
    }

    /// Nobody could be reached there.
    pub(super) fn refused(&mut self, lease: Lease) {
        self.unconnected = Some(lease);
    }

    fn forget_answer(&mut self) {
        if self.filled > 0 {
            (self.filled, self.head) = (0, Head::default());
        }
        self.unconnected = None;
        if let Rest::Records(records) = &mut self.rest {
            records.restart();
        }
    }

    /// Writes down what became of a peer.
    fn blame(&mut self, request: &Request<'_>, failure: Failure) {
        let unconnected = self.is_unconnected();
        self.note_end();
        // Who was not waited for has no status.
        if let (Some(attempt), Some(_)) = (self.attempt, failure.next()) {
            attempt.status.set(failure.status());
        }
        let lease = self.link.as_ref().map(|link| &link.lease).or(self.unconnected.as_ref());
        let failed = match failure.next() {
            None => false,
            Some(next) => next.is_failure() && !self.stale,
        };
        if failed
            && unconnected
            && let Some(lease) = lease
        {
            self.whom.group.connect_refused(lease);
        }
        if failed && lease.is_some_and(Lease::failed) {
            let text = format_args!("upstream server temporarily disabled");
            request.log(Level::Warn, None, text);
        }
    }

    /// The peer, if nobody was at the address of its name, or nobody is heard from there.
    fn lost_peer(&self, failure: Failure) -> Option<Rc<Peer>> {
        let lease = self.link.as_ref().map(|link| &link.lease).or(self.unconnected.as_ref())?;
        let is_silent = failure == Failure::Timeout && self.is_unconnected();
        let is_lost = is_silent || failure == Failure::Unconnected;
        (is_lost && lease.peer().server.is_named()).then(|| Rc::clone(lease.peer()))
    }

    /// Whether nothing can have been sent.
    fn is_unconnected(&self) -> bool {
        self.attempt.is_some_and(|it| it.connect_time.get().is_none())
    }

    /// Whether another peer may be asked after this (ngx_http_upstream_next).
    fn may_go_on(&self, request: &Request<'_>, failure: Failure) -> bool {
        let Some(mut next) = failure.next() else { return false };
        let sent = self.link.is_some() && failure != Failure::Unconnected;
        if sent && !payload::is_idempotent(request.method) {
            next = next.or(Next::NON_IDEMPOTENT);
        }
        let conf = &self.conf;
        let took = time::now_ms().saturating_sub(self.started);
        let in_time = conf.next_timeout == 0 || took < conf.next_timeout;
        conf.next.has(next) && !self.streamed && in_time
    }
}

/// What a connection is good for, once its answer's head has come.
pub(super) fn keeps(link: &mut Link, keeps: bool) {
    link.keeps &= keeps;
}
