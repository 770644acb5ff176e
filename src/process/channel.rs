//! The channel: how the master tells a child something, one message at a time.
//!
//! One stream socketpair per child. The master and every sibling write to end
//! 0; the child reads end 1. After the fork the child closes its own end 0 and
//! every sibling's end 1. The master keeps end 1 as well: so a child's death
//! shows once, as SIGCHLD, and never as EPIPE or SIGIO on end 0 before it is
//! reaped. The cost is that writes to the dead succeed.
//!
//! A message is four native integers. Its pid and slot name the child that the
//! message is *about*, never the sender. A descriptor travels beside it as
//! SCM_RIGHTS. This file knows the form and what is wrong with a message; what
//! a message means is for the worker and the master to say.
//!
//! Connections will travel on a second pair (SOCK_SEQPACKET, whole messages);
//! *open channel* then carries its sender end as a second descriptor.

use std::os::fd::OwnedFd;

use super::table::MAX_PROCESSES;

/// Both ends, as the master holds them.
pub struct Channel {
    /// Written by the master and every sibling.
    pub end0: OwnedFd,
    /// Read by the child.
    pub end1: OwnedFd,
}

/// Bytes of a message; they arrive whole or the framing is lost.
pub const MESSAGE: usize = 16;

/// nginx's five, and *ready*.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// A sibling lives: its end 0 comes along.
    OpenChannel = 1,
    /// A sibling is gone. From a child, about itself: it hears signals only from now on.
    CloseChannel = 2,
    Quit = 3,
    Terminate = 4,
    Reopen = 5,
    /// From a child, about itself: its loop runs and its listeners are armed.
    Ready = 6,
}

impl Command {
    fn from_number(number: i32) -> Option<Self> {
        const ALL: [Command; 6] = [
            Command::OpenChannel,
            Command::CloseChannel,
            Command::Quit,
            Command::Terminate,
            Command::Reopen,
            Command::Ready,
        ];
        ALL.into_iter().find(|command| *command as i32 == number)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    pub command: Command,
    /// 0 for quit, terminate and reopen, as is the slot.
    pub pid: i32,
    pub slot: usize,
}

/// Why a message is dropped. The channel stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forged {
    Command(i32),
    Slot(i32),
    /// An *open channel* without a descriptor, or another command with one.
    Descriptors(usize),
}

impl Message {
    /// A command to the reader itself.
    pub fn order(command: Command) -> Self {
        Self { command, pid: 0, slot: 0 }
    }

    /// The bytes; `fd` is the sender's number of the descriptor that comes along, -1 for none.
    pub fn encode(self, fd: i32) -> [u8; MESSAGE] {
        let mut bytes = [0; MESSAGE];
        let words = [self.command as i32, self.pid, self.slot as i32, fd];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// The sender's fd number says nothing here: how many really came does.
    pub fn decode(bytes: &[u8; MESSAGE], descriptors: usize) -> Result<Self, Forged> {
        let word = |at: usize| {
            i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let command = Command::from_number(word(0)).ok_or(Forged::Command(word(0)))?;
        let slot = usize::try_from(word(8)).ok().filter(|slot| *slot < MAX_PROCESSES);
        let slot = slot.ok_or(Forged::Slot(word(8)))?;
        if descriptors != usize::from(command == Command::OpenChannel) {
            return Err(Forged::Descriptors(descriptors));
        }
        Ok(Self { command, pid: word(4), slot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip() {
        let open = Message { command: Command::OpenChannel, pid: 4711, slot: 1023 };
        assert_eq!(Message::decode(&open.encode(9), 1), Ok(open));
        for command in [Command::Quit, Command::Terminate, Command::Reopen, Command::Ready] {
            let order = Message::order(command);
            assert_eq!(Message::decode(&order.encode(-1), 0), Ok(order));
        }
    }

    #[test]
    fn what_no_master_writes_is_refused() {
        let forged = |words: [i32; 4], descriptors| {
            let mut bytes = [0; MESSAGE];
            for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
                place.copy_from_slice(&word.to_ne_bytes());
            }
            Message::decode(&bytes, descriptors).unwrap_err()
        };
        assert_eq!(forged([0, 1, 0, -1], 0), Forged::Command(0));
        assert_eq!(forged([7, 1, 0, -1], 0), Forged::Command(7));
        assert_eq!(forged([i32::MIN, 1, 0, -1], 0), Forged::Command(i32::MIN));
        assert_eq!(forged([1, 1, 1024, 5], 1), Forged::Slot(1024));
        assert_eq!(forged([1, 1, -1, 5], 1), Forged::Slot(-1));
        assert_eq!(forged([1, 1, 1, 5], 0), Forged::Descriptors(0));
        assert_eq!(forged([1, 1, 1, 5], 2), Forged::Descriptors(2));
        assert_eq!(forged([3, 0, 0, 5], 1), Forged::Descriptors(1));
    }
}
