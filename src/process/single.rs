//! `master_process off`: one process that does it all, for development.
//!
//! ngx_single_process_cycle: environment and module init, then one visible loop:
//! events, stop, reload, reopen. WINCH and USR2 are logged and ignored. It stays
//! whom it was started as. A stop is a stop: QUIT does not wait, as in nginx.

use super::daemon::Herald;
use super::notify::Notifier;
use super::signals::{Role, Wanted};
use super::start::Start;
use super::worker::{add_listeners, coarse_time, connections, next_connection, reactor};
use crate::cycle::{Cycle, Refused};
use crate::event::{Conversations, Converse, Reactor};
use crate::log::{self, Level, log};
use crate::net::handover::Handover;
use crate::shm::scoreboard::{Asked, Kind, MasterState};
use crate::sys::{image, process};
use crate::{http, shm, time};
use std::mem::take;

/// Serves until it is told to stop; the exit code.
pub fn run(cycle: Cycle, start: Start) -> i32 {
    cycle.set_environment();
    shm::board().prepare(0, Kind::Single, 0, cycle.generation.into());
    shm::enter(0);
    serve(cycle, start.notifier, start.herald).unwrap_or(1)
}

fn serve(cycle: Cycle, notifier: Notifier, herald: Option<Herald>) -> Option<i32> {
    let http = cycle.http();
    let connections = connections(&cycle, &http)?;
    let reactor = reactor(connections)?;
    let handover = Box::leak(Box::new(Handover::new(0, None)));
    let http = http::Worker::leak(http, connections, next_connection, handover)?;
    let multi_accept = cycle.events.multi_accept;
    let events = http::conversations(reactor, http, connections, multi_accept)?;
    events.spawn(http::health_check::run(|| http.http()));
    add_listeners(&cycle, reactor, 0);
    coarse_time(&cycle, reactor);
    let single = Single { cycle, notifier, reactor, http, events, wanted: Wanted::default() };
    Some(single.cycle(herald))
}

struct Single<M: Converse> {
    cycle: Cycle,
    notifier: Notifier,
    reactor: &'static Reactor,
    http: &'static http::Worker,
    events: Conversations<M>,
    wanted: Wanted,
}

impl<M: Converse> Single<M> {
    fn cycle(mut self, herald: Option<Herald>) -> i32 {
        self.arm();
        log::batch(true);
        shm::own().ready();
        let text = "one process serves";
        shm::board().master.listeners.set(&self.cycle.listening.told());
        shm::board().master.conclude(Asked::Start, true, text);
        self.notifier.ready(text);
        if let Some(herald) = herald {
            herald.started();
        }
        image::release();
        loop {
            log!(Level::Debug, "worker cycle");
            self.events.turn(None);
            self.wanted.take_signals(Role::Single);

            if self.wanted.terminate || self.wanted.quit {
                return self.exit();
            }
            if take(&mut self.wanted.reap) {
                // Orphans of a namespace whose pid 1 this is.
                while let Ok(Some(_)) = process::waitpid_any() {}
            }
            if take(&mut self.wanted.refused) {
                shm::board().master.refuse(Asked::Upgrade, "upgrade failed: there is no master");
            }
            if take(&mut self.wanted.reconfigure) {
                self.reconfigure();
            }
            if take(&mut self.wanted.reopen) {
                self.reopen();
            }
            self.report();
        }
    }

    fn arm(&self) {
        if let Err(e) = self.reactor.arm_listeners() {
            log!(Level::Alert, errno e, "epoll_ctl() failed");
        }
    }

    /// The next cycle in place of this one, if it can be had; connections go on.
    fn reconfigure(&mut self) {
        log!(Level::Notice, "reconfiguring");
        let master = &shm::board().master;
        master.take_up(Asked::Reload);
        self.notifier.reloading();
        let next = match log::reason_of(|| self.next()) {
            (Ok(next), _) => next,
            (Err(_), why) => {
                log!(Level::Error, "reload failed, the old configuration serves on");
                let text = format!("reload failed: {}", why.unwrap_or_default());
                self.notifier.ready(&text);
                return master.conclude(Asked::Reload, false, &text);
            }
        };
        let mut old = std::mem::replace(&mut self.cycle, next);
        self.cycle.make_current();
        self.reactor.close_listeners();
        old.retire(&self.cycle, true);
        self.cycle.listening.configure();
        shm::own().generation.set(self.cycle.generation.into());
        self.http.set_http(self.cycle.http());
        add_listeners(&self.cycle, self.reactor, 0);
        self.arm();
        let text = format!("generation {} serves", self.cycle.generation);
        master.listeners.set(&self.cycle.listening.told());
        self.notifier.ready(&text);
        master.conclude(Asked::Reload, true, &text);
    }

    fn reopen(&self) {
        log!(Level::Notice, "reopening logs");
        let master = &shm::board().master;
        master.take_up(Asked::Reopen);
        let ((), why) = log::reason_of(|| self.cycle.reopen_logs(None));
        let text = why.as_deref().unwrap_or("logs reopened");
        master.conclude(Asked::Reopen, why.is_none(), text);
        shm::has_reopened();
    }

    fn next(&self) -> Result<Cycle, Refused> {
        let mut next = self.cycle.next(self.cycle.generation + 1)?;
        let ready = next.open().and_then(|()| next.take_pid_file(&self.cycle));
        if ready.is_err() {
            next.retire(&self.cycle, true);
        }
        ready.map(|()| next)
    }

    fn report(&self) {
        let own = shm::own();
        self.http.report();
        own.log_drops.set(log::dropped());
        own.beat(time::now_ms());
        let master = &shm::board().master;
        master.set_state(MasterState::Running);
        master.generation.set(self.cycle.generation.into());
    }

    fn exit(mut self) -> i32 {
        self.notifier.stopping("terminating");
        if let Some(file) = &self.cycle.pid_file {
            file.remove();
        }
        log!(Level::Notice, "exit");
        self.reactor.close_listeners();
        self.cycle.listening.close(true);
        self.events.abort();
        0
    }
}
