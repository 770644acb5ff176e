//! Hand-over: connections go from one worker to another and their clients notice nothing.
//!
//! Each child has a door (`process::channel`), a SOCK_SEQPACKET pair whose writing end its
//! siblings hold. A worker that leaves sends each idle connection to a worker of the newest
//! generation, as one message with two descriptors: where to answer, and the connection.
//!
//! | | sender | receiver |
//! |---|---|---|
//! | 1 | takes the socket out of its epoll set, where the description would stay for ever | |
//! | 2 | sends it, keeps it, and does not read from it | |
//! | 3 | | looks whether it can take it; answers yes before its first read, or no, and why |
//! | 4 | yes: closes it. no: asks the next one. The receiver is gone: takes it back | serves it |
//!
//! So at any time one process may read, and a connection is neither lost nor served twice. An
//! answer that has been written is there before its writer's death is known, and it is read
//! first. A sender that goes before the answer takes nothing back; the connection is the
//! receiver's then. From a receiver that lives, but is stopped, it is taken back all the same
//! (`silence`).
//!
//! A connection that has just been accepted goes the same way when its worker has more than its
//! share (`balance`). One that has become a tunnel goes with its other end, and with a file in
//! which the bytes on their way are, and what its owner knows of it (`parcel`).
//!
//! At most 64 connections are on their way to one receiver, for which there is room to answer;
//! the others wait, unread. What comes through a door is not believed: `message` checks the bytes,
//! `arrivals` the descriptors.

mod arrivals;
mod balance;
pub mod fields;
pub mod message;
pub mod parcel;
mod receivers;
mod sent;
mod silence;

pub use arrivals::{Carried, Host};

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::event::{self, Io, TaskId, WatchId};
use crate::log::{Level, log};
use crate::shm;
use crate::sys::errno::{Errno, Result};
use crate::sys::{msg, process};
use crate::text::writer::Writer;
use crate::time;
use balance::Balance;
use message::{Head, Kind, Reason};
use receivers::{Answers, Choice, Receiver, Receivers, Tried};
use sent::{Sent, Settled, Verdict};

/// How the loop tells of the door, and of answers.
pub const DOOR: WatchId = 2;
pub const ANSWERS: WatchId = 3;

/// Messages taken in one turn of the loop: the clients that are here have theirs, too.
const AT_ONCE: usize = 128;

/// When a door that has no room is tried again, and when a wait for a turn looks for itself.
const FULL_MS: u64 = 10;
const BUSY_MS: u64 = 100;

/// How long after the death of a receiver its successor is waited for, if there is nobody else.
const SUCCESSOR_MS: u64 = 1000;

/// Waits for a turn that are kept in order.
const WAITING: usize = 16 * 1024;

/// A process's part in it.
pub struct Handover {
    /// Which configuration it serves.
    generation: u32,
    /// The reading end of its door. `None`: nobody is beside it, or it serves nobody.
    door: Option<OwnedFd>,
    receivers: RefCell<Receivers>,
    sent: RefCell<Sent>,
    /// Those who wait for a turn.
    waiting: RefCell<VecDeque<TaskId>>,
    /// Siblings of its own generation leave, too.
    all_leave: Cell<bool>,
    /// `worker_balance`
    balance: Cell<bool>,
    /// When a receiver has last died.
    lost_ms: Cell<Option<u64>>,
    /// Where a message is written, and where one is read; made when first needed.
    outgoing: RefCell<Vec<u8>>,
    incoming: RefCell<Vec<u8>>,
}

/// A connection that is to go.
pub trait Traveller {
    fn io(&self) -> &Io;
    /// If it is a tunnel: its other end.
    fn other(&self) -> Option<&Io>;
    /// Its parcel, which is made when somebody is there to get it. `None`: it has none.
    fn parcel(&self) -> Option<&OwnedFd>;
    /// It is wanted now.
    fn has_something(&self) -> bool {
        self.other().is_some() || self.io().has_something()
    }
    /// nginx's `*N`, for the log.
    fn number(&self) -> u64;
    /// Writes what the receiver has to know of it.
    fn put(&self, out: &mut Writer<'_>);
}

/// What became of one that was to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    /// It is somebody else's: our descriptor is to be closed, and nothing else.
    Taken,
    /// It is still ours, and nobody else's.
    Stays(Why),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// There is nobody who could.
    Nobody,
    /// Those who could do not answer, and the client has something to say meanwhile.
    Deaf,
    Refused(Reason),
}

/// Why a connection is to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// This worker leaves.
    Leave,
    /// It has more than its share.
    Balance,
}

/// What became of one attempt.
enum Attempt {
    Sent,
    Busy,
    Full,
    Again,
    Deaf,
    Nobody,
}

impl Handover {
    /// `door`: the reading end of a worker's own.
    pub fn new(generation: u32, door: Option<OwnedFd>) -> Self {
        Self {
            generation,
            door,
            receivers: RefCell::default(),
            sent: RefCell::default(),
            waiting: RefCell::default(),
            all_leave: Cell::new(false),
            balance: Cell::new(false),
            lost_ms: Cell::new(None),
            outgoing: RefCell::default(),
            incoming: RefCell::default(),
        }
    }

    /// What to watch, and to `receive` when there is something.
    pub fn door(&self) -> Option<&OwnedFd> {
        self.door.as_ref()
    }

    /// A sibling lives that serves this generation; 0: it takes no connections.
    pub fn open(&self, slot: usize, pid: i32, generation: u32, door: OwnedFd) {
        if generation > 0 {
            self.receivers.borrow_mut().open(slot, pid, generation, door);
            self.wake_all();
        }
    }

    /// A sibling is gone. `bury` settles what it has not answered.
    pub fn close(&self, slot: usize, pid: i32) {
        self.receivers.borrow_mut().close(slot, Some(pid));
    }

    /// Whether somebody is to be buried.
    pub fn any_gone(&self) -> bool {
        self.receivers.borrow().any_gone()
    }

    /// Who is gone has answered what it ever will, and its answers have been read: what it had
    /// not is ours again.
    pub fn bury(&self) {
        let (mut sent, mut receivers) = (self.sent.borrow_mut(), self.receivers.borrow_mut());
        let newest = receivers.newest(self.generation, self.peers_stay());
        receivers.bury(|gone| {
            sent.lose(gone.serial, event::wake);
            if !gone.left && gone.generation >= newest.unwrap_or(self.generation) {
                self.lost_ms.set(Some(time::now_ms()));
            }
        });
        self.wake_all();
    }

    fn wake_all(&self) {
        self.waiting.borrow_mut().drain(..).for_each(event::wake);
    }

    /// Somebody takes the place of one that has died.
    fn awaits_successor(&self) -> bool {
        let since = |lost: u64| time::now_ms().saturating_sub(lost);
        self.peers_stay() && self.lost_ms.get().is_some_and(|lost| since(lost) < SUCCESSOR_MS)
    }

    /// From now on nothing goes to siblings of its own generation: they leave as well.
    pub fn all_leave(&self) {
        self.all_leave.set(true);
    }

    pub fn set_balance(&self, on: bool) {
        self.balance.set(on);
    }

    /// Whether a connection that has just been accepted is one too many.
    pub fn is_uneven(&self) -> bool {
        self.balance.get() && self.even(Tried::default()) != Balance::Even
    }

    fn even(&self, tried: Tried) -> Balance {
        let active = event::counters().active.get();
        balance::look(&self.receivers.borrow(), self.generation, active, tried)
    }

    /// Whether anybody takes connections over.
    pub fn has_receivers(&self) -> bool {
        self.receivers.borrow().any(self.generation, self.peers_stay())
    }

    fn peers_stay(&self) -> bool {
        !self.all_leave.get() && !shm::board().master.state().is_leaving()
    }

    /// Begins to give a connection to a worker that takes over.
    pub fn passage(&'static self, purpose: Purpose) -> Passage {
        Passage { handover: self, at: Passage::NOT_YET, purpose }
    }

    /// Who gets a connection, or why nobody does now.
    fn choose(&self, purpose: Purpose, tried: Tried) -> Choice {
        if purpose == Purpose::Balance {
            return match self.even(tried) {
                Balance::Even => Choice::Nobody,
                Balance::To(place) => Choice::Next(place),
                Balance::Busy => Choice::Busy,
            };
        }
        let choice = self.receivers.borrow_mut().choose(self.generation, self.peers_stay(), tried);
        match choice {
            Choice::Nobody if self.awaits_successor() => Choice::Busy,
            choice => choice,
        }
    }

    fn attempt(&self, traveller: &impl Traveller, at: u32, purpose: Purpose) -> Attempt {
        if self.door.is_none() {
            return Attempt::Nobody;
        }
        let tried = self.sent.borrow_mut().tried(at);
        let place = match self.choose(purpose, tried) {
            Choice::Next(place) => place,
            Choice::Busy => return Attempt::Busy,
            Choice::Deaf => return Attempt::Deaf,
            Choice::Nobody => return Attempt::Nobody,
        };
        let tunnel = match traveller.other() {
            None => None,
            Some(other) => match traveller.parcel() {
                Some(parcel) => Some((other, parcel)),
                None => return Attempt::Nobody,
            },
        };
        let (mut receivers, mut sent) = (self.receivers.borrow_mut(), self.sent.borrow_mut());
        let Some(receiver) = receivers.get_mut(place) else { return Attempt::Nobody };
        for io in [Some(traveller.io()), traveller.other()].into_iter().flatten() {
            if let Err(e) = io.leave() {
                log!(Level::Alert, errno e, "epoll_ctl() failed");
            }
        }
        let ticket = sent.send(at, receiver.serial);
        let (number, pid) = (traveller.number(), receiver.pid);
        let Err(e) = self.write(receiver, (traveller, tunnel), ticket) else {
            receiver.unacknowledged += 1;
            receiver.silence.asked();
            log!(Level::Debug, "*{number} handed to worker {pid}, ticket {ticket:x}");
            return Attempt::Sent;
        };
        match e {
            Errno::EAGAIN | Errno::ETOOMANYREFS | Errno::ENOBUFS => {
                log!(Level::Debug, "the door of worker {pid} is full, *{number} waits");
                receiver.silence.asked();
                sent.keep(at, None);
                return Attempt::Full;
            }
            Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED => {
                log!(Level::Debug, "the door of worker {pid} is closed");
                // The master has not said so yet.
                if !std::mem::replace(&mut receiver.refuses, true) {
                    self.lost_ms.set(Some(time::now_ms()));
                }
            }
            e => log!(Level::Alert, errno e, "sendmsg() failed, *{number} stays"),
        }
        sent.keep(at, Some(receiver.serial));
        Attempt::Again
    }

    fn write<T: Traveller>(
        &self,
        to: &mut Receiver,
        (traveller, tunnel): (&T, Option<(&Io, &OwnedFd)>),
        ticket: u64,
    ) -> Result<()> {
        let answers = match &mut to.answers {
            Some(answers) => answers,
            none => none.insert(Answers::open()?),
        };
        let (there, io) = (answers.there.as_fd(), traveller.io().as_fd());
        let mut room = self.outgoing.borrow_mut();
        room.resize(message::LONGEST, 0);
        let mut out = Writer::new(&mut room);
        let kind = if tunnel.is_some() { Kind::Tunnel } else { Kind::Connection };
        Head { kind, reason: None, pid: process::getpid(), ticket }.put(&mut out);
        traveller.put(&mut out);
        let len = out.finish().map_err(|_| Errno::EMSGSIZE)?;
        let send = |fds: &[BorrowedFd<'_>]| {
            msg::send_fds(&to.door, &[IoSlice::new(&room[..len])], fds, 0).map(drop)
        };
        match tunnel {
            None => send(&[there, io]),
            Some((other, parcel)) => send(&[there, io, other.as_fd(), parcel.as_fd()]),
        }
    }

    /// An answer has come, from whoever knows the ticket.
    fn settle(&self, Head { kind, reason, ticket, .. }: Head) {
        let verdict = match kind {
            Kind::Ack => Verdict::Taken,
            _ => Verdict::Refused(reason.unwrap_or(Reason::Invalid)),
        };
        let Some(Settled { serial, task }) = self.sent.borrow_mut().settle(ticket, verdict) else {
            log!(Level::Debug, "an answer to nothing that was sent, ticket {ticket:x}");
            return;
        };
        log!(Level::Debug, "ticket {ticket:x}: {verdict:?}");
        if let Some(receiver) = self.receivers.borrow_mut().by_serial(serial) {
            receiver.refuses |= verdict == Verdict::Refused(Reason::Draining);
            receiver.silence.begins_anew();
        }
        if verdict == Verdict::Taken {
            shm::own().handed_out.add(1);
        }
        event::wake(task);
        self.one_less(serial);
    }

    fn wait_for_turn(&self) {
        let mut waiting = self.waiting.borrow_mut();
        // The others look for themselves, now and then.
        if waiting.len() < WAITING {
            waiting.push_back(event::current());
        }
    }

    /// One less is on its way: somebody else has a turn.
    fn one_less(&self, serial: u32) {
        if let Some(receiver) = self.receivers.borrow_mut().by_serial(serial) {
            receiver.unacknowledged = receiver.unacknowledged.saturating_sub(1);
            if receiver.unacknowledged == 0 {
                receiver.silence.ends();
            }
        }
        if let Some(next) = self.waiting.borrow_mut().pop_front() {
            event::wake(next);
        }
    }
}

/// One connection's way out of this process. Dropping it ends the wait: a connection that is on
/// its way is the receiver's then, and ours is to be closed.
pub struct Passage {
    handover: &'static Handover,
    /// The place of what is known of it.
    at: u32,
    purpose: Purpose,
}

impl Passage {
    const NOT_YET: u32 = u32::MAX;

    /// It has been sent, and its receiver has not answered.
    pub fn is_on_its_way(&self) -> bool {
        self.handover.sent.borrow_mut().is_on_its_way(self.at)
    }

    /// Goes on with it, in the task that waits for it, which is woken when there is more to do.
    pub fn go_on(&mut self, traveller: &impl Traveller) -> Option<Passed> {
        let handover = self.handover;
        if self.at == Self::NOT_YET {
            self.at = handover.sent.borrow_mut().open(event::current());
        }
        let at = self.at;
        loop {
            handover.end_silence();
            if handover.sent.borrow_mut().is_on_its_way(at) {
                event::is_due(event::after(BUSY_MS));
                return None;
            }
            let verdict = handover.sent.borrow_mut().take_verdict(at);
            match verdict {
                Some(Verdict::Taken) => return Some(Passed::Taken),
                // All of a generation have one configuration.
                Some(Verdict::Refused(Reason::NoListener)) => {
                    return Some(Passed::Stays(Why::Refused(Reason::NoListener)));
                }
                _ => {}
            }
            match handover.attempt(traveller, at, self.purpose) {
                Attempt::Sent | Attempt::Again => {}
                Attempt::Busy => {
                    handover.wait_for_turn();
                    event::is_due(event::after(BUSY_MS));
                    return None;
                }
                Attempt::Full => {
                    event::is_due(event::after(FULL_MS));
                    return None;
                }
                Attempt::Deaf if traveller.has_something() => {
                    return Some(Passed::Stays(Why::Deaf));
                }
                Attempt::Deaf => {
                    event::is_due(event::after(BUSY_MS));
                    return None;
                }
                Attempt::Nobody => {
                    return Some(Passed::Stays(handover.sent.borrow_mut().why(at)));
                }
            }
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.at != Self::NOT_YET {
            let unanswered = self.handover.sent.borrow_mut().close(self.at);
            if let Some(serial) = unanswered {
                self.handover.one_less(serial);
            }
        }
    }
}
