//! The master: one visible loop around sigsuspend.
//!
//! Everything stays blocked but inside sigsuspend. A turn works off what signals
//! and deadlines ask for, in one fixed order, and never waits for anything else:
//! a reload that needs an address, workers that have to become ready, a child
//! that does not go are all deadlines in one list.
//!
//! The loop is ngx_master_process_cycle's; what it does beyond nginx stands where
//! it does it.

use std::mem::take;
use std::ops::ControlFlow::{Break, Continue};

use super::config_watch::ConfigWatch;
use super::deadlines::Deadlines;
use super::notify::Notifier;
use super::reload::Stage;
use super::signals::{Role, Wanted};
use super::spawn::{End, Step};
use super::stopping::Stopping;
use super::table::{Job, Process, Spawn, Table, Work};
use super::upgrade::{Executable, Upgrade};
use super::verdict::READY_WITHIN_MS;
use super::{channel::Command, child::MasterWatch, daemon::Herald, set_title, start::Start};
use crate::cycle::Cycle;
use crate::log::{self, Level, log};
use crate::shm::scoreboard::{Asked, MasterState};
use crate::sys::limits::Limit;
use crate::sys::process::Pid;
use crate::sys::signal::{self, SigSet};
use crate::sys::{process, user};
use crate::{shm, time};

/// What a deadline is for.
#[derive(PartialEq, Debug)]
pub enum Due {
    /// The termination clock ticks.
    Termination,
    /// Who has been told to end, and is still there, gets SIGKILL.
    Kill(Doomed),
    /// A spawn that had to wait.
    Spawn(Job),
    /// Full channels are tried again.
    Flush,
    /// Busy addresses are tried again.
    Bind,
    /// A generation has had its time to become ready.
    Ready { generation: u32 },
    /// The time of a graceful stop is over.
    Shutdown,
    /// Everybody has had the time to notice that we stop.
    Drained,
    /// No worker has been ready for too long.
    Loss,
    /// Workers that hang are looked for; when that was asked for.
    Stall { looked_ms: u64 },
    /// The next generation has waited long enough for the oldest one to go.
    Oldest { generation: u32 },
    /// Log lines wait for a slow reader.
    Log,
    /// The configuration may have changed, and it is quiet now.
    ConfigChange,
    /// A new binary has had its time to become ready.
    NewBinary { pid: Pid },
    /// A new binary has had its time to test the configuration.
    Trial { pid: Pid },
}

/// Whose time is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doomed {
    /// The workers of a generation that was refused, or was in the way.
    Generation(u32),
    /// A worker that hung, and has had its time to write a core.
    Process(Pid),
}

impl Doomed {
    fn is(self, process: &Process) -> bool {
        match self {
            Doomed::Generation(number) => process.job.generation == number,
            Doomed::Process(pid) => process.pid == pid,
        }
    }
}

pub struct Master {
    pub(super) cycle: Cycle,
    pub(super) stage: Stage,
    pub(super) table: Table,
    pub(super) deadlines: Deadlines<Due>,
    pub(super) wanted: Wanted,
    /// The number of the last generation that was started.
    pub(super) generation: u32,
    /// Workers were told to stop accepting; the master stays.
    pub(super) noaccepting: bool,
    /// A new binary has ended, and its end gives the workers back that WINCH took.
    pub(super) restart: bool,
    pub(super) new_binary: Option<i32>,
    /// It has been said that the table is full.
    pub(super) full: bool,
    pub(super) executable: Executable,
    pub(super) upgrade: Upgrade,
    pub(super) herald: Option<Herald>,
    pub(super) notifier: Notifier,
    pub(super) config_watch: Option<ConfigWatch>,
    pub(super) watch: MasterWatch,
    pub(super) nofile: Option<Limit>,
    pub(super) daemonized: bool,
    /// Who started us: while that process is there, we are a new binary beside an old one.
    pub(super) parent: i32,
    pub(super) stop: Stopping,
    exit_code: i32,
    pub(super) ready_time_is_up: bool,
}

impl Master {
    pub fn new(cycle: Cycle, mut start: Start) -> Self {
        set_title(&start.title());
        if !start.daemonized {
            start.executable.hold_image();
        }
        Self {
            stage: Stage::starting(time::now_ms()),
            table: Table::new(),
            deadlines: Deadlines::new(),
            wanted: Wanted::default(),
            generation: cycle.generation,
            noaccepting: false,
            restart: false,
            new_binary: None,
            full: false,
            executable: start.executable,
            upgrade: Upgrade::new(start.adopted, start.bridge),
            herald: start.herald,
            notifier: start.notifier,
            config_watch: None,
            watch: MasterWatch::of_this_process(),
            nofile: start.nofile,
            daemonized: start.daemonized,
            parent: start.parent,
            stop: Stopping::default(),
            exit_code: 0,
            ready_time_is_up: false,
            cycle,
        }
    }

    /// Until the end of the master, or of the child that one of its forks has made. Apart from
    /// the start, so that waiting keeps none of that code in memory (layout.ld).
    #[inline(never)]
    pub fn run(mut self) -> i32 {
        let mut step = self.start();
        loop {
            match step {
                Continue(()) => step = self.turn(),
                Break(End::Exit(code)) => return code,
                Break(End::Trial(to_say)) => return self.become_trial(&to_say),
                Break(End::Born(birth)) => return self.become_child(birth),
            }
        }
    }

    fn start(&mut self) -> Step {
        self.take_children();
        if let Some(reason) = self.upgrade.fell_back() {
            self.stage = Stage::Serving;
            return self.go_on(&reason);
        }
        self.await_generation();
        match self.upgrade.adopted {
            Some(_) => self.start_beside(),
            None => self.start_alone(),
        }
    }

    fn start_alone(&mut self) -> Step {
        self.start_workers(Spawn::Respawn)?;
        self.start_helpers(false)
    }

    /// The next generation of a server that serves.
    pub(super) fn start_beside(&mut self) -> Step {
        self.start_workers(Spawn::JustRespawn)?;
        self.start_helpers(true)
    }

    /// One turn, in nginx's order. Terminate and quit end it: nothing below them runs once the
    /// master is stopping.
    fn turn(&mut self) -> Step {
        if let Some(ms) = log::flush() {
            self.deadlines.add_once(time::now_ms() + ms, Due::Log);
        }
        self.arm_timer();
        log!(Level::Debug, "sigsuspend");
        signal::sigsuspend(&SigSet::empty());

        time::update();
        let role = self.role();
        self.wanted.take_signals(role);
        self.begin_to_stop();
        if take(&mut self.wanted.refused) {
            self.refuse_upgrade();
        }
        log!(Level::Debug, "wake up, sigio {}", u8::from(self.wanted.io));

        if take(&mut self.wanted.reap) {
            self.reap()?;
        }
        if take(&mut self.wanted.io) {
            self.hear();
            self.hear_bridge();
            self.hear_of_config();
        }
        self.flush_channels();
        self.flush_bridge();
        self.run_due()?;
        self.settle();
        self.supervise();
        self.report();

        if self.stopping() && !self.lives() {
            return Break(End::Exit(self.exit()));
        }
        if self.wanted.terminate {
            self.terminate();
            return Continue(());
        }
        if self.wanted.quit {
            self.quit();
            return Continue(());
        }
        // What would start or end workers waits while a generation comes up: 5 s at most.
        if self.may_reconfigure() {
            self.reconfigure()?;
            // What is refused is over before anything wakes the master again.
            self.report();
        }
        if take(&mut self.restart) {
            self.accept_again()?;
        }
        if take(&mut self.wanted.reopen) {
            self.reopen();
        }
        if self.stage.is_serving() && take(&mut self.wanted.change_binary) {
            self.change_binary()?;
        }
        if self.stage.is_serving() && take(&mut self.wanted.noaccept) {
            self.stop_accepting();
        }
        if self.stage.is_serving() {
            self.exec_in_place();
        }
        Continue(())
    }

    /// HUPs that come while one is worked off are one more.
    fn may_reconfigure(&mut self) -> bool {
        self.wanted.reconfigure
            && self.stage.is_serving()
            && self.has_room_for_generation("reload")
            && take(&mut self.wanted.reconfigure)
    }

    /// A shot at the earliest deadline, whatever woke us: no signal moves one.
    fn arm_timer(&mut self) {
        let now = time::now_ms();
        let first = match self.wanted.reap {
            // A kill has found that somebody is gone, and no SIGCHLD will come.
            true => Some(now),
            false => self.deadlines.next(),
        };
        let ms = first.map_or(0, |at| at.saturating_sub(now).max(1));
        if let Err(e) = signal::setitimer_real(ms, 0) {
            log!(Level::Alert, errno e, "setitimer() failed");
        }
    }

    fn run_due(&mut self) -> Step {
        let now = time::now_ms();
        while let Some(due) = self.deadlines.take_due(now) {
            match due {
                Due::Termination => self.tick(),
                Due::Kill(doomed) => self.kill_all(|process| doomed.is(process)),
                Due::Spawn(job) if self.is_wanted(job) => self.spawn_late(job)?,
                Due::Bind => self.bind_again()?,
                Due::Ready { generation } => {
                    self.ready_time_is_up |= generation == self.cycle.generation;
                }
                Due::Shutdown => self.wanted.terminate = true,
                Due::Drained => self.drained(),
                Due::Loss => self.workers_are_lost(),
                Due::Stall { looked_ms } => self.look_for_stalls(looked_ms),
                Due::Oldest { generation } => self.end_oldest(generation),
                Due::ConfigChange => self.look_at_config(),
                Due::NewBinary { pid } => self.look_at_new_binary(pid),
                Due::Trial { pid } => self.end_trial(pid),
                Due::Spawn(_) | Due::Flush | Due::Log => {}
            }
        }
        Continue(())
    }

    /// Whether a spawn that had to wait is still asked for.
    fn is_wanted(&self, job: Job) -> bool {
        let asked = !self.stopping() && !self.noaccepting && self.knows_generation(job.generation);
        asked && !self.serves(job.work, job.generation)
    }

    /// Whether somebody does this work and has not been told to end.
    pub(super) fn serves(&self, work: Work, generation: u32) -> bool {
        self.processes_of(generation).any(|process| process.job.work == work && !process.exiting)
    }

    /// What the scoreboard shows of the master.
    pub(super) fn report(&self) {
        let state = match &self.stage {
            _ if self.wanted.terminate => MasterState::Terminating,
            _ if self.wanted.quit => MasterState::ShuttingDown,
            _ if self.upgrade.is_on() => MasterState::Upgrading,
            Stage::Starting(_) => MasterState::Starting,
            _ if self.is_draining() => MasterState::Draining,
            Stage::Binding { .. } | Stage::Reloading { .. } => MasterState::Reloading,
            // It waits for room.
            Stage::Serving if self.wanted.reconfigure => MasterState::Reloading,
            Stage::Serving if self.new_binary.is_some() => MasterState::Upgrading,
            Stage::Serving if self.noaccepting => MasterState::NotAccepting,
            Stage::Serving => MasterState::Running,
        };
        let record = &shm::board().master;
        record.set_state(state);
        record.generation.set(self.cycle.generation.into());
        record.workers_wanted.set(self.cycle.workers as u64);
        record.term_is_graceful.set(self.is_term_graceful().into());
    }

    /// A child is there that has to go before the master can.
    fn lives(&self) -> bool {
        self.table.iter().any(|(_, process)| !process.exited && !process.job.detached)
    }

    pub(super) fn stopping(&self) -> bool {
        self.wanted.terminate || self.wanted.quit
    }

    fn role(&self) -> Role {
        let beside = self.daemonized && process::getppid() == self.parent;
        let upgrading = self.new_binary.is_some() || self.upgrade.is_on() || beside;
        Role::Master { winch: self.heeds_winch(), graceful: self.is_term_graceful(), upgrading }
    }

    /// Terminals, and `docker run`, send WINCH for every change of their size.
    pub(super) fn heeds_winch(&self) -> bool {
        self.daemonized || self.cycle.core.foreground_winch
    }

    /// Whether an older binary runs beside us, or a newer one.
    pub(super) fn owns_names(&self) -> bool {
        self.new_binary.is_none()
            && !(self.executable.inherited && process::getppid() == self.parent)
    }

    /// The deadline for the workers of the cycle that has just been taken up.
    pub(super) fn await_generation(&mut self) {
        let generation = self.cycle.generation;
        self.ready_time_is_up = false;
        self.deadlines.add(time::now_ms() + READY_WITHIN_MS, Due::Ready { generation });
    }

    pub(super) fn close_listening(&mut self) {
        let unlink = self.owns_names();
        self.stage.close_listening(unlink);
        self.cycle.listening.close(unlink);
    }

    fn reopen(&mut self) {
        log!(Level::Notice, "reopening logs");
        let board = &shm::board().master;
        board.take_up(Asked::Reopen);
        let user = (user::geteuid() == 0).then_some(&self.cycle.worker_user);
        let ((), why) = log::reason_of(|| {
            self.cycle.reopen_logs(user);
            self.stage.reopen_logs(user);
        });
        self.order(Command::Reopen, |_| true);
        board.conclude(Asked::Reopen, why.is_none(), why.as_deref().unwrap_or("logs reopened"));
    }

    /// WINCH: the workers quit, the master stays; HUP brings them back.
    fn stop_accepting(&mut self) {
        self.noaccepting = true;
        self.order(Command::Quit, |_| true);
    }

    /// The start has failed: the reason goes to whoever waits for it, the children go.
    pub(super) fn fail(&mut self, reason: &str) {
        log!(Level::Emerg, "{reason}");
        if self.upgrade.adopted.is_some() {
            return self.fall_back(reason);
        }
        shm::board().master.conclude(Asked::Start, false, reason);
        if let Some(herald) = self.herald.take() {
            herald.failed(reason);
        }
        self.exit_code = 1;
        self.wanted.terminate = true;
    }

    /// The last of the children has gone.
    fn exit(&mut self) -> i32 {
        self.drop_what_was_left();
        self.stage.drop_old(&self.cycle);
        match &self.cycle.pid_file {
            Some(file) if self.new_binary.is_some() => file.remove_oldbin(),
            Some(file) => file.remove(),
            None => {}
        }
        log!(Level::Notice, "exit");
        self.close_listening();
        self.exit_code
    }

    pub(super) fn processes_of(&self, generation: u32) -> impl Iterator<Item = &Process> {
        let own = move |process: &&Process| process.job.generation == generation;
        self.table.iter().map(|(_, process)| process).filter(own)
    }
}
