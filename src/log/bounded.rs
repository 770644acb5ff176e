//! Lines that other processes can bring about at will: so many in a second, and then their number.
//!
//! A worker that was broken into can send its siblings nonsense as fast as it likes. What each
//! message was is worth a line as long as they are few; a log is no place to be filled.

use std::cell::Cell;

use super::{Level, STATE, log};
use crate::time;

const SPAN_MS: u64 = 1000;
/// Lines in that time.
const MOST: u64 = 32;

pub struct Bounded {
    since_ms: Cell<u64>,
    /// Lines asked for since then.
    asked: Cell<u64>,
}

impl Bounded {
    pub const fn new() -> Self {
        Self { since_ms: Cell::new(0), asked: Cell::new(0) }
    }

    fn age_ms(&self) -> u64 {
        time::now_ms().saturating_sub(self.since_ms.get())
    }

    fn ask(&self) -> bool {
        if self.asked.get() == 0 || self.age_ms() >= SPAN_MS {
            self.since_ms.set(time::now_ms());
            self.asked.set(0);
        }
        self.asked.set(self.asked.get() + 1);
        self.asked.get() <= MOST
    }
}

/// Whether one more line is written now.
#[cold]
pub fn admits() -> bool {
    tell();
    STATE.with(|state| state.bounded.ask())
}

/// Says how many were left out, once the second is over; else how long that will be.
#[inline(always)]
pub fn tell() -> Option<u64> {
    let (asked, age_ms) = STATE.with(|state| (state.bounded.asked.get(), state.bounded.age_ms()));
    let left_out = asked.checked_sub(MOST).filter(|count| *count > 0)?;
    if age_ms < SPAN_MS {
        return Some(SPAN_MS - age_ms);
    }
    STATE.with(|state| state.bounded.asked.set(0));
    log!(Level::Alert, "{left_out} more lines about messages of siblings were left out");
    None
}
