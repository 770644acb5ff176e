//! Groups of peers: whom a request is passed to.
//!
//! A [`Group`] is an `upstream` block, or the one host of a literal `proxy_pass`. It is made
//! while the configuration is read, from addresses alone: names are looked up in workers,
//! which tell with [`Group::set_addresses`]. A request asks with [`Group::pick`], what it has
//! tried being in its [`Tries`], and holds a [`Lease`] while it talks to a peer.
//!
//! | file | what |
//! |---|---|
//! | `server` | a line `server …;` |
//! | `place` | `host:port`; what DNS says of an address |
//! | `peer` | an address of a server; the lease |
//! | `record` | the numbers of a peer |
//! | `account` | where they are: shared or not |
//! | `seen` | all of it from outside, for `-s status` |
//! | `refresh`, `names`, `check` | looks up their names, again and again |
//! | `list` | all peers at the moment, of which some are left to try |
//! | `round_robin` | the method that the others fall back to |
//! | `sessions` | which peer a session belongs to |
//! | `hash`, `ketama`, `least`, `random` | the others |

mod account;
mod check;
mod hash;
mod ketama;
mod least;
mod list;
mod names;
mod peer;
mod place;
mod random;
mod record;
mod refresh;
mod round_robin;
pub mod seen;
mod server;
mod sessions;
#[cfg(test)]
mod tests;

pub use account::{Memory, spec, unnamed};
pub use check::{unresolved, unresolved_now};
pub use least::{Load, Until};
pub use list::Tries;
pub use peer::{Lease, Peer};
pub use place::Place;
use place::Spot;
pub use record::{AtStart, Health};
pub use refresh::{groups_changed, keep_fresh};
pub use server::{Server, Target};
pub use sessions::{LONGEST_ID, Sessions, spec as sessions};

use crate::net::resolver::Resolver;
use crate::shm::directory::Handle;
use crate::sys::addr::{Addr, Ip};
use ketama::Ketama;
use list::{Lists, Walk};
use names::Names;
use peer::seconds;
use round_robin::Field;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub struct Group {
    /// As in `upstream NAME`, or the host of an address.
    pub name: Box<[u8]>,
    servers: Box<[Rc<Server>]>,
    method: Method,
    /// For a consistent hash.
    circle: Ketama,
    pub keepalive: Keepalive,
    memory: Memory,
    /// What weights are multiplied by.
    scale: u32,
    lists: RefCell<Lists>,
    /// The era of the zone that the records were opened in.
    opened: Cell<Option<u64>>,
    names: Names,
    /// If its peers are checked: how they are before anybody has looked.
    at_start: Rc<Cell<Option<AtStart>>>,
}

/// How a peer is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    RoundRobin,
    Hash {
        consistent: bool,
    },
    IpHash,
    Least(Load),
    /// Of two, the one with less to do.
    Random {
        two: Option<Load>,
    },
}

/// Of connections that wait for another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// So many of a worker are kept; 0: none.
    pub connections: u32,
    pub requests: u64,
    pub time_ms: u64,
    pub timeout_ms: u64,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive { connections: 32, requests: 1000, time_ms: 3_600_000, timeout_ms: 60_000 }
    }
}

/// What balancing looks at.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The text of `hash`, with the values of this request.
    pub key: &'a [u8],
    pub client: Ip,
    /// The peer that the client belongs to, by its id.
    pub sticky: &'a [u8],
    pub now_ms: u64,
}

/// Why there is no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `no live upstreams`
    NoLive,
    /// No name of the group has an address yet.
    Unresolved,
}

/// What a group is made of.
#[derive(Default)]
pub struct Parts {
    pub name: Box<[u8]>,
    pub servers: Vec<Server>,
    pub method: Method,
    pub keepalive: Keepalive,
    pub memory: Memory,
    /// `resolver`
    pub resolver: Option<Resolver>,
    /// `resolver_timeout`, in milliseconds.
    pub resolver_timeout: Option<u64>,
}

/// Weights are multiplied by this where some of them grow slowly.
const FINE: u32 = 100;

impl Group {
    pub fn new(parts: Parts) -> Group {
        let numbered = |(server, line)| Rc::new(Server { line, ..server });
        let servers: Box<[Rc<Server>]> = parts.servers.into_iter().zip(0..).map(numbered).collect();
        let group = Group {
            name: parts.name,
            method: parts.method,
            circle: match parts.method {
                Method::Hash { consistent: true } => Ketama::new(&servers),
                _ => Ketama::default(),
            },
            keepalive: parts.keepalive,
            memory: parts.memory,
            scale: if servers.iter().any(|it| it.slow_start_ms > 0) { FINE } else { 1 },
            lists: RefCell::default(),
            opened: Cell::new(None),
            names: Names::new(parts.resolver, parts.resolver_timeout),
            at_start: Rc::default(),
            servers,
        };
        let literal = group.servers.iter().map(|server| match server.target {
            Target::Address(addr) => vec![group.peer(server, addr)],
            Target::Name { .. } => Vec::new(),
        });
        group.lists.replace(Lists::new(1, literal.collect()));
        group
    }

    /// The group of one address that is no `upstream` block.
    pub fn of(name: &[u8], target: Target, memory: Memory) -> Group {
        let servers = vec![Server::new(name, target)];
        Group::new(Parts { name: name.into(), servers, memory, ..Parts::default() })
    }

    fn peer(&self, server: &Rc<Server>, addr: Addr) -> Rc<Peer> {
        let mut peer = Peer::new(addr, Rc::clone(server), (&self.name, self.memory.clone()));
        peer.at_start = Rc::clone(&self.at_start);
        Rc::new(peer)
    }

    /// A worker calls it before it serves: takes its seats at the shared records.
    pub fn start(&self) {
        self.follow_zone(&self.lists.borrow());
    }

    /// Opens the records in the zone, once, and again if it has been made empty.
    fn follow_zone(&self, lists: &Lists) {
        let Some(zone) = self.memory.handle().and_then(Handle::zone) else { return };
        let opened = Some(zone.era());
        if self.opened.replace(opened) != opened {
            lists.all().for_each(|peer| peer.open());
        }
    }

    /// A peer that has not been tried, and a place there.
    pub fn pick(&self, tries: &mut Tries, ask: &Ask<'_>) -> Result<Lease, Refusal> {
        let lists = self.lists.borrow();
        self.follow_zone(&lists);
        tries.follow(&lists);
        if lists.is_empty() {
            return Err(Refusal::Unresolved);
        }
        // A peer that is full is seen to be full the next time.
        const RACES: u32 = 8;
        for _ in 0..RACES {
            let Some(index) = self.choose(&lists, tries, ask) else { return Err(Refusal::NoLive) };
            let peer = &lists.of(tries)[index];
            if let Some(lease) = peer.lease(ask.now_ms) {
                tries.note(index);
                return Ok(lease);
            }
        }
        Err(Refusal::NoLive)
    }

    /// A place at the peer of this name for what another worker has begun there; `None`: there
    /// is no such peer any more.
    pub fn join(&self, name: &[u8], begun_ms: u64) -> Option<Lease> {
        let lists = self.lists.borrow();
        self.follow_zone(&lists);
        lists.all().find(|peer| *peer.name == *name).map(|peer| peer.join(begun_ms))
    }

    /// By the group's method, then among the backups.
    fn choose(&self, lists: &Lists, tries: &mut Tries, ask: &Ask<'_>) -> Option<usize> {
        if let Some(bound) = self.bound(lists, tries, ask) {
            return Some(bound);
        }
        loop {
            let mut walk = tries.walk;
            let chosen = self.chosen(lists, tries, &mut walk, ask);
            tries.walk = walk;
            if chosen.is_some() || !tries.go_to_backups(lists) {
                return chosen;
            }
        }
    }

    /// The peer that the client belongs to, if it is there.
    fn bound(&self, lists: &Lists, tries: &Tries, ask: &Ask<'_>) -> Option<usize> {
        let is_its = |(index, peer): (usize, &Rc<Peer>)| {
            *peer.id == *ask.sticky && !tries.has(index) && peer.is_up(seconds(ask.now_ms))
        };
        let mut peers = lists.of(tries).iter().enumerate().filter(|_| !ask.sticky.is_empty());
        peers.position(is_its)
    }

    fn chosen(
        &self,
        lists: &Lists,
        tries: &Tries,
        walk: &mut Walk,
        ask: &Ask<'_>,
    ) -> Option<usize> {
        let peers = lists.of(tries);
        let field = Field { peers, tries, scale: self.scale, now_ms: ask.now_ms };
        match self.method {
            Method::Least(load) => field.least(load),
            _ if tries.is_at_backups() => field.round_robin(),
            Method::RoundRobin => field.round_robin(),
            Method::Hash { consistent: false } => field.hash(walk, ask.key),
            Method::Hash { consistent: true } => field.ketama(walk, &self.circle, ask.key),
            Method::IpHash => field.ip_hash(walk, ask.client),
            Method::Random { two } => field.random(walk, two),
        }
    }

    /// How many peers may be tried in all.
    pub fn next_tries(&self) -> u32 {
        self.lists.borrow().tries()
    }

    /// The lines of the group: those with names are to be looked up.
    pub fn servers(&self) -> &[Rc<Server>] {
        &self.servers
    }

    /// The addresses of a server's name, which replace those it had. Peers whose address
    /// stays are the same; requests at those that go finish there.
    pub fn set_addresses(&self, server: usize, addresses: &[Addr]) {
        self.set_spots(server, &addresses.iter().map(|addr| Spot::from(*addr)).collect::<Vec<_>>());
    }

    /// The same, with what DNS says of each.
    fn set_spots(&self, server: usize, spots: &[Spot]) {
        let Some(line) = self.servers.get(server) else { return };
        let next = self.lists.borrow().replaced(server, spots, |addr| self.peer(line, addr));
        let Some(next) = next else { return };
        let before = self.lists.replace(next);
        let now = self.lists.borrow();
        before.all().filter(|peer| !now.has(peer)).for_each(|peer| peer.account.close());
        if self.opened.get().is_some() {
            now.of_server(server).iter().for_each(|peer| peer.open());
        }
    }

    /// The peer did not take the connection: perhaps its name has another address by now.
    pub fn connect_refused(&self, lease: &Lease) {
        self.doubt(lease.peer());
    }

    /// Its name is looked up soon.
    pub fn doubt(&self, peer: &Peer) {
        if peer.server.is_named() {
            peer.server.doubted.set(true);
            refresh::wake();
        }
    }

    /// How peers are when this configuration is new; of several checks the strictest counts.
    pub fn starts(&self, at_start: AtStart) {
        let strictness = |it: AtStart| match it {
            AtStart::Healthy => 0,
            AtStart::Kept => 1,
            AtStart::Checking => 2,
        };
        let known = self.at_start.get().into_iter();
        self.at_start.set(known.chain([at_start]).max_by_key(|it| strictness(*it)));
    }

    /// Whether all processes know the same of its peers (`zone`).
    pub fn is_shared(&self) -> bool {
        self.memory.is_shared()
    }

    /// Another number when it has other peers.
    pub fn changes(&self) -> u32 {
        self.lists.borrow().generation()
    }

    /// Who is asked for the names of lines with `resolve`, if the group does not say.
    pub fn set_outer_resolver(&self, resolver: &Resolver) {
        self.names.set_outer(resolver);
    }

    /// Every peer, for those who report or check.
    pub fn each(&self, see: impl FnMut(&Rc<Peer>)) {
        self.lists.borrow().all().for_each(see);
    }
}
