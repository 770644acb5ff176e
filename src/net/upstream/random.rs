//! `random`: any peer, or the better one of two.

use super::hash::MISSES;
use super::least::Load;
use super::list::Walk;
use super::round_robin::Field;
use crate::random;
use std::cmp::Ordering;

impl Field<'_> {
    pub fn random(self, walk: &mut Walk, two: Option<Load>) -> Option<usize> {
        let total = self.total_weight();
        if self.is_single() || total == 0 {
            return self.round_robin();
        }
        let mut before = None;
        while walk.misses <= MISSES {
            let index = self.by_weight(random::number() % total)?;
            let usable = before != Some(index) && self.is_open(index);
            match (two, before) {
                _ if !usable => walk.misses += 1,
                (None, _) => return Some(index),
                (Some(_), None) => before = Some(index),
                (Some(load), Some(other)) => {
                    let (new, old) = (&self.peers[index], &self.peers[other]);
                    let is_worse = self.compare(load, new, old) == Ordering::Greater;
                    return Some(if is_worse { other } else { index });
                }
            }
        }
        self.round_robin()
    }
}
