//! The first moments of a child, and what every child keeps: its seat.
//!
//! All that was the master's alone goes here, by ownership: the other ends of
//! the channels, the cycle that is not this child's, the pipe to the parent of a
//! daemonizing start.

use std::os::fd::OwnedFd;

use super::channel::{self, Carried, Channel, Command, Message, Read};
use super::master::Master;
use super::reload::Stage;
use super::siblings::{Sibling, Siblings};
use super::signals::{Role, Wanted};
use super::spawn::Birth;
use super::table::{Table, Work};
use super::upgrade::Try;
use super::{helper, privileges, worker};
use crate::cycle::Cycle;
use crate::log::{self, Level, log};
use crate::net::handover::Handover;
use crate::sys::limits::Limit;
use crate::sys::process::{self, Pid};
use crate::sys::{signal, socket};
use crate::{shm, time};

/// Where a child sits: in which slot, under which master, among which siblings.
pub struct Seat {
    pub slot: usize,
    /// A worker's number; a helper has none.
    pub number: Option<usize>,
    /// Its own end of its channel; None once that is broken: it hears signals only.
    pub channel: Option<OwnedFd>,
    pub siblings: Siblings,
    /// Its door, and those of its siblings.
    pub handover: &'static Handover,
    pub master: MasterWatch,
    /// The limit of descriptors that the master was started with.
    pub nofile: Option<Limit>,
    /// WINCH means something.
    pub winch: bool,
    /// The next TERM lets what has begun finish.
    pub is_term_graceful: bool,
    /// Its generation has yet to come up.
    pub is_coming: bool,
    pub wanted: Wanted,
}

/// Tells that the master is gone. The channel cannot: siblings hold copies of its end 0.
pub struct MasterWatch {
    pub pid: Pid,
    /// Readable when the master has ended; opened before the fork. None before Linux 5.3.
    pub pidfd: Option<OwnedFd>,
}

impl MasterWatch {
    pub fn of_this_process() -> Self {
        let pid = process::getpid();
        Self { pid, pidfd: process::pidfd_open(pid).ok() }
    }

    pub fn is_gone(&self) -> bool {
        process::getppid() != self.pid
    }
}

impl Master {
    /// Runs what the child is for; returns its exit code.
    pub(super) fn become_child(self, birth: Birth) -> i32 {
        signal::forget_all();
        log::forked();
        time::update();
        shm::enter(birth.slot);
        let work = birth.job.work;
        if work == Work::NewBinary {
            privileges::restore_nofile(self.nofile);
            return self.executable.exec(&self.cycle, &self.notifier, &self.upgrade);
        }
        let (cycle, seat) = self.give(birth);
        match work {
            Work::CacheManager => helper::manager(cycle, seat),
            Work::CacheLoader => helper::loader(cycle, seat),
            Work::HealthChecker => helper::checker(cycle, seat),
            Work::Worker { .. } | Work::NewBinary => worker::run(cycle, seat),
        }
    }

    /// Runs the new binary that is to be tried.
    pub(super) fn become_trial(self, to_say: &Try) -> i32 {
        signal::forget_all();
        log::forked();
        privileges::restore_nofile(self.nofile);
        self.executable.exec_trial(to_say)
    }

    /// What the child keeps; all else of the master ends here, before the child begins.
    fn give(self, birth: Birth) -> (Cycle, Seat) {
        let Birth { slot, job, ends } = birth;
        let (channel, door) = ends.unzip();
        let is_worker = job.work.number().is_some();
        let (generation, door) = (job.generation, door.filter(|_| is_worker));
        let handover: &'static Handover = Box::leak(Box::new(Handover::new(generation, door)));
        let winch = self.heeds_winch();
        let is_term_graceful = self.cycle.core.is_term_graceful(self.watch.pid);
        let is_coming = self.stage.coming().is_some() && job.generation == self.cycle.generation;
        let seat = Seat {
            slot,
            number: job.work.number(),
            channel,
            siblings: siblings(self.table, slot, handover),
            handover,
            master: self.watch,
            nofile: self.nofile,
            winch,
            is_term_graceful,
            is_coming,
            wanted: Wanted::default(),
        };
        (cycle_of(job.generation, self.cycle, self.stage), seat)
    }
}

/// The cycle that the child serves; the other one's sockets are closed here, in this process.
fn cycle_of(generation: u32, cycle: Cycle, stage: Stage) -> Cycle {
    let (mut own, mut other) = match stage {
        Stage::Reloading { old, .. } if old.generation == generation => (*old, Some(cycle)),
        Stage::Reloading { old, .. } => (cycle, Some(*old)),
        Stage::Binding { next, .. } => (cycle, Some(*next)),
        Stage::Serving | Stage::Starting(_) => (cycle, None),
    };
    if let Some(other) = &mut other {
        other.listening.close(false);
    }
    own.forget_kept_texts();
    own
}

/// The writing ends of the others; their reading ends are dropped with the table.
fn siblings(table: Table, slot: usize, handover: &Handover) -> Siblings {
    let mut siblings = Siblings::new();
    for (other, process) in table.into_iter() {
        let generation = process.takes_generation();
        if let Some(Channel { end0, door0, .. }) = process.channel.filter(|_| other != slot) {
            siblings.open(other, Sibling { pid: process.pid, end: end0 });
            handover.open(other, process.pid, generation, door0);
        }
    }
    siblings
}

impl Seat {
    /// What signals ask for. A QUIT may be the kernel's word that the master has gone.
    pub fn take_signals(&mut self) {
        let graceful = self.is_term_graceful;
        self.wanted.take_signals(Role::Worker { winch: self.winch, graceful });
        self.is_term_graceful &= !std::mem::take(&mut self.wanted.by_term);
    }

    /// ngx_channel_handler: reads until there is nothing more; false when there is no channel any
    /// more.
    pub fn hear(&mut self) -> bool {
        log!(Level::Debug, "channel handler");
        while let Some(end) = &self.channel {
            match channel::read(end) {
                Read::Empty => return true,
                Read::Forged => {}
                Read::Message(message, mut carried) => self.obey(message, &mut carried),
                Read::Closed => {
                    // The master and every sibling have gone.
                    self.wanted.quit = true;
                    return false;
                }
                Read::Broken => {
                    log!(Level::Alert, "the channel is broken: signals only from now on");
                    self.tell(Command::CloseChannel);
                    return false;
                }
            }
        }
        false
    }

    fn obey(&mut self, message: Message, carried: &mut Carried) {
        let Message { command, pid, slot, generation } = message;
        match command {
            Command::Quit => self.wanted.quit = true,
            Command::Terminate => self.wanted.terminate = true,
            Command::Reopen => self.wanted.reopen = true,
            Command::OpenChannel => {
                let (Some(end), Some(door)) = (carried.take(0), carried.take(1)) else { return };
                log!(Level::Debug, "get channel s:{slot} pid:{pid} fd:{}", Number(&end));
                log!(Level::Debug, "door s:{slot} generation:{generation} fd:{}", Number(&door));
                let right = channel::is_end(&end, socket::STREAM)
                    && channel::is_end(&door, socket::SEQPACKET);
                if slot == self.slot || !right {
                    log!(
                        Level::Alert,
                        bounded,
                        "channel message with a descriptor that is no channel"
                    );
                    return;
                }
                self.siblings.open(slot, Sibling { pid, end });
                self.handover.open(slot, pid, generation, door);
            }
            Command::CloseChannel => {
                let known = self.siblings.get(slot);
                let numbers = |known: &Sibling| (known.pid, Number(&known.end).get());
                let (our, fd) = known.map_or((-1, -1), numbers);
                log!(Level::Debug, "close channel s:{slot} pid:{pid} our:{our} fd:{fd}");
                self.siblings.close(slot, pid);
                self.handover.close(slot, pid);
            }
            Command::Ready => {
                log!(Level::Alert, bounded, "channel message that only a master gets");
            }
        }
    }

    /// The loop runs, the listeners are armed.
    pub fn ready(&self) {
        shm::own().ready();
        self.tell(Command::Ready);
    }

    fn tell(&self, command: Command) {
        let Some(end) = &self.channel else { return };
        let (pid, slot) = (process::getpid(), self.slot);
        channel::write(end, Message { command, pid, slot, generation: 0 }, &[]);
    }
}

/// A descriptor's number, for the log.
struct Number<'a>(&'a OwnedFd);

impl Number<'_> {
    fn get(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(self.0)
    }
}

impl std::fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}
