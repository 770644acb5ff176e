//! Connections to upstreams that nobody uses at the moment (`keepalive`).
//!
//! One pool a worker. What rests here belongs to a background task, which hears when the
//! other side closes it or its time is up, and closes it then. A group may have more idle
//! connections than it says for a moment: under load they come back in the same turn of the
//! loop that takes them again, and closing them in between would only make new ones.

use crate::event::{self, Deadline, Io, TaskId};
use crate::shm;
use crate::sys::addr::{Addr, Peer};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::Poll;

/// What a group says of its idle connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    /// How many of them there may be; 0: none.
    pub connections: usize,
    /// Requests of one connection.
    pub requests: u64,
    /// How long one lives, in milliseconds.
    pub time: u64,
    /// How long one rests, in milliseconds.
    pub timeout: u64,
}

/// A connection, and how much it has been used.
pub struct Used {
    pub io: Io,
    pub requests: u64,
    /// When it was made, in ms of [`crate::time::now_ms`].
    pub since: u64,
    /// Where it comes from, if that was said: who asks for another address gets another one.
    pub from: Option<Peer>,
}

struct Idle {
    used: Used,
    /// Of which group it is.
    owner: usize,
    addr: Addr,
    keep: usize,
    until: Deadline,
}

/// See the module. An owner is the number of a group.
pub struct Pool {
    /// The one that came last is at the end.
    idle: RefCell<Vec<Idle>>,
    /// The task that watches over them, once it runs.
    keeper: Cell<Option<TaskId>>,
    /// When it wakes by itself.
    wakes_at: Cell<Option<Deadline>>,
    /// When those that are too many are closed.
    trim_at: Cell<Option<Deadline>>,
}

/// Beyond so many times its number, a group's connections are closed at once.
const SLACK: usize = 8;
/// How long a group may have too many, in milliseconds.
const TRIM_MS: u64 = 1000;
/// Idle connections for which there is room from the start.
const USUAL: usize = 256;

impl Pool {
    pub fn new() -> Pool {
        Pool {
            idle: RefCell::new(Vec::with_capacity(USUAL)),
            keeper: Cell::new(None),
            wakes_at: Cell::new(None),
            trim_at: Cell::new(None),
        }
    }

    /// A connection of this owner between these addresses, for the task that is being polled.
    pub fn take(&self, owner: usize, addr: &Addr, from: Option<Peer>) -> Option<Used> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let is_wanted =
                |it: &Idle| it.owner == owner && it.addr == *addr && it.used.from == from;
            let at = idle.iter().rposition(is_wanted)?;
            let Idle { used, .. } = idle.remove(at);
            tell(&idle);
            if used.io.is_quiet() {
                used.io.belongs_to(event::current());
                return Some(used);
            }
        }
    }

    /// Takes a connection into its care, if its group keeps any.
    pub fn put(&self, owner: usize, addr: &Addr, keep: Keep, used: Used) {
        let Some(keeper) = self.keeper.get() else { return };
        let age = crate::time::now_ms().saturating_sub(used.since);
        if keep.connections == 0 || used.requests >= keep.requests || age >= keep.time {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() == idle.capacity() {
            idle.remove(0);
        }
        // Of fewer than there may be nobody has to be counted.
        let others = match idle.len() < keep.connections {
            true => 0,
            false => idle.iter().filter(|it| it.owner == owner).count(),
        };
        if others >= keep.connections.saturating_mul(SLACK)
            && let Some(oldest) = idle.iter().position(|it| it.owner == owner)
        {
            idle.remove(oldest);
        }
        if !used.io.rests_with(keeper) {
            return;
        }
        let until = event::after(keep.timeout);
        // The keeper sleeps as long as nothing is too old or too many.
        let in_time = self.wakes_at.get().is_some_and(|at| at.earlier(until) == at);
        let is_new = others == keep.connections && self.trim_at.get().is_none();
        if !in_time || is_new {
            event::wake(keeper);
        }
        idle.push(Idle { used, owner, addr: *addr, keep: keep.connections, until });
        tell(&idle);
    }

    /// Closes what was closed by the other side, is too old, or too many.
    ///
    /// Cancellation: nothing is put here any more.
    pub async fn watch(&self) {
        poll_fn(|_| {
            self.keeper.set(Some(event::current()));
            let mut idle = self.idle.borrow_mut();
            idle.retain(|it| it.used.io.is_quiet() && !event::is_due(it.until));
            self.trim(&mut idle);
            tell(&idle);
            self.wakes_at.set(idle.iter().map(|it| it.until).reduce(Deadline::earlier));
            Poll::<()>::Pending
        })
        .await;
    }

    /// Closes the oldest of those that are too many, if they have been for a while.
    fn trim(&self, idle: &mut Vec<Idle>) {
        if too_many(idle).is_none() {
            return self.trim_at.set(None);
        }
        let due = *self.trim_at.get().get_or_insert_with(|| event::after(TRIM_MS));
        self.trim_at.set(Some(due));
        if !event::is_due(due) {
            return;
        }
        self.trim_at.set(None);
        while let Some(at) = too_many(idle) {
            idle.remove(at);
        }
    }
}

/// The oldest connection of a group that has too many. Each group is counted once, at its
/// first connection.
fn too_many(idle: &[Idle]) -> Option<usize> {
    let is_over = |(at, it): (usize, &Idle)| {
        let is_first = idle[..at].iter().all(|other| other.owner != it.owner);
        is_first && idle[at..].iter().filter(|other| other.owner == it.owner).count() > it.keep
    };
    idle.iter().enumerate().position(is_over)
}

/// For the scoreboard.
fn tell(idle: &[Idle]) {
    shm::own().kept.set(idle.len() as u64);
}
