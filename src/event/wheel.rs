//! The timer wheel: one deadline per task, moved lazily.
//!
//! A deadline that moves later is only noted; the task is relinked when its old
//! bucket comes round. So a keep-alive hit, which moves its deadline by seconds
//! thousands of times, costs one store. Times are milliseconds as `u32` that
//! wrap (49 days): they are compared by their difference, which is why no
//! timeout may exceed [`LONGEST`].

use crate::mem::arena::{reserve, zeroed_record};
use std::cell::Cell;

/// Milliseconds since an arbitrary start, wrapping.
pub type Millis = u32;

/// The longest span a timer can hold, in milliseconds (24 days).
pub const LONGEST: u32 = i32::MAX as u32;

const BUCKETS: usize = 1024;
/// Milliseconds per bucket.
const TICK: u32 = 64;
const WORDS: usize = BUCKETS / 64;
/// Milliseconds in which every bucket comes round once.
const ROUND: u32 = TICK * BUCKETS as u32;
const _: () = assert!(TICK.is_power_of_two() && BUCKETS.is_power_of_two());

fn align(at: Millis) -> Millis {
    at & !(TICK - 1)
}

/// True when `a` is at or after `b`.
pub fn reached(a: Millis, b: Millis) -> bool {
    a.wrapping_sub(b) as i32 >= 0
}

zeroed_record! {
    /// One task's timer. Indices are stored plus one, so that zero is "none".
    struct Node {
        deadline: Cell<u32>,
        /// The deadline it was linked for: its bucket. Never later than `deadline`.
        linked: Cell<u32>,
        next: Cell<u32>,
        previous: Cell<u32>,
        on: Cell<bool>,
    }
}

/// Timers for tasks `0..len`.
pub struct Wheel {
    nodes: &'static [Node],
    heads: &'static [Cell<u32>],
    occupied: [Cell<u64>; WORDS],
    /// The start of the next bucket to look at; all before it have been. A round
    /// of buckets divides 2^32, so buckets stay in order when the time wraps.
    cursor: Cell<Millis>,
    count: Cell<u32>,
}

impl Wheel {
    pub fn new(len: usize, now: Millis) -> Option<Wheel> {
        Some(Wheel {
            nodes: reserve(len)?,
            heads: reserve(BUCKETS)?,
            occupied: [const { Cell::new(0) }; WORDS],
            cursor: Cell::new(align(now)),
            count: Cell::new(0),
        })
    }

    /// The bucket whose visit comes at or just after `at`.
    fn bucket(at: Millis) -> usize {
        Wheel::bucket_at(at.wrapping_add(TICK))
    }

    /// The bucket that is visited at `at`.
    fn bucket_at(at: Millis) -> usize {
        (at / TICK) as usize % BUCKETS
    }

    /// Sets or moves a task's deadline.
    #[inline(always)]
    pub fn set(&self, task: u32, deadline: Millis) {
        let node = &self.nodes[task as usize];
        if node.on.get() {
            if reached(deadline, node.linked.get()) {
                node.deadline.set(deadline);
                return;
            }
            self.unlink(task);
        }
        node.deadline.set(deadline);
        self.link(task);
    }

    pub fn clear(&self, task: u32) {
        if self.nodes[task as usize].on.get() {
            self.unlink(task);
        }
    }

    /// The deadline that is set, if any.
    pub fn deadline(&self, task: u32) -> Option<Millis> {
        let node = &self.nodes[task as usize];
        node.on.get().then(|| node.deadline.get())
    }

    fn link(&self, task: u32) {
        let node = &self.nodes[task as usize];
        let at = node.deadline.get();
        let bucket = Wheel::bucket(at);
        let first = self.heads[bucket].replace(task + 1);
        node.linked.set(at);
        node.next.set(first);
        node.previous.set(0);
        node.on.set(true);
        if first != 0 {
            self.nodes[first as usize - 1].previous.set(task + 1);
        }
        let word = &self.occupied[bucket / 64];
        word.set(word.get() | 1 << (bucket % 64));
        self.count.set(self.count.get() + 1);
    }

    fn unlink(&self, task: u32) {
        let node = &self.nodes[task as usize];
        let (next, previous) = (node.next.get(), node.previous.get());
        if next != 0 {
            self.nodes[next as usize - 1].previous.set(previous);
        }
        if previous != 0 {
            self.nodes[previous as usize - 1].next.set(next);
        } else {
            let bucket = Wheel::bucket(node.linked.get());
            self.heads[bucket].set(next);
            if next == 0 {
                let word = &self.occupied[bucket / 64];
                word.set(word.get() & !(1 << (bucket % 64)));
            }
        }
        node.on.set(false);
        self.count.set(self.count.get() - 1);
    }

    /// Takes one task whose deadline has passed; call until `None`.
    pub fn expire(&self, now: Millis) -> Option<u32> {
        // After a long sleep one round visits every bucket there is.
        if reached(now, self.cursor.get().wrapping_add(ROUND)) {
            self.cursor.set(align(now).wrapping_sub(ROUND - TICK));
        }
        while reached(now, self.cursor.get()) {
            let mut at = self.heads[Wheel::bucket_at(self.cursor.get())].get();
            while at != 0 {
                let task = at - 1;
                let node = &self.nodes[task as usize];
                at = node.next.get();
                if reached(now, node.deadline.get()) {
                    self.unlink(task);
                    return Some(task);
                }
                // It moved on since it was linked; or it is more than a round away.
                if node.deadline.get() != node.linked.get() {
                    self.unlink(task);
                    self.link(task);
                }
            }
            self.cursor.set(self.cursor.get().wrapping_add(TICK));
        }
        None
    }

    /// Milliseconds until a bucket with timers in it comes round; `None` without timers.
    pub fn wait(&self, now: Millis) -> Option<u32> {
        if self.count.get() == 0 {
            return None;
        }
        let start = Wheel::bucket_at(self.cursor.get());
        // Word by word from the cursor's on; the first comes again for its low bits.
        let mut step = 0;
        let mut bits = self.occupied[start / 64].get() & u64::MAX << (start % 64);
        while bits == 0 {
            if step == WORDS {
                return None;
            }
            step += 1;
            bits = self.occupied[(start / 64 + step) % WORDS].get();
        }
        let ahead = step * 64 + bits.trailing_zeros() as usize - start % 64;
        let due = self.cursor.get().wrapping_add(ahead as u32 * TICK);
        Some(if reached(now, due) { 0 } else { due.wrapping_sub(now) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(wheel: &Wheel, now: Millis) -> Vec<u32> {
        std::iter::from_fn(|| wheel.expire(now)).collect()
    }

    #[test]
    fn fires_after_the_deadline_and_never_before() {
        for start in [0, 1000, u32::MAX - 5000] {
            let wheel = Wheel::new(4, start).unwrap();
            wheel.set(0, start.wrapping_add(100));
            wheel.set(1, start.wrapping_add(70_000));
            wheel.set(2, start.wrapping_add(10_000));
            let mut fired = [0; 4];
            for step in 0..80_000 / 16 {
                let now = start.wrapping_add(step * 16);
                for task in drain(&wheel, now) {
                    fired[task as usize] = step * 16;
                }
            }
            for (task, due) in [(0, 100), (1, 70_000), (2, 10_000)] {
                assert!(fired[task] >= due && fired[task] <= due + 160, "{start} {fired:?}");
            }
            assert!(wheel.wait(start).is_none());
        }
    }

    #[test]
    fn a_later_deadline_is_noted_an_earlier_one_moves() {
        let wheel = Wheel::new(2, 0).unwrap();
        wheel.set(0, 1000);
        wheel.set(0, 5000);
        assert!(drain(&wheel, 2000).is_empty());
        wheel.set(0, 3000);
        assert!(drain(&wheel, 2500).is_empty());
        assert_eq!(drain(&wheel, 3200), [0]);
        wheel.set(1, 4000);
        wheel.clear(1);
        assert!(drain(&wheel, 9000).is_empty());
    }

    #[test]
    fn sleeps_no_longer_than_the_next_bucket() {
        let wheel = Wheel::new(2, 0).unwrap();
        assert_eq!(wheel.wait(0), None);
        wheel.set(0, 1000);
        let wait = wheel.wait(10).unwrap();
        assert!((990..=990 + 128).contains(&wait), "{wait}");
        assert_eq!(wheel.wait(5000), Some(0));
        assert_eq!(drain(&wheel, 1_000_000), [0]);
    }
}
