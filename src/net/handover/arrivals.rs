//! What comes through the door: connections from siblings, and answers to those we have sent.
//!
//! A sibling that was broken into may send anything. A message that is not ours is refused,
//! its descriptors are closed, and the next one may be right.

use std::io::IoSlice;
use std::os::fd::OwnedFd;

use super::message::{self, Connection, Head, Kind, Reason, Unknown};
use super::sent::Verdict;
use super::{Handover, process};
use crate::log::{Level, log};
use crate::shm;
use crate::sys::addr::Ip;
use crate::sys::errno::Errno;
use crate::sys::msg::{self, FdBuf, Received};
use crate::sys::{fd, socket, sockopt};
use crate::text::writer::Writer;

/// Messages taken in one turn of the loop: the clients that are here have theirs, too.
const AT_ONCE: usize = 128;

/// Of a connection: where to answer, and the connection. In this order: of two there may be room
/// for one.
const CARRIED: usize = 2;

/// Whoever serves what comes in.
pub trait Host {
    /// All that a connection needs here.
    type Place;

    /// Finds a place, or says why there is none. Nothing is read from the connection yet.
    fn place(&self, about: &Connection<'_>, socket: OwnedFd) -> Result<Self::Place, Reason>;

    /// The sender knows: it is ours.
    fn begin(&self, place: Self::Place);
}

/// Where an answer goes.
enum Answer<'a> {
    /// The writing end that came along.
    Here(OwnedFd),
    /// None came; its writer is perhaps a sibling that we know.
    To(&'a Handover, i32),
}

impl Handover {
    /// Works off what has come; false if there is more.
    pub fn receive(&self, host: &impl Host) -> bool {
        let [door, answers] = self.watched();
        let empty = |end: &OwnedFd| self.receive_from(end, host);
        // Answers first: they make room.
        answers.is_none_or(empty) & door.is_none_or(empty)
    }

    fn receive_from(&self, end: &OwnedFd, host: &impl Host) -> bool {
        let mut room = self.incoming.borrow_mut();
        room.resize(message::LONGEST, 0);
        let mut carried = FdBuf::<CARRIED>::new();
        for _ in 0..AT_ONCE {
            let received = match msg::recv_fds(end, &mut room, &mut carried) {
                Ok(received) => received,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return true,
                Err(e) => {
                    log!(Level::Alert, errno e, "recvmsg() failed");
                    return true;
                }
            };
            self.read(&room[..received.len.min(message::LONGEST)], received, &mut carried, host);
        }
        false
    }

    fn read(
        &self,
        bytes: &[u8],
        received: Received,
        carried: &mut FdBuf<CARRIED>,
        host: &impl Host,
    ) {
        let (head, body) = match Head::parse(bytes) {
            Ok(parsed) => parsed,
            Err(None) => {
                log!(Level::Alert, "a message of {} bytes came through the door", bytes.len());
                return;
            }
            Err(Some(Unknown { version, kind, pid, ticket })) => {
                let text = format_args!("a message of kind {kind} and version {version}");
                log!(Level::Alert, "{text} came through the door");
                return self.answer(carried, pid).say(ticket, Some(Reason::Invalid));
            }
        };
        match head.kind {
            Kind::Ack => self.settle(head.ticket, Verdict::Taken),
            Kind::Nak => {
                let reason = head.reason.unwrap_or(Reason::Invalid);
                self.settle(head.ticket, Verdict::Refused(reason));
            }
            Kind::Connection => {
                let socket = carried.take(1);
                let answer = self.answer(carried, head.pid);
                let found = checked(body, received, socket);
                match found.and_then(|(about, socket)| Ok((about, host.place(&about, socket)?))) {
                    Ok((about, place)) => self.take(head, &about, place, answer, host),
                    Err(reason) => {
                        log!(Level::Debug, "worker {} keeps its connection: {reason:?}", head.pid);
                        answer.say(head.ticket, Some(reason));
                    }
                }
            }
        }
    }

    /// Says that it is ours, and only then begins with it.
    fn take<H: Host>(
        &self,
        head: Head,
        about: &Connection<'_>,
        place: H::Place,
        answer: Answer<'_>,
        host: &H,
    ) {
        let (number, pid, input) = (about.number, head.pid, about.input.len());
        if !answer.try_say(head.ticket, None) {
            // Its sender would take it for lost once we are gone, and serve it, too.
            log!(Level::Warn, "*{number} is closed: worker {pid} cannot be told that it is taken");
            return;
        }
        let requests = about.requests;
        log!(Level::Debug, "*{number} taken from worker {pid}: requests {requests} input {input}");
        shm::own().handed_in.add(1);
        host.begin(place);
    }

    fn answer(&self, carried: &mut FdBuf<CARRIED>, pid: i32) -> Answer<'_> {
        match carried.take(0).filter(is_door) {
            Some(end) => Answer::Here(end),
            None => Answer::To(self, pid),
        }
    }
}

impl Answer<'_> {
    fn say(&self, ticket: u64, refused: Option<Reason>) {
        if !self.try_say(ticket, refused) {
            log!(Level::Warn, "an answer to a sibling is lost, ticket {ticket:x}");
        }
    }

    /// `refused`: why; else it is taken. False: the sender lives and does not know.
    fn try_say(&self, ticket: u64, refused: Option<Reason>) -> bool {
        let kind = if refused.is_some() { Kind::Nak } else { Kind::Ack };
        let mut room = [0; message::HEAD];
        let mut out = Writer::new(&mut room);
        Head { kind, reason: refused, pid: process::getpid(), ticket }.put(&mut out);
        let part = [IoSlice::new(&room)];
        let said = match self {
            Answer::Here(end) => msg::send_fds(end, &part, &[], 0),
            Answer::To(handover, pid) => match handover.receivers.borrow().by_pid(*pid) {
                Some(sibling) => msg::send_fds(&sibling.door, &part, &[], 0),
                None => Err(Errno::ENOTCONN),
            },
        };
        match said {
            // The sender has gone: what it sent is ours alone.
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED) => true,
            Err(e) => {
                log!(Level::Debug, "sendmsg() failed ({e})");
                false
            }
        }
    }
}

/// Whether all is as it should be: the message, and the descriptor that claims to be a client.
fn checked(
    body: &[u8],
    received: Received,
    socket: Option<OwnedFd>,
) -> Result<(Connection<'_>, OwnedFd), Reason> {
    if received.control_truncated {
        // Of descriptors there are none left.
        return Err(Reason::Full);
    }
    let about = Connection::parse(body).filter(|_| received.is_clean());
    let found = about.zip(socket).filter(|(about, socket)| is_client(about, socket));
    let found = found.filter(|(_, socket)| fd::set_nonblocking(socket, true).is_ok());
    found.ok_or_else(|| {
        log!(Level::Alert, "what came through the door is no connection");
        Reason::Invalid
    })
}

/// A connected stream with this peer. One whose peer has left has no name any more, and will
/// say so when it is read.
fn is_client(about: &Connection<'_>, socket: &OwnedFd) -> bool {
    let stream = sockopt::kind(socket) == Ok(socket::STREAM)
        && sockopt::is_listening(socket) == Ok(false)
        && sockopt::family(socket) == Ok(about.listener.family());
    stream
        && match socket::getpeername(socket) {
            Ok(peer) => peer.peer() == about.peer,
            Err(Errno::ENOTCONN) => (about.peer.ip == Ip::Unix) == about.listener.is_unix(),
            Err(_) => false,
        }
}

fn is_door(end: &OwnedFd) -> bool {
    sockopt::kind(end) == Ok(socket::SEQPACKET)
        && socket::getsockname(end).is_ok_and(|name| name.is_unix())
}
