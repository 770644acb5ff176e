//! While short connections follow each other, the kernel holds them until their requests are there.
//!
//! A connection that is accepted before its request has come takes a read that finds nothing, an
//! entry in epoll and a wait for it: a fifth of what an answer costs that ends its connection.
//! With TCP_DEFER_ACCEPT (tcp(7)) it is accepted when there is something to read. A client that
//! says nothing is then accepted a second later than otherwise, and until then nobody knows of it.
//! So this lasts only as long as many come, and nearly all of them have gone again a moment later:
//! then they had something to say.

use std::cell::Cell;

use super::wheel::Millis;

/// How long connections are counted before they are judged.
const WINDOW: Millis = 32;
/// In so long they have to be so many: 1,000 a second. Below half of that it ends.
const MANY: u32 = 32;

/// What a worker knows of its connections of late.
pub(super) struct Defer {
    began: Cell<Millis>,
    accepted: Cell<u32>,
    ended: Cell<u32>,
    on: Cell<bool>,
}

impl Defer {
    pub fn new(now: Millis) -> Self {
        Self {
            began: Cell::new(now),
            accepted: Cell::new(0),
            ended: Cell::new(0),
            on: false.into(),
        }
    }

    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Listeners that somebody left so are looked after from now on.
    pub fn found_on(&self, now: Millis) {
        self.on.set(true);
        self.begin(now);
    }

    #[inline(always)]
    pub fn accepted(&self) {
        self.accepted.set(self.accepted.get().wrapping_add(1));
    }

    #[inline(always)]
    pub fn ended(&self) {
        self.ended.set(self.ended.get().wrapping_add(1));
    }

    #[inline(always)]
    pub fn is_due(&self, now: Millis) -> bool {
        now.wrapping_sub(self.began.get()) >= WINDOW
    }

    /// Until when the loop may sleep.
    pub fn wait(&self, now: Millis) -> Option<u32> {
        self.is_on().then(|| WINDOW.saturating_sub(now.wrapping_sub(self.began.get())))
    }

    /// Whether listeners are to wait from now on; `None`: they are as they should be. Who began it
    /// says so each time: another worker may have ended it meanwhile.
    pub fn judge(&self, now: Millis) -> Option<bool> {
        let took = now.wrapping_sub(self.began.get());
        let (accepted, ended) = (self.accepted.get(), self.ended.get());
        let many = if self.is_on() { MANY / 2 } else { MANY };
        // More than one window is a rest, and what came before it counts for little.
        let wanted = took < 2 * WINDOW && accepted >= many && ended >= accepted - accepted / 8;
        self.begin(now);
        let was_on = self.on.replace(wanted);
        (wanted || was_on).then_some(wanted)
    }

    fn begin(&self, now: Millis) {
        self.began.set(now);
        self.accepted.set(0);
        self.ended.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(defer: &Defer, now: Millis, accepted: u32, ended: u32) -> Option<bool> {
        (0..accepted).for_each(|_| defer.accepted());
        (0..ended).for_each(|_| defer.ended());
        defer.judge(now)
    }

    #[test]
    fn many_short_ones_begin_it_and_few_end_it() {
        let defer = Defer::new(u32::MAX - 5);
        assert!(!defer.is_due(25) && defer.is_due(26));
        assert_eq!(judged(&defer, 26, MANY - 1, MANY - 1), None, "too few");
        assert_eq!(judged(&defer, 58, MANY, MANY / 2), None, "they stay");
        assert_eq!(judged(&defer, 1058, 5000, 5000), None, "over a second");
        assert_eq!(judged(&defer, 1090, MANY, MANY - MANY / 8), Some(true));
        assert_eq!(defer.wait(1100), Some(22));
        assert_eq!(judged(&defer, 1122, MANY / 2, MANY / 2), Some(true), "again");
        assert_eq!(judged(&defer, 1154, MANY / 2 - 1, MANY), Some(false));
        assert_eq!((defer.wait(1154), judged(&defer, 1186, 0, 0)), (None, None));
    }

    #[test]
    fn a_burst_that_says_nothing_does_not_begin_it() {
        let defer = Defer::new(0);
        assert_eq!(judged(&defer, 32, 2000, 0), None);
        defer.found_on(32);
        assert_eq!(judged(&defer, 64, 2000, 100), Some(false));
    }
}
