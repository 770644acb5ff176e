//! What comes through the door: connections from siblings. What they answer to ours comes to a
//! place of its own, or, when there was no room for the descriptor of that, here.
//!
//! A sibling that was broken into may send anything. A message that is not ours is refused,
//! its descriptors are closed, and the next one may be right.

use std::io::IoSlice;
use std::os::fd::OwnedFd;

use super::message::{self, Connection, Head, Kind, Reason, Unknown};
use super::parcel::{self, Tunnel};
use super::silence::is_taken_back;
use super::{AT_ONCE, Handover, process};
use crate::event;
use crate::log::{Level, log};
use crate::shm;
use crate::sys::addr::Ip;
use crate::sys::errno::Errno;
use crate::sys::msg::{self, FdBuf, Received};
use crate::sys::{fd, socket, sockopt};
use crate::text::writer::Writer;

/// Of a connection: where to answer, and the connection; of a tunnel its other end, too, and its
/// parcel. In this order: there may be room for some of them.
const CARRIED: usize = 4;

/// Whoever serves what comes in.
pub trait Host {
    /// All that a connection needs here.
    type Place;

    /// Finds a place, or says why there is none. Nothing is read from the connection yet.
    fn place(
        &self,
        about: &Connection<'_>,
        socket: OwnedFd,
        carried: Option<Carried<'_>>,
    ) -> Result<Self::Place, Reason>;

    /// The sender knows: it is ours.
    fn begin(&self, place: Self::Place);
}

/// What of a tunnel comes with its client's connection.
pub struct Carried<'a> {
    pub other: OwnedFd,
    pub tunnel: Tunnel<'a>,
}

/// What became of a yes.
enum Said {
    /// It is there, or its reader has gone for good.
    Yes,
    /// The sender has the connection again.
    TooLate,
    /// The sender lives and does not know.
    No,
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
        // Answers first: they make room.
        let count = self.receivers.borrow().iter().count();
        let heard = (0..count).fold(true, |all, at| self.hear(at) & all);
        heard & self.door().is_none_or(|door| self.receive_from(door, host))
    }

    fn receive_from(&self, end: &OwnedFd, host: &impl Host) -> bool {
        let mut room = self.incoming.borrow_mut();
        room.resize(message::LONGEST, 0);
        let mut carried = FdBuf::<CARRIED>::new();
        for _ in 0..AT_ONCE {
            let received = match msg::recv_fds(end, &mut room, &mut carried) {
                // Nobody is left to send anything.
                Ok(received) if received.len == 0 => return true,
                Ok(received) => received,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return true,
                Err(e) => {
                    log!(Level::Alert, errno e, "recvmsg() failed");
                    return true;
                }
            };
            if received.len == 0 && socket::is_hung_up(end) {
                // The master has gone, and all siblings: it would be readable for ever.
                let _ = event::reactor().unwatch(end);
                return true;
            }
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
                log!(
                    Level::Alert,
                    bounded,
                    "a message of {} bytes came through the door",
                    bytes.len()
                );
                return;
            }
            Err(Some(Unknown { version, kind, pid, ticket })) => {
                let text = format_args!("a message of kind {kind} and version {version}");
                log!(Level::Alert, bounded, "{text} came through the door");
                return self.answer(carried, pid).say(ticket, Some(Reason::Invalid));
            }
        };
        match head.kind {
            Kind::Ack | Kind::Nak => self.settle(head),
            Kind::Connection | Kind::Tunnel => {
                let answer = self.answer(carried, head.pid);
                match placed((head.kind, body), received, carried, (&answer, host)) {
                    Ok((about, place)) => self.take(head, &about, place, answer, host),
                    Err(reason) => {
                        log!(Level::Debug, "worker {} keeps its connection: {reason:?}", head.pid);
                        answer.say(head.ticket, Some(reason));
                    }
                }
            }
        }
    }

    /// An answer, where nothing else is expected.
    pub(super) fn answered(&self, bytes: &[u8]) {
        match Head::parse(bytes) {
            Ok((head, _)) if matches!(head.kind, Kind::Ack | Kind::Nak) => self.settle(head),
            _ => log!(Level::Alert, bounded, "an answer of {} bytes is none", bytes.len()),
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
        match answer.try_say(head.ticket, None) {
            Said::Yes => {}
            Said::TooLate => {
                log!(Level::Debug, "*{number} is with worker {pid} again: this one is too late");
                return;
            }
            // Its sender would take it for lost once we are gone, and serve it, too.
            Said::No => {
                let text = format_args!("worker {pid} cannot be told that it is taken");
                log!(Level::Warn, bounded, "*{number} is closed: {text}");
                return;
            }
        }
        let requests = about.requests;
        let what = if head.kind == Kind::Tunnel { " a tunnel," } else { "" };
        let text = format_args!("*{number} taken from worker {pid}:{what} requests {requests}");
        log!(Level::Debug, "{text} input {input}");
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
        if let Said::No = self.try_say(ticket, refused) {
            log!(Level::Warn, bounded, "an answer to a sibling is lost, ticket {ticket:x}");
        }
    }

    /// `refused`: why; else it is taken.
    fn try_say(&self, ticket: u64, refused: Option<Reason>) -> Said {
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
        match (said, self) {
            (Ok(_), _) => Said::Yes,
            (Err(Errno::EPIPE), Answer::Here(end)) if is_taken_back(end) => Said::TooLate,
            // The sender has gone: what it sent is ours alone.
            (Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED), _) => Said::Yes,
            (Err(e), _) => {
                log!(Level::Debug, "sendmsg() failed ({e})");
                Said::No
            }
        }
    }
}

/// The message, and its place, if all is as it should be.
fn placed<'a, H: Host>(
    (kind, body): (Kind, &'a [u8]),
    received: Received,
    carried: &mut FdBuf<CARRIED>,
    (answer, host): (&Answer<'_>, &H),
) -> Result<(Connection<'a>, H::Place), Reason> {
    if received.control_truncated {
        // Of descriptors there are none left.
        return Err(Reason::Full);
    }
    let about = Connection::parse(body).filter(|_| received.is_clean()).ok_or_else(refused)?;
    let socket = carried.take(1).filter(|_| matches!(answer, Answer::Here(_)));
    let socket = socket.filter(|socket| is_client(&about, socket)).ok_or_else(refused)?;
    if kind == Kind::Connection {
        let is_all = carried.is_empty();
        let place = if is_all { host.place(&about, socket, None)? } else { return Err(refused()) };
        return Ok((about, place));
    }
    let other = carried.take(2).filter(is_stream).ok_or_else(refused)?;
    let parcel = carried.take(3).ok_or_else(refused)?;
    let parcel = parcel::unpack(&parcel).map_err(|_| refused())?;
    let tunnel = Tunnel::parse(&parcel).ok_or_else(refused)?;
    let place = host.place(&about, socket, Some(Carried { other, tunnel }))?;
    Ok((about, place))
}

fn refused() -> Reason {
    log!(Level::Alert, bounded, "what came through the door is no connection");
    Reason::Invalid
}

/// A connected stream with this peer. One whose peer has left has no name any more, and will
/// say so when it is read.
fn is_client(about: &Connection<'_>, socket: &OwnedFd) -> bool {
    is_stream(socket)
        && sockopt::family(socket) == Ok(about.listener.family())
        && match socket::getpeername(socket) {
            Ok(peer) => peer.peer() == about.peer,
            Err(Errno::ENOTCONN) => (about.peer.ip == Ip::Unix) == about.listener.is_unix(),
            Err(_) => false,
        }
}

/// A stream to read and to write without waiting.
fn is_stream(socket: &OwnedFd) -> bool {
    sockopt::kind(socket) == Ok(socket::STREAM)
        && sockopt::is_listening(socket) == Ok(false)
        && fd::set_nonblocking(socket, true).is_ok()
}

fn is_door(end: &OwnedFd) -> bool {
    sockopt::kind(end) == Ok(socket::SEQPACKET)
        && socket::getsockname(end).is_ok_and(|name| name.is_unix())
}
