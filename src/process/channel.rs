//! The channel: how the master tells a child something, one message at a time.
//!
//! One stream socketpair per child. The master and every sibling write to end
//! 0; the child reads end 1. After the fork the child closes its own end 0 and
//! every sibling's end 1. The master keeps end 1 as well: so a child's death
//! shows once, as SIGCHLD, and never as EPIPE or SIGIO on end 0 before it is
//! reaped. The cost is that writes to the dead succeed.
//!
//! A message is five native integers. Its pid, slot and generation are those of the
//! child that the message is *about*, never the sender's. Descriptors travel beside
//! it as SCM_RIGHTS. This file knows the form and what is wrong with a message; what
//! a message means is for the worker and the master to say. A message that is
//! wrong is dropped and the channel stays; one that is short breaks the framing
//! for good (nginx goes deaf after any error, and a QUIT written later is
//! silently lost).
//!
//! Connections travel on a second pair, the *door* (`net::handover`): SOCK_SEQPACKET, so
//! messages are whole, and commands never wait behind them. *Open channel* carries its
//! writing end as a second descriptor. The master keeps the writing end, to give it to
//! those who come later, but not the reading one: what lies in the door of a process
//! that has died is gone with it, and writing there fails.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::table::MAX_PROCESSES;
use crate::log::{Level, log};
use crate::sys::msg::{self, FdBuf};
use crate::sys::{self, Errno, fd, process, socket, sockopt};

/// What the master holds of a child's two pairs.
pub struct Channel {
    /// Written by the master and every sibling.
    pub end0: OwnedFd,
    /// Read by the child.
    pub end1: OwnedFd,
    /// Where siblings hand connections in.
    pub door0: OwnedFd,
}

impl Channel {
    /// Both pairs, and the reading end of the door, which is the child's alone. End 0 tells
    /// this process by SIGIO what the child does: it has written, or it has read and made room.
    pub fn new() -> sys::Result<(Self, OwnedFd)> {
        let (end0, end1) = socket::socketpair(socket::STREAM)?;
        fd::set_async(&end0, true)?;
        fd::set_owner(&end0, process::getpid())?;
        let (door0, door1) = socket::socketpair(socket::SEQPACKET)?;
        Ok((Self { end0, end1, door0 }, door1))
    }

    /// What *open channel* carries.
    pub fn writing_ends(&self) -> [BorrowedFd<'_>; CARRIED] {
        [self.end0.as_fd(), self.door0.as_fd()]
    }
}

impl Channel {
    /// For the next image of the master, and `of_ends` there.
    pub fn ends(&self) -> [BorrowedFd<'_>; 3] {
        [self.end0.as_fd(), self.end1.as_fd(), self.door0.as_fd()]
    }

    pub fn of_ends(mut ends: impl Iterator<Item = OwnedFd>) -> Option<Self> {
        Some(Self { end0: ends.next()?, end1: ends.next()?, door0: ends.next()? })
    }
}

/// Bytes of a message; they arrive whole or the framing is lost.
pub const MESSAGE: usize = 20;

/// Descriptors that *open channel* carries: end 0, and the writing end of the door.
pub const CARRIED: usize = 2;

/// nginx's five, and *ready*.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// A sibling lives: the writing ends of its channel and its door come along.
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
    /// Of an *open channel*: which configuration the sibling serves. It takes connections of
    /// that generation and of older ones; 0: none at all, it is a helper.
    pub generation: u32,
}

/// Why a message is dropped. The channel stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forged {
    Command(i32),
    Slot(i32),
    /// An *open channel* without its descriptors, or another command with some.
    Descriptors(usize),
}

impl Message {
    /// A command to the reader itself.
    pub fn order(command: Command) -> Self {
        Self { command, pid: 0, slot: 0, generation: 0 }
    }

    /// The bytes; `fd` is the sender's number of the first descriptor that comes along, -1 for
    /// none.
    pub fn encode(self, fd: i32) -> [u8; MESSAGE] {
        let mut bytes = [0; MESSAGE];
        let generation = self.generation.cast_signed();
        let words = [self.command as i32, self.pid, self.slot as i32, generation, fd];
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
        let carried = if command == Command::OpenChannel { CARRIED } else { 0 };
        if descriptors != carried {
            return Err(Forged::Descriptors(descriptors));
        }
        Ok(Self { command, pid: word(4), slot, generation: word(12).cast_unsigned() })
    }
}

/// Whether a descriptor can be what *open channel* says it is: an AF_UNIX socket of this kind
/// that nobody listens on.
pub fn is_end(end: &OwnedFd, kind: i32) -> bool {
    sockopt::kind(end) == Ok(kind)
        && sockopt::is_listening(end) == Ok(false)
        && socket::getsockname(end).is_ok_and(|name| name.is_unix())
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    Whole,
    /// No room now: for bytes, or for descriptors in flight, which the kernel limits for each
    /// user to RLIMIT_NOFILE (ETOOMANYREFS).
    Full,
    /// Logged: the channel is of no use any more.
    Failed,
}

/// Writes one message, which is so small that it goes whole or not at all.
pub fn write(end0: &OwnedFd, message: Message, carried: &[BorrowedFd<'_>]) -> Written {
    let bytes = message.encode(carried.first().map_or(-1, |fd| fd.as_raw_fd()));
    match msg::send_fds(end0, &[IoSlice::new(&bytes)], carried, 0) {
        Ok(MESSAGE) => Written::Whole,
        Err(Errno::EAGAIN | Errno::ETOOMANYREFS | Errno::ENOBUFS) => Written::Full,
        Ok(len) => {
            log!(Level::Alert, "sendmsg() wrote {len} bytes of a message");
            Written::Failed
        }
        Err(e) => {
            log!(Level::Alert, errno e, "sendmsg() failed");
            Written::Failed
        }
    }
}

/// The descriptors of a message: all that belong to its command, or none.
pub type Carried = FdBuf<CARRIED>;

/// What a channel gave.
pub enum Read {
    Message(Message, Carried),
    /// Nothing more for now.
    Empty,
    /// No message of ours: logged, its descriptors closed. The next may be right.
    Forged,
    /// Nobody holds the other end any more.
    Closed,
    /// The framing is lost for good. Logged.
    Broken,
}

/// Reads one message, believing nothing.
pub fn read(end: impl AsFd) -> Read {
    let mut bytes = [0; MESSAGE];
    let mut carried = Carried::new();
    let received = match msg::recv_fds(end, &mut bytes, &mut carried) {
        Ok(received) => received,
        Err(e) if e.is_transient() => return Read::Empty,
        Err(e) => {
            log!(Level::Alert, errno e, "recvmsg() failed");
            return Read::Broken;
        }
    };
    match received.len {
        MESSAGE => {}
        0 => {
            log!(Level::Debug, "recvmsg() returned zero");
            return Read::Closed;
        }
        len => {
            log!(Level::Alert, "recvmsg() returned not enough data: {len}");
            return Read::Broken;
        }
    }
    log!(Level::Debug, "channel: {MESSAGE}");
    if received.control_truncated || received.truncated {
        log!(Level::Alert, bounded, "recvmsg() truncated data");
        return Read::Forged;
    }
    if received.stray {
        log!(Level::Alert, bounded, "recvmsg() returned invalid ancillary data");
        return Read::Forged;
    }
    match Message::decode(&bytes, carried.len()) {
        Ok(message) => {
            log!(Level::Debug, "channel command: {}", message.command as i32);
            Read::Message(message, carried)
        }
        Err(forged) => {
            log!(Level::Alert, bounded, "{forged}");
            Read::Forged
        }
    }
}

impl std::fmt::Display for Forged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Forged::Command(number) => write!(f, "unknown channel command: {number}"),
            Forged::Slot(slot) => write!(f, "channel message about slot {slot}"),
            Forged::Descriptors(0) => f.write_str("recvmsg() returned too small ancillary data"),
            Forged::Descriptors(count) => write!(f, "channel message with {count} descriptors"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without SIGIO, which would end the test.
    fn pair() -> Channel {
        let (end0, end1) = socket::socketpair(socket::STREAM).unwrap();
        let (door0, _) = socket::socketpair(socket::SEQPACKET).unwrap();
        Channel { end0, end1, door0 }
    }

    #[test]
    fn messages_round_trip() {
        let open =
            Message { command: Command::OpenChannel, pid: 4711, slot: 1023, generation: u32::MAX };
        assert_eq!(Message::decode(&open.encode(9), CARRIED), Ok(open));
        for command in [Command::Quit, Command::Terminate, Command::Reopen, Command::Ready] {
            let order = Message::order(command);
            assert_eq!(Message::decode(&order.encode(-1), 0), Ok(order));
        }
    }

    #[test]
    fn what_no_master_writes_is_refused() {
        let forged = |words: [i32; 5], descriptors| {
            let mut bytes = [0; MESSAGE];
            for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
                place.copy_from_slice(&word.to_ne_bytes());
            }
            Message::decode(&bytes, descriptors).unwrap_err()
        };
        assert_eq!(forged([0, 1, 0, 1, -1], 0), Forged::Command(0));
        assert_eq!(forged([7, 1, 0, 1, -1], 0), Forged::Command(7));
        assert_eq!(forged([i32::MIN, 1, 0, 1, -1], 0), Forged::Command(i32::MIN));
        assert_eq!(forged([1, 1, 1024, 1, 5], 2), Forged::Slot(1024));
        assert_eq!(forged([1, 1, -1, 1, 5], 2), Forged::Slot(-1));
        assert_eq!(forged([1, 1, 1, 1, 5], 0), Forged::Descriptors(0));
        assert_eq!(forged([1, 1, 1, 1, 5], 1), Forged::Descriptors(1));
        assert_eq!(forged([1, 1, 1, 1, 5], 3), Forged::Descriptors(3));
        assert_eq!(forged([3, 0, 0, 1, 5], 1), Forged::Descriptors(1));
    }

    fn received(end: &OwnedFd) -> (&'static str, Option<Message>) {
        match read(end) {
            Read::Message(message, carried) => {
                (if carried.len() == CARRIED { "carrying" } else { "message" }, Some(message))
            }
            Read::Empty => ("empty", None),
            Read::Forged => ("forged", None),
            Read::Closed => ("closed", None),
            Read::Broken => ("broken", None),
        }
    }

    #[test]
    fn what_was_written_is_read_with_its_descriptor() {
        let channel = pair();
        let Channel { end0, end1, .. } = &channel;
        let open = Message { command: Command::OpenChannel, pid: 4711, slot: 7, generation: 2 };
        let quit = Message::order(Command::Quit);
        assert_eq!(write(end0, open, &channel.writing_ends()), Written::Whole);
        assert_eq!(write(end0, quit, &[]), Written::Whole);
        assert_eq!(received(end1), ("carrying", Some(open)));
        assert_eq!(received(end1), ("message", Some(quit)));
        assert_eq!(received(end1), ("empty", None));
    }

    #[test]
    fn a_full_channel_says_so_and_keeps_its_framing() {
        let channel = pair();
        let Channel { end0, end1, .. } = &channel;
        let open = |pid| Message { command: Command::OpenChannel, pid, slot: 1, generation: 1 };
        let fits = |pid: &i32| write(end0, open(*pid), &channel.writing_ends()) == Written::Whole;
        let fit = (0..100_000).take_while(fits);
        let fit = fit.count() as i32;
        assert!((100..100_000).contains(&fit), "{fit}");
        for pid in 0..fit {
            assert_eq!(received(end1), ("carrying", Some(open(pid))));
        }
        assert_eq!(received(end1), ("empty", None));
    }

    #[test]
    fn forged_messages_are_dropped_and_short_ones_break_the_framing() {
        let Channel { end0, end1, .. } = pair();
        let send = |bytes: &[u8], fds: &[BorrowedFd<'_>]| {
            msg::send_fds(&end0, &[IoSlice::new(bytes)], fds, 0).unwrap();
        };
        let quit = Message::order(Command::Quit);
        send(&[0xff; MESSAGE], &[]);
        send(&quit.encode(-1), &[end0.as_fd()]);
        send(&quit.encode(-1), &[end0.as_fd(), end1.as_fd()]);
        send(&Message { command: Command::OpenChannel, ..quit }.encode(9), &[]);
        for _ in 0..4 {
            assert_eq!(received(&end1).0, "forged");
        }
        send(&quit.encode(-1), &[]);
        assert_eq!(received(&end1), ("message", Some(quit)), "the channel stays");
        send(b"short", &[]);
        assert_eq!(received(&end1).0, "broken");
        drop(end0);
        // A child that another test has just forked may hold a copy: this waits for its end.
        fd::set_nonblocking(&end1, false).unwrap();
        assert_eq!(socket::recv(&end1, &mut [0]), Ok(0));
        assert_eq!(received(&end1).0, "closed");
    }
}
