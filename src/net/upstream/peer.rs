//! One address of a group, and the lease that a request has on it.

use super::account::{Account, Memory, generation};
use super::place::Spot;
use super::record::{AtStart, Health, Record, average};
use super::server::Server;
use crate::sys::addr::Addr;
use crate::time;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

pub struct Peer {
    pub addr: Addr,
    /// As `$upstream_addr` shows it.
    pub name: Box<[u8]>,
    pub server: Rc<Server>,
    /// What its server says, or DNS of a service.
    pub weight: Cell<u32>,
    pub is_backup: Cell<bool>,
    /// What a sticky cookie says to come back here.
    pub id: Box<[u8]>,
    /// It is the only one, so its failures do not count.
    pub(super) single: Cell<bool>,
    pub(super) account: Account,
    /// If somebody checks it, which is its group's to know.
    pub(super) at_start: Rc<Cell<Option<AtStart>>>,
    /// Those of this process in progress, and the sum of when they began.
    begun: Cell<u64>,
    begun_ms: Cell<u64>,
}

impl Peer {
    /// A peer of the group of that name, whose records are there.
    pub fn new(addr: Addr, server: Rc<Server>, (group, memory): (&[u8], Memory)) -> Peer {
        let name: Box<[u8]> = addr.to_string().into_bytes().into();
        Peer {
            addr,
            account: Account::new(memory, &[group, &server.text, &name]),
            id: server.id(&name),
            name,
            weight: Cell::new(server.weight),
            is_backup: Cell::new(server.backup),
            server,
            single: Cell::new(false),
            at_start: Rc::default(),
            begun: Cell::new(0),
            begun_ms: Cell::new(0),
        }
    }

    #[inline(always)]
    pub fn record(&self) -> &Record {
        self.account.record()
    }

    /// What DNS says of it: with places of a service, whose weights count where the line has
    /// none, and of which all but the best are backups (nginx).
    pub(super) fn follow(&self, spot: &Spot) {
        let own = self.server.weight;
        let weight = if own == 1 { u32::from(spot.weight).max(1) } else { own };
        self.weight.set(weight);
        self.is_backup.set(self.server.backup || spot.is_second);
    }

    /// Takes a seat at its record, which it describes.
    pub(super) fn open(&self) {
        let at_start = self.at_start.get();
        self.account.open(|record| {
            if let Some(at_start) = at_start {
                record.begin_health(generation(), at_start);
            }
            record.describe(self, at_start.is_some());
        });
    }

    /// Whether a client that belongs to it can be sent there.
    pub fn is_up(&self, now_s: u32) -> bool {
        let server = &self.server;
        !server.down
            && !matches!(self.health(), Health::Unhealthy | Health::Checking)
            && (self.single.get() || !self.is_out(now_s))
            && self.has_room()
    }

    /// What its checker has found. Where nobody checks it does not count what was found for
    /// another configuration.
    pub fn health(&self) -> Health {
        match self.at_start.get() {
            Some(_) => self.record().health(generation()),
            None => Health::Healthy,
        }
    }

    pub fn set_health(&self, health: Health) {
        self.record().set_health(generation(), health);
    }

    /// Whether any client can be.
    #[inline(always)]
    pub fn is_free(&self, now_s: u32) -> bool {
        !self.server.drain && self.health() != Health::Draining && self.is_up(now_s)
    }

    fn is_out(&self, now_s: u32) -> bool {
        let server = &self.server;
        self.record().is_out(now_s, server.max_fails, server.fail_timeout_s)
    }

    fn has_room(&self) -> bool {
        let most = self.server.max_conns;
        most == 0 || self.record().active() < most
    }

    /// Its weight of this moment, less what failures took.
    pub fn weight_left(&self, scale: u32, now_ms: u64) -> i64 {
        let left = self.weight.get().saturating_sub(self.record().deficit());
        self.ramped(u64::from(left) * u64::from(scale), now_ms) as i64
    }

    pub fn weight(&self, scale: u32, now_ms: u64) -> u64 {
        self.ramped(u64::from(self.weight.get()) * u64::from(scale), now_ms)
    }

    /// Less while it starts slowly.
    fn ramped(&self, weight: u64, now_ms: u64) -> u64 {
        let slow = self.server.slow_start_ms;
        let since = now_ms.saturating_sub(self.record().recovered_ms.load(Relaxed));
        if since >= slow {
            return weight;
        }
        let part = u128::from(weight) * u128::from(since) / u128::from(slow);
        (part as u64).max(1)
    }

    /// The time that those of this process in progress have taken so far, on average.
    pub fn in_progress_ms(&self, now_ms: u64) -> u64 {
        match self.begun.get() {
            0 => 0,
            count => now_ms.wrapping_mul(count).wrapping_sub(self.begun_ms.get()) / count,
        }
    }

    /// One request more. None: others have taken the room meanwhile.
    pub(super) fn lease(self: &Rc<Self>, now_ms: u64) -> Option<Lease> {
        let (record, most) = (self.record(), self.server.max_conns);
        let lease = self.join(now_ms);
        if most > 0 && record.active() > most {
            return None;
        }
        record.look(seconds(now_ms), self.server.fail_timeout_s);
        record.requests.fetch_add(1, Relaxed);
        Some(lease)
    }

    /// A request in progress, whoever has let it in.
    pub(super) fn join(self: &Rc<Self>, begun_ms: u64) -> Lease {
        self.account.begin();
        self.begun.set(self.begun.get() + 1);
        self.begun_ms.set(self.begun_ms.get().wrapping_add(begun_ms));
        Lease { peer: Rc::clone(self), begun_ms }
    }
}

/// A request has this peer. Dropping it gives the place back and says nothing of the peer.
pub struct Lease {
    peer: Rc<Peer>,
    begun_ms: u64,
}

impl Lease {
    pub fn addr(&self) -> &Addr {
        &self.peer.addr
    }

    pub fn name(&self) -> &[u8] {
        &self.peer.name
    }

    pub fn peer(&self) -> &Rc<Peer> {
        &self.peer
    }

    /// The peer has done what it was asked for.
    pub fn succeeded(&self) {
        self.succeeded_at(time::now_ms());
    }

    pub(super) fn succeeded_at(&self, now_ms: u64) {
        let (record, server) = (self.peer.record(), &self.peer.server);
        if self.peer.single.get() {
            record.forgive();
        } else if record.pass(server.max_fails) {
            record.recovered_ms.store(now_ms, Relaxed);
        }
    }

    /// It has not. True: it gets no requests for a while, which is worth a line in the log
    /// (`upstream server temporarily disabled`).
    #[must_use = "somebody may want to know"]
    pub fn failed(&self) -> bool {
        self.failed_at(time::now_ms())
    }

    pub(super) fn failed_at(&self, now_ms: u64) -> bool {
        let (record, server) = (self.peer.record(), &self.peer.server);
        if self.peer.single.get() {
            record.failures.fetch_add(1, Relaxed);
            return false;
        }
        let weight = self.peer.weight.get();
        // What a failure takes from the weight.
        let cost = weight.checked_div(server.max_fails).unwrap_or(0);
        let fails = record.fail(seconds(now_ms), cost, weight);
        server.max_fails > 0 && fails >= server.max_fails
    }

    /// The head of the answer, with this status, came so long after the request began.
    pub fn took_header(&self, ms: u64, status: u16) {
        let record = self.peer.record();
        average(&record.header_us, ms);
        record.answered(status);
    }

    /// The end of it.
    pub fn took_last_byte(&self, ms: u64) {
        average(&self.peer.record().last_byte_us, ms);
    }

    /// What has gone there and come from there, in bytes.
    pub fn carried(&self, sent: u64, received: u64) {
        self.peer.record().carried(sent, received);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let peer = &self.peer;
        peer.account.end();
        peer.begun.set(peer.begun.get().saturating_sub(1));
        peer.begun_ms.set(peer.begun_ms.get().wrapping_sub(self.begun_ms));
    }
}

/// nginx counts failures by seconds.
pub fn seconds(now_ms: u64) -> u32 {
    (now_ms / 1000) as u32
}
