//! What the master has to do later: one list of absolute points in time.
//!
//! All are milliseconds of CLOCK_MONOTONIC. One interval timer serves the
//! list; SIGALRM only wakes the master, which then looks here. So no signal can
//! move a deadline: nginx re-arms its full delay at every wake-up, and a steady
//! trickle of SIGCHLD or SIGIO keeps its master from ever killing a stopped
//! worker.
//!
//! A plain vector: the master has a handful of these, at most one per slot.

/// Points in time, each with what is then due.
pub struct Deadlines<T> {
    list: Vec<(u64, T)>,
}

impl<T> Deadlines<T> {
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    pub fn add(&mut self, at: u64, due: T) {
        self.list.push((at, due));
    }

    /// The earliest point in time, for the timer.
    pub fn next(&self) -> Option<u64> {
        self.list.iter().map(|(at, _)| *at).min()
    }

    /// Takes out the earliest that is due at `now`; equal ones in the order they were added.
    pub fn take_due(&mut self, now: u64) -> Option<T> {
        let (place, (at, _)) = self.list.iter().enumerate().min_by_key(|(_, (at, _))| *at)?;
        (*at <= now).then(|| self.list.remove(place).1)
    }

    /// Keeps only what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.list.retain(|(_, due)| keep(due));
    }

    pub fn has(&self, is: impl Fn(&T) -> bool) -> bool {
        self.list.iter().any(|(_, due)| is(due))
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.list.iter().map(|(at, due)| (*at, due))
    }
}

impl<T: PartialEq> Deadlines<T> {
    /// Adds `due` unless it waits already: an earlier promise stands.
    pub fn add_once(&mut self, at: u64, due: T) {
        if !self.list.iter().any(|(_, other)| *other == due) {
            self.add(at, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_equal_ones_in_order() {
        let mut list = Deadlines::new();
        for (at, due) in [(30, 'c'), (10, 'a'), (20, 'b'), (10, 'A')] {
            list.add(at, due);
        }
        assert_eq!(list.next(), Some(10));
        assert_eq!(list.take_due(9), None);
        let taken: String = std::iter::from_fn(|| list.take_due(25)).collect();
        assert_eq!(taken, "aAb");
        assert_eq!(list.next(), Some(30));
    }

    #[test]
    fn a_second_request_moves_nothing() {
        let mut list = Deadlines::new();
        list.add_once(10, 'a');
        list.add_once(500, 'a');
        assert_eq!((list.next(), list.iter().count()), (Some(10), 1));
        list.retain(|due| *due != 'a');
        assert_eq!(list.next(), None);
    }
}
