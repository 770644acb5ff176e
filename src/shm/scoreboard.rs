//! The scoreboard: what the master and each of its processes say about themselves.
//!
//! One record per slot of the process table, written by that process alone and
//! read by anybody, so without locks: a counter is a plain load and store, and a
//! reader may see one number a moment older than the next. Only what several
//! processes must count together is shared, each on a cache line of its own.
//! Untouched slots cost no memory.
//!
//! It is for people and for figures: a worker could write anything into it, so
//! the master decides nothing by what it reads here.

use std::ffi::CStr;

use super::fields::{LongText, Numbers, Text, Word, names};
use super::mutex::Mutex;
use crate::mem::zone::{Record, record};
use crate::sys::process::{self, Pid};
use crate::sys::{alloc, clock};

/// As /proc shows it: `memfd:limpet:scoreboard`.
pub const NAME: &CStr = c"limpet:scoreboard";

pub const SLOTS: usize = 1024;

/// "limpet" and the version of the records below: raise it with every change.
const MAGIC: u64 = 0x6c69_6d70_6574_0004;

record! {
    pub struct Board {
        pub master: Master,
        /// Held by the worker that may accept (`accept_mutex on`).
        pub accept_mutex: AcceptMutex,
        /// `*N` in logs and `$connection`: unique over workers and reloads.
        pub connection_number: Numbers,
        pub temp_number: Numbers,
        /// What slots counted whose processes have ended.
        pub retired: Retired,
        pub slots: [Slot; SLOTS],
    }
}

record! {
    #[repr(align(64))]
    pub struct AcceptMutex {
        pub mutex: Mutex,
    }
}

record! {
    pub struct Master {
        magic: Word,
        pid: Word,
        state: Word,
        /// Of the newest workers; the first is 1.
        pub generation: Word,
        /// Wall clock, milliseconds since 1970.
        pub started_ms: Word,
        pub workers_wanted: Word,
        /// Slots below this have been used: the process table's last_process.
        pub slots_used: Word,
        /// Configurations that were not taken up.
        pub reloads_refused: Word,
        /// `term_action graceful`: whoever wants a fast stop sends INT.
        pub term_is_graceful: Word,
        matters: [Matter; Asked::ALL.len()],
        /// The configuration file as it was named.
        pub config: Text,
        /// A line for each address that is listened on, with the number of its sockets.
        pub listeners: LongText,
    }
}

names! {
    /// What a master can be asked for, and says how it came out.
    enum Asked {
        Start "start",
        Reload "reload",
        Reopen "reopen",
        Upgrade "upgrade",
    }
}

record! {
    /// One of them: how often it was taken up, how far it has come, and the last result.
    struct Matter {
        begun: Word,
        ended: Word,
        ended_ms: Word,
        good: Word,
        text: Text,
    }
}

/// How something that was asked for has come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How often it has been taken up; it is under way while fewer have ended.
    pub begun: u64,
    /// A signaller waits for this to pass what had begun before it asked.
    pub ended: u64,
    /// Wall clock, milliseconds since 1970.
    pub ended_ms: u64,
    pub good: bool,
    pub text: String,
}

impl Master {
    pub(super) fn begin(&self) {
        self.magic.set(MAGIC);
        self.pid.set(process::getpid() as u64);
        self.started_ms.set(wall_clock_ms());
    }

    /// Whether these are records of our shape.
    pub fn is_known(&self) -> bool {
        self.magic.get() == MAGIC
    }

    pub fn pid(&self) -> Pid {
        self.pid.get() as Pid
    }

    pub fn state(&self) -> MasterState {
        MasterState::from_number(self.state.get())
    }

    pub fn set_state(&self, state: MasterState) {
        self.state.set(state as u64);
    }

    /// Something that was asked for is begun.
    pub fn take_up(&self, asked: Asked) {
        let begun = &self.matters[asked as usize].begun;
        begun.publish(begun.get() + 1);
    }

    /// It has come out like this.
    pub fn conclude(&self, asked: Asked, good: bool, text: &str) {
        let matter = &self.matters[asked as usize];
        matter.text.set(text);
        matter.good.set(good.into());
        matter.ended_ms.set(wall_clock_ms());
        // Last: who sees it end and then reads again sees the new text.
        matter.ended.publish(matter.begun.get());
    }

    /// It is not begun, and this is why.
    pub fn refuse(&self, asked: Asked, text: &str) {
        self.take_up(asked);
        self.conclude(asked, false, text);
    }

    /// How often it has been taken up.
    pub fn begun(&self, asked: Asked) -> u64 {
        self.matters[asked as usize].begun.get()
    }

    pub fn outcome(&self, asked: Asked) -> Outcome {
        let matter = &self.matters[asked as usize];
        Outcome {
            begun: matter.begun.get(),
            ended: matter.ended.get(),
            ended_ms: matter.ended_ms.get(),
            good: matter.good.get() != 0,
            text: matter.text.get(),
        }
    }
}

fn wall_clock_ms() -> u64 {
    let (secs, nanos) = clock::realtime();
    secs.cast_unsigned() * 1000 + u64::from(nanos / 1_000_000)
}

record! {
    /// One process. The master prepares it, from then on only the process writes.
    #[repr(align(64))]
    pub struct Slot {
        kind: Word,
        state: Word,
        pid: Word,
        /// Which of the workers it is: 0 to `workers_wanted` - 1.
        pub number: Word,
        pub generation: Word,
        /// CLOCK_MONOTONIC, milliseconds.
        pub started_ms: Word,
        /// When its loop last turned, on the same clock.
        pub heartbeat_ms: Word,
        pub accepted: Word,
        pub handled: Word,
        pub requests: Word,
        /// Connections now; of these:
        pub active: Word,
        pub reading: Word,
        pub writing: Word,
        pub idle: Word,
        /// Connections to upstreams that rest.
        pub kept: Word,
        pub handed_in: Word,
        pub handed_out: Word,
        pub log_drops: Word,
        /// The number of the last reopening that this process has done.
        pub reopened: Word,
        /// Bytes of files and of their compressed forms kept in memory.
        pub cached_bytes: Word,
        /// Calls that allocated since the process began, until *ready* and in all.
        pub allocations_at_ready: Word,
        pub allocations: Word,
        pub allocated_bytes: Word,
    }
}

impl Slot {
    /// The child's first entry.
    pub(super) fn begin(&self) {
        self.pid.set(process::getpid() as u64);
        self.started_ms.set(clock::monotonic_ms());
        self.beat(clock::monotonic_ms());
    }

    /// Once each turn of the loop.
    pub fn beat(&self, now_ms: u64) {
        self.heartbeat_ms.set(now_ms);
        self.allocations.set(alloc::allocations());
        self.allocated_bytes.set(alloc::bytes_in_use());
    }

    pub fn ready(&self) {
        self.allocations_at_ready.set(alloc::allocations());
        self.set_state(State::Ready);
    }

    pub fn kind(&self) -> Kind {
        Kind::from_number(self.kind.get())
    }

    pub fn state(&self) -> State {
        State::from_number(self.state.get())
    }

    pub fn set_state(&self, state: State) {
        self.state.set(state as u64);
    }

    pub fn pid(&self) -> Pid {
        self.pid.get() as Pid
    }
}

record! {
    #[repr(align(64))]
    pub struct Retired {
        pub accepted: Word,
        pub handled: Word,
        pub requests: Word,
    }
}

/// What `stub_status` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub accepted: u64,
    pub handled: u64,
    pub requests: u64,
    pub active: u64,
    pub reading: u64,
    pub writing: u64,
    pub waiting: u64,
}

impl Board {
    /// The master, before it forks the process that will have this slot.
    pub fn prepare(&self, index: usize, kind: Kind, number: usize, generation: u64) {
        let Some(slot) = self.slots.get(index) else { return };
        slot.clear();
        slot.kind.set(kind as u64);
        slot.number.set(number as u64);
        slot.generation.set(generation);
        self.master.slots_used.set(self.master.slots_used.get().max(index as u64 + 1));
    }

    /// The master, when the process has ended: its counts are kept.
    pub fn retire(&self, index: usize) {
        let Some(slot) = self.slots.get(index) else { return };
        self.retired.accepted.add(slot.accepted.get());
        self.retired.handled.add(slot.handled.get());
        self.retired.requests.add(slot.requests.get());
        slot.clear();
    }

    /// Those that have been used, with their numbers.
    pub fn used(&self) -> impl Iterator<Item = (usize, &Slot)> {
        let used = usize::try_from(self.master.slots_used.get()).unwrap_or(SLOTS);
        let live = |(_, slot): &(usize, &Slot)| slot.kind() != Kind::Vacant;
        self.slots.iter().take(used).enumerate().filter(live)
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            accepted: self.retired.accepted.get(),
            handled: self.retired.handled.get(),
            requests: self.retired.requests.get(),
            ..Totals::default()
        };
        for (_, slot) in self.used() {
            totals.accepted = totals.accepted.wrapping_add(slot.accepted.get());
            totals.handled = totals.handled.wrapping_add(slot.handled.get());
            totals.requests = totals.requests.wrapping_add(slot.requests.get());
            totals.active = totals.active.wrapping_add(slot.active.get());
            totals.reading = totals.reading.wrapping_add(slot.reading.get());
            totals.writing = totals.writing.wrapping_add(slot.writing.get());
            totals.waiting = totals.waiting.wrapping_add(slot.idle.get());
        }
        totals
    }
}

names! {
    /// What a slot's process is.
    enum Kind {
        Vacant "vacant",
        Worker "worker",
        CacheManager "cache manager",
        CacheLoader "cache loader",
        HealthChecker "health checker",
        NewBinary "new binary",
        Single "single process",
    }
}

names! {
    enum State {
        Starting "starting",
        Ready "ready",
        ShuttingDown "shutting down",
        Terminating "terminating",
        /// Its master has gone; it finishes what it has.
        Orphaned "orphaned",
    }
}

names! {
    enum MasterState {
        Starting "starting",
        Running "running",
        Reloading "reloading",
        Upgrading "upgrading",
        NotAccepting "not accepting",
        Draining "draining",
        ShuttingDown "shutting down",
        Terminating "terminating",
    }
}

impl MasterState {
    /// On its way out, if still serving.
    pub fn is_leaving(self) -> bool {
        matches!(self, MasterState::Draining | MasterState::ShuttingDown | MasterState::Terminating)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::tests::{child, shared};

    #[test]
    fn counts_survive_their_process() {
        let region = shared(size_of::<Board>());
        let board: &Board = region.record(0).unwrap();
        board.prepare(3, Kind::Worker, 2, 7);
        child(|| {
            let slot = &board.slots[3];
            slot.begin();
            slot.accepted.add(5);
            slot.requests.add(9);
            slot.active.add(2);
            slot.active.sub(1);
            slot.ready();
        })
        .assert_passed();
        let slot = &board.slots[3];
        assert_eq!((slot.kind(), slot.state()), (Kind::Worker, State::Ready));
        assert!(slot.pid() > 0 && slot.pid() != process::getpid());
        let counted = Totals { accepted: 5, requests: 9, active: 1, ..Totals::default() };
        assert_eq!((board.totals(), board.used().count()), (counted, 1));
        board.retire(3);
        assert_eq!((slot.kind(), slot.pid()), (Kind::Vacant, 0));
        assert_eq!(board.totals(), Totals { active: 0, ..counted });
        board.prepare(SLOTS, Kind::Worker, 0, 1);
        board.retire(SLOTS);
        assert_eq!(board.used().count(), 0);
    }

    #[test]
    fn numbers_without_a_name_are_the_first() {
        assert_eq!(Kind::from_number(Kind::CacheLoader as u64), Kind::CacheLoader);
        assert_eq!(Kind::from_number(u64::MAX), Kind::Vacant);
        assert_eq!(State::from_number(17), State::Starting);
        assert_eq!(MasterState::Reloading.name(), "reloading");
    }

    /// A worker's counters share no cache line with another's.
    #[test]
    fn layout() {
        assert_eq!(size_of::<Slot>() % 64, 0);
        assert_eq!(std::mem::offset_of!(Board, slots) % 64, 0);
        assert_eq!(align_of::<Numbers>(), 64);
        assert!(size_of::<Board>() < 256 * 1024);
    }
}
