//! The worker's loop: epoll, sockets, timers, tasks.
//!
//! A conversation is one `async fn` in a slot of an arena. It waits only through
//! this floor: a socket to become ready ([`Io`]), a point in time ([`sleep`]), a
//! turn of the loop ([`yield_now`]). There are no wakers: what a task waits for
//! knows the task, and the loop polls it. A spurious poll is allowed by design,
//! and every wait looks again at what it waits for.
//!
//! One process has one [`Reactor`], reached through thread-local storage, so that
//! handles stay small and signatures stay plain.

mod conversations;
mod defer;
mod io;
mod reactor;
#[cfg(test)]
mod tests;
mod wait;
mod wheel;

pub use conversations::{Accepted, Conversations, Converse, Fired, Reserved};
pub use io::{CLOSED, Dismissal, Io, READ, WRITE, any_of};
pub use reactor::{Counters, Reactor, WatchId};
pub use wait::{found, is_due, sleep, yield_now};

use std::cell::Cell;

thread_local! {
    static REACTOR: Cell<Option<&'static Reactor>> = const { Cell::new(None) };
}

/// The process's reactor. Only code that runs in a worker's loop may ask.
#[inline]
pub(crate) fn reactor() -> &'static Reactor {
    REACTOR.get().expect("a worker's loop has a reactor")
}

/// A point in time by which a wait must end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Deadline(wheel::Millis);

impl Deadline {
    /// Milliseconds until then.
    pub fn left_ms(self) -> u32 {
        let now = reactor().now();
        if wheel::reached(now, self.0) { 0 } else { self.0.wrapping_sub(now) }
    }

    /// The one of two that comes first.
    pub fn earlier(self, other: Deadline) -> Deadline {
        if wheel::reached(other.0, self.0) { self } else { other }
    }
}

/// The deadline `ms` milliseconds from now; spans beyond 24 days end there.
#[inline(always)]
pub fn after(ms: u64) -> Deadline {
    let span = ms.min(u64::from(wheel::LONGEST)) as u32;
    Deadline(reactor().now().wrapping_add(span))
}

/// A task of the loop, for what is to wake it. It may be another one by then: who is woken
/// looks whether it was meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskId(u32);

#[cfg(test)]
impl TaskId {
    pub const NONE: TaskId = TaskId(u32::MAX);
}

/// The task that is being polled.
#[inline]
pub fn current() -> TaskId {
    TaskId(reactor().current.get())
}

/// Has a task polled once more before the loop sleeps.
#[inline(always)]
pub fn wake(task: TaskId) {
    reactor().post(task.0);
}

/// True from the moment the worker was told to quit: finish, and do not keep alive.
#[inline]
pub fn draining() -> bool {
    reactor().draining()
}

/// What the loop has counted.
#[inline(always)]
pub fn counters() -> &'static Counters {
    &reactor().counters
}

/// Connections that wait between requests, or for the first one.
#[inline(always)]
pub fn idle_count() -> u32 {
    reactor().idle_count()
}

/// The number of the loop turn: what was checked in this turn need not be again.
#[inline]
pub fn turn() -> u32 {
    reactor().turn()
}
