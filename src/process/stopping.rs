//! How a master ends: fast, or when all that was begun is finished; and what may come before.
//!
//! *Draining* is the time between the order and the end of accepting (`shutdown_delay`,
//! `-s drain`): everything goes on, but `health ready` says 503 and answers close their
//! connections, so that whoever sends requests here learns of it before one is refused. What it
//! is that time for: a load balancer goes on sending for seconds after it was told.

use std::mem::take;

use super::channel::Command;
use super::master::{Due, Master};
use super::termination::{Termination, Tick};
use crate::log::{Level, log};
use crate::sys::process;
use crate::time;

/// Given to workers that end by `worker_shutdown_timeout` themselves, before the master helps.
const SHUTDOWN_GRACE_MS: u64 = 500;
/// What a TERM that is graceful takes where `worker_shutdown_timeout` does not say: docker
/// kills after 10 s.
const TERM_MS: u64 = 8_000;
/// What is left of that after a long `shutdown_delay`.
const TERM_LEAST_MS: u64 = 1_000;
/// How long `-s drain` drains where `shutdown_delay` does not say.
const DRAIN_MS: u64 = 5_000;

/// How far the master is on its way out.
#[derive(Default)]
pub struct Stopping {
    drain: Drain,
    /// A TERM has come and was graceful: the next is not.
    termed: bool,
    quitting: bool,
    termination: Option<Termination>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Drain {
    #[default]
    NotYet,
    On,
    Over,
}

impl Master {
    pub(super) fn is_draining(&self) -> bool {
        self.stop.drain == Drain::On
    }

    /// What the next TERM does.
    pub(super) fn is_term_graceful(&self) -> bool {
        !self.stop.termed && self.cycle.core.is_term_graceful(process::getpid())
    }

    /// A graceful stop is asked for: it begins now, or after the time that it is announced for.
    pub(super) fn begin_to_stop(&mut self) {
        let by_term = take(&mut self.wanted.by_term);
        let drain = take(&mut self.wanted.drain);
        if self.wanted.terminate || !(drain || self.wanted.quit) {
            return;
        }
        let delay = match self.stop.drain {
            Drain::NotYet => self.delay(drain),
            Drain::On | Drain::Over => 0,
        };
        if by_term {
            self.stop.termed = true;
            self.bound_term(delay);
        }
        match self.stop.drain {
            Drain::NotYet if delay > 0 => {
                self.wanted.quit = false;
                self.stop.drain = Drain::On;
                log!(Level::Notice, "draining for {delay} ms");
                self.tell_stopping("draining");
                self.deadlines.add(time::now_ms() + delay, Due::Drained);
            }
            // Neither another *drain* nor a TERM shortens it; a QUIT does.
            Drain::On if drain || by_term => self.wanted.quit = false,
            Drain::NotYet | Drain::On | Drain::Over => {
                self.wanted.quit = true;
                self.stop.drain = Drain::Over;
            }
        }
    }

    /// How long to drain. A new binary beside this one has its sockets: nobody has to notice.
    fn delay(&self, drain: bool) -> u64 {
        match self.cycle.core.shutdown_delay {
            _ if self.new_binary.is_some() || self.noaccepting => 0,
            0 if drain => DRAIN_MS,
            delay => delay,
        }
    }

    /// Whoever sends TERM does not wait for ever.
    fn bound_term(&mut self, delay: u64) {
        let ms = match self.cycle.core.worker_shutdown_timeout {
            0 => TERM_MS.max(delay + TERM_LEAST_MS),
            ms => delay + ms + SHUTDOWN_GRACE_MS,
        };
        self.deadlines.add(time::now_ms() + ms, Due::Shutdown);
    }

    /// Everybody has had the time to notice.
    pub(super) fn drained(&mut self) {
        if self.is_draining() {
            self.stop.drain = Drain::Over;
            self.wanted.quit = true;
        }
    }

    /// To the supervisor; not of an old binary whose place a new one takes.
    fn tell_stopping(&mut self, status: &str) {
        if self.new_binary.is_none() {
            self.notifier.stopping(status);
        }
    }

    /// Fast: the children get terminate, again and again, and in the end SIGKILL.
    pub(super) fn terminate(&mut self) {
        if self.stop.termination.is_some() {
            return;
        }
        self.tell_stopping("terminating");
        self.abandon_binding();
        self.order(Command::Terminate, |_| true);
        self.set_termination(Termination::started());
    }

    pub(super) fn tick(&mut self) {
        let Some(mut clock) = self.stop.termination.take() else { return };
        match clock.tick() {
            Tick::Terminate => self.order(Command::Terminate, |_| true),
            Tick::Kill => self.kill_all(|_| true),
        }
        self.set_termination(clock);
    }

    fn set_termination(&mut self, clock: Termination) {
        let delay = clock.delay_ms();
        log!(Level::Debug, "termination cycle: {delay}");
        self.deadlines.add(time::now_ms() + delay, Due::Termination);
        self.stop.termination = Some(clock);
    }

    /// Graceful: no more connections; the workers finish theirs, and the master waits.
    pub(super) fn quit(&mut self) {
        if std::mem::replace(&mut self.stop.quitting, true) {
            return;
        }
        self.tell_stopping("finishing what has begun");
        self.abandon_binding();
        self.order(Command::Quit, |_| true);
        self.close_listening();
        if let ms @ 1.. = self.cycle.core.worker_shutdown_timeout {
            self.deadlines.add(time::now_ms() + ms + SHUTDOWN_GRACE_MS, Due::Shutdown);
        }
    }
}
