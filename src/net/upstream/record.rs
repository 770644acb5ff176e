//! What is known of a peer at the moment: numbers that all workers change at once.
//!
//! A record lies in a zone that all workers share, or in the memory of one; it is used the
//! same way. Each number is an atomic of its own and no lock is held, so a process that
//! dies leaves nothing locked. Of two picks that meet, each adds and takes away what
//! belongs to it, so shares stay right though the order may differ.
//!
//! Requests in progress are counted by process, each in its own seat: what a process held
//! when it died is known, and given back by whoever notices.

use super::peer::Peer;
use crate::mem::zone::{Record as _, record};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Processes that one record can tell apart. Those beyond share the last seat, of which
/// nothing is given back for them when they die.
pub const SEATS: usize = 30;
/// What is found is kept for so many configurations: that of a reload that fails is not the
/// one that serves on.
pub const GENERATIONS: usize = 4;
/// 1xx to 5xx.
pub const CLASSES: usize = 5;
const SHARED_SEAT: usize = SEATS - 1;
/// The owner of the shared seat; no pid is that large.
const EVERYBODY: u32 = u32::MAX;

record! {
    pub struct Record {
        /// Of smooth weighted round robin; signed.
        current: AtomicU64,
        /// What failures took from the weight.
        deficit: AtomicU32,
        fails: AtomicU32,
        /// Seconds: the last failure; the last look at a peer that had failed.
        accessed: AtomicU32,
        checked: AtomicU32,
        /// When it came back, milliseconds: its weight grows from there (`slow_start`).
        pub recovered_ms: AtomicU64,
        /// Seats below this have been taken.
        seats_used: AtomicU32,
        /// Which line of the group it comes from.
        pub line: AtomicU32,
        /// Averages, in microseconds.
        pub header_us: AtomicU64,
        pub last_byte_us: AtomicU64,
        /// What was found, for the last generations: the number of each, and in the lowest
        /// byte a [`Health`].
        healths: [AtomicU64; GENERATIONS],
        /// Counted for people.
        pub requests: AtomicU64,
        pub failures: AtomicU64,
        pub received: AtomicU64,
        pub sent: AtomicU64,
        /// Heads of answers, by the first digit of their status.
        pub responses: [AtomicU64; CLASSES],
        pub checks: AtomicU32,
        pub checks_failed: AtomicU32,
        /// How often it became unhealthy.
        pub unhealthy: AtomicU32,
        /// What its line says, for who has read no configuration.
        said: AtomicU32,
        weight: AtomicU32,
        max_fails: AtomicU32,
        fail_timeout_s: AtomicU32,
        /// Of the last check: 1 it has failed, 2 it has passed.
        last_check: AtomicU32,
        /// Owner in the upper half, its requests in progress in the lower.
        seats: [AtomicU64; SEATS],
    }
}

/// Of what a line says: which of these it does.
pub mod said {
    pub const DOWN: u32 = 1;
    pub const BACKUP: u32 = 2;
    pub const DRAIN: u32 = 4;
    /// Somebody checks its peers.
    pub const CHECKED: u32 = 8;
}

/// What a checker found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Or nobody checks.
    Healthy,
    /// It is yet to pass for the first time.
    Checking,
    Unhealthy,
    /// Only clients that belong to it are sent there.
    Draining,
}

/// What a peer is when a configuration is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtStart {
    Healthy,
    Checking,
    /// What it was before, if anybody knew it.
    Kept,
}

impl Health {
    fn from_number(number: u64) -> Health {
        match number & 0xff {
            1 => Health::Checking,
            2 => Health::Unhealthy,
            3 => Health::Draining,
            _ => Health::Healthy,
        }
    }
}

impl Record {
    /// Adds the weight of this turn, and lets the peer recover a little.
    pub fn advance(&self, weight: i64) -> i64 {
        let deficit = self.deficit.load(Relaxed);
        if deficit > 0 {
            self.deficit.store(deficit - 1, Relaxed);
        }
        self.current.fetch_add(weight as u64, Relaxed).wrapping_add(weight as u64) as i64
    }

    /// It was chosen of peers whose weights are `total` together.
    pub fn charge(&self, total: i64) {
        self.current.fetch_sub(total as u64, Relaxed);
    }

    pub fn deficit(&self) -> u32 {
        self.deficit.load(Relaxed)
    }

    /// One failure more: how many there are now. `cost` is taken from the weight, which
    /// does not go below 0.
    pub fn fail(&self, now_s: u32, cost: u32, weight: u32) -> u32 {
        let fails = self.fails.load(Relaxed).saturating_add(1);
        self.fails.store(fails, Relaxed);
        self.accessed.store(now_s, Relaxed);
        self.checked.store(now_s, Relaxed);
        self.deficit.store(self.deficit().saturating_add(cost).min(weight), Relaxed);
        self.failures.fetch_add(1, Relaxed);
        fails
    }

    /// True: it had failed `most` times, and is as good as new since it has been looked at.
    pub fn pass(&self, most: u32) -> bool {
        if self.accessed.load(Relaxed) >= self.checked.load(Relaxed) {
            return false;
        }
        let fails = self.fails.swap(0, Relaxed);
        most > 0 && fails >= most
    }

    /// Forgets failures, whatever the time.
    pub fn forgive(&self) {
        self.fails.store(0, Relaxed);
    }

    /// Whether it failed too often, and lately.
    pub fn is_out(&self, now_s: u32, most: u32, window_s: u64) -> bool {
        most > 0
            && self.fails.load(Relaxed) >= most
            && u64::from(now_s.saturating_sub(self.checked.load(Relaxed))) <= window_s
    }

    /// It is looked at now, if that was long ago.
    pub fn look(&self, now_s: u32, window_s: u64) {
        if u64::from(now_s.saturating_sub(self.checked.load(Relaxed))) > window_s {
            self.checked.store(now_s, Relaxed);
        }
    }

    /// What was found for a generation; if that is long over, for the newest.
    pub fn health(&self, generation: u64) -> Health {
        let own = self.of_generation(generation).map(|place| place.load(Relaxed));
        Health::from_number(own.unwrap_or_else(|| self.newest()))
    }

    pub fn set_health(&self, generation: u64, health: Health) {
        let oldest = || self.healths.iter().min_by_key(|place| place.load(Relaxed));
        if let Some(place) = self.of_generation(generation).or_else(oldest) {
            place.store(generation << 8 | health as u64, Relaxed);
        }
    }

    fn of_generation(&self, generation: u64) -> Option<&AtomicU64> {
        self.healths.iter().find(|place| place.load(Relaxed) >> 8 == generation)
    }

    fn newest(&self) -> u64 {
        self.healths.iter().map(|place| place.load(Relaxed)).max().unwrap_or(0)
    }

    /// The first process of a generation says how it begins. Under the zone's lock.
    pub fn begin_health(&self, generation: u64, at_start: AtStart) {
        if self.of_generation(generation).is_some() {
            return;
        }
        let health = match (at_start, self.newest()) {
            (AtStart::Healthy, _) => Health::Healthy,
            (AtStart::Kept, before) if before > 0 => Health::from_number(before),
            (AtStart::Checking | AtStart::Kept, _) => Health::Checking,
        };
        self.set_health(generation, health);
    }

    /// A seat for `pid`: its own, a free one, or the shared one. Under the zone's lock.
    pub fn take_seat(&self, pid: u32) -> usize {
        let mut free = None;
        for (number, seat) in self.seats.iter().enumerate().take(SHARED_SEAT) {
            match owner(seat) {
                0 => free = free.or(Some(number)),
                other if other == pid => return number,
                _ => {}
            }
        }
        let (number, owner) = free.map_or((SHARED_SEAT, EVERYBODY), |number| (number, pid));
        if free.is_some() || self.seats[number].load(Relaxed) == 0 {
            self.seats[number].store(u64::from(owner) << 32, Relaxed);
        }
        self.seats_used.fetch_max(number as u32 + 1, Relaxed);
        number
    }

    /// The process is not there any more, nor what it had in progress.
    pub fn leave(&self, pid: u32) {
        let own = self.seats.iter().filter(|seat| owner(seat) == pid);
        own.for_each(|seat| seat.store(0, Relaxed));
    }

    /// Whether no process has a seat.
    pub fn is_left(&self) -> bool {
        self.seats.iter().all(|seat| seat.load(Relaxed) == 0)
    }

    /// A request of `pid` begins, if the seat is its own.
    pub fn begin(&self, seat: usize, pid: u32) {
        self.count(seat, pid, |count| count.checked_add(1));
    }

    /// It ends: never below 0, since the record may be another by now.
    pub fn end(&self, seat: usize, pid: u32) {
        self.count(seat, pid, |count| count.checked_sub(1));
    }

    fn count(&self, seat: usize, pid: u32, change: impl Fn(u32) -> Option<u32>) {
        let Some(seat) = self.seats.get(seat) else { return };
        let changed = |word: u64| {
            let owner = (word >> 32) as u32;
            let count = change(word as u32).filter(|_| owner == pid || owner == EVERYBODY)?;
            Some(u64::from(owner) << 32 | u64::from(count))
        };
        let _ = seat.fetch_update(Relaxed, Relaxed, changed);
    }

    /// Requests in progress, of all processes.
    pub fn active(&self) -> u32 {
        let used = (self.seats_used.load(Relaxed) as usize).min(SEATS);
        let counts = self.seats[..used].iter().map(|seat| seat.load(Relaxed) as u32);
        counts.fold(0, u32::saturating_add)
    }

    /// The peer has answered with this status.
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).wrapping_sub(1);
        if let Some(responses) = self.responses.get(class) {
            responses.fetch_add(1, Relaxed);
        }
    }

    /// So many bytes have gone there, and come from there.
    pub fn carried(&self, sent: u64, received: u64) {
        self.sent.fetch_add(sent, Relaxed);
        self.received.fetch_add(received, Relaxed);
    }

    /// A check has come out.
    pub fn checked(&self, passed: bool) {
        self.checks.fetch_add(1, Relaxed);
        self.checks_failed.fetch_add(u32::from(!passed), Relaxed);
        self.last_check.store(1 + u32::from(passed), Relaxed);
    }

    /// None: there has been no check.
    pub fn last_check(&self) -> Option<bool> {
        match self.last_check.load(Relaxed) {
            0 => None,
            outcome => Some(outcome == 2),
        }
    }

    /// Tells others what its line says.
    pub fn describe(&self, peer: &Peer, is_checked: bool) {
        let server = &peer.server;
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        let said = flag(server.down, said::DOWN)
            | flag(peer.is_backup.get(), said::BACKUP)
            | flag(server.drain, said::DRAIN)
            | flag(is_checked, said::CHECKED);
        self.said.store(said, Relaxed);
        self.line.store(server.line, Relaxed);
        self.weight.store(peer.weight.get(), Relaxed);
        self.max_fails.store(server.max_fails, Relaxed);
        let window = u32::try_from(server.fail_timeout_s).unwrap_or(u32::MAX);
        self.fail_timeout_s.store(window, Relaxed);
    }

    pub fn says(&self, what: u32) -> bool {
        self.said.load(Relaxed) & what != 0
    }

    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    /// As [`Record::is_out`], by what its line says.
    pub fn is_failed(&self, now_s: u32) -> bool {
        let window = self.fail_timeout_s.load(Relaxed);
        self.is_out(now_s, self.max_fails.load(Relaxed), window.into())
    }
}

fn owner(seat: &AtomicU64) -> u32 {
    (seat.load(Relaxed) >> 32) as u32
}

/// Moves an average an eighth of the way. A time of so many milliseconds is taken for half
/// a one more: of those below one nobody knows which is shorter.
#[inline(always)]
pub fn average(of: &AtomicU64, ms: u64) {
    let sample = ms.saturating_mul(1000).saturating_add(500);
    let old = of.load(Relaxed);
    let new = match old {
        0 => sample,
        old => old - old / 8 + sample / 8,
    };
    of.store(new.max(1), Relaxed);
}

/// A record of one process alone.
pub fn own() -> Box<Record> {
    let record = Box::new(Record::ZERO);
    record.seats_used.store(1, Relaxed);
    record.seats[0].store(u64::from(EVERYBODY) << 32, Relaxed);
    record
}
