//! `least_conn` and `least_time`: who has least to do for its weight.

use super::peer::Peer;
use super::round_robin::Field;
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// Until when an answer's time is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Header,
    LastByte,
}

/// What counts as much to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Requests in progress.
    Connections,
    /// Their number, and how long answers take; of those that take longer, perhaps, how
    /// long they have taken so far.
    Time { until: Until, inflight: bool },
}

impl Load {
    fn of(self, peer: &Peer, now_ms: u64) -> u128 {
        let record = peer.record();
        let Load::Time { until, inflight } = self else { return record.active().into() };
        let average = match until {
            Until::Header => record.header_us.load(Relaxed),
            Until::LastByte => record.last_byte_us.load(Relaxed),
        };
        let so_far = if inflight { peer.in_progress_ms(now_ms).saturating_mul(1000) } else { 0 };
        u128::from(average.max(so_far)) * (u128::from(record.active()) + 1)
    }
}

impl Field<'_> {
    /// The peer with the least load, by turns if there are several.
    pub fn least(self, load: Load) -> Option<usize> {
        if self.is_single() {
            return self.round_robin();
        }
        let (mut best, mut many): (Option<(usize, &Rc<Peer>)>, bool) = (None, false);
        for (index, peer) in self.open() {
            match best.map_or(Ordering::Less, |(_, best)| self.compare(load, peer, best)) {
                Ordering::Less => (best, many) = (Some((index, peer)), false),
                Ordering::Equal => many = true,
                Ordering::Greater => {}
            }
        }
        let (index, best) = best?;
        if !many {
            return Some(index);
        }
        let same = |peer: &Rc<Peer>| self.compare(load, peer, best) == Ordering::Equal;
        self.turn(self.open().filter(|(_, peer)| same(peer)))
    }

    /// Which of two has less to do for its weight.
    pub fn compare(self, load: Load, a: &Peer, b: &Peer) -> Ordering {
        let weight = |peer: &Peer| u128::from(peer.weight(self.scale, self.now_ms));
        let mine = load.of(a, self.now_ms).saturating_mul(weight(b));
        mine.cmp(&load.of(b, self.now_ms).saturating_mul(weight(a)))
    }
}
