//! Making children: a slot, a channel, a fork, and the news to the siblings.
//!
//! A fork returns twice. In the child it ends the master's loop: `Break(Born)`
//! travels up to `Master::run`, which gives the child what is its own and lets
//! go of all that was the master's. So a child can hold nothing by oversight.

use std::ops::ControlFlow::{self, Break, Continue};
use std::os::fd::{AsRawFd, OwnedFd};

use super::channel::Channel;
use super::master::{Due, Master};
use super::table::{Job, MAX_PROCESSES, Process, Spawn, Work};
use super::upgrade::Try;
use crate::log::{Level, log};
use crate::shm::scoreboard::Kind;
use crate::sys::Errno;
use crate::sys::guard;
use crate::sys::process::{self, Fork};
use crate::{shm, time};

/// What ends the master's loop in this process.
pub enum End {
    /// This is the child of a fork.
    Born(Birth),
    /// This is the child that is to try a new binary.
    Trial(Try),
    /// The exit code.
    Exit(i32),
}

/// What is known of itself in a new child.
pub struct Birth {
    pub slot: usize,
    pub job: Job,
    /// The reading ends of its channel and its door; a new binary has none.
    pub ends: Option<(OwnedFd, OwnedFd)>,
}

/// One step of the master's loop: on, or the end of it here.
pub type Step = ControlFlow<End>;

/// As the scoreboard names it.
fn kind(work: Work) -> Kind {
    match work {
        Work::Worker { .. } => Kind::Worker,
        Work::CacheManager => Kind::CacheManager,
        Work::CacheLoader => Kind::CacheLoader,
        Work::HealthChecker => Kind::HealthChecker,
        Work::NewBinary => Kind::NewBinary,
    }
}

impl Master {
    /// ngx_spawn_process. A spawn that fails is tried again by itself, but for a new binary.
    pub(super) fn spawn(&mut self, spawn: Spawn, work: Work) -> Step {
        let (slot, job) = match spawn {
            Spawn::Into(slot) => match self.table.take(slot) {
                Some(dead) => (Some(slot), dead.job),
                None => return Continue(()),
            },
            mode => (self.table.vacant(), Job::new(work, self.cycle.generation, mode)),
        };
        self.fork(slot, job)
    }

    /// A spawn that had to wait: for a delay, for memory, for a slot.
    pub(super) fn spawn_late(&mut self, job: Job) -> Step {
        let slot = self.table.vacant();
        self.fork(slot, job)
    }

    fn fork(&mut self, slot: Option<usize>, mut job: Job) -> Step {
        // A thousand take seconds, and each of their lines has its own time.
        time::update();
        let name = job.work.name();
        let Some(slot) = slot else {
            if !std::mem::replace(&mut self.full, true) {
                log!(Level::Alert, "no more than {MAX_PROCESSES} processes can be spawned");
            }
            self.try_again(job);
            return Continue(());
        };
        let channel = match (!job.detached).then(Channel::new).transpose() {
            Ok(channel) => channel,
            Err(e) => return self.failed("socketpair()", e, job),
        };
        if let Some((Channel { end0, end1, door0 }, door1)) = &channel {
            let [end0, end1, door0, door1] = [end0, end1, door0, door1].map(|fd| fd.as_raw_fd());
            log!(Level::Debug, "channel {end0}:{end1} door {door0}:{door1}");
        }
        shm::board().prepare(
            slot,
            kind(job.work),
            job.work.number().unwrap_or(0),
            job.generation.into(),
        );
        let pid = match process::fork() {
            Ok(Fork::Parent(pid)) => pid,
            Ok(Fork::Child) => {
                let ends = channel.map(|(channel, door1)| (channel.end1, door1));
                return Break(End::Born(Birth { slot, job, ends }));
            }
            Err(e) => {
                shm::board().retire(slot);
                return self.failed("fork()", e, job);
            }
        };
        guard::born(pid);
        log!(Level::Notice, "start {name} {pid}");
        job.backoff.forked();
        self.full = false;
        let channel = channel.map(|(channel, _)| channel);
        self.table.put(slot, Process::new(pid, job, channel, time::now_ms()));
        if !job.detached {
            self.pass_open_channel(slot, pid);
        }
        Continue(())
    }

    fn failed(&mut self, call: &str, e: Errno, job: Job) -> Step {
        log!(Level::Alert, errno e, "{call} failed while spawning \"{}\"", job.work.name());
        self.try_again(job);
        Continue(())
    }

    fn try_again(&mut self, mut job: Job) {
        if !job.detached {
            let delay = job.backoff.after_failed_fork();
            log!(Level::Info, "trying again to start {} in {delay} ms", job.work.name());
            self.deadlines.add(time::now_ms() + delay, Due::Spawn(job));
        }
    }

    pub(super) fn start_workers(&mut self, spawn: Spawn) -> Step {
        log!(Level::Notice, "start worker processes");
        for number in 0..self.cycle.workers {
            self.spawn(spawn, Work::Worker { number })?;
        }
        Continue(())
    }

    /// A checker and a manager that are replaced when they die, and a loader that runs once.
    pub(super) fn start_helpers(&mut self, just_spawned: bool) -> Step {
        let (always, once) = match just_spawned {
            true => (Spawn::JustRespawn, Spawn::JustSpawn),
            false => (Spawn::Respawn, Spawn::NoRespawn),
        };
        if self.cycle.has_checks() {
            self.spawn(always, Work::HealthChecker)?;
        }
        if !self.cycle.has_caches() {
            return Continue(());
        }
        self.spawn(always, Work::CacheManager)?;
        self.spawn(once, Work::CacheLoader)
    }

    /// What the loaded configuration wants and is not there: all of it after a WINCH.
    pub(super) fn start_missing(&mut self) -> Step {
        log!(Level::Notice, "start worker processes");
        let workers = (0..self.cycle.workers).map(|number| Work::Worker { number });
        let manager = self.cycle.has_caches().then_some(Work::CacheManager);
        let checker = self.cycle.has_checks().then_some(Work::HealthChecker);
        for work in workers.chain(manager).chain(checker) {
            if !self.serves(work, self.cycle.generation) {
                self.spawn(Spawn::Respawn, work)?;
            }
        }
        Continue(())
    }
}
