//! Reload: the next generation comes up beside the one that serves, or not at all.
//!
//! A reload is a few stages, so that the master hears signals throughout: the
//! configuration is read, its addresses are opened (busy ones are tried again by
//! deadline), its workers are started, and when they are ready the old ones are
//! told to quit. Until then nothing of the old is given up: a roll-back ends the
//! new workers and drops the new cycle. HUPs that come meanwhile mean one more
//! reload afterwards.
//!
//! nginx gives new workers 100 ms and then quits the old ones, whatever became of
//! the new.

use std::ops::ControlFlow::Continue;

use super::channel::Command;
use super::master::{Doomed, Due, Master};
use super::spawn::Step;
use super::start::check_table;
use super::table::Job;
use super::verdict::{Count, Verdict};
use crate::cycle::user::User;
use crate::cycle::{BIND_PAUSE_MS, BIND_TRIES, Cycle};
use crate::log::{self, Level, log};
use crate::net::listen::Opened;
use crate::shm::scoreboard::Asked;
use crate::sys::image;
use crate::sys::process::Pid;
use crate::{shm, time};

/// When SIGKILL follows the terminate of a roll-back: with the last tick of the termination clock.
pub(super) const ROLL_BACK_KILL_MS: u64 = 3_150;

/// What the master is about, beside serving.
pub enum Stage {
    Serving,
    /// The first generation comes up.
    Starting(Coming),
    /// A new configuration waits for its addresses.
    Binding {
        next: Box<Cycle>,
        tries_left: u32,
        /// What the last try said.
        why: Option<String>,
    },
    /// The next generation comes up; the old cycle serves on.
    Reloading {
        old: Box<Cycle>,
        coming: Coming,
    },
}

/// A generation that is not up yet.
pub struct Coming {
    since_ms: u64,
    /// Workers that have exited for good.
    lost: usize,
    /// Nobody accepted before: then a roll-back leaves it so.
    noaccepting: bool,
}

impl Stage {
    pub fn starting(now_ms: u64) -> Self {
        Stage::Starting(Coming { since_ms: now_ms, lost: 0, noaccepting: false })
    }

    pub fn is_serving(&self) -> bool {
        matches!(self, Stage::Serving)
    }

    pub(super) fn coming(&self) -> Option<&Coming> {
        match self {
            Stage::Starting(coming) | Stage::Reloading { coming, .. } => Some(coming),
            Stage::Serving | Stage::Binding { .. } => None,
        }
    }

    pub fn reopen_logs(&self, owner: Option<&User>) {
        if let Stage::Reloading { old: cycle, .. } | Stage::Binding { next: cycle, .. } = self {
            cycle.reopen_logs(owner);
        }
    }

    /// Opens what a dead child had locked of the cycle that serves on meanwhile.
    pub fn unlock(&self, dead: Pid) {
        if let Stage::Reloading { old, .. } = self {
            old.unlock(dead);
        }
    }

    /// The end of the master has come before that of a reload.
    pub fn drop_old(&mut self, current: &Cycle) {
        if let Stage::Reloading { old, .. } = self {
            old.drop_pid_file(current);
        }
    }

    /// Closes what a second cycle has open.
    pub fn close_listening(&mut self, unlink: bool) {
        if let Stage::Reloading { old: cycle, .. } | Stage::Binding { next: cycle, .. } = self {
            cycle.listening.close(unlink);
        }
    }
}

impl Master {
    pub(super) fn reconfigure(&mut self) -> Step {
        let master = &shm::board().master;
        master.take_up(Asked::Reload);
        if self.is_draining() {
            self.serves_on("the server is going to stop");
            return Continue(());
        }
        if self.new_binary.is_some() {
            // The old binary reads no file any more.
            let step = self.accept_again();
            let text = "a new binary runs beside this one: the loaded configuration serves on";
            master.conclude(Asked::Reload, true, text);
            return step;
        }
        log!(Level::Notice, "reconfiguring");
        self.notifier.reloading();
        let generation = self.generation + 1;
        match log::reason_of(|| self.cycle.next(generation)) {
            (Ok(next), _) => {
                let (next, older) = (Box::new(next), self.table.iter().count());
                match log::reason_of(|| check_table(&next, self.nofile, older)) {
                    (Ok(()), _) => return self.bind(next, BIND_TRIES),
                    (Err(_), why) => self.refuse(next, why),
                }
                Continue(())
            }
            (Err(_), why) => {
                self.serves_on(&why.unwrap_or("the new configuration is refused".into()));
                Continue(())
            }
        }
    }

    /// The end of a new binary brings back what WINCH had ended, and so does HUP while it runs.
    pub(super) fn accept_again(&mut self) -> Step {
        self.noaccepting = false;
        self.start_missing()
    }

    pub(super) fn bind_again(&mut self) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Serving) {
            Stage::Binding { next, tries_left: 0, why } => {
                next.listening.give_up();
                self.refuse(next, why);
                Continue(())
            }
            Stage::Binding { next, tries_left, .. } => self.bind(next, tries_left),
            other => {
                self.stage = other;
                Continue(())
            }
        }
    }

    /// One attempt to open what the next cycle needs and the old one does not have.
    fn bind(&mut self, mut next: Box<Cycle>, tries_left: u32) -> Step {
        let (opened, why) = log::reason_of(|| next.listening.open(false));
        match opened {
            Opened::All => return self.take_up(next),
            Opened::Busy => {
                log!(Level::Notice, "try again to bind() after {BIND_PAUSE_MS}ms");
                self.stage = Stage::Binding { next, tries_left: tries_left - 1, why };
                self.deadlines.add(time::now_ms() + BIND_PAUSE_MS, Due::Bind);
            }
            Opened::Failed => self.refuse(next, why),
        }
        Continue(())
    }

    /// Everything of the next cycle is open: its workers are started.
    fn take_up(&mut self, mut next: Box<Cycle>) -> Step {
        if let (Err(_), why) = log::reason_of(|| next.take_pid_file(&self.cycle)) {
            self.refuse(next, why);
            return Continue(());
        }
        std::mem::swap(&mut self.cycle, &mut next);
        self.generation = self.cycle.generation;
        self.cycle.make_current();
        let noaccepting = std::mem::take(&mut self.noaccepting);
        let coming = Coming { since_ms: time::now_ms(), lost: 0, noaccepting };
        self.stage = Stage::Reloading { old: next, coming };
        self.await_generation();
        self.start_beside()
    }

    /// Looks whether the generation that is coming has come.
    pub(super) fn settle(&mut self) {
        if self.stage.coming().is_none() || self.stopping() {
            return;
        }
        let count = self.count();
        let verdict = count.verdict(self.ready_time_is_up);
        if verdict == Verdict::Undecided {
            return;
        }
        let generation = self.cycle.generation;
        self.deadlines.retain(|due| *due != Due::Ready { generation });
        match (std::mem::replace(&mut self.stage, Stage::Serving), verdict) {
            (Stage::Starting(coming), Verdict::Up | Verdict::UpInPart) => {
                self.started(&coming, count)
            }
            (Stage::Starting(_), _) => self.fail(self.reason(count)),
            (Stage::Reloading { old, coming }, Verdict::Up | Verdict::UpInPart) => {
                self.commit(old, &coming, count);
            }
            (Stage::Reloading { old, coming }, _) => self.roll_back(old, &coming, count),
            (other, _) => self.stage = other,
        }
    }

    fn count(&self) -> Count {
        let workers =
            self.processes_of(self.cycle.generation).filter(|p| p.job.work.number().is_some());
        Count {
            wanted: self.cycle.workers,
            ready: workers.filter(|process| process.ready && !process.exited).count(),
            lost: self.stage.coming().map_or(0, |coming| coming.lost),
        }
    }

    fn reason(&self, count: Count) -> &'static str {
        match count.lost >= count.wanted {
            true => "no worker could start, all exited with fatal code 2: the error log says why",
            false => "no worker was ready within 5 s",
        }
    }

    /// Returns what the verdict says.
    fn announce(&self, coming: &Coming, count: Count) -> String {
        let ms = time::now_ms().saturating_sub(coming.since_ms);
        let Count { wanted, ready, .. } = count;
        let generation = self.cycle.generation;
        let level = if ready < wanted { Level::Warn } else { Level::Notice };
        let text = format!("generation {generation}: {ready} of {wanted} workers ready in {ms} ms");
        log!(level, "{text}");
        shm::board().master.listeners.set(&self.cycle.listening.told());
        text
    }

    fn started(&mut self, coming: &Coming, count: Count) {
        let text = self.announce(coming, count);
        let asked = self.complete_upgrade();
        self.watch_config();
        // Who hears the verdict of an upgrade in place must not see it going on.
        self.report();
        shm::board().master.conclude(asked, true, &text);
        self.tell_ready();
        self.notifier.ready(&text);
        if let Some(herald) = self.herald.take() {
            herald.started();
        }
        image::release();
    }

    /// The new generation serves: the old one may go, and what only it had open.
    fn commit(&mut self, mut old: Box<Cycle>, coming: &Coming, count: Count) {
        let text = self.announce(coming, count);
        self.order(Command::Quit, |process| !process.job.just_spawn);
        for (_, process) in self.table.iter_mut() {
            process.job.just_spawn = false;
        }
        let generation = self.cycle.generation;
        self.deadlines
            .retain(|due| !matches!(due, Due::Spawn(job) if job.generation != generation));
        old.retire(&self.cycle, self.owns_names());
        self.cycle.listening.configure();
        self.watch_config();
        self.notifier.ready(&text);
        shm::board().master.conclude(Asked::Reload, true, &text);
        image::release();
    }

    /// The new generation could not start: it goes, and the old one never notices.
    fn roll_back(&mut self, mut old: Box<Cycle>, coming: &Coming, count: Count) {
        let reason = self.reason(count);
        let generation = self.cycle.generation;
        self.order(Command::Terminate, |process| process.job.generation == generation);
        self.deadlines
            .retain(|due| !matches!(due, Due::Spawn(job) if job.generation == generation));
        let doomed = Doomed::Generation(generation);
        self.deadlines.add(time::now_ms() + ROLL_BACK_KILL_MS, Due::Kill(doomed));
        std::mem::swap(&mut self.cycle, &mut old);
        self.noaccepting = coming.noaccepting;
        self.cycle.make_current();
        old.retire(&self.cycle, true);
        self.serves_on(reason);
    }

    /// The next cycle goes without having served.
    fn refuse(&mut self, mut next: Box<Cycle>, why: Option<String>) {
        next.retire(&self.cycle, true);
        self.serves_on(&why.unwrap_or("the new configuration cannot be had".into()));
    }

    /// A stop has come while addresses were awaited.
    pub(super) fn abandon_binding(&mut self) {
        if let Stage::Binding { .. } = self.stage
            && let Stage::Binding { mut next, .. } =
                std::mem::replace(&mut self.stage, Stage::Serving)
        {
            next.retire(&self.cycle, true);
        }
    }

    fn serves_on(&mut self, why: &str) {
        let generation = self.cycle.generation;
        let text = format!("reload failed: {why}; generation {generation} serves on");
        log!(Level::Error, "{text}");
        shm::board().master.reloads_refused.add(1);
        if !self.is_draining() {
            self.notifier.ready(&text);
        }
        shm::board().master.conclude(Asked::Reload, false, &text);
    }

    /// A worker has exited with a code that a new try cannot mend.
    pub(super) fn note_lost(&mut self, job: Job) {
        if job.generation != self.cycle.generation || job.work.number().is_none() {
            return;
        }
        if let Stage::Starting(coming) | Stage::Reloading { coming, .. } = &mut self.stage {
            coming.lost += 1;
        }
    }

    pub(super) fn knows_generation(&self, generation: u32) -> bool {
        let old = match &self.stage {
            Stage::Reloading { old, .. } => Some(old.generation),
            _ => None,
        };
        generation == self.cycle.generation || Some(generation) == old
    }
}
