//! The loop itself: one turn waits, dispatches, expires, and lets go.
//!
//! `Conversations` owns the futures, one for each accepted connection, and the
//! few background tasks. What else happens (the channel, the master's end) is
//! returned to the caller as a set of fired watches: the worker's own loop says
//! what they mean.

use super::Deadline;
use super::io::{Io, readiness};
use super::reactor::{FIRST_LISTENER, FIRST_WATCH, Reactor, WatchId};
use super::wheel::{self, Millis};
use crate::log::{self, Level, log};
use crate::mem::arena::Arena;
use crate::sys::addr::Peer;
use crate::sys::epoll::Event;
use crate::sys::errno::Errno;
use crate::sys::signal::SigSet;
use crate::sys::{signal, socket};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Events taken from the kernel at once (nginx: `epoll_events`).
const EVENTS: usize = 512;
/// Connections accepted in one turn from a listener that no other worker has.
const ALONE: usize = 16;
/// Under permanent load the kernel returns events without looking for signals,
/// so the mask is opened for a moment this often, in milliseconds.
const SIGNALS_EVERY: u32 = 16;
/// How long accepting rests when descriptors have run out, in milliseconds
/// (nginx: `accept_mutex_delay`'s default).
const ACCEPT_REST: u64 = 500;
/// Idle connections closed at once to make room (nginx: 32).
const EVICTED: usize = 32;

/// A connection that has just been accepted.
pub struct Accepted {
    pub io: Io,
    /// The number that [`Reactor::add_listener`] was given.
    pub listener: usize,
    pub peer: Peer,
    /// By a sibling, who has told more of it.
    pub handed: bool,
}

/// A place for a connection that has not begun; dropping it gives it back.
pub struct Reserved<'a, M: Converse> {
    events: &'a Conversations<M>,
    task: u32,
    io: Option<Io>,
}

/// The watches that fired in a turn.
#[derive(Clone, Copy, Default)]
pub struct Fired {
    watches: u32,
    /// How many events there were, those of connections and listeners among them.
    pub count: usize,
}

impl Fired {
    pub fn has(self, id: WatchId) -> bool {
        self.watches & (1 << id) != 0
    }
}

/// What makes the conversation of a connection: any `Fn(Accepted) -> impl Future`.
pub trait Converse {
    type Talk: Future<Output = ()> + 'static;
    fn converse(&self, accepted: Accepted) -> Self::Talk;
}

impl<M: Fn(Accepted) -> F, F: Future<Output = ()> + 'static> Converse for M {
    type Talk = F;
    #[inline]
    fn converse(&self, accepted: Accepted) -> F {
        self(accepted)
    }
}

type Background = Pin<Box<dyn Future<Output = ()>>>;

pub struct Conversations<M: Converse> {
    reactor: &'static Reactor,
    events: RefCell<Box<[Event]>>,
    /// Open inside the wait: no signal.
    mask: SigSet,
    tasks: Arena<M::Talk>,
    background: RefCell<Vec<Option<Background>>>,
    make: M,
    multi_accept: bool,
    /// When accepting may be tried again after descriptors ran out.
    resting: Cell<Option<Deadline>>,
    /// When idle connections were last closed to make room.
    evicted_at: Cell<Millis>,
    /// The last wait brought more than one event: more is likely to be queued.
    busy: Cell<bool>,
    signals_at: Cell<Millis>,
    /// Log lines wait for a slow reader: when to try again, in ms.
    log_wait: Cell<Option<u64>>,
}

impl<M: Converse> Reserved<'_, M> {
    /// Starts the conversation; it reads in the next turn.
    pub fn begin(mut self, listener: usize, peer: Peer) {
        let Some(io) = self.io.take() else { return };
        self.events.put(self.task, Accepted { io, listener, peer, handed: true });
        self.events.reactor.post(self.task);
    }
}

impl<M: Converse> Drop for Reserved<'_, M> {
    fn drop(&mut self) {
        if self.io.take().is_some() {
            self.events.tasks.give_back(self.task);
        }
    }
}

impl<M: Converse> Conversations<M> {
    /// Room for `connections` conversations, each made by `make`; `None` when
    /// the address space cannot be had.
    pub fn new(
        reactor: &'static Reactor,
        connections: usize,
        multi_accept: bool,
        make: M,
    ) -> Option<Self> {
        Some(Conversations {
            reactor,
            events: RefCell::new(vec![Event::NONE; EVENTS].into()),
            mask: SigSet::empty(),
            tasks: Arena::new(connections)?,
            background: RefCell::new(Vec::new()),
            make,
            multi_accept,
            resting: Cell::new(None),
            busy: Cell::new(false),
            evicted_at: Cell::new(reactor.now().wrapping_sub(1000)),
            signals_at: Cell::new(reactor.now()),
            log_wait: Cell::new(None),
        })
    }

    /// Conversations that go on.
    pub fn live(&self) -> usize {
        self.tasks.used()
    }

    /// Bytes of one conversation's slot, for `make sizes`.
    pub const SLOT: usize = Arena::<M::Talk>::SLOT;

    /// Runs a task beside the connections. It may allocate when it is made; it
    /// does not keep the worker from leaving.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut background = self.background.borrow_mut();
        background.push(Some(Box::pin(task)));
        self.reactor.post((self.tasks.capacity() + background.len() - 1) as u32);
    }

    /// One turn of the loop. It sleeps at most `longest` milliseconds (none: until
    /// something happens), and returns early when a signal comes.
    pub fn turn(&self, longest: Option<u32>) -> Fired {
        // What the last turn, and the worker after it, had to say.
        self.log_wait.set(log::flush());
        let timeout = self.timeout(longest);
        let count = match self.reactor.epoll.wait(
            &mut self.events.borrow_mut()[..],
            timeout,
            Some(&self.mask),
        ) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => {
                log!(Level::Alert, errno errno, "epoll_wait() failed");
                0
            }
        };
        self.reactor.next_turn();
        self.busy.set(count > 1);
        let mut fired = Fired { count, ..Fired::default() };
        for at in 0..count {
            let event = self.events.borrow()[at];
            self.dispatch(event, &mut fired);
        }
        self.expire();
        self.run_posted();
        self.let_signals_in(count);
        fired
    }

    fn timeout(&self, longest: Option<u32>) -> i32 {
        if !self.reactor.posted.borrow().is_empty() {
            return 0;
        }
        if self.reactor.coarse.get() {
            return -1;
        }
        let now = self.reactor.now();
        let rest =
            self.resting.get().map(|Deadline(at)| at.wrapping_sub(now).min(ACCEPT_REST as u32));
        let log = self.log_wait.get().map(|ms| ms as u32);
        let defer = self.reactor.defer.wait(now);
        let waits = [self.reactor.wheel.wait(now), longest, rest, log, defer];
        let [timer, longest, rest, log, defer] = waits.map(|ms| ms.unwrap_or(u32::MAX));
        match timer.min(longest).min(rest).min(log).min(defer) {
            u32::MAX => -1,
            ms => ms.min(wheel::LONGEST) as i32,
        }
    }

    #[inline]
    fn dispatch(&self, event: Event, fired: &mut Fired) {
        let token = event.token();
        let index = token as u32;
        if index >= FIRST_WATCH {
            fired.watches |= 1 << (index - FIRST_WATCH).min(31);
            return;
        }
        if index >= FIRST_LISTENER {
            self.accept((index - FIRST_LISTENER) as usize);
            return;
        }
        let slot = &self.reactor.slots[index as usize];
        // A former tenant's event: its socket was closed earlier in this batch.
        if slot.generation.get() != (token >> 32) as u32 {
            return;
        }
        slot.ready.set(slot.ready.get() | readiness(event.flags()));
        // The task may have left the socket to others that have not been polled yet.
        if let Some(task) = slot.task.get().checked_sub(1)
            && self.is_live(task)
        {
            self.poll(task);
        }
    }

    #[inline]
    fn is_live(&self, task: u32) -> bool {
        task as usize >= self.tasks.capacity() || self.tasks.is_live(task)
    }

    /// Polls one task and settles its timer; drops it when it has finished.
    #[inline]
    fn poll(&self, task: u32) {
        let reactor = self.reactor;
        reactor.current.set(task);
        reactor.deadline.set(None);
        let mut context = Context::from_waker(Waker::noop());
        let outcome = match (task as usize).checked_sub(self.tasks.capacity()) {
            None => self.tasks.poll(task, &mut context),
            Some(background) => self.poll_background(background, &mut context),
        };
        match (outcome, reactor.deadline.get()) {
            (Poll::Ready(()), _) => self.finish(task),
            (Poll::Pending, Some(deadline)) => reactor.wheel.set(task, deadline),
            (Poll::Pending, None) => reactor.wheel.clear(task),
        }
    }

    fn poll_background(&self, index: usize, context: &mut Context<'_>) -> Poll<()> {
        // Taken out while it runs, so that it may spawn others.
        let Some(mut task) = self.background.borrow_mut()[index].take() else {
            return Poll::Ready(());
        };
        let outcome = task.as_mut().poll(context);
        if outcome.is_pending() {
            self.background.borrow_mut()[index] = Some(task);
        }
        outcome
    }

    /// Ends a task: its timer goes, its future is dropped, its sockets close.
    fn finish(&self, task: u32) {
        self.reactor.wheel.clear(task);
        if (task as usize) < self.tasks.capacity() {
            self.tasks.drop_in_place(task);
            self.reactor.defer.ended();
            self.reactor.counters.active.set(self.tasks.used() as u64);
        }
    }

    fn expire(&self) {
        let now = self.reactor.now();
        if self.reactor.defer.is_due(now) {
            self.reactor.judge_defer();
        }
        while let Some(task) = self.reactor.wheel.expire(now) {
            self.poll(task);
        }
        if self.resting.get().is_some_and(|deadline| wheel::reached(now, deadline.0)) {
            self.resting.set(None);
            self.resume_accepting();
        }
    }

    /// Polls what was posted before now; what it posts waits for the next turn.
    fn run_posted(&self) {
        let count = self.reactor.posted.borrow().len();
        for _ in 0..count {
            let Some(task) = self.reactor.posted.borrow_mut().pop_front() else { return };
            self.reactor.tasks[task as usize].posted.set(false);
            if self.is_live(task) {
                self.poll(task);
            }
        }
    }

    /// A full batch may mean that the kernel never slept: let pending signals in.
    fn let_signals_in(&self, count: usize) {
        let now = self.reactor.now();
        if count > 0 && now.wrapping_sub(self.signals_at.get()) >= SIGNALS_EVERY {
            self.signals_at.set(now);
            signal::let_in();
        }
    }

    fn accept(&self, index: usize) {
        let most = if self.multi_accept { usize::MAX } else { self.at_once(index) };
        for _ in 0..most {
            let (number, accepted) = {
                let listeners = self.reactor.listeners.borrow();
                let Some(listener) = listeners.get(index) else { return };
                if !listener.armed.get() {
                    return;
                }
                (listener.number, socket::accept_with_peer(&*listener.fd))
            };
            match accepted {
                Ok((fd, peer)) => {
                    self.begin(number, fd, peer, most == 1 || self.reactor.defer.is_on())
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(errno) => return self.accept_failed(errno),
            }
        }
    }

    /// Connections taken from a listener in one turn: one, so that the other workers
    /// have their share (nginx); a batch under load where there is nobody to share with.
    /// Where they wait for their first bytes there is such a load.
    fn at_once(&self, index: usize) -> usize {
        let shared = self.reactor.listeners.borrow().get(index).is_none_or(|it| it.shared);
        let batches = self.busy.get() || self.reactor.defer.is_on();
        if shared || !batches { 1 } else { ALONE }
    }

    /// Starts the conversation of a new connection. It reads at once; of a batch, when the batch
    /// is complete, since by then its request has mostly come, if it has not come before.
    fn begin(&self, listener: usize, fd: OwnedFd, peer: Peer, at_once: bool) {
        let counters = &self.reactor.counters;
        counters.accepted.set(counters.accepted.get() + 1);
        self.reactor.defer.accepted();
        self.make_room();
        let Some(task) = self.tasks.take() else {
            let limit = self.tasks.capacity();
            log!(Level::Alert, "{limit} worker_connections are not enough");
            return;
        };
        self.reactor.current.set(task);
        let Some(io) = Io::adopt(fd) else {
            self.tasks.give_back(task);
            return;
        };
        counters.handled.set(counters.handled.get() + 1);
        self.put(task, Accepted { io, listener, peer, handed: false });
        if at_once {
            self.poll(task);
        } else {
            self.reactor.post(task);
        }
    }

    #[inline]
    fn put(&self, task: u32, accepted: Accepted) {
        self.reactor.counters.active.set(self.tasks.used() as u64);
        self.tasks.put(task, || self.make.converse(accepted));
    }

    /// Takes a place for a connection that another process had; `None` when there is none.
    pub fn reserve(&self, fd: OwnedFd) -> Option<Reserved<'_, M>> {
        let task = self.tasks.take()?;
        self.reactor.current.set(task);
        let io = Io::adopt(fd);
        if io.is_none() {
            self.tasks.give_back(task);
            return None;
        }
        Some(Reserved { events: self, task, io })
    }

    fn accept_failed(&self, errno: Errno) {
        // The client gave up between its SYN and our accept: nothing of ours failed.
        if errno == Errno::ECONNABORTED {
            log!(Level::Error, errno errno, "accept4() failed");
            return;
        }
        let out = matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS);
        let level = if out { Level::Crit } else { Level::Alert };
        log!(level, errno errno, "accept4() failed");
        if out {
            self.evict();
            self.reactor.pause_listeners(false);
            self.resting.set(Some(super::after(ACCEPT_REST)));
        }
    }

    fn resume_accepting(&self) {
        if let Err(errno) = self.reactor.arm_listeners() {
            log!(Level::Alert, errno errno, "epoll_ctl() failed");
            self.resting.set(Some(super::after(ACCEPT_REST)));
        }
    }

    /// nginx's rule: with less than a sixteenth of the connections free, idle
    /// ones are closed, the warning once a second.
    fn make_room(&self) {
        let free = self.tasks.capacity() - self.tasks.used();
        if free > self.tasks.capacity() / 16 || self.reactor.idle_count() == 0 {
            return;
        }
        let now = self.reactor.now();
        if now.wrapping_sub(self.evicted_at.get()) >= 1000 {
            self.evicted_at.set(now);
            let limit = self.tasks.capacity();
            log!(Level::Warn, "{limit} worker_connections are not enough, reusing connections");
        }
        self.evict();
    }

    /// Closes the idle connections that would time out first: up to an eighth of
    /// them, at least one, at most 32 (nginx).
    fn evict(&self) {
        let most = (self.reactor.idle_count() as usize / 8).clamp(1, EVICTED);
        let mut oldest: [(u32, u32); EVICTED] = [(u32::MAX, 0); EVICTED];
        let mut found = 0;
        for task in 0..self.tasks.high_water() {
            if !self.reactor.tasks[task as usize].idle.get() {
                continue;
            }
            let now = self.reactor.now();
            let left = self.reactor.wheel.deadline(task).map_or(0, |at| at.wrapping_sub(now));
            if found < most {
                oldest[found] = (left, task);
                found += 1;
            } else if let Some(youngest) = oldest[..found].iter_mut().max()
                && left < youngest.0
            {
                *youngest = (left, task);
            }
        }
        for &(_, task) in &oldest[..found] {
            self.finish(task);
        }
    }

    /// From now on connections that owe nothing are dismissed: each looks whether it does.
    pub fn drain(&self) {
        self.reactor.set_draining();
        for task in (0..self.tasks.high_water()).filter(|&task| self.tasks.is_live(task)) {
            self.reactor.post(task);
        }
    }

    /// Ends what is still there when the worker leaves; each is told of ([`Io::left_open`]).
    pub fn leave(&self) -> usize {
        self.reactor.set_leaving();
        self.abort()
    }

    /// Ends every conversation at once (the shutdown timeout).
    pub fn abort(&self) -> usize {
        let live: Vec<u32> =
            (0..self.tasks.high_water()).filter(|&task| self.tasks.is_live(task)).collect();
        for &task in &live {
            self.finish(task);
        }
        live.len()
    }
}
