//! A lock between processes that outlives its holder.
//!
//! One word: 0 when free, else the holder's pid, with the top bit set when
//! somebody sleeps on it. (nginx has the pid and a POSIX semaphore beside it.)
//! A waiter spins a little, then sleeps on a shared futex, and gives up after
//! 50 ms: a holder that was stopped must not stop everybody else. A holder that
//! died is recognised by its pid when it is reaped, and the lock forced open.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::mem::zone::record;
use crate::sys::process::{self, Pid};
use crate::sys::{clock, map};

/// The longest that anybody waits for a lock.
pub const WAIT_MS: u64 = 50;

/// A few microseconds: longer than most holders need, shorter than two switches.
const SPINS: u32 = 100;

/// Pids stay below 2^22.
const WAITERS: u32 = 1 << 31;

record! {
    pub struct Mutex {
        word: AtomicU32,
        /// Not 0 while what the lock guards may be half changed.
        dirty: AtomicU32,
    }
}

impl Mutex {
    pub fn try_lock(&self) -> bool {
        let me = process::getpid() as u32;
        self.word.compare_exchange(0, me, Acquire, Relaxed).is_ok()
    }

    /// False after `WAIT_MS`.
    #[must_use]
    pub fn lock(&self) -> bool {
        for _ in 0..SPINS {
            if self.word.load(Relaxed) == 0 && self.try_lock() {
                return true;
            }
            std::hint::spin_loop();
        }
        self.lock_asleep()
    }

    fn lock_asleep(&self) -> bool {
        // Others may sleep too, so whoever was asleep leaves the bit for them.
        let me = process::getpid() as u32 | WAITERS;
        let deadline = clock::monotonic_ms() + WAIT_MS;
        loop {
            let holder = self.word.load(Relaxed);
            if holder == 0 {
                if self.word.compare_exchange(0, me, Acquire, Relaxed).is_ok() {
                    return true;
                }
                continue;
            }
            let asleep = holder | WAITERS;
            if holder != asleep
                && self.word.compare_exchange(holder, asleep, Relaxed, Relaxed).is_err()
            {
                continue;
            }
            let left = deadline.saturating_sub(clock::monotonic_ms());
            if left == 0 {
                return false;
            }
            // Woken, too late, out of time or interrupted: the loop finds out.
            let _ = map::futex_wait(&self.word, asleep, left);
        }
    }

    pub fn unlock(&self) {
        if self.word.swap(0, Release) & WAITERS != 0 {
            map::futex_wake(&self.word, 1);
        }
    }

    pub fn is_held_by(&self, pid: Pid) -> bool {
        self.word.load(Relaxed) & !WAITERS == pid as u32
    }

    /// Opens the lock of a holder that has died, and wakes all who wait.
    /// False if it was not the holder.
    pub fn force_unlock(&self, dead: Pid) -> bool {
        let word = self.word.load(Relaxed);
        let held = word & !WAITERS == dead as u32;
        let opened = held && self.word.compare_exchange(word, 0, Release, Relaxed).is_ok();
        if opened {
            map::futex_wake(&self.word, i32::MAX);
        } else if held {
            // Somebody has just gone to sleep on it: the word changed, not the holder.
            return self.force_unlock(dead);
        }
        opened
    }

    pub fn set_dirty(&self, dirty: bool) {
        self.dirty.store(dirty.into(), Release);
    }

    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Acquire) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::zone::Region;
    use crate::shm::tests::{child, shared, wait_until};

    record! {
        struct Guarded {
            mutex: Mutex,
            /// Two halves that are equal whenever nobody holds the lock.
            halves: [AtomicU32; 2],
        }
    }

    fn guarded(region: &Region) -> &Guarded {
        region.record(0).unwrap()
    }

    #[test]
    fn one_holder_at_a_time() {
        let region = shared(4096);
        let guarded = guarded(&region);
        let work = || {
            let mut done = 0;
            while done < 20_000 {
                if !guarded.mutex.lock() {
                    continue;
                }
                for half in &guarded.halves {
                    half.store(half.load(Relaxed) + 1, Relaxed);
                }
                guarded.mutex.unlock();
                done += 1;
            }
        };
        let children = [child(work), child(work)];
        work();
        children.into_iter().for_each(|child| child.assert_passed());
        assert_eq!(guarded.halves.each_ref().map(|half| half.load(Relaxed)), [60_000; 2]);
        assert_eq!(guarded.mutex.word.load(Relaxed), 0);
    }

    #[test]
    fn a_dead_holders_lock_is_forced_open() {
        let region = shared(4096);
        let mutex = &guarded(&region).mutex;
        let holder = child(|| {
            assert!(mutex.lock());
            mutex.set_dirty(true);
            process::kill(process::getpid(), libc::SIGKILL).unwrap();
        });
        let pid = holder.pid;
        holder.wait();
        assert!(mutex.is_held_by(pid) && mutex.is_dirty());
        let waiter = child(|| {
            while !mutex.lock() {}
            mutex.unlock();
        });
        wait_until(|| mutex.word.load(Relaxed) & WAITERS != 0);
        assert!(!mutex.force_unlock(pid + 1));
        assert!(mutex.force_unlock(pid));
        assert!(!mutex.force_unlock(pid), "once");
        waiter.assert_passed();
    }

    #[test]
    fn a_stopped_holder_costs_at_most_the_limit() {
        let region = shared(4096);
        let mutex = &guarded(&region).mutex;
        let holder = child(|| {
            assert!(mutex.lock());
            process::stop_self().unwrap();
            mutex.unlock();
        });
        wait_until(|| mutex.is_held_by(holder.pid));
        let start = clock::monotonic_ms();
        assert!(!mutex.lock() && !mutex.try_lock());
        assert!((WAIT_MS..WAIT_MS * 20).contains(&(clock::monotonic_ms() - start)));
        holder.continue_and_pass();
        assert!(mutex.lock());
    }
}
