//! Who takes connections: the siblings that serve, and which of them is next.

use std::os::fd::OwnedFd;

use super::ANSWERS;
use super::silence::Silence;
use crate::sys::errno::Result;
use crate::sys::socket;
use crate::{event, shm};

/// How many connections may be on their way to one receiver: so many answers fit a socket (some
/// 270).
const UNACKNOWLEDGED: u32 = 64;

pub struct Receiver {
    /// Tells it from all others there ever were.
    pub serial: u32,
    pub slot: usize,
    pub pid: i32,
    pub generation: u32,
    /// The writing end of its door.
    pub door: OwnedFd,
    /// Where it answers; made when it is first sent something.
    pub answers: Option<Answers>,
    /// Sent to it, without an answer yet.
    pub unacknowledged: u32,
    pub silence: Silence,
    /// It leaves, or its door is closed.
    pub refuses: bool,
    /// The master says that it is gone; what it has answered is still to be read.
    pub gone: bool,
    /// It had said that it leaves.
    pub left: bool,
}

/// A pair for the answers of one receiver and nothing else, so that there is always room for
/// them, and that nobody else can answer for it.
pub struct Answers {
    /// Read here, and nowhere else.
    pub here: OwnedFd,
    /// Given along with each connection.
    pub there: OwnedFd,
}

/// Receivers that one connection has been refused by: a set of serials, in which a few stand
/// for several.
#[derive(Clone, Copy, Default)]
pub struct Tried(u64);

impl Tried {
    pub fn add(&mut self, serial: u32) {
        self.0 |= 1 << (serial % 64);
    }

    pub fn has(self, serial: u32) -> bool {
        self.0 & 1 << (serial % 64) != 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// Its place in the list, until that changes.
    Next(usize),
    /// All have as much on its way as they may.
    Busy,
    /// Those that there are do not answer.
    Deaf,
    Nobody,
}

impl Answers {
    pub fn open() -> Result<Self> {
        let (here, there) = socket::socketpair(socket::SEQPACKET)?;
        event::reactor().watch(&here, ANSWERS)?;
        Ok(Self { here, there })
    }
}

impl Receiver {
    /// Whether it has as much on its way as it may.
    pub fn is_busy(&self) -> bool {
        self.unacknowledged >= UNACKNOWLEDGED
    }

    /// Whether it has been given up, and nothing has been heard of it since.
    pub fn is_deaf(&self) -> bool {
        self.silence.is_deaf(self.heartbeat())
    }

    /// When its loop has last turned; `None`: it is not one of our master's.
    pub fn heartbeat(&self) -> Option<u64> {
        let slot = shm::board().slots.get(self.slot)?;
        (slot.pid() == self.pid).then(|| slot.heartbeat_ms.get())
    }
}

#[derive(Default)]
pub struct Receivers {
    list: Vec<Receiver>,
    /// Slots that somebody in the list has, or had: a thousand workers that hear of each other
    /// look for nobody who was never there.
    slots: [u64; shm::scoreboard::SLOTS / 64],
    /// Somebody in the list is gone.
    any_gone: bool,
    last_serial: u32,
    /// Whose turn it was.
    turn: u32,
}

impl Receivers {
    pub fn open(&mut self, slot: usize, pid: i32, generation: u32, door: OwnedFd) {
        self.close(slot, None);
        if let Some(word) = self.slots.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
        }
        self.last_serial = self.last_serial.wrapping_add(1);
        self.list.push(Receiver {
            serial: self.last_serial,
            slot,
            pid,
            generation,
            door,
            answers: None,
            unacknowledged: 0,
            silence: Silence::default(),
            refuses: false,
            gone: false,
            left: false,
        });
    }

    /// The process in this slot is gone; with a pid, only if it is that one.
    pub fn close(&mut self, slot: usize, pid: Option<i32>) {
        if self.slots.get(slot / 64).is_some_and(|word| word & 1 << (slot % 64) == 0) {
            return;
        }
        for receiver in &mut self.list {
            if receiver.slot == slot && pid.is_none_or(|pid| pid == receiver.pid) {
                receiver.gone = true;
                self.any_gone = true;
                receiver.left = std::mem::replace(&mut receiver.refuses, true);
            }
        }
    }

    /// Forgets those that are gone; `each` hears of them before.
    pub fn bury(&mut self, mut each: impl FnMut(&Receiver)) {
        self.list.retain(|receiver| {
            if receiver.gone {
                each(receiver);
            }
            !receiver.gone
        });
        self.any_gone = false;
    }

    pub fn iter(&self) -> impl Iterator<Item = &Receiver> {
        self.list.iter()
    }

    pub fn any_gone(&self) -> bool {
        self.any_gone
    }

    pub fn get_mut(&mut self, at: usize) -> Option<&mut Receiver> {
        self.list.get_mut(at)
    }

    /// Where the one at this place answers.
    pub fn answers(&self, at: usize) -> Option<&Answers> {
        self.list.get(at)?.answers.as_ref()
    }

    pub fn by_serial(&mut self, serial: u32) -> Option<&mut Receiver> {
        self.list.iter_mut().find(|receiver| receiver.serial == serial)
    }

    pub fn by_pid(&self, pid: i32) -> Option<&Receiver> {
        self.list.iter().find(|receiver| receiver.pid == pid)
    }

    /// On their way to anybody.
    pub fn unacknowledged(&self) -> u32 {
        self.list.iter().map(|receiver| receiver.unacknowledged).sum()
    }

    /// One that has something to answer, and has not for too long.
    pub fn overdue(&self) -> Option<usize> {
        self.list.iter().position(|receiver| receiver.silence.is_too_long())
    }

    /// The generation that takes over from `own`: the newest one of which anybody takes
    /// connections. `peers`: siblings of one's own generation do, too.
    pub fn newest(&self, own: u32, peers: bool) -> Option<u32> {
        let takes = |receiver: &&Receiver| {
            !receiver.refuses
                && (receiver.generation > own || peers && receiver.generation == own && own > 0)
        };
        self.list.iter().filter(takes).map(|receiver| receiver.generation).max()
    }

    pub fn any(&self, own: u32, peers: bool) -> bool {
        self.newest(own, peers).is_some()
    }

    /// Who is next of those that take over from `own`, one after the other.
    pub fn choose(&mut self, own: u32, peers: bool, tried: Tried) -> Choice {
        let Some(newest) = self.newest(own, peers) else { return Choice::Nobody };
        let takes = |receiver: &Receiver| {
            receiver.generation == newest && !receiver.refuses && !tried.has(receiver.serial)
        };
        let turn = self.turn;
        let (mut next, mut others) = (None, Choice::Nobody);
        for (at, receiver) in self.list.iter().enumerate().filter(|(_, it)| takes(it)) {
            if receiver.is_deaf() {
                others = if others == Choice::Nobody { Choice::Deaf } else { others };
                continue;
            }
            if receiver.is_busy() {
                others = Choice::Busy;
                continue;
            }
            // The first behind the last one, else the first of all.
            let order = (receiver.serial <= turn, receiver.serial);
            if next.is_none_or(|(_, least)| order < least) {
                next = Some((at, order));
            }
        }
        match next {
            Some((at, (_, serial))) => {
                self.turn = serial;
                Choice::Next(at)
            }
            None => others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receivers(generations: &[u32]) -> Receivers {
        let mut receivers = Receivers::default();
        for (slot, generation) in generations.iter().enumerate() {
            let (door, _) = socket::socketpair(socket::SEQPACKET).unwrap();
            receivers.open(slot, 100 + slot as i32, *generation, door);
        }
        receivers
    }

    fn slots(receivers: &mut Receivers, own: u32, peers: bool, count: usize) -> Vec<usize> {
        let mut tried = Tried::default();
        let mut next = || match receivers.choose(own, peers, tried) {
            Choice::Next(at) => {
                let receiver = receivers.get_mut(at).unwrap();
                tried = Tried::default();
                Some(receiver.slot)
            }
            _ => None,
        };
        (0..count).map_while(|_| next()).collect()
    }

    #[test]
    fn the_newest_generation_takes_them_in_turn() {
        let mut all = receivers(&[1, 2, 0, 3, 2, 3, 3]);
        assert_eq!(slots(&mut all, 1, true, 5), [3, 5, 6, 3, 5]);
        assert_eq!(slots(&mut all, 3, true, 3), [6, 3, 5]);
        assert!(slots(&mut all, 3, false, 3).is_empty(), "nobody is newer");
        assert!(!all.any(3, false) && all.any(2, false));
        for slot in [3, 5, 6] {
            all.close(slot, Some(100 + slot as i32));
        }
        assert_eq!(slots(&mut all, 1, true, 3), [1, 4, 1]);
        assert!(slots(&mut receivers(&[0]), 0, true, 1).is_empty(), "helpers take none");
    }

    #[test]
    fn who_is_full_is_passed_over_and_waited_for() {
        let mut all = receivers(&[2, 2]);
        all.get_mut(0).unwrap().unacknowledged = UNACKNOWLEDGED;
        assert_eq!(slots(&mut all, 1, true, 2), [1, 1]);
        let mut tried = Tried::default();
        tried.add(all.get_mut(1).unwrap().serial);
        assert_eq!(all.choose(1, true, tried), Choice::Busy);
        tried.add(all.get_mut(0).unwrap().serial);
        assert_eq!(all.choose(1, true, tried), Choice::Nobody);
    }

    #[test]
    fn a_late_close_does_not_hit_the_next_tenant() {
        let mut all = receivers(&[1, 1]);
        all.close(1, Some(999));
        assert!(!all.any_gone());
        let (door, _) = socket::socketpair(socket::SEQPACKET).unwrap();
        all.open(1, 200, 1, door);
        all.close(1, Some(101));
        let mut buried = Vec::new();
        all.bury(|receiver| buried.push(receiver.pid));
        assert_eq!(buried, [101]);
        assert!(all.by_pid(200).is_some_and(|receiver| !receiver.gone));
    }
}
