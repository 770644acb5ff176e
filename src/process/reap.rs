//! Children that have ended: collecting them, telling the others, replacing them.

use std::ops::ControlFlow::Continue;

use super::master::{Due, Master};
use super::spawn::Step;
use super::table::{Process, Spawn, Work};
use crate::log::{Level, log};
use crate::sys::Errno;
use crate::sys::guard;
use crate::sys::process::{self, Pid, Status};
use crate::{shm, time};

/// Not worth another try: the configuration, the user or a directory is wrong.
pub const FATAL: i32 = 2;

impl Master {
    /// ngx_process_get_status and ngx_reap_children.
    pub(super) fn reap(&mut self) -> Step {
        self.collect();
        log!(Level::Debug, "reap children");
        for slot in 0..self.table.last_process() {
            if self.table.get(slot).is_some_and(|process| process.exited) {
                self.bury(slot)?;
            }
        }
        Continue(())
    }

    /// waitpid until none is left: one SIGCHLD may stand for many.
    fn collect(&mut self) {
        loop {
            match process::waitpid_any() {
                Ok(Some((pid, status))) => self.ended(pid, status),
                Ok(None) | Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => {}
                Err(e) => {
                    log!(Level::Alert, errno e, "waitpid() failed");
                    return;
                }
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: Status) {
        guard::ended(pid);
        let Some(slot) = self.table.find(pid) else {
            if self.trial_ended(pid, status) {
                return;
            }
            // An orphan that a namespace's pid 1 inherits.
            log!(Level::Debug, "unknown process {pid} {}", Ending(status));
            // Or a worker of an image that has crashed.
            self.cycle.unlock(pid);
            return;
        };
        let Some(process) = self.table.get_mut(slot) else { return };
        process.exited = true;
        let Process { job, .. } = *process;
        let name = job.work.name();
        let level = match status {
            Status::Signaled { .. } => Level::Alert,
            Status::Exited(_) => Level::Notice,
        };
        log!(level, "{name} {pid} {}", Ending(status));
        if status == Status::Exited(FATAL) && job.respawn {
            log!(
                Level::Alert,
                "{name} {pid} exited with fatal code {FATAL} and cannot be respawned"
            );
            process.job.respawn = false;
            self.note_lost(job);
        }
        self.cycle.unlock(pid);
        self.stage.unlock(pid);
    }

    /// Ends what the slot held, and says so to the others; or replaces it.
    fn bury(&mut self, slot: usize) -> Step {
        let Some(process) = self.table.get_mut(slot) else { return Continue(()) };
        process.channel = None;
        shm::board().retire(slot);
        let lived_ms = time::now_ms().saturating_sub(process.born_ms);
        let Process { pid, job, exiting, .. } = *process;
        if !job.detached {
            self.pass_close_channel(slot, pid);
        }
        if job.respawn && !exiting && !self.stopping() {
            return self.replace(slot, lived_ms);
        }
        self.table.take(slot);
        if job.work == Work::NewBinary {
            self.new_binary_gone(pid);
        }
        Continue(())
    }

    /// At once, unless it has died too quickly too often.
    fn replace(&mut self, slot: usize, lived_ms: u64) -> Step {
        let Some(process) = self.table.get_mut(slot) else { return Continue(()) };
        let delay = process.job.backoff.after_death(lived_ms);
        let job = process.job;
        if delay == 0 {
            return self.spawn(Spawn::Into(slot), job.work);
        }
        let name = job.work.name();
        log!(Level::Notice, "{name} lived for {lived_ms} ms, its successor starts in {delay} ms");
        self.table.take(slot);
        self.deadlines.add(time::now_ms() + delay, Due::Spawn(job));
        Continue(())
    }
}

/// How a process ended, in nginx's words.
struct Ending(Status);

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Status::Exited(code) => write!(f, "exited with code {code}"),
            Status::Signaled { signo, core: false } => write!(f, "exited on signal {signo}"),
            Status::Signaled { signo, core: true } => {
                write!(f, "exited on signal {signo} (core dumped)")
            }
        }
    }
}
