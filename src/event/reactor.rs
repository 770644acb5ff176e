//! What every wait in a process shares: the epoll set, the socket slots, the
//! timer wheel, and which task is being polled.
//!
//! INVARIANT: `current` names a task exactly while the loop polls it.

use super::defer::Defer;
use super::wheel::{Millis, Wheel, reached};
use crate::log::{Level, log};
use crate::mem::arena::{reserve, zeroed_record};
use crate::mem::free_list::FreeList;
use crate::sys::epoll::{self, Epoll};
use crate::sys::errno::Result;
use crate::sys::{signal, sockopt};
use crate::time;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Tasks that are not connections: flushers, checks, resolvers.
pub(super) const BACKGROUND: usize = 64;
/// Sockets for each connection of a client.
const SOCKETS_EACH: usize = 3;
/// Tokens at and above are not socket slots.
pub(super) const FIRST_LISTENER: u32 = 0xffff_0000;
pub(super) const FIRST_WATCH: u32 = 0xffff_ff00;

/// A level-triggered descriptor the worker's own loop looks at: 0 to 31.
pub type WatchId = u8;

zeroed_record! {
    /// A socket in the epoll set. Zero is "none" in `task` and `next`.
    pub(super) struct Slot {
        /// Index + 1 of the task that is polled when something happens.
        pub task: Cell<u32>,
        /// Tells this tenant's events from a former one's.
        pub generation: Cell<u32>,
        pub next: Cell<u32>,
        pub ready: Cell<u8>,
        pub registered: Cell<bool>,
    }
}

zeroed_record! {
    /// What the loop knows of a task beside its future.
    pub(super) struct TaskState {
        pub posted: Cell<bool>,
        pub idle: Cell<bool>,
    }
}

/// A listening socket of this worker.
pub(super) struct Listener {
    pub fd: Rc<OwnedFd>,
    pub number: usize,
    pub shared: bool,
    /// Whether it may be made to wait for the first bytes.
    pub may_defer: bool,
    pub armed: Cell<bool>,
}

/// Connections since the process began, and now.
#[derive(Default)]
pub struct Counters {
    pub accepted: Cell<u64>,
    pub handled: Cell<u64>,
    pub active: Cell<u64>,
}

pub struct Reactor {
    pub(super) epoll: Epoll,
    pub(super) slots: &'static [Slot],
    free: FreeList,
    pub(super) tasks: &'static [TaskState],
    pub(super) wheel: Wheel,
    pub(super) posted: RefCell<VecDeque<u32>>,
    pub(super) listeners: RefCell<Vec<Listener>>,
    pub(super) defer: Defer,
    /// The task being polled, and the earliest deadline its waits have named.
    pub(super) current: Cell<u32>,
    pub(super) deadline: Cell<Option<Millis>>,
    pub(super) idle: Cell<u32>,
    pub counters: Counters,
    now: Cell<Millis>,
    turn: Cell<u32>,
    draining: Cell<bool>,
    pub(super) coarse: Cell<bool>,
    leaving: Cell<bool>,
}

impl Reactor {
    /// Makes this process's reactor, for `connections` sockets and as many tasks.
    /// `None` when the address space for them cannot be had.
    pub fn install(connections: usize) -> Result<Option<&'static Reactor>> {
        let tasks = connections + BACKGROUND;
        // Each may have a connection of its own to an upstream, and some rest beside them.
        let sockets = SOCKETS_EACH * connections + BACKGROUND;
        time::update();
        let now = time::now_ms() as Millis;
        let (Some(slots), Some(states), Some(wheel)) =
            (reserve(sockets), reserve(tasks), Wheel::new(tasks, now))
        else {
            return Ok(None);
        };
        let reactor: &'static Reactor = Box::leak(Box::new(Reactor {
            epoll: Epoll::new()?,
            slots,
            free: FreeList::new(sockets),
            tasks: states,
            wheel,
            posted: RefCell::new(VecDeque::with_capacity(1024)),
            listeners: RefCell::new(Vec::new()),
            defer: Defer::new(now),
            current: Cell::new(0),
            deadline: Cell::new(None),
            idle: Cell::new(0),
            counters: Counters::default(),
            now: Cell::new(now),
            turn: Cell::new(0),
            draining: Cell::new(false),
            coarse: Cell::new(false),
            leaving: Cell::new(false),
        }));
        super::REACTOR.set(Some(reactor));
        Ok(Some(reactor))
    }

    #[inline]
    pub(super) fn now(&self) -> Millis {
        self.now.get()
    }

    #[inline]
    pub(super) fn turn(&self) -> u32 {
        self.turn.get()
    }

    #[inline]
    pub(super) fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Connections that wait for a next request.
    pub fn idle_count(&self) -> u32 {
        self.idle.get()
    }

    /// `timer_resolution`: the time is read only when so many milliseconds have
    /// passed, which SIGALRM tells; it also ends the wait, so timers go by it.
    pub fn coarse_time(&self, ms: u64) -> Result<()> {
        signal::setitimer_real(ms, ms)?;
        self.coarse.set(true);
        Ok(())
    }

    /// Begins a turn: the time is read once.
    #[inline(always)]
    pub(super) fn next_turn(&self) {
        if !self.coarse.get() || signal::take(signal::ALRM).is_some() {
            time::update();
            self.now.set(time::now_ms() as Millis);
        }
        self.turn.set(self.turn.get().wrapping_add(1));
    }

    /// Takes a socket slot for the task being polled.
    #[inline]
    pub(super) fn take_slot(&self) -> Option<u32> {
        let index = self.free.take(|free| self.slots[free as usize].next.get())?;
        self.slots[index as usize].task.set(self.current.get() + 1);
        Some(index)
    }

    #[inline]
    pub(super) fn give_slot_back(&self, index: u32) {
        let slot = &self.slots[index as usize];
        slot.task.set(0);
        slot.registered.set(false);
        slot.generation.set(slot.generation.get().wrapping_add(1));
        slot.next.set(self.free.give_back(index));
    }

    /// Notes that the task being polled wants to be polled at `deadline` too;
    /// true when that is already past.
    #[inline]
    pub(super) fn until(&self, deadline: Millis) -> bool {
        if reached(self.now.get(), deadline) {
            return true;
        }
        match self.deadline.get() {
            Some(earlier) if reached(deadline, earlier) => {}
            _ => self.deadline.set(Some(deadline)),
        }
        false
    }

    /// Has a task polled once more before the loop sleeps.
    pub(super) fn post(&self, task: u32) {
        if !self.tasks[task as usize].posted.replace(true) {
            self.posted.borrow_mut().push_back(task);
        }
    }

    /// Watches a descriptor level-triggered; [`super::Fired`] tells of it by `id`.
    pub fn watch(&self, fd: &OwnedFd, id: WatchId) -> Result<()> {
        self.epoll.add(fd, epoll::IN, u64::from(FIRST_WATCH + u32::from(id)))
    }

    pub fn unwatch(&self, fd: &OwnedFd) -> Result<()> {
        self.epoll.delete(fd)
    }

    /// Adds a listening socket; what it accepts carries `number`. A shared one
    /// wakes one worker of several (EPOLLEXCLUSIVE). `may_defer`: under a load of short
    /// connections it may wait for their first bytes.
    pub fn add_listener(&self, fd: Rc<OwnedFd>, number: usize, shared: bool, may_defer: bool) {
        // A worker that was killed may have left it so.
        if may_defer && sockopt::defer_accept(&*fd).is_ok_and(|secs| secs > 0) {
            self.defer.found_on(self.now());
        }
        let armed = Cell::new(false);
        self.listeners.borrow_mut().push(Listener { fd, number, shared, may_defer, armed });
    }

    /// Looks at the connections of late: whether listeners wait for their first bytes.
    pub(super) fn judge_defer(&self) {
        if let Some(wanted) = self.defer.judge(self.now()) {
            self.set_defer(wanted);
        }
    }

    fn set_defer(&self, wanted: bool) {
        for listener in self.listeners.borrow().iter().filter(|listener| listener.may_defer) {
            if let Err(e) = sockopt::set_defer_accept(&*listener.fd, i32::from(wanted)) {
                log!(Level::Debug, errno e, "setsockopt(TCP_DEFER_ACCEPT) failed");
            }
        }
    }

    /// Starts accepting on every listener that is paused (shared ones, or all).
    pub fn arm_listeners(&self) -> Result<()> {
        for (index, listener) in self.listeners.borrow().iter().enumerate() {
            if listener.armed.get() {
                continue;
            }
            // Level-triggered: edge-triggered accepts get lost. EXCLUSIVE allows
            // no other flag and no later change, so pausing is a delete.
            let exclusive = if listener.shared { epoll::EXCLUSIVE } else { 0 };
            let token = u64::from(FIRST_LISTENER) + index as u64;
            self.epoll.add(&*listener.fd, epoll::IN | exclusive, token)?;
            listener.armed.set(true);
        }
        Ok(())
    }

    /// Stops accepting: on shared listeners only, or on all.
    pub fn pause_listeners(&self, shared_only: bool) {
        for listener in self.listeners.borrow().iter() {
            if (!shared_only || listener.shared) && listener.armed.replace(false) {
                // It fails only for a descriptor that is not in the set any more.
                let _ = self.epoll.delete(&*listener.fd);
            }
        }
    }

    /// Leaves the listeners for good and lets go of their descriptors.
    pub fn close_listeners(&self) {
        if self.defer.is_on() {
            self.set_defer(false);
        }
        self.pause_listeners(false);
        self.listeners.borrow_mut().clear();
    }

    pub(super) fn set_draining(&self) {
        self.draining.set(true);
    }

    #[inline]
    pub(super) fn leaving(&self) -> bool {
        self.leaving.get()
    }

    pub(super) fn set_leaving(&self) {
        self.leaving.set(true);
    }
}
