//! What every conversation of a worker shares: the configuration, the buffers,
//! the files.

use super::conf::{Http, Server};
use super::connection::Conn;
use super::file_cache::FileCache;
use super::handover::Arrived;
use super::input::Input;
use super::output::{self, Output};
use super::proxied;
use super::ready::ReadyPages;
use super::{health_check, request_body, upstream};
use crate::event::{self, Deadline};
use crate::log::{Level, log};
use crate::mem::arena::Rooms;
use crate::mem::buffers::{Buf, Pool, Scratch};
use crate::net;
use crate::net::handover::Handover;
use crate::proto::deflate::Coder;
use crate::shm;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A small input buffer: `client_header_buffer_size` is 1k in nginx, but then a
/// batch of pipelined requests would take many reads.
const INPUT: usize = 8 * 1024;
/// Sixteen pipelined answers of 1 KiB with their heads fit.
const OUTPUT: usize = 32 * 1024;
/// Values, captures, paths; touched as far as it is used.
const SCRATCH: usize = 64 * 1024;
/// What in a line of a log is not of its head.
const LINE: usize = 64 * 1024;
const PATH_MAX: usize = 4096;
const _: () = assert!(OUTPUT >= 2 * output::HEAD_MOST);

pub struct Worker {
    http: RefCell<Rc<Http>>,
    inputs: &'static Pool,
    larges: &'static Pool,
    outputs: &'static Pool,
    scratches: &'static Pool,
    bodies: &'static Pool,
    /// Where requests inside requests are.
    pub rooms: &'static Rooms,
    pub files: FileCache,
    /// Requests begun.
    pub requests: Cell<u64>,
    /// Heads that are on their way.
    reading: Cell<u64>,
    next_number: fn() -> u64,
    /// Room for a path; PATH_MAX ends what the kernel takes.
    pub path: RefCell<Box<[u8]>>,
    /// Room for a line of an access log.
    pub line: RefCell<Buf>,
    pub pages: ReadyPages,
    /// What balancers said of their clients.
    pub headers: proxied::Headers,
    pub handover: &'static Handover,
    /// What a sibling has told of the connection that is about to begin.
    pub arrived: RefCell<Option<Arrived>>,
    /// Connections to upstreams that nobody uses at the moment.
    pub pool: net::pool::Pool,
    /// The upstreams that requests have named.
    pub named: upstream::Named,
    pub pipes: net::pipe::Pipes,
    relays: &'static Pool,
    connections: usize,
    /// Coders that nobody uses at the moment, and how many there are in all.
    #[allow(clippy::vec_box, reason = "they move into requests, which are to stay small")]
    pub coders: RefCell<Vec<Box<Coder>>>,
    pub coders_made: Cell<u32>,
}

impl Worker {
    /// For `connections` of them; `None` when the address space cannot be had.
    /// `next_number` gives each connection its `*N`.
    fn new(
        http: Rc<Http>,
        connections: usize,
        next_number: fn() -> u64,
        handover: &'static Handover,
    ) -> Option<Worker> {
        let large = largest_head(&http).max(INPUT);
        // Each byte of a head may be written as six, and some of them several times.
        let line = Pool::new(1, 24 * large + LINE)?.take()?;
        let headers = proxied::Headers::default();
        headers.fit(&http, connections + 1)?;
        http.upstreams.start();
        let relays = Pool::new(RELAYS_EACH * (connections + 1), relay_size(&http))?;
        let scratches = Pool::new(connections + 1, scratch_size(&http, large))?;
        Some(Worker {
            inputs: Pool::new(connections + 1, INPUT)?,
            larges: Pool::new(connections + 1, large)?,
            outputs: Pool::new(connections + 1, OUTPUT)?,
            bodies: Pool::new(connections + 1, largest_body(&http))?,
            rooms: Rooms::new(ROOMS_EACH * (connections + 1))?,
            scratches,
            http: RefCell::new(http),
            files: FileCache::new()?,
            requests: Cell::new(0),
            reading: Cell::new(0),
            next_number,
            path: RefCell::new(vec![0; PATH_MAX].into()),
            line: RefCell::new(line),
            pages: ReadyPages::new(),
            headers,
            handover,
            arrived: RefCell::default(),
            pool: net::pool::Pool::new(),
            named: upstream::Named::default(),
            pipes: net::pipe::Pipes::default(),
            relays,
            connections,
            coders: RefCell::default(),
            coders_made: Cell::new(0),
        })
    }

    /// As [`Worker::new`], for the life of the process.
    pub fn leak(
        http: Rc<Http>,
        connections: usize,
        next_number: fn() -> u64,
        handover: &'static Handover,
    ) -> Option<&'static Worker> {
        Some(Box::leak(Box::new(Worker::new(http, connections, next_number, handover)?)))
    }

    /// The address space that `connections` of them take, or a little more.
    pub fn reservation(http: &Http, connections: usize) -> usize {
        let large = largest_head(http).max(INPUT);
        let relays = RELAYS_EACH * relay_size(http) + 2 * ROOMS_EACH * 1024;
        let own = scratch_size(http, large) + largest_body(http) + proxied::size_for(http) + relays;
        let each = INPUT + large + OUTPUT + own + 8192;
        connections.saturating_mul(each)
    }

    /// A reload in place (`master_process off`).
    pub fn set_http(&self, http: Rc<Http>) {
        if self.headers.fit(&http, self.connections + 1).is_none() {
            log!(Level::Alert, "no room for headers of the PROXY protocol");
        }
        http.upstreams.start();
        self.http.replace(http);
        net::upstream::groups_changed();
        health_check::changed();
        self.pages.clear();
    }

    /// The configuration that new requests are served by.
    #[inline]
    pub fn http(&self) -> Rc<Http> {
        Rc::clone(&self.http.borrow())
    }

    pub fn next_number(&self) -> u64 {
        (self.next_number)()
    }

    #[inline(always)]
    pub fn input(&self) -> Option<Input> {
        self.inputs.take().map(Input::new)
    }

    /// A buffer for a head that did not fit a small one.
    pub fn large(&self) -> Option<Buf> {
        self.larges.take()
    }

    pub fn output(&self) -> Option<Output> {
        self.outputs.take().map(Output::new)
    }

    /// A buffer for a request's body.
    pub fn body_buffer(&self) -> Option<Buf> {
        self.bodies.take()
    }

    /// A buffer for what passes between a client and an upstream.
    pub fn relay_buffer(&self) -> Option<Buf> {
        self.relays.take()
    }

    /// Room for what a request makes of itself.
    pub fn scratch(&self) -> Scratch {
        Scratch::new(self.scratches)
    }

    /// A head is on its way while this lives.
    pub fn reading(&self) -> Reading<'_> {
        self.reading.set(self.reading.get() + 1);
        Reading(&self.reading)
    }

    /// Writes down what has been counted, for the scoreboard.
    #[inline(always)]
    pub fn report(&self) {
        let (own, counters) = (shm::own(), event::counters());
        own.accepted.set(counters.accepted.get());
        own.handled.set(counters.handled.get());
        own.requests.set(self.requests.get());
        let (active, idle) = (counters.active.get(), u64::from(event::idle_count()));
        own.active.set(active);
        own.idle.set(idle);
        own.reading.set(self.reading.get());
        own.writing.set(active.saturating_sub(idle + self.reading.get()));
    }

    /// By when the first request must have begun.
    pub fn first_deadline(&self, conn: &Conn) -> Deadline {
        let http = self.http.borrow();
        let site = http.listening.get(usize::from(conn.listening)).and_then(|it| it.sites.first());
        event::after(
            site.map_or(60_000, |site| site.default_server.conf.core.client_header_timeout),
        )
    }
}

/// See [`Worker::reading`].
pub struct Reading<'w>(&'w Cell<u64>);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What a head of `large` bytes is made into may be several times as long.
fn scratch_size(http: &Http, large: usize) -> usize {
    // An upstream's answer may lead to another upstream.
    let heads = 2 * http.upstream_room.head.clamp(MIN_HEAD, MOST_HEAD) as usize;
    (SCRATCH + 4 * large + heads).next_multiple_of(4096)
}

/// Room for the head of an upstream's answer, whatever is configured.
const MIN_HEAD: u64 = 4096;
const MOST_HEAD: u64 = 1 << 20;

/// A buffer of an answer that is relayed: of what is configured for all, one half.
fn relay_size(http: &Http) -> usize {
    let all = http.upstream_room.kept.clamp(MIN_KEPT, MOST_KEPT) as usize;
    (all / 2).next_multiple_of(4096)
}

const MIN_KEPT: u64 = 32 * 1024;
const MOST_KEPT: u64 = 1 << 20;

/// Buffers for relaying, and rooms, for each connection.
const RELAYS_EACH: usize = 3;
const ROOMS_EACH: usize = 4;

/// The largest buffer for bodies that any location asks for.
fn largest_body(http: &Http) -> usize {
    let most = http.largest_body.clamp(request_body::BUFFER, request_body::BUFFER_MOST as u64);
    (most as usize).next_multiple_of(4096)
}

/// The longest head that any server takes, in bytes.
fn largest_head(http: &Http) -> usize {
    let size = |server: &Rc<Server>| {
        let (number, size) = server.conf.core.large_client_header_buffers;
        usize::try_from(number.saturating_mul(size)).unwrap_or(usize::MAX)
    };
    http.servers.iter().map(size).max().unwrap_or(0)
}
