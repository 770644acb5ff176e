//! `worker_generations`: how many generations of workers may live at once.
//!
//! A worker that has been told to quit lives as long as its last connection. Where configurations
//! come by the minute and connections last for hours, nginx's old workers pile up until memory
//! ends. Here a reload waits at the limit for the oldest to go, and helps when it does not.

use super::channel::Command;
use super::master::{Due, Master};
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

    /// Whether a reload may begin. If not, it is asked again when somebody has ended.
    pub(super) fn has_room_for_generation(&mut self) -> bool {
        let limit = self.cycle.core.worker_generations;
        let all = self.generations();
        let Some(&generation) = all.first().filter(|_| all.len() as u64 >= limit) else {
            return true;
        };
        let oldest = |due: &Due| matches!(due, Due::Oldest { .. });
        if !self.deadlines.has(oldest) {
            let ms = match self.cycle.core.worker_shutdown_timeout {
                0 => OLDEST_MS,
                ms => ms,
            };
            log!(
                Level::Warn,
                "{} generations of workers live: the reload waits up to {ms} ms for number \
                 {generation}",
                all.len()
            );
            self.deadlines.add(time::now_ms() + ms, Due::Oldest { generation });
        }
        false
    }

    /// A reload has waited long enough for this generation.
    pub(super) fn end_oldest(&mut self, generation: u32) {
        if !self.wanted.reconfigure || generation == self.cycle.generation {
            return;
        }
        log!(
            Level::Alert,
            "generation {generation} is terminated for a reload: worker_generations"
        );
        self.order(Command::Terminate, |process| process.job.generation == generation);
        self.deadlines.add(time::now_ms() + ROLL_BACK_KILL_MS, Due::Kill { generation });
    }
}
