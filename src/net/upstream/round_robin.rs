//! Smooth weighted round robin, as in nginx.
//!
//! Each turn every peer that can serve gains its weight, and the one that has most is chosen
//! and pays what all of them gained. So of weights 5, 1, 1 the order is a a b a c a a.

use super::list::Tries;
use super::peer::{Peer, seconds};
use std::rc::Rc;

/// The peers of one list, for one choice.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    pub peers: &'a [Rc<Peer>],
    pub tries: &'a Tries,
    pub scale: u32,
    pub now_ms: u64,
}

impl<'a> Field<'a> {
    /// Whether this peer can be chosen.
    pub fn is_open(&self, index: usize) -> bool {
        let now_s = seconds(self.now_ms);
        !self.tries.has(index) && self.peers.get(index).is_some_and(|peer| peer.is_free(now_s))
    }

    /// Those that can be.
    pub fn open(self) -> impl Iterator<Item = (usize, &'a Rc<Peer>)> {
        self.peers.iter().enumerate().filter(move |(index, _)| self.is_open(*index))
    }

    /// There is only one, which is tried again and again; who asks counts.
    pub fn is_single(self) -> bool {
        self.peers.first().is_some_and(|peer| peer.single.get())
    }

    pub fn round_robin(self) -> Option<usize> {
        if self.is_single() {
            return self.peers[0].is_free(seconds(self.now_ms)).then_some(0);
        }
        self.turn(self.open())
    }

    /// One turn among these.
    pub fn turn(self, among: impl Iterator<Item = (usize, &'a Rc<Peer>)>) -> Option<usize> {
        let (mut best, mut total) = (None, 0_i64);
        for (index, peer) in among {
            let weight = peer.weight_left(self.scale, self.now_ms);
            let current = peer.record().advance(weight);
            total = total.saturating_add(weight);
            if best.is_none_or(|(_, most)| current > most) {
                best = Some((index, current));
            }
        }
        let (index, _) = best?;
        self.peers[index].record().charge(total);
        Some(index)
    }
}
