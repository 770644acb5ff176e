//! `worker_generations`: how many generations of workers may live at once.
//!
//! A worker that has been told to quit lives as long as its last connection. Where configurations
//! come by the minute and connections last for hours, nginx's old workers pile up until memory
//! ends. Here a reload waits at the limit for the oldest to go, and helps when it does not. So does
//! an upgrade in place, before it executes anything: nothing of the wait has to outlive the image.

use super::channel::Command;
use super::master::{Doomed, Due, Master};
use super::reload::ROLL_BACK_KILL_MS;
use crate::log::{Level, log};
use crate::time;

/// What the oldest gets where `worker_shutdown_timeout` does not say.
const OLDEST_MS: u64 = 30_000;

impl Master {
    /// The generations of living workers, the oldest first.
    fn generations(&self) -> Vec<u32> {
        let workers = self.table.iter().map(|(_, process)| process);
        let workers = workers.filter(|p| !p.exited && p.job.work.number().is_some());
        let mut all: Vec<u32> = workers.map(|process| process.job.generation).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether this may begin that brings another generation. If not, it is asked again when
    /// somebody has ended.
    pub(super) fn has_room_for_generation(&mut self, what: &str) -> bool {
        let limit = self.cycle.core.worker_generations;
        let all = self.generations();
        let oldest = |due: &Due| matches!(due, Due::Oldest { .. });
        let Some(&generation) = all.first().filter(|_| all.len() as u64 >= limit) else {
            self.deadlines.retain(|due| !oldest(due));
            return true;
        };
        if !self.deadlines.has(oldest) {
            let ms = match self.cycle.core.worker_shutdown_timeout {
                0 => OLDEST_MS,
                ms => ms,
            };
            log!(
                Level::Warn,
                "{} generations of workers live: the {what} waits up to {ms} ms for number \
                 {generation}",
                all.len()
            );
            self.deadlines.add(time::now_ms() + ms, Due::Oldest { generation });
        }
        false
    }

    /// The next one has waited long enough for this generation.
    pub(super) fn end_oldest(&mut self, generation: u32) {
        let waits = self.wanted.reconfigure || self.upgrade.is_on();
        if !waits || generation == self.cycle.generation {
            return;
        }
        log!(
            Level::Alert,
            "generation {generation} is terminated for the next one: worker_generations"
        );
        self.order(Command::Terminate, |process| process.job.generation == generation);
        let doomed = Doomed::Generation(generation);
        self.deadlines.add(time::now_ms() + ROLL_BACK_KILL_MS, Due::Kill(doomed));
    }
}
