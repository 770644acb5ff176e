//! The termination clock: how long a child that was told to terminate may take.
//!
//! Terminate is sent at once and the delay is 50 ms; each time it is due it
//! doubles and terminate is sent again: at 0, 50, 150, 350, 750 and 1550 ms.
//! Once the delay has passed 1000 ms the next tick kills: at 3150 ms.
//!
//! Only a due tick doubles the delay. (One description of nginx says that every
//! wake-up does; then a storm of signals would kill children at once.)

const FIRST_DELAY_MS: u64 = 50;
const LONGEST_DELAY_MS: u64 = 1000;

/// What to send to every child that still lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tick {
    Terminate,
    Kill,
}

pub struct Termination {
    delay_ms: u64,
}

impl Termination {
    /// The clock right after the first terminate was sent.
    pub fn started() -> Self {
        Self { delay_ms: FIRST_DELAY_MS }
    }

    /// Until the next tick.
    pub fn delay_ms(&self) -> u64 {
        self.delay_ms
    }

    /// The delay has passed.
    pub fn tick(&mut self) -> Tick {
        if self.delay_ms > LONGEST_DELAY_MS {
            return Tick::Kill;
        }
        self.delay_ms *= 2;
        Tick::Terminate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminate_is_repeated_and_then_kill() {
        let mut clock = Termination::started();
        let mut now = 0;
        let mut seen = Vec::new();
        for _ in 0..7 {
            now += clock.delay_ms();
            seen.push((now, clock.tick()));
        }
        let expected = [50, 150, 350, 750, 1550].map(|at| (at, Tick::Terminate));
        assert_eq!(seen[..5], expected);
        assert_eq!(seen[5..], [(3150, Tick::Kill), (4750, Tick::Kill)]);
    }
}
