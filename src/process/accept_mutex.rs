//! `accept_mutex on`: only the worker that holds the mutex accepts from shared listeners.
//!
//! It is in shared memory, taken for one turn of the loop and without waiting; who
//! does not get it looks again after `accept_mutex_delay`. It counts only with a
//! master and more than one worker. A worker that dies with it loses it when it is
//! reaped.

use crate::cycle::Cycle;
use crate::event::Reactor;
use crate::log::{Level, log};
use crate::shm;

pub struct AcceptMutex {
    pub delay_ms: u64,
    /// With more connections than this a worker leaves the others the way (nginx: seven eighths).
    busy_above: usize,
}

impl AcceptMutex {
    pub fn of(cycle: &Cycle, connections: usize) -> Option<Self> {
        let counts = cycle.events.accept_mutex && cycle.core.master_process && cycle.workers > 1;
        let delay_ms = cycle.events.accept_mutex_delay.max(1);
        counts.then_some(Self { delay_ms, busy_above: connections - connections / 8 })
    }

    /// Whether this turn accepts, in a worker with `live` connections.
    pub fn take(&self, reactor: &Reactor, live: usize) -> bool {
        if live > self.busy_above || !shm::board().accept_mutex.mutex.try_lock() {
            reactor.pause_listeners(true);
            return false;
        }
        if let Err(e) = reactor.arm_listeners() {
            log!(Level::Alert, errno e, "epoll_ctl() failed");
        }
        true
    }

    pub fn give_back(&self) {
        shm::board().accept_mutex.mutex.unlock();
    }
}
