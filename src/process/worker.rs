//! The worker: what it does before it serves, its loop, and how it leaves.
//!
//! The loop is ngx_worker_process_cycle's. One turn is the event floor's; here is
//! only what signals, the channel and the end of the master mean.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::accept_mutex::AcceptMutex;
use super::child::Seat;
use super::names;
use super::privileges::{self, Fatal};
use super::reap::FATAL;
use super::set_title;
use crate::cycle::Cycle;
use crate::cycle::core_conf::DebugPoints;
use crate::event::{Conversations, Converse, Fired, Reactor, WatchId};
use crate::http::conf::Http;
use crate::log::{self, Level, log};
use crate::net::handover::{ANSWERS, DOOR};
use crate::shm::scoreboard::State;
use crate::sys::map::Mapping;
use crate::sys::{image, process};
use crate::{http, shm, time};

const CHANNEL: WatchId = 0;
const MASTER: WatchId = 1;

/// How long the orphans of a dead master may finish what is in flight, when
/// `worker_shutdown_timeout` does not say.
const ORPHAN_MS: u64 = 10_000;

/// Below this a worker is of no use.
const CONNECTIONS_LEAST: usize = 64;

/// The exit code of a process that lacks something it may get at the next try.
const RESOURCES: i32 = 1;

const TITLE: &[u8] = b"limpet: worker process";
const TITLE_LEAVING: &[u8] = b"limpet: worker process is shutting down";

/// A worker process from its first moment to its exit code.
pub fn run(cycle: Cycle, mut seat: Seat) -> i32 {
    match privileges::init(&cycle, &mut seat) {
        Ok(()) => serve(cycle, seat).unwrap_or(RESOURCES),
        Err(Fatal) => FATAL,
    }
}

fn serve(cycle: Cycle, seat: Seat) -> Option<i32> {
    set_title(TITLE);
    let http = cycle.http();
    let connections = connections(&cycle, &http)?;
    let reactor = reactor(connections)?;
    seat.handover.set_balance(cycle.events.worker_balance);
    let http = http::Worker::leak(http, connections, next_connection, seat.handover)?;
    let multi_accept = cycle.events.multi_accept;
    let events = http::conversations(reactor, http, connections, multi_accept)?;
    add_listeners(&cycle, reactor, seat.number.unwrap_or(0));
    coarse_time(&cycle, reactor);
    let accept_mutex = AcceptMutex::of(&cycle, connections);
    let worker = Worker::new(cycle, seat, reactor, events);
    Some(Worker { accept_mutex, http: Some(http), ..worker }.cycle())
}

/// nginx's `*N`.
pub fn next_connection() -> u64 {
    shm::board().connection_number.next()
}

/// `timer_resolution`
pub fn coarse_time(cycle: &Cycle, reactor: &Reactor) {
    let ms = cycle.core.timer_resolution;
    if ms > 0
        && let Err(e) = reactor.coarse_time(ms)
    {
        log!(Level::Alert, errno e, "setitimer() failed");
    }
}

/// As many as are configured and fit the address space. Less of them than configured is better
/// than none: a limit (RLIMIT_AS) is no reason not to serve.
pub fn connections(cycle: &Cycle, http: &Http) -> Option<usize> {
    let wanted = usize::try_from(cycle.events.worker_connections).unwrap_or(usize::MAX);
    let fits = |connections| Mapping::reserve(http::Worker::reservation(http, connections)).is_ok();
    let mut connections = wanted;
    while !fits(connections) {
        connections /= 2;
        if connections < CONNECTIONS_LEAST {
            log!(Level::Emerg, "not enough address space for {wanted} worker_connections");
            return None;
        }
    }
    if connections < wanted {
        log!(
            Level::Warn,
            "not enough address space for {wanted} worker_connections, going on with {connections}"
        );
    }
    Some(connections)
}

pub fn reactor(connections: usize) -> Option<&'static Reactor> {
    match Reactor::install(connections) {
        Ok(Some(reactor)) => return Some(reactor),
        Ok(None) => log!(Level::Emerg, "not enough address space for {connections} connections"),
        Err(e) => log!(Level::Emerg, errno e, "epoll_create() failed"),
    }
    None
}

/// Gives the reactor this worker's listeners; what they accept carries the number of the address
/// in the configuration.
pub fn add_listeners(cycle: &Cycle, reactor: &Reactor, number: usize) {
    for listener in cycle.listening.iter().filter(|listener| listener.is_for(number)) {
        if let Some(socket) = listener.socket() {
            let alone = !cycle.core.master_process || cycle.workers < 2;
            let shared = listener.worker.is_none() && !alone;
            // A client that waits in a socket of one worker's is lost with it.
            let may_defer = cycle.events.accept_defer
                && listener.worker.is_none()
                && !listener.options.deferred
                && !listener.addr.is_unix();
            reactor.add_listener(Rc::clone(socket), listener.index, shared, may_defer);
        }
    }
}

/// The loop of a worker or a helper.
pub struct Worker<M: Converse> {
    cycle: Cycle,
    seat: Seat,
    reactor: &'static Reactor,
    pub events: Conversations<M>,
    accept_mutex: Option<AcceptMutex>,
    /// None: a helper, which serves nobody.
    http: Option<&'static http::Worker>,
    /// A helper's work is done.
    pub done: Rc<Cell<bool>>,
    /// It has had something to do ever since it was ready: who comes while a worker starts is
    /// served before what only the start needed is let go of.
    starting: bool,
    exiting: bool,
    /// When connections that are still open are closed.
    shutdown_at: Option<u64>,
}

impl<M: Converse> Worker<M> {
    pub fn new(
        cycle: Cycle,
        seat: Seat,
        reactor: &'static Reactor,
        events: Conversations<M>,
    ) -> Self {
        let done = Rc::default();
        Self {
            cycle,
            seat,
            reactor,
            events,
            accept_mutex: None,
            http: None,
            done,
            starting: true,
            exiting: false,
            shutdown_at: None,
        }
    }

    /// Serves until it is told to leave; returns the exit code. Apart from the start, so that
    /// waiting keeps none of that code in memory (layout.ld).
    #[inline(never)]
    pub fn cycle(mut self) -> i32 {
        if let Some(http) = self.http
            && !names::are_found(http, &self.events, &mut self.seat)
        {
            return FATAL;
        }
        if let Err(code) = self.arm() {
            return code;
        }
        log::batch(true);
        self.seat.ready();
        loop {
            if self.exiting && self.events.live() == 0 {
                log!(Level::Notice, "exiting");
                return self.exit();
            }

            log!(Level::Debug, "worker cycle");
            let fired = self.turn();
            if self.starting && fired.count == 0 {
                self.starting = false;
                image::release();
            }
            self.seat.take_signals();
            self.look_at(fired);

            if self.seat.wanted.terminate || self.done.get() {
                log!(Level::Notice, "exiting");
                return self.exit();
            }
            if std::mem::take(&mut self.seat.wanted.quit) {
                self.shut_down();
            }
            if std::mem::take(&mut self.seat.wanted.reopen) {
                log!(Level::Notice, "reopening logs");
                self.cycle.reopen_logs(None);
                shm::has_reopened();
            }
            self.report();
        }
    }

    /// Its own end of the channel, the master's pidfd and the listeners enter epoll. Without the
    /// first two there is no telling it anything: fatal.
    fn arm(&self) -> Result<(), i32> {
        let failed = |e, code| {
            log!(Level::Emerg, errno e, "epoll_ctl() failed");
            code
        };
        let (channel, master) = (self.seat.channel.as_ref(), self.seat.master.pidfd.as_ref());
        let door = self.seat.handover.door();
        for (fd, id) in [(channel, CHANNEL), (master, MASTER), (door, DOOR)] {
            if let Some(fd) = fd {
                self.reactor.watch(fd, id).map_err(|e| failed(e, FATAL))?;
            }
        }
        self.reactor.arm_listeners().map_err(|e| failed(e, RESOURCES))
    }

    /// One turn of the event floor, under the accept mutex where there is one.
    fn turn(&self) -> Fired {
        let shutdown = self.shutdown_at.map(|at| at.saturating_sub(time::now_ms()).max(1));
        let mutex = self.accept_mutex.as_ref().filter(|_| !self.exiting);
        let held = mutex.map(|mutex| mutex.take(self.reactor, self.events.live()));
        let again = mutex.filter(|_| held == Some(false)).map(|mutex| mutex.delay_ms);

        // A worker with nothing to do has to tell so.
        let timeout = self.cycle.core.worker_stall_timeout;
        let beat = (timeout > 0).then(|| (timeout / 3).max(1));

        let first = self.starting.then_some(0);
        let longest = [shutdown, again, beat, first].into_iter().flatten().min();
        let fired = self.events.turn(longest.map(millis));
        if let Some(mutex) = mutex.filter(|_| held == Some(true)) {
            mutex.give_back();
        }
        fired
    }

    fn look_at(&mut self, fired: Fired) {
        if fired.has(DOOR) || fired.has(ANSWERS) {
            self.receive();
        }
        if fired.has(CHANNEL)
            && !self.seat.hear()
            && let Some(end) = self.seat.channel.take()
        {
            unwatch(self.reactor, &end);
        }
        if self.seat.handover.any_gone() && self.receive() {
            self.seat.handover.bury();
        }
        if fired.has(MASTER)
            && let Some(pidfd) = self.seat.master.pidfd.take()
        {
            unwatch(self.reactor, &pidfd);
            // Its siblings have lost their master, too: nothing more comes, and the end of it
            // would be told for ever.
            if let Some(door) = self.seat.handover.door() {
                unwatch(self.reactor, door);
            }
            self.seat.wanted.quit = true;
        }
        if self.shutdown_at.is_some_and(|at| time::now_ms() >= at) {
            let count = self.events.abort();
            log!(Level::Notice, "shutdown timeout: {count} connections closed");
        }
    }

    /// What siblings have sent; false if there is more. Who has died has answered before that was
    /// known, so the door is read before `bury`.
    fn receive(&self) -> bool {
        self.http.is_none_or(|http| http.receive(&self.events))
    }

    /// Graceful: no new connections; those that are there finish, and go to others between
    /// requests.
    fn shut_down(&mut self) {
        let orphaned = self.seat.master.is_gone();
        if orphaned {
            log!(Level::Alert, "the master process {} is gone", self.seat.master.pid);
            self.seat.handover.all_leave();
        }
        let configured = Some(self.cycle.core.worker_shutdown_timeout).filter(|ms| *ms > 0);
        let timeout = configured.or(orphaned.then_some(ORPHAN_MS));
        let at = timeout.map(|ms| time::now_ms() + ms);
        self.shutdown_at = self.shutdown_at.or(at);
        if std::mem::replace(&mut self.exiting, true) {
            return;
        }
        log!(Level::Notice, "gracefully shutting down");
        if self.seat.number.is_some() {
            set_title(TITLE_LEAVING);
        }
        self.reactor.close_listeners();
        self.cycle.listening.close(false);
        // Who sees this knows that nobody is accepted here any more.
        let state = if orphaned { State::Orphaned } else { State::ShuttingDown };
        shm::own().set_state(state);
        self.events.drain();
    }

    /// What the scoreboard shows of this process.
    fn report(&self) {
        let own = shm::own();
        own.log_drops.set(log::dropped());
        if let Some(http) = self.http {
            http.report();
        }
        own.beat(time::now_ms());
    }

    fn exit(self) -> i32 {
        // A terminate in the middle of a quit.
        let left = self.exiting && self.events.leave() > 0;
        if left || (self.exiting && self.seat.wanted.debug_quit) {
            log!(Level::Alert, "aborting");
            debug_point(self.cycle.core.debug_points);
        }
        log!(Level::Notice, "exit");
        0
    }
}

fn millis(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

/// The master holds the same open descriptions: closing ours would not take them out of epoll.
fn unwatch(reactor: &Reactor, fd: &OwnedFd) {
    if let Err(e) = reactor.unwatch(fd) {
        log!(Level::Alert, errno e, "epoll_ctl() failed");
    }
}

/// `debug_points`: leaves the process to a debugger, or a core.
fn debug_point(points: Option<DebugPoints>) {
    match points {
        Some(DebugPoints::Stop) => {
            let _ = process::stop_self();
        }
        Some(DebugPoints::Abort) => process::abort(),
        None => {}
    }
}
