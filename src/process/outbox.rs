//! Messages that did not fit a child's channel yet, in their order.
//!
//! nginx drops what the channel does not take at once; a worker that was
//! stopped for a while then knows siblings that are gone and misses ones that
//! live. Here the master keeps the rest, per slot, and sends it on SIGIO or
//! within 10 ms.
//!
//! A descriptor is not kept: an *open channel* names a slot and a pid, and the
//! end is looked up in the table when the message goes out. Neither can the
//! queue grow for ever under a child that never reads: a process that came and
//! went while its *open* waited leaves nothing, and a command is queued once.

use std::collections::VecDeque;

use super::channel::{Command, Message};
use super::table::MAX_PROCESSES;

/// Every slot opened and closed once, and the three commands: what merging leaves at most is
/// below this, so a longer queue is a mistake and not a load.
const MOST: usize = 4 * MAX_PROCESSES;

pub struct Outbox {
    queue: VecDeque<Message>,
}

impl Outbox {
    /// Allocates nothing: most channels are never full.
    pub const fn new() -> Self {
        Self { queue: VecDeque::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues a message; false when the queue is full.
    pub fn push(&mut self, message: Message) -> bool {
        match message.command {
            Command::CloseChannel => {
                let opened = |queued: &Message| {
                    queued.command == Command::OpenChannel
                        && (queued.pid, queued.slot) == (message.pid, message.slot)
                };
                if let Some(place) = self.queue.iter().position(opened) {
                    self.queue.remove(place);
                    return true;
                }
            }
            Command::Quit | Command::Terminate | Command::Reopen => {
                if self.queue.contains(&message) {
                    return true;
                }
            }
            Command::OpenChannel | Command::Ready => {}
        }
        if self.queue.len() >= MOST {
            return false;
        }
        self.queue.push_back(message);
        true
    }

    pub fn iter(&self) -> impl Iterator<Item = Message> {
        self.queue.iter().copied()
    }

    /// The message to try next; `sent` takes it away.
    pub fn first(&self) -> Option<Message> {
        self.queue.front().copied()
    }

    pub fn sent(&mut self) {
        self.queue.pop_front();
    }

    /// The channel is broken for good: what waits goes by signal, as far as it can.
    pub fn clear(&mut self) -> impl Iterator<Item = Message> + use<> {
        std::mem::take(&mut self.queue).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(command: Command, slot: usize) -> Message {
        Message { command, pid: 1000 + slot as i32, slot, generation: 1 }
    }

    fn drained(outbox: &mut Outbox) -> Vec<Message> {
        outbox.clear().collect()
    }

    #[test]
    fn order_is_kept() {
        let mut outbox = Outbox::new();
        let messages = [
            about(Command::OpenChannel, 3),
            about(Command::CloseChannel, 2),
            Message::order(Command::Quit),
        ];
        for message in messages {
            assert!(outbox.push(message));
        }
        assert_eq!(outbox.first(), Some(messages[0]));
        outbox.sent();
        assert_eq!(drained(&mut outbox), messages[1..]);
    }

    #[test]
    fn who_came_and_went_leaves_nothing() {
        let mut outbox = Outbox::new();
        outbox.push(about(Command::CloseChannel, 1));
        outbox.push(about(Command::OpenChannel, 1));
        outbox.push(Message { pid: 77, ..about(Command::CloseChannel, 1) });
        outbox.push(about(Command::CloseChannel, 1));
        let rest = drained(&mut outbox);
        let pids: Vec<i32> = rest.iter().map(|message| message.pid).collect();
        assert_eq!(pids, [1001, 77], "only the pair with the same pid is gone");
    }

    #[test]
    fn it_is_bounded_and_commands_are_queued_once() {
        let mut outbox = Outbox::new();
        for _ in 0..10_000 {
            assert!(outbox.push(Message::order(Command::Reopen)));
            assert!(outbox.push(about(Command::OpenChannel, 7)));
            assert!(outbox.push(about(Command::CloseChannel, 7)));
        }
        assert_eq!(drained(&mut outbox).len(), 1);
        let taken = (0..2 * MOST).filter(|_| outbox.push(about(Command::OpenChannel, 7))).count();
        assert_eq!(taken, MOST);
    }
}
