//! What a zone knows of each value of its key and each process: how many requests the
//! process has in the making. A process changes its own counts only; the master takes out
//! those of the dead.

use crate::mem::zone::record;
use crate::shm::directory::Handle;
use crate::shm::table::{self, Table};
use crate::shm::zone::Zone;
use crate::sys::process::{self, Pid};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

record! {
    pub struct Count {
        owner: AtomicU32,
        requests: AtomicU32,
    }
}

/// A request that is counted: the record, and how often the zone had been made empty.
#[derive(Clone, Copy)]
pub struct Taken {
    at: u32,
    era: u64,
}

thread_local! {
    /// What could not be given back, since the zone's lock was held too long.
    static OWED: RefCell<Vec<(Handle, Taken)>> = const { RefCell::new(Vec::new()) };
}

/// Counts one more request, if there are fewer than `most`. None: the zone has no room.
pub fn take(zone: &Handle, key: &[u8], most: u32) -> Option<Option<Taken>> {
    settle();
    let me = process::getpid() as u32;
    table::with(zone.zone()?, |table: &Table<'_, Count>| {
        let (mut all, mut own) = (0_u64, None);
        table.find(key, |found| {
            all += u64::from(found.value.requests.load(Relaxed));
            if found.value.owner.load(Relaxed) == me {
                own = Some(found);
            }
            false
        })?;
        if all >= u64::from(most) {
            return Ok(None);
        }
        let own = match own {
            Some(own) => own,
            None => table.insert(key)?,
        };
        own.value.owner.store(me, Relaxed);
        own.value.requests.store(own.value.requests.load(Relaxed).saturating_add(1), Relaxed);
        Ok(Some(Taken { at: own.at, era: table.era() }))
    })
}

/// The request has ended.
pub fn release(zone: &Handle, taken: Taken) {
    settle();
    if !give_back(zone, taken) {
        OWED.with_borrow_mut(|owed| owed.push((zone.clone(), taken)));
    }
}

/// Gives back what is owed.
fn settle() {
    OWED.with_borrow_mut(|owed| owed.retain(|(zone, taken)| !give_back(zone, *taken)));
}

/// False: the zone cannot be locked now.
fn give_back(zone: &Handle, taken: Taken) -> bool {
    let me = process::getpid() as u32;
    let Some(zone) = zone.zone() else { return true };
    let done = table::with(zone, |table: &Table<'_, Count>| {
        // A zone that has been made empty knows nothing of it, and has another there.
        if table.era() != taken.era {
            return Ok(());
        }
        let found = table.get(taken.at)?;
        let count = found.value;
        match count.requests.load(Relaxed) {
            _ if count.owner.load(Relaxed) != me => Ok(()),
            ..=1 => table.remove(found),
            requests => {
                count.requests.store(requests - 1, Relaxed);
                Ok(())
            }
        }
    });
    done.is_some()
}

/// Takes out the counts of a process that has ended.
pub fn forget(zone: &Zone, dead: Pid) -> bool {
    let is_dead = |count: &Count| count.owner.load(Relaxed) == dead as u32;
    table::with(zone, |table: &Table<'_, Count>| table.remove_all(is_dead)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::directory::Directory;
    use crate::shm::table::table;
    use crate::shm::zone::Spec;
    use crate::sys::process::Fork;

    fn opened() -> Handle {
        let mut directory = Directory::default();
        let spec = Spec {
            name: "one".into(),
            size: 64 * 1024,
            owner: "test",
            key: String::new(),
            layout: 1,
            noreuse: false,
            verify: table::<Count>,
            forget: Some(forget),
        };
        let handle = directory.declare(spec).unwrap();
        directory.open(crate::shm::directory::Before::Nothing, |_, _| {}).unwrap();
        handle
    }

    fn records(zone: &Handle) -> usize {
        table::with(zone.zone().unwrap(), |table: &Table<'_, Count>| Ok(table.len())).unwrap()
    }

    #[test]
    fn what_is_taken_is_given_back() {
        let zone = opened();
        let one = take(&zone, b"a", 2).unwrap().unwrap();
        let two = take(&zone, b"a", 2).unwrap().unwrap();
        assert!(take(&zone, b"a", 2).unwrap().is_none());
        assert!(take(&zone, b"b", 1).unwrap().is_some());
        release(&zone, one);
        assert!(take(&zone, b"a", 2).unwrap().is_some());
        release(&zone, two);
        release(&zone, two);
        assert_eq!(records(&zone), 1, "of a key that nobody counts there is no record");
    }

    #[test]
    fn a_zone_made_empty_is_owed_nothing() {
        let zone = opened();
        let old = take(&zone, b"a", 1).unwrap().unwrap();
        zone.zone().unwrap().lock().unwrap().rebuild();
        let new = take(&zone, b"a", 1).unwrap().unwrap();
        release(&zone, old);
        assert!(take(&zone, b"a", 1).unwrap().is_none());
        release(&zone, new);
        assert_eq!(records(&zone), 0);
    }

    #[test]
    fn what_could_not_be_given_back_is_owed() {
        let zone = opened();
        let taken = take(&zone, b"a", 1).unwrap().unwrap();
        let locked = zone.zone().unwrap().lock().unwrap();
        release(&zone, taken);
        drop(locked);
        assert_eq!(records(&zone), 1);
        assert!(take(&zone, b"a", 1).unwrap().is_some());
    }

    #[test]
    fn the_dead_hold_nothing() {
        let zone = opened();
        assert!(take(&zone, b"a", 9).unwrap().is_some());
        let Fork::Parent(pid) = process::fork().unwrap() else {
            let taken = (0..8).all(|_| take(&zone, b"a", 9).unwrap().is_some());
            process::exit(i32::from(!taken))
        };
        assert_eq!(process::waitpid(pid), Ok(process::Status::Exited(0)));
        assert!(take(&zone, b"a", 9).unwrap().is_none());
        zone.zone().unwrap().forget(pid);
        assert!(take(&zone, b"a", 3).unwrap().is_some());
        assert!(take(&zone, b"a", 2).unwrap().is_none());
    }
}
