//! The peers of another master's upstreams, with what its processes count of them.
//!
//! Their records are found in its zones as the zones themselves are (see `shm::seen`). What
//! somebody has open is shown; records of one peer in several processes are one here. What a
//! request names itself (`proxy_pass http://$host`), and what a zone had no room for, stays with
//! its process.

use super::account::{SEPARATOR, UNNAMED, spec};
use super::peer::seconds;
use super::record::{CLASSES, Health, Record, said};
use crate::shm::seen;
use crate::shm::table::{self, Table};
use crate::shm::zone::Zone;
use crate::sys::process::Pid;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Peers are in the order of these: the configuration's within a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub group: String,
    /// Empty: it has none.
    pub zone: String,
    pub is_backup: bool,
    line: u32,
    pub address: String,
    /// As the line has it: an address or a name.
    pub server: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    pub state: State,
    pub weight: u32,
    /// Requests in progress.
    pub active: u64,
    pub requests: u64,
    pub fails: u64,
    pub responses: [u64; CLASSES],
    pub received: u64,
    pub sent: u64,
    /// Averages, in microseconds.
    pub header_us: u64,
    pub last_byte_us: u64,
    pub checks: Option<Checks>,
    /// Processes that count for themselves, and for how many of them it is unavailable.
    pub processes: u64,
    pub unavail_in: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    pub checks: u32,
    pub fails: u32,
    pub unhealthy: u32,
    pub last_passed: Option<bool>,
}

/// In NGINX Plus's words, the best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    #[default]
    Up,
    /// It has failed too often, and lately.
    Unavail,
    Draining,
    Checking,
    Unhealthy,
    Down,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Unavail => "unavail",
            State::Draining => "draining",
            State::Checking => "checking",
            State::Unhealthy => "unhealthy",
            State::Down => "down",
        }
    }
}

/// When somebody looks, and which configuration serves then.
#[derive(Clone, Copy)]
pub struct Now {
    pub ms: u64,
    pub generation: u64,
}

pub fn peers(pid: Pid, now: Now) -> BTreeMap<Place, Peer> {
    let mut all = BTreeMap::new();
    for zone in seen::views(pid, spec) {
        for (place, peer) in peers_of(&zone, now) {
            all.entry(place).or_insert_with(Peer::default).add(&peer);
        }
    }
    all
}

fn peers_of(zone: &Zone, now: Now) -> Vec<(Place, Peer)> {
    let looked = table::look(zone, |table: &Table<'_, Record>| {
        let open = |(key, found): (Vec<u8>, table::Found<'_, Record>)| {
            let place = place(&zone.spec.name, &key, found.value)?;
            (!found.value.is_left()).then(|| (place, Peer::of(found.value, now)))
        };
        Ok(table.newest()?.into_iter().filter_map(open).collect())
    });
    looked.unwrap_or_default()
}

/// What a key says: `GROUP SERVER ADDRESS`, behind a process where each has its own.
fn place(zone: &str, key: &[u8], record: &Record) -> Option<Place> {
    let mut parts = key.split(|byte| *byte == SEPARATOR);
    if zone == UNNAMED {
        parts.next()?;
    }
    let mut part = || Some(String::from_utf8_lossy(parts.next()?).into_owned());
    Some(Place {
        group: part()?,
        zone: zone.into(),
        is_backup: record.says(said::BACKUP),
        line: record.line.load(Relaxed),
        server: part()?,
        address: part()?,
    })
}

impl Peer {
    fn of(record: &Record, now: Now) -> Peer {
        let count = |number: &AtomicU64| number.load(Relaxed);
        let is_failed = record.is_failed(seconds(now.ms));
        Peer {
            state: state(record, now, is_failed),
            weight: record.weight(),
            active: record.active().into(),
            requests: count(&record.requests),
            fails: count(&record.failures),
            responses: record.responses.each_ref().map(count),
            received: count(&record.received),
            sent: count(&record.sent),
            header_us: count(&record.header_us),
            last_byte_us: count(&record.last_byte_us),
            checks: record.says(said::CHECKED).then(|| Checks {
                checks: record.checks.load(Relaxed),
                fails: record.checks_failed.load(Relaxed),
                unhealthy: record.unhealthy.load(Relaxed),
                last_passed: record.last_check(),
            }),
            processes: 1,
            unavail_in: is_failed.into(),
        }
    }

    /// The same peer in another process.
    fn add(&mut self, other: &Peer) {
        let average = |own: u64, other: u64| match (own, other) {
            (0, it) | (it, 0) => it,
            (own, other) => own / 2 + other / 2,
        };
        self.state = self.state.max(other.state);
        self.weight = other.weight;
        self.checks = other.checks;
        self.header_us = average(self.header_us, other.header_us);
        self.last_byte_us = average(self.last_byte_us, other.last_byte_us);
        let numbers = [
            (&mut self.active, other.active),
            (&mut self.requests, other.requests),
            (&mut self.fails, other.fails),
            (&mut self.received, other.received),
            (&mut self.sent, other.sent),
            (&mut self.processes, other.processes),
            (&mut self.unavail_in, other.unavail_in),
        ];
        let responses = self.responses.iter_mut().zip(other.responses);
        numbers.into_iter().chain(responses).for_each(|(own, more)| *own = own.wrapping_add(more));
    }
}

/// By what is believed first when a peer is chosen.
fn state(record: &Record, now: Now, is_failed: bool) -> State {
    let health = match record.says(said::CHECKED) {
        true => record.health(now.generation),
        false => Health::Healthy,
    };
    match health {
        _ if record.says(said::DOWN) => State::Down,
        Health::Unhealthy => State::Unhealthy,
        Health::Checking => State::Checking,
        Health::Draining => State::Draining,
        Health::Healthy if record.says(said::DRAIN) => State::Draining,
        Health::Healthy if is_failed => State::Unavail,
        Health::Healthy => State::Up,
    }
}
