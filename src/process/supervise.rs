//! Workers that serve nobody: one that hangs, or none that is ready.
//!
//! nginx leaves a worker alone that hangs, and a master without workers looks well from outside:
//! a container that is up and does not answer.

use super::master::{Doomed, Due, Master};
use super::table::Process;
use crate::log::{Level, log};
use crate::shm;
use crate::sys::{process, signal};
use crate::time;

/// How long there may be no worker that is ready.
const LOSS_MS: u64 = 10_000;
/// An aborted worker writes its core within this time.
const ABORT_MS: u64 = 1_000;

impl Master {
    /// Once a turn: starts and ends what runs by deadline.
    pub(super) fn supervise(&mut self) {
        let now = time::now_ms();
        if self.has_lost_its_workers() {
            self.deadlines.add_once(now + LOSS_MS, Due::Loss);
        } else {
            self.deadlines.retain(|due| *due != Due::Loss);
        }
        if let Some(pause) = self.stall_pause() {
            let looked_ms = now;
            if !self.deadlines.has(|due| matches!(due, Due::Stall { .. })) {
                self.deadlines.add(now + pause, Due::Stall { looked_ms });
            }
        }
    }

    fn has_lost_its_workers(&self) -> bool {
        let expected = self.stage.is_serving() && !self.noaccepting && !self.stopping();
        let serves = |process: &Process| process.ready && !process.exited && !process.exiting;
        expected
            && self.cycle.core.exits_on_worker_loss(process::getpid())
            && !self.processes_of(self.cycle.generation).any(serves)
    }

    pub(super) fn workers_are_lost(&mut self) {
        let secs = LOSS_MS / 1000;
        self.fail(&format!("no worker has been ready for {secs} s: see exit_on_worker_loss"));
    }

    /// How often to look for workers that hang.
    fn stall_pause(&self) -> Option<u64> {
        let timeout = self.cycle.core.worker_stall_timeout;
        (timeout > 0).then(|| (timeout / 4).max(10))
    }

    /// `worker_stall_timeout`: a worker of this configuration turns more often than that, also
    /// when it has nothing to do. `looked_ms`: when this look was asked for.
    pub(super) fn look_for_stalls(&mut self, looked_ms: u64) {
        let (now, timeout) = (time::now_ms(), self.cycle.core.worker_stall_timeout);
        let Some(pause) = self.stall_pause() else { return };
        // We hung ourselves: of a machine that was asleep nobody can say who did.
        if now - looked_ms > 3 * pause {
            return;
        }
        let generation = self.cycle.generation;
        for slot in 0..self.table.last_process() {
            let Some(process) = self.table.get_mut(slot) else { continue };
            let record = shm::board().slots.get(slot);
            let turned_ms = record.map_or(now, |record| record.heartbeat_ms.get());
            let silent_ms = now.saturating_sub(turned_ms);
            let beats = process.ready && !process.exited && process.job.generation == generation;
            let hangs = beats && silent_ms > timeout;
            if !hangs || std::mem::replace(&mut process.aborted, true) {
                continue;
            }
            let (pid, name) = (process.pid, process.job.work.name());
            let state = record.map_or("", |record| record.state().name());
            log!(
                Level::Alert,
                "{name} {pid} in slot {slot} ({state}) has not turned for {silent_ms} ms, \
                 aborting it"
            );
            // A stopped one gets its signals when it goes on.
            if self.kill(slot, signal::ABRT) && self.kill(slot, signal::CONT) {
                self.deadlines.add(now + ABORT_MS, Due::Kill(Doomed::Process(pid)));
            }
        }
    }
}
