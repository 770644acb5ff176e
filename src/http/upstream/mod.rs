//! Asking an upstream: one exchange for every protocol.
//!
//! A location's handler says whom to ask and what ([`Plan`]); `fetch` asks one peer after
//! the other until one has answered with a head; `answer` makes it the head of our answer;
//! `relay` lets the body through. What differs by protocol is in [`Speaks`].
//!
//! All of it lives in rooms of the worker, not in the request: most requests ask nobody.

mod answer;
pub mod attempts;
mod carried;
mod connect;
mod dynamic;
mod feed;
mod fetch;
mod hidden;
mod interim;
mod leave;
mod lines;
pub mod next;
mod payload;
mod queue;
mod ranges;
mod records;
mod relay;
mod send;
pub mod settings;
mod splice;
mod stored;
mod stream;
mod target;
mod trailers;
mod tunnel;
mod variables;

pub use answer::describe;
pub use dynamic::Named;
pub use fetch::Plan;
use fetch::fetch;
pub use payload::{Payload, is_awaited};
pub use relay::relay;
pub use target::{Aim, Pass, Protocol, read};
pub use tunnel::{Resumed, resume};
pub use variables::{VARIABLES, cookie, header, trailer};

use crate::event::Io;
use crate::http::content::Handler;
use crate::http::request::Request;
use crate::http::step::{Step, Wait};
use crate::http::trailers::Section;
use crate::http::upstreams::Upstream as Whom;
use crate::http::{fastcgi, proxy};
use crate::net::upstream::{Lease, Tries};
use crate::proto::chunked::Decoder;
use crate::proto::request::Version;
use crate::proto::response::{self, Head};
use crate::time;
use attempts::Attempt;
use ranges::Window;
use records::Records;
use std::fmt;
use std::rc::Rc;
use stored::Stored;

/// What an upstream is spoken to in.
#[derive(Clone, Copy)]
pub enum Speaks<'r> {
    Http(&'r proxy::Loc),
    FastCgi(&'r fastcgi::Loc),
}

/// An exchange with an upstream, from the choice of a peer to the end of the answer.
pub struct Upstream<'r> {
    pub conf: &'r settings::Loc,
    pub speaks: Speaks<'r>,
    pass: &'r Pass,
    whom: Rc<Whom>,
    /// The same, if the configuration speaks of it.
    known: Option<&'r Whom>,
    /// What a peer is chosen by (`hash`).
    key: &'r [u8],
    tries: Tries,
    /// When the first peer was chosen, in ms of [`crate::time::now_ms`].
    started: u64,
    /// When this peer was chosen.
    began: u64,
    /// What is sent to each peer, and the body behind it.
    request: &'r [u8],
    payload: Payload<'r>,
    /// What follows a body that was there before it is sent: trailers.
    tail: &'r [u8],
    /// Its method is HEAD.
    head_only: bool,
    /// It asks for another protocol.
    upgrades: bool,
    /// A connection was closed while it rested: now a new one is made.
    stale: bool,
    /// A peer has begun to get the body that is read from the client meanwhile.
    streamed: bool,
    attempt: Option<&'r Attempt<'r>>,
    /// The peer that could not be reached.
    unconnected: Option<Lease>,
    /// Answers that came before the answer.
    interims: u32,
    /// One of them, on its way to the client.
    hints: Option<&'r [u8]>,
    link: Option<Link>,
    /// Room for the head of an answer, until there is one.
    room: Option<&'r mut [u8]>,
    /// Bytes in the room.
    filled: usize,
    head: Head,
    /// The bytes that `head` has spans of, once there is an answer.
    bytes: &'r [u8],
    /// What came of the body together with the head.
    early: &'r mut [u8],
    rest: Rest<'r>,
    /// The answer is let through as it comes.
    unbuffered: bool,
    /// What stands behind its last chunk, if that is kept.
    section: Option<Section<'r>>,
    /// The file that it becomes.
    stored: Option<Stored<'r>>,
    /// What of the body leaves.
    window: Window,
}

/// A connection to a peer.
struct Link {
    io: Io,
    lease: Lease,
    /// It comes from the pool.
    reused: bool,
    requests: u64,
    since: u64,
    from: Option<crate::sys::addr::Peer>,
    /// It can be used again when the answer has been read.
    keeps: bool,
}

/// What is to come of an answer's body.
#[derive(Clone, Copy)]
enum Rest<'r> {
    None,
    Length(u64),
    Chunked(Decoder),
    UntilClose,
    Records(Records<'r>),
}

/// Why what comes is no body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    Chunks,
    Records(crate::proto::fastcgi::Bad),
    /// It ended before it should.
    Short,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Chunks => f.write_str("upstream sent invalid chunked response"),
            Broken::Records(bad) => write!(f, "{bad}"),
            Broken::Short => f.write_str("upstream prematurely closed FastCGI request"),
        }
    }
}

impl<'r> Rest<'r> {
    fn of(framing: response::Framing) -> Rest<'r> {
        match framing {
            response::Framing::None | response::Framing::Length(0) => Rest::None,
            response::Framing::Length(length) => Rest::Length(length),
            response::Framing::Chunked => Rest::Chunked(Decoder::new()),
            response::Framing::UntilClose => Rest::UntilClose,
        }
    }

    /// Nothing more belongs to the answer.
    fn is_over(&self) -> bool {
        match self {
            Rest::None => true,
            Rest::Length(left) => *left == 0,
            Rest::Chunked(decoder) => decoder.is_at_end(),
            Rest::UntilClose => false,
            Rest::Records(records) => records.is_over(),
        }
    }

    /// All that was sent of the answer has been read.
    fn is_read(&self) -> bool {
        match self {
            Rest::Records(records) => records.is_at_end(),
            _ => self.is_over(),
        }
    }
}

impl Upstream<'_> {
    /// Writes down how long the peer has taken until now.
    fn note_end(&self) {
        if let Some(attempt) = self.attempt.filter(|it| it.response_time.get().is_none()) {
            let took = time::now_ms().saturating_sub(self.began);
            attempt.response_time.set(Some(took));
            let whole = attempt.header_time.get().is_some() && self.rest.is_over();
            let Some(link) = &self.link else { return };
            link.lease.carried(attempt.sent.get(), attempt.received.get());
            if whole {
                link.lease.took_last_byte(took);
            }
        }
    }

    /// Lets go of the connection: for the next request if it can be used again, else for good.
    fn release(&mut self, request: &Request<'_>) {
        self.note_end();
        let Some(link) = self.link.take() else { return };
        if !link.keeps || !self.rest.is_read() {
            return;
        }
        let Link { io, lease, requests, since, from, .. } = link;
        let keep = self.keep();
        let used = crate::net::pool::Used { io, requests, since, from };
        request.worker.pool.put(self.owner(), lease.addr(), keep, used);
    }
}

/// A location's content is another server's answer: asks for what has to be waited for.
pub fn begin<'r>(request: &mut Request<'r>) -> Step<'r> {
    if request.head.version == Version::V09 {
        // It has no head that could be passed on.
        return Step::Status(400);
    }
    let conf = &request.location.conf;
    let (exchange, chunks) = match &conf.content.handler {
        // A parameter says how long the body is.
        Some(Handler::Upstream(pass)) if pass.protocol == Protocol::FastCgi => {
            (&conf.fastcgi_exchange, false)
        }
        _ => (&conf.proxy_exchange, conf.proxy.version == Version::V11),
    };
    match is_awaited(request, exchange.request_buffering, chunks) {
        true => Step::Wait(Wait::Body),
        false => Step::Wait(Wait::Upstream),
    }
}

/// Asks the upstream of the request's location, in a room. What comes of it is how the
/// phases go on.
pub fn ask<'r>(request: &mut Request<'r>) -> impl Future<Output = Step<'r>> {
    async move {
        let Some(Handler::Upstream(pass)) = &request.location.conf.content.handler else {
            return Step::Status(500);
        };
        let rooms = request.worker.rooms;
        match rooms.place(fetch(request, pass)) {
            Some(fetched) => fetched.await,
            None => Step::Status(500),
        }
    }
}
