//! The messages of hand-over: bytes to values and back, believing nothing.
//!
//! A message begins with a head that is the same in all versions, so that one which is not
//! understood can be refused. Behind it stands what the kind says. Numbers are the machine's
//! own: both ends run on it.

use super::fields::{ADDR, Reader, length, put_addr, put_flag, put_peer};
use crate::proto::proxy_protocol::V2_MAX;
use crate::sys::addr::{Addr, Peer};
use crate::text::writer::Writer;

pub const VERSION: u8 = 1;

/// Bytes of a head, in all versions.
pub const HEAD: usize = 24;
/// The most bytes of a request that travel with its connection.
pub const INPUT_MOST: usize = 8 * 1024;
/// No message is longer.
pub const LONGEST: usize = HEAD + FIXED + V2_MAX + INPUT_MOST;

/// What of a connection has the same length always.
const FIXED: usize = 8 + 4 + 4 + 4 + 2 + 2 + 2 + 2 * ADDR;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A client's connection that owes nothing and is owed nothing.
    Connection = 1,
    /// The same of one that has become a tunnel; what else is known of it is beside the message.
    Tunnel = 2,
    /// From the receiver: it has the one with this ticket, and will read from it now.
    Ack = 3,
    /// From the receiver: it does not take it, and why.
    Nak = 4,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The receiver leaves, too.
    Draining = 1,
    /// `worker_connections`, or something else there is not enough of.
    Full = 2,
    /// The receiver's configuration does not listen where the connection came in.
    NoListener = 3,
    /// It does not understand the message, or does not believe it.
    Invalid = 4,
}

/// What every message begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub kind: Kind,
    /// Of a `Nak`.
    pub reason: Option<Reason>,
    /// The sender's.
    pub pid: i32,
    /// The sender of the connection knows it again by this.
    pub ticket: u64,
}

/// A head that could be read, whatever stands behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unknown {
    pub version: u8,
    pub kind: u8,
    pub pid: i32,
    pub ticket: u64,
}

/// A client's connection between requests, or in the middle of a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection<'a> {
    /// nginx's `*N`.
    pub number: u64,
    /// Requests begun on it.
    pub requests: u32,
    /// Since it was accepted.
    pub age_ms: u32,
    /// How much longer it may stay silent.
    pub left_ms: u32,
    /// TCP_NODELAY is set.
    pub nodelay: bool,
    pub peer: Peer,
    /// The address of the listening socket that it came in by.
    pub listener: Addr,
    /// The header of the PROXY protocol; empty: there was none.
    pub proxied: &'a [u8],
    /// What was read of the next request.
    pub input: &'a [u8],
}

impl Head {
    pub fn put(&self, out: &mut Writer<'_>) {
        out.put(&[VERSION, self.kind as u8, self.reason.map_or(0, |reason| reason as u8), 0]);
        out.put(&[0; 4]);
        out.put(&self.pid.to_ne_bytes());
        out.put(&[0; 4]);
        out.put(&self.ticket.to_ne_bytes());
    }

    /// The head, and what stands behind it. `Err(None)`: not even that.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Option<Unknown>> {
        let mut rest = Reader(bytes);
        let head = head(&mut rest).ok_or(None)?;
        let Unknown { version, kind, pid, ticket } = head.0;
        let kind = match (version, kind) {
            (VERSION, 1) => Kind::Connection,
            (VERSION, 2) => Kind::Tunnel,
            (VERSION, 3) => Kind::Ack,
            (VERSION, 4) => Kind::Nak,
            _ => return Err(Some(head.0)),
        };
        let reason = match (kind, head.1) {
            (Kind::Nak, 1) => Some(Reason::Draining),
            (Kind::Nak, 2) => Some(Reason::Full),
            (Kind::Nak, 3) => Some(Reason::NoListener),
            // One that a later version has, too.
            (Kind::Nak, _) => Some(Reason::Invalid),
            _ => None,
        };
        Ok((Self { kind, reason, pid, ticket }, rest.0))
    }
}

/// With the byte of the reason.
fn head(rest: &mut Reader<'_>) -> Option<(Unknown, u8)> {
    let &[version, kind, reason, _] = rest.take()?;
    let _ = rest.u32()?;
    let pid = rest.u32()?.cast_signed();
    let _ = rest.u32()?;
    Some((Unknown { version, kind, pid, ticket: rest.u64()? }, reason))
}

impl<'a> Connection<'a> {
    pub fn put(&self, out: &mut Writer<'_>) {
        out.put(&self.number.to_ne_bytes());
        out.put(&self.requests.to_ne_bytes());
        out.put(&self.age_ms.to_ne_bytes());
        out.put(&self.left_ms.to_ne_bytes());
        put_flag(self.nodelay, out);
        out.put(&length(self.proxied));
        out.put(&length(self.input));
        put_peer(self.peer, out);
        put_addr(&self.listener, out);
        out.put(self.proxied);
        out.put(self.input);
    }

    /// `None`: nobody of ours has written this.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let (number, requests) = (rest.u64()?, rest.u32()?);
        let (age_ms, left_ms) = (rest.u32()?, rest.u32()?);
        let nodelay = rest.flag()?;
        let (proxied, input) = (usize::from(rest.u16()?), usize::from(rest.u16()?));
        let (peer, listener) = (rest.addr()?.peer(), rest.addr()?);
        let right = proxied <= V2_MAX && input <= INPUT_MOST && rest.0.len() == proxied + input;
        let (proxied, input) = rest.0.split_at_checked(proxied).filter(|_| right)?;
        Some(Self { number, requests, age_ms, left_ms, nodelay, peer, listener, proxied, input })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(text: &str) -> Connection<'static> {
        let listener = Addr::parse(text, 80).unwrap();
        Connection {
            number: u64::MAX,
            requests: 7,
            age_ms: 60_000,
            left_ms: 75_000,
            nodelay: true,
            peer: listener.peer(),
            listener,
            proxied: b"PROXY UNKNOWN\r\n",
            input: b"GET / HT",
        }
    }

    fn bytes_of(connection: &Connection<'_>) -> Vec<u8> {
        let mut room = vec![0; LONGEST];
        let mut out = Writer::new(&mut room);
        connection.put(&mut out);
        let len = out.finish().unwrap();
        room.truncate(len);
        room
    }

    #[test]
    fn connections_there_and_back() {
        for text in ["127.0.0.1:8080", "*", "[::1]:8080", "unix:/run/x.sock", "unix:@hidden"] {
            let connection = connection(text);
            let bytes = bytes_of(&connection);
            assert_eq!(bytes.len(), FIXED + connection.proxied.len() + connection.input.len());
            assert_eq!(Connection::parse(&bytes), Some(connection), "{text}");
            for len in 0..bytes.len() {
                assert_eq!(Connection::parse(&bytes[..len]), None, "{text} cut at {len}");
            }
            assert_eq!(Connection::parse(&[&*bytes, b"x"].concat()), None);
        }
        let full = vec![b'x'; INPUT_MOST];
        let longest = Connection { input: &full, ..connection("*") };
        assert_eq!(Connection::parse(&bytes_of(&longest)), Some(longest));
    }

    #[test]
    fn forged_connections_are_refused() {
        let good = bytes_of(&connection("127.0.0.1:8080"));
        let (flags, proxied, input) = (20, 22, 24);
        let (peer, listener) = (26, 26 + ADDR);
        for (at, byte) in [
            (flags, 2),
            (proxied, 16),
            (proxied + 1, 0xff),
            (input, 0),
            (input + 1, 0x21),
            (peer, 9),
            (peer + 1, 5),
            (listener, 0),
            (listener + 1, 255),
        ] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert_eq!(Connection::parse(&bytes), None, "{at}: {byte}");
        }
    }

    #[test]
    fn heads_there_and_back() {
        let mut room = [0; HEAD];
        let mut bytes_of = |head: Head| {
            let mut out = Writer::new(&mut room);
            head.put(&mut out);
            assert_eq!(out.finish(), Ok(HEAD));
            room
        };
        let head =
            Head { kind: Kind::Nak, reason: Some(Reason::Full), pid: 4711, ticket: u64::MAX - 1 };
        for head in [
            head,
            Head { reason: Some(Reason::NoListener), ..head },
            Head { kind: Kind::Ack, reason: None, ..head },
            Head { kind: Kind::Connection, reason: None, ..head },
            Head { kind: Kind::Tunnel, reason: None, ..head },
        ] {
            let bytes = bytes_of(head);
            assert_eq!(Head::parse(&bytes), Ok((head, &b""[..])));
            assert_eq!(Head::parse(&bytes[..HEAD - 1]), Err(None));
        }
        let mut later = bytes_of(head);
        later[0] = 2;
        let Unknown { version, kind, pid, ticket } = Head::parse(&later).unwrap_err().unwrap();
        assert_eq!((version, kind, pid, ticket), (2, 4, 4711, u64::MAX - 1));
        later[0] = VERSION;
        later[2] = 99;
        assert_eq!(Head::parse(&later).unwrap().0.reason, Some(Reason::Invalid));
        later[1] = 9;
        assert!(Head::parse(&later).is_err_and(|unknown| unknown.is_some()));
    }
}
