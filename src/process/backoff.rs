//! How long to wait before the next try: after quick deaths, and after failed forks.
//!
//! nginx respawns at once, always: a worker that dies in its first millisecond
//! is replaced hundreds of times a second (390 in 2 s were measured).

const QUICK_MS: u64 = 1_000;
const SETTLED_MS: u64 = 10_000;
const LONGEST_MS: u64 = 5_000;
const FIRST_DEATH_DELAY_MS: u64 = 50;
const FIRST_FORK_DELAY_MS: u64 = 100;
/// Quick deaths in a row that are replaced at once.
const FREE_DEATHS: u32 = 2;

/// The history of one place at work; it moves on with each replacement.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Backoff {
    quick_deaths: u32,
    failed_forks: u32,
}

impl Backoff {
    /// The delay before replacing a child that lived for `lived_ms`.
    ///
    /// Deaths within 1 s count, 10 s of life forget them, between the two nothing changes.
    pub fn after_death(&mut self, lived_ms: u64) -> u64 {
        if lived_ms < QUICK_MS {
            self.quick_deaths = self.quick_deaths.saturating_add(1);
        } else if lived_ms >= SETTLED_MS {
            self.quick_deaths = 0;
        }
        match self.quick_deaths.checked_sub(FREE_DEATHS + 1) {
            Some(doublings) => doubled(FIRST_DEATH_DELAY_MS, doublings),
            None => 0,
        }
    }

    /// The delay before the next try of a fork that has failed.
    pub fn after_failed_fork(&mut self) -> u64 {
        let delay = doubled(FIRST_FORK_DELAY_MS, self.failed_forks);
        self.failed_forks = self.failed_forks.saturating_add(1);
        delay
    }

    pub fn forked(&mut self) {
        self.failed_forks = 0;
    }
}

fn doubled(first_ms: u64, doublings: u32) -> u64 {
    // 16 doublings of the smallest are past the longest, and far from overflow.
    (first_ms << doublings.min(16)).min(LONGEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_quick_death_waits() {
        let mut backoff = Backoff::default();
        let delays: Vec<u64> = (0..11).map(|_| backoff.after_death(3)).collect();
        assert_eq!(delays, [0, 0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.after_death(2_000), 5000, "a longer life does not forget");
        assert_eq!(backoff.after_death(10_000), 0, "10 s do");
        assert_eq!(backoff.after_death(1), 0);
    }

    #[test]
    fn failed_forks_double_up_to_five_seconds() {
        let mut backoff = Backoff::default();
        let delays: Vec<u64> = (0..8).map(|_| backoff.after_failed_fork()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.forked();
        assert_eq!(backoff.after_failed_fork(), 100);
    }
}
