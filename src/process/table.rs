//! The process table: every child of the master, in one of 1024 slots.
//!
//! A slot is vacant or holds one process, by construction; what a process owns
//! (its channel ends) goes with it, so nothing is closed twice. `last_process`
//! of nginx is the length of the vector: it bounds every scan, and shrinks when
//! the top slot dies.

use super::backoff::Backoff;
use super::channel::Channel;
use super::outbox::Outbox;

pub const MAX_PROCESSES: usize = 1024;

/// What becomes of a process that ends, and who tells it to.
#[expect(clippy::enum_variant_names, reason = "these are the names of the field")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spawn {
    /// Let it end.
    NoRespawn,
    /// Let it end; the reload that has just started it does not quit it.
    JustSpawn,
    /// Replace it when it dies.
    Respawn,
    /// Both: the next generation of a reload.
    JustRespawn,
    /// A new binary: no channel, not ours to wait for or to replace.
    Detached,
    /// The replacement of the dead process in this slot: same name, work, data and flags.
    Into(usize),
}

/// What a child runs, and its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// The number picks the CPU mask and the reuseport socket: a respawn keeps both.
    Worker {
        number: usize,
    },
    CacheManager,
    CacheLoader,
    HealthChecker,
    NewBinary,
}

impl Work {
    /// As the log names it.
    pub fn name(self) -> &'static str {
        match self {
            Work::Worker { .. } => "worker process",
            Work::CacheManager => "cache manager process",
            Work::CacheLoader => "cache loader process",
            Work::HealthChecker => "health checker process",
            Work::NewBinary => "new binary process",
        }
    }

    /// A worker's; helpers have none.
    pub fn number(self) -> Option<usize> {
        match self {
            Work::Worker { number } => Some(number),
            _ => None,
        }
    }
}

/// All that a replacement inherits from the process that died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job {
    pub work: Work,
    /// The configuration it serves, counted from 1 by starts and reloads.
    pub generation: u32,
    pub respawn: bool,
    pub just_spawn: bool,
    pub detached: bool,
    pub backoff: Backoff,
}

impl Job {
    /// A new job of this kind; a respawn into a slot takes the dead one's instead.
    pub fn new(work: Work, generation: u32, spawn: Spawn) -> Self {
        Self {
            work,
            generation,
            respawn: matches!(spawn, Spawn::Respawn | Spawn::JustRespawn),
            just_spawn: matches!(spawn, Spawn::JustSpawn | Spawn::JustRespawn),
            detached: spawn == Spawn::Detached,
            backoff: Backoff::default(),
        }
    }
}

/// A child, from its fork until it is reaped.
pub struct Process {
    pub pid: i32,
    pub job: Job,
    /// None for a detached one.
    pub channel: Option<Channel>,
    /// What did not fit its channel yet.
    pub outbox: Outbox,
    /// Its loop runs and its listeners are armed.
    pub ready: bool,
    /// Its end of the channel is closed: it hears signals only.
    pub deaf: bool,
    /// It is not listened to any more.
    pub ignored: bool,
    /// Messages it had no right to send.
    pub forged: u32,
    /// It was told to quit or to terminate.
    pub exiting: bool,
    /// It hung.
    pub aborted: bool,
    /// waitpid has returned it, or kill says that it is gone.
    pub exited: bool,
    pub born_ms: u64,
}

impl Process {
    pub fn new(pid: i32, job: Job, channel: Option<Channel>, now_ms: u64) -> Self {
        Self {
            pid,
            job,
            channel,
            outbox: Outbox::new(),
            ready: false,
            deaf: false,
            ignored: false,
            forged: 0,
            exiting: false,
            aborted: false,
            exited: false,
            born_ms: now_ms,
        }
    }

    /// Connections of which generation it takes, and of older ones; 0: none at all.
    pub fn takes_generation(&self) -> u32 {
        self.job.work.number().map_or(0, |_| self.job.generation)
    }
}

pub struct Table {
    slots: Vec<Option<Process>>,
}

impl Table {
    pub const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// The slot of the next spawn: the first vacant one, else the one past the last.
    pub fn vacant(&self) -> Option<usize> {
        let slot = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        (slot < MAX_PROCESSES).then_some(slot)
    }

    /// Puts a process into a slot that `vacant` named or `take` has emptied.
    pub fn put(&mut self, slot: usize, process: Process) {
        assert!(slot < MAX_PROCESSES);
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        let former = self.slots[slot].replace(process);
        assert!(former.is_none(), "one slot holds one process");
    }

    /// Empties a slot; the table shrinks to the highest one in use.
    pub fn take(&mut self, slot: usize) -> Option<Process> {
        let process = self.slots.get_mut(slot)?.take();
        while self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
        }
        process
    }

    pub fn get(&self, slot: usize) -> Option<&Process> {
        self.slots.get(slot)?.as_ref()
    }

    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Process> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub fn find(&self, pid: i32) -> Option<usize> {
        self.iter().find(|(_, process)| process.pid == pid).map(|(slot, _)| slot)
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Process)> {
        self.slots.iter().enumerate().filter_map(|(slot, held)| Some((slot, held.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Process)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, held)| Some((slot, held.as_mut()?)))
    }

    pub fn into_iter(self) -> impl Iterator<Item = (usize, Process)> {
        self.slots.into_iter().enumerate().filter_map(|(slot, held)| Some((slot, held?)))
    }

    /// nginx's last_process: one past the highest slot in use.
    pub fn last_process(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pid: i32) -> Process {
        let job = Job::new(Work::Worker { number: 0 }, 1, Spawn::Respawn);
        Process::new(pid, job, None, 0)
    }

    fn table_of(pids: std::ops::Range<i32>) -> Table {
        let mut table = Table::new();
        for pid in pids {
            let slot = table.vacant().unwrap();
            table.put(slot, worker(pid));
        }
        table
    }

    #[test]
    fn the_first_vacant_slot_is_reused() {
        let mut table = table_of(100..105);
        assert_eq!(table.take(1).unwrap().pid, 101);
        assert_eq!(table.take(3).unwrap().pid, 103);
        assert_eq!(table.vacant(), Some(1));
        table.put(1, worker(200));
        assert_eq!(table.vacant(), Some(3));
        assert_eq!(table.find(200), Some(1));
        assert_eq!(table.find(101), None);
        assert_eq!(table.iter().map(|(slot, _)| slot).collect::<Vec<_>>(), [0, 1, 2, 4]);
    }

    #[test]
    fn the_table_shrinks_when_its_top_dies() {
        let mut table = table_of(0..4);
        table.take(2);
        assert_eq!(table.last_process(), 4);
        table.take(3);
        assert_eq!(table.last_process(), 2);
        assert!(table.take(3).is_none());
        assert!(table.take(5000).is_none());
    }

    #[test]
    fn a_1025th_process_has_no_slot() {
        let mut table = table_of(1..1025);
        assert_eq!((table.last_process(), table.vacant()), (1024, None));
        table.take(512);
        assert_eq!(table.vacant(), Some(512));
    }

    #[test]
    fn spawn_modes_become_flags() {
        let flags = |spawn| {
            let job = Job::new(Work::CacheManager, 1, spawn);
            (job.respawn, job.just_spawn, job.detached)
        };
        assert_eq!(flags(Spawn::NoRespawn), (false, false, false));
        assert_eq!(flags(Spawn::JustSpawn), (false, true, false));
        assert_eq!(flags(Spawn::Respawn), (true, false, false));
        assert_eq!(flags(Spawn::JustRespawn), (true, true, false));
        assert_eq!(flags(Spawn::Detached), (false, false, true));
    }
}
