//! Balance: who has accepted more than its share hands new connections to the sibling that has
//! least.
//!
//! What each has stands on the scoreboard. It is looked at once for each connection that is
//! accepted, and costs no system call. Only siblings count whose loop has turned a moment ago: one
//! that hangs, or is stopped, would keep what it is sent.

use super::receivers::{Receiver, Receivers, Tried};
use crate::shm;
use crate::shm::scoreboard::Board;
use crate::time;

/// How old the last turn of a sibling's loop may be.
const FRESH_MS: u64 = 100;
/// How far above its share a worker may be: a sixteenth, and a few.
const SLACK: u64 = 4;

/// Whom a new connection goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// This worker has its share, or less.
    Even,
    /// The place of the one that has least.
    To(usize),
    /// That one has as many on its way as it may.
    Busy,
}

/// Looks whether this worker, which serves `own` and has `active` connections, has too many.
pub fn look(receivers: &Receivers, own: u32, active: u64, tried: Tried) -> Balance {
    let mine = active.saturating_sub(receivers.unacknowledged().into());
    shm::own().active.set(mine);
    let (board, now) = (shm::board(), time::now_ms());
    let (mut all, mut workers, mut least) = (mine, 1, None);
    for (at, receiver) in receivers.iter().enumerate() {
        let takes = receiver.generation == own && !receiver.refuses && !receiver.is_deaf();
        if !takes || tried.has(receiver.serial) {
            continue;
        }
        let Some(load) = load(board, receiver, now) else { continue };
        (all, workers) = (all.saturating_add(load), workers + 1);
        if least.is_none_or(|(other, _)| load < other) {
            least = Some((load, at));
        }
    }
    let share = all / workers;
    match least {
        Some((load, at)) if mine > share + share / 16 + SLACK && load + 1 < mine => {
            let busy = receivers.iter().nth(at).is_some_and(Receiver::is_busy);
            if busy { Balance::Busy } else { Balance::To(at) }
        }
        _ => Balance::Even,
    }
}

/// What a sibling has, and is about to have; `None`: its loop has not turned of late.
fn load(board: &Board, receiver: &Receiver, now: u64) -> Option<u64> {
    let is_fresh = now.saturating_sub(receiver.heartbeat()?) < FRESH_MS;
    let active = board.slots.get(receiver.slot)?.active.get();
    is_fresh.then(|| active.saturating_add(receiver.unacknowledged.into()))
}
