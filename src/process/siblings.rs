//! What a child knows of the others: the writing end of each live sibling's channel.
//! (Their doors are known to `net::handover`.)
//!
//! At fork it knows those that live then; after that the master's *open
//! channel* and *close channel* keep it exact. In nginx siblings never talk.

use std::os::fd::OwnedFd;

use super::table::MAX_PROCESSES;

pub struct Siblings {
    slots: Vec<Option<Sibling>>,
}

pub struct Sibling {
    pub pid: i32,
    /// End 0 of its channel.
    pub end: OwnedFd,
}

impl Siblings {
    pub const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// A sibling was spawned. An occupied slot closes its old end first: its *close* is on the way.
    pub fn open(&mut self, slot: usize, sibling: Sibling) {
        if slot >= MAX_PROCESSES {
            return;
        }
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(sibling);
    }

    /// A sibling was reaped. Only if it is the one known here: a late message must not hit
    /// the next tenant of the slot. Says whether it was.
    pub fn close(&mut self, slot: usize, pid: i32) -> bool {
        match self.slots.get_mut(slot) {
            Some(held) if held.as_ref().is_some_and(|sibling| sibling.pid == pid) => {
                *held = None;
                true
            }
            _ => false,
        }
    }

    pub fn get(&self, slot: usize) -> Option<&Sibling> {
        self.slots.get(slot)?.as_ref()
    }

    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = (usize, &Sibling)> {
        self.slots.iter().enumerate().filter_map(|(slot, held)| Some((slot, held.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    fn sibling(pid: i32) -> (Sibling, UnixStream) {
        let (end, peer) = UnixStream::pair().unwrap();
        (Sibling { pid, end: end.into() }, peer)
    }

    fn pids(siblings: &Siblings) -> Vec<i32> {
        siblings.iter().map(|(_, sibling)| sibling.pid).collect()
    }

    #[test]
    fn a_late_close_does_not_hit_a_reused_slot() {
        let mut siblings = Siblings::new();
        let (first, mut peer) = sibling(50);
        siblings.open(5, first);
        siblings.open(2, sibling(20).0);
        siblings.open(5, sibling(51).0);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the old end is closed");
        assert!(!siblings.close(5, 50));
        assert_eq!(pids(&siblings), [20, 51]);
        assert!(siblings.close(5, 51));
        assert!(!siblings.close(5, 51));
        assert!(!siblings.close(9999, 51));
        assert_eq!(pids(&siblings), [20]);
    }
}
