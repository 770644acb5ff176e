//! Whether a table adds up: asked when a process has died while it changed one.

use std::sync::atomic::Ordering::Relaxed;

use super::{NONE, Table};
use crate::mem::zone::Record;
use crate::shm::zone::Locked;

/// For `Spec::verify` of a zone whose whole contents are one table.
pub fn table<V: Record>(locked: &Locked<'_>) -> bool {
    if locked.root() == 0 {
        return locked.pieces() == 0;
    }
    // The allocator's count comes first: it bounds the walks.
    Table::<V>::at(locked, locked.root()).is_ok_and(|table| {
        locked.pieces() == table.len().wrapping_add(1)
            && table.list_is_sound()
            && table.chains_are_sound()
    })
}

impl<V: Record> Table<'_, V> {
    /// As many as there should be, each known to the next.
    fn list_is_sound(&self) -> bool {
        let (mut at, mut before) = (self.head.oldest.load(Relaxed), NONE);
        for _ in 0..self.len() {
            let Ok(found) = self.get(at) else { return false };
            if found.entry.older.load(Relaxed) != before {
                return false;
            }
            (at, before) = (found.entry.newer.load(Relaxed), at);
        }
        at == NONE && self.head.newest.load(Relaxed) == before
    }

    /// As many as there should be, each where its hash says. A chain may end in
    /// another's; then there are too many.
    fn chains_are_sound(&self) -> bool {
        let mut left = self.len();
        for (index, chain) in self.chains.iter().enumerate() {
            let mut at = chain.load(Relaxed);
            while at != NONE {
                let Ok(found) = self.get(at) else { return false };
                let here = self.chain_index(found.entry.hash.load(Relaxed)) == index;
                if left == 0 || !here {
                    return false;
                }
                left -= 1;
                at = found.entry.next.load(Relaxed);
            }
        }
        left == 0
    }
}
