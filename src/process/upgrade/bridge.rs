//! Between two masters, while a new binary runs beside the old one: one socketpair, whose number
//! the new one finds in its environment.
//!
//! Over it the new master says that it is *ready*, and which workers it has: *open channel* and
//! *close channel*, as it tells its own. The old master checks that and passes it on, so that
//! its workers hand their connections over to those of the new binary. It says nothing itself.
//!
//! A new binary that is not ready within `upgrade_timeout` is killed. nginx knows no bridge, and
//! is taken for ready when it has written its pid file; then the old workers drain, as nginx's
//! would.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::log::{Level, log};
use crate::process::channel::{self, Carried, Command, Message, Read, Written};
use crate::process::master::{Due, Master};
use crate::process::outbox::Outbox;
use crate::process::table::MAX_PROCESSES;
use crate::shm;
use crate::shm::scoreboard::Asked;
use crate::sys::process::{self, Pid};
use crate::sys::{Result, env, fd, socket};
use crate::time;

const VARIABLE: &str = "LIMPET_BRIDGE";
/// Messages that no new master sends, after which it is not listened to any more.
const FORGED_MOST: u32 = 8;
/// When a full bridge is tried again, if no SIGIO says so before.
const FLUSH_MS: u64 = 10;
/// Its workers are newer than any of ours.
const NEWER: u32 = 1 << 31;

pub struct Bridge {
    end: OwnedFd,
    outbox: Outbox,
    /// Messages the other had no right to send.
    forged: u32,
    side: Side,
}

enum Side {
    /// The old master is at the other end.
    Old,
    New(Successor),
}

/// What is known of the new master.
struct Successor {
    /// Set when it has been started.
    pid: Pid,
    ready: bool,
    workers: Vec<Foreign>,
}

/// A worker of the new master.
struct Foreign {
    pid: i32,
    /// In our numbers, which end where our table is not likely to come.
    slot: usize,
    /// As a sibling's: the writing ends of its channel and its door.
    end0: OwnedFd,
    door0: OwnedFd,
    generation: u32,
}

impl Bridge {
    fn over(end: OwnedFd, side: Side) -> Result<Self> {
        fd::set_owner(&end, process::getpid())?;
        fd::set_async(&end, true)?;
        Ok(Self { end, outbox: Outbox::new(), forged: 0, side })
    }

    /// To the master that has started us, if it has built one.
    pub fn found() -> Option<Self> {
        let number: RawFd = env::get(VARIABLE)?.to_str()?.parse().ok()?;
        env::remove(VARIABLE);
        let end = fd::inherit(number).ok().filter(|end| channel::is_end(end, socket::STREAM))?;
        Self::over(end, Side::Old).ok()
    }

    fn successor(&self) -> Option<&Successor> {
        match &self.side {
            Side::New(successor) => Some(successor),
            Side::Old => None,
        }
    }

    fn successor_mut(&mut self) -> Option<&mut Successor> {
        match &mut self.side {
            Side::New(successor) => Some(successor),
            Side::Old => None,
        }
    }
}

/// In the child that becomes the new binary: its end stays open.
pub fn leave(end: Option<&OwnedFd>) {
    let Some(end) = end else { return };
    match fd::set_cloexec(end, false) {
        Ok(()) => env::set(VARIABLE, end.as_raw_fd().to_string()),
        Err(e) => log!(Level::Alert, errno e, "fcntl(FD_CLOEXEC) failed"),
    }
}

impl Foreign {
    fn opened(&self) -> Message {
        let Self { pid, slot, generation, .. } = *self;
        Message { command: Command::OpenChannel, pid, slot, generation }
    }

    fn closed(&self) -> Message {
        Message { command: Command::CloseChannel, generation: 0, ..self.opened() }
    }
}

impl Master {
    /// Before the new binary is started. Without a bridge it is an upgrade as nginx's.
    pub(super) fn build_bridge(&mut self) {
        let built = socket::socketpair(socket::STREAM).and_then(|(ours, theirs)| {
            let successor = Successor { pid: 0, ready: false, workers: Vec::new() };
            Ok((Bridge::over(ours, Side::New(successor))?, theirs))
        });
        match built {
            Ok((bridge, theirs)) => {
                (self.upgrade.bridge, self.upgrade.their_end) = (Some(bridge), Some(theirs));
            }
            Err(e) => log!(Level::Alert, errno e, "no bridge to the new binary"),
        }
    }

    /// It has been started, or not.
    pub(super) fn await_new_binary(&mut self) {
        self.upgrade.their_end = None;
        let Some(pid) = self.new_binary else { return self.leave_bridge() };
        if let Some(successor) = self.upgrade.bridge.as_mut().and_then(Bridge::successor_mut) {
            successor.pid = pid;
        }
        if let ms @ 1.. = self.cycle.core.upgrade_timeout {
            self.deadlines.add(time::now_ms() + ms, Due::NewBinary { pid });
        }
    }

    /// It has had its time.
    pub(in crate::process) fn look_at_new_binary(&mut self, pid: Pid) {
        let successor = self.upgrade.bridge.as_ref().and_then(Bridge::successor);
        let knows_bridge = successor.is_some_and(|it| it.ready || !it.workers.is_empty());
        if self.new_binary != Some(pid) || successor.is_some_and(|it| it.ready) {
            return;
        }
        let file = self.cycle.pid_file.as_ref();
        if !knows_bridge && file.is_some_and(|file| file.names(pid)) {
            return self.new_binary_ready(pid);
        }
        let ms = self.cycle.core.upgrade_timeout;
        log!(Level::Alert, "the new binary process {pid} is not ready after {ms} ms, it is killed");
        // It leads a session: what it has started goes with it.
        if let Err(e) = process::kill_session(pid) {
            log!(Level::Alert, errno e, "kill({pid}, SIGKILL) failed");
        }
    }

    fn new_binary_ready(&self, pid: Pid) {
        let text = format!("the new binary process {pid} is ready");
        log!(Level::Notice, "{text}");
        shm::board().master.conclude(Asked::Upgrade, true, &text);
    }

    /// Reads what the new master has to say.
    pub(in crate::process) fn hear_bridge(&mut self) {
        while let Some(bridge) = &mut self.upgrade.bridge {
            let right = match channel::read(&bridge.end) {
                Read::Empty => return,
                Read::Message(message, carried) => self.heed_bridge(message, carried),
                Read::Forged => false,
                Read::Broken | Read::Closed => return self.leave_bridge(),
            };
            if !right {
                self.doubt_bridge();
            }
        }
    }

    fn doubt_bridge(&mut self) {
        let Some(bridge) = &mut self.upgrade.bridge else { return };
        bridge.forged += 1;
        log!(Level::Alert, bounded, "the other master sent a message that is not its to send");
        if bridge.forged >= FORGED_MOST {
            self.leave_bridge();
        }
    }

    /// Whether a new master may say this.
    fn heed_bridge(&mut self, message: Message, carried: Carried) -> bool {
        let bridge = self.upgrade.bridge.as_mut();
        let Some(successor) = bridge.and_then(Bridge::successor_mut) else { return false };
        let Message { command, pid, slot, .. } = message;
        match command {
            Command::Ready if pid == successor.pid && !successor.ready => {
                successor.ready = true;
                self.deadlines.retain(|due| *due != Due::NewBinary { pid });
                self.new_binary_ready(pid);
            }
            Command::OpenChannel => return self.open_foreign(message, carried),
            Command::CloseChannel => {
                let slot = ours(slot);
                let known = |it: &Foreign| (it.slot, it.pid) == (slot, pid);
                let Some(at) = successor.workers.iter().position(known) else { return false };
                let gone = successor.workers.swap_remove(at);
                self.tell_all(gone.closed());
            }
            _ => return false,
        }
        true
    }

    fn open_foreign(&mut self, message: Message, mut carried: Carried) -> bool {
        let (Some(end0), Some(door0)) = (carried.take(0), carried.take(1)) else { return false };
        let Message { pid, slot, generation, .. } = message;
        let slot = ours(slot);
        let right = pid > 0
            && channel::is_end(&end0, socket::STREAM)
            && channel::is_end(&door0, socket::SEQPACKET);
        let bridge = self.upgrade.bridge.as_mut();
        let Some(successor) = bridge.and_then(Bridge::successor_mut).filter(|_| right) else {
            return false;
        };
        if slot < self.table.last_process() {
            // Both tables are nearly full: its connections find others.
            return true;
        }
        successor.workers.retain(|known| known.slot != slot);
        // A helper takes none.
        let generation = if generation == 0 { 0 } else { generation | NEWER };
        let worker = Foreign { pid, slot, end0, door0, generation };
        let message = worker.opened();
        successor.workers.push(worker);
        self.tell_all(message);
        true
    }

    /// A child of ours has been born while a new master is there.
    pub(in crate::process) fn tell_of_foreigners(&mut self, to: usize) {
        let successor = self.upgrade.bridge.as_ref().and_then(Bridge::successor);
        let workers = successor.map_or(&[][..], |successor| &successor.workers);
        let messages: Vec<Message> = workers.iter().map(Foreign::opened).collect();
        for message in messages {
            self.post(to, message);
        }
    }

    /// The writing ends of a worker of the new master.
    pub(in crate::process) fn foreign_ends(&self, about: Message) -> Option<[BorrowedFd<'_>; 2]> {
        let successor = self.upgrade.bridge.as_ref().and_then(Bridge::successor)?;
        let is = |it: &&Foreign| (it.slot, it.pid) == (about.slot, about.pid);
        successor.workers.iter().find(is).map(|it| [it.end0.as_fd(), it.door0.as_fd()])
    }

    /// Tells the old master, if there is one.
    pub(in crate::process) fn tell_old_master(&mut self, message: Message) {
        let Some(bridge) = &mut self.upgrade.bridge else { return };
        if bridge.successor().is_none() && bridge.outbox.push(message) {
            self.flush_bridge();
        }
    }

    /// What this master's start has come to.
    pub(in crate::process) fn tell_ready(&mut self) {
        let ready = Message::order(Command::Ready);
        self.tell_old_master(Message { pid: process::getpid(), ..ready });
    }

    pub(in crate::process) fn flush_bridge(&mut self) {
        while let Some(bridge) = &self.upgrade.bridge
            && let Some(message) = bridge.outbox.first()
        {
            match self.write_to(&bridge.end, message) {
                Written::Whole => {
                    if let Some(bridge) = &mut self.upgrade.bridge {
                        bridge.outbox.sent();
                    }
                }
                Written::Full => {
                    return self.deadlines.add_once(time::now_ms() + FLUSH_MS, Due::Flush);
                }
                Written::Failed => return self.leave_bridge(),
            }
        }
    }

    /// The other master is gone, or talks nonsense: its workers are nobody's siblings any more.
    pub(super) fn leave_bridge(&mut self) {
        let Some(bridge) = self.upgrade.bridge.take() else { return };
        log!(Level::Debug, "the bridge to the other master is closed");
        if let Side::New(successor) = bridge.side {
            successor.workers.iter().for_each(|worker| self.tell_all(worker.closed()));
        }
    }
}

/// A slot of theirs in our numbers.
fn ours(slot: usize) -> usize {
    (MAX_PROCESSES - 1).saturating_sub(slot)
}
