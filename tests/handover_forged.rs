//! Messages of hand-over that no worker has sent: tunnels (tests/handover_doors.rs has those of
//! connections).
use crate::common::*;
use crate::handover_doors::{Forger, connection, head};
use crate::handover_tunnel::{BACKEND, echo, proxying, start};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// What a worker would pack: no bytes on their way, and a context.
fn parcel(owner: u16, context: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_ne_bytes().to_vec();
    bytes.extend(60_000u64.to_ne_bytes());
    for _ in 0..2 {
        bytes.extend([0; 2 + 8 + 8]);
    }
    for len in [0, 0, context.len() as u32] {
        bytes.extend(len.to_ne_bytes());
    }
    bytes.extend(context);
    bytes
}

/// Of the context as much as is read before a tunnel is taken.
fn opening(head: &str) -> Vec<u8> {
    let mut bytes = 1u16.to_ne_bytes().to_vec();
    for text in [head, "backend", "127.0.0.1:1"] {
        bytes.extend((text.len() as u32).to_ne_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.extend([0; 8 + 8 + 2]);
    bytes
}

/// Somebody with two connections who makes a tunnel of them for a worker.
struct Forgery {
    limpet: Limpet,
    _upstream: Upstream,
    worker: Process,
    forger: Forger,
    client: TcpStream,
    far: TcpStream,
    /// The worker's ends of both.
    accepted: TcpStream,
    other: TcpStream,
    listener: TcpListener,
    answers: File,
    end: OwnedFd,
    /// The message that is right.
    message: Vec<u8>,
    /// The worker's descriptors before.
    fds: usize,
}

const INVALID: (u8, u8) = (4, 4);
const TAKEN: (u8, u8) = (3, 0);

impl Forgery {
    fn new() -> Self {
        let (limpet, _upstream) = start(&proxying(BACKEND), echo);
        let worker = limpet.workers()[0];
        let forger = Forger::new(&limpet, worker);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let client = connect();
        let (accepted, from) = listener.accept().unwrap();
        let far = connect();
        let (other, _) = listener.accept().unwrap();
        let (answers, end) = kernel::seqpacket_pair();
        let mut message = connection(from.port(), limpet.port(8080), b"");
        message[1] = 2;
        let (answers, fds) = (answers.into(), worker.fds().len());
        Self {
            limpet,
            _upstream,
            worker,
            forger,
            client,
            far,
            accepted,
            other,
            listener,
            answers,
            end,
            message,
            fds,
        }
    }

    /// Kind and reason of what the worker says to a message.
    fn send(&mut self, message: &[u8], fds: &[RawFd]) -> (u8, u8) {
        self.forger.send(message, fds);
        let mut bytes = [0; 64];
        assert_eq!(self.answers.read(&mut bytes).unwrap(), 24);
        (bytes[1], bytes[2])
    }

    /// The same of one that is right but for its parcel, perhaps.
    fn send_with(&mut self, parcel: &OwnedFd) -> (u8, u8) {
        let ends = [self.end.as_raw_fd(), self.accepted.as_raw_fd(), self.other.as_raw_fd()];
        let message = self.message.clone();
        self.send(&message, &[ends[0], ends[1], ends[2], parcel.as_raw_fd()])
    }

    #[track_caller]
    fn wait_closed(&self) {
        eventually("its descriptors are closed", || self.worker.fds().len() == self.fds);
        assert_eq!(self.limpet.get("/ping").text(), "pong");
    }
}

fn good() -> Vec<u8> {
    parcel(1, &opening("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn forged_parcels_are_refused() {
    let mut forgery = Forgery::new();
    let good = good();
    for bad in [
        b"".to_vec(),
        b"x".to_vec(),
        vec![0xff; 100],
        parcel(2, b""),
        parcel(1, b""),
        good[..good.len() - 1].to_vec(),
        [&*good, b"x"].concat(),
        parcel(1, &opening("GET /x HTTP/1.1\r\n")),
        parcel(1, &opening("GET /x HTTP/1.1\r\n\r\nmore")),
        parcel(1, &opening("nonsense\r\n\r\n")),
        vec![0; 5 << 20],
    ] {
        let answer = forgery.send_with(&kernel::memory_with(&bad, true));
        assert_eq!(answer, INVALID, "{:?}", &bad[..bad.len().min(100)]);
    }
    assert_eq!(forgery.send_with(&kernel::memory_with(&good, false)), INVALID, "it may grow");
    let zero: OwnedFd = File::open("/dev/zero").unwrap().into();
    assert_eq!(forgery.send_with(&zero), INVALID);
    let (pair, _other) = kernel::seqpacket_pair();
    assert_eq!(forgery.send_with(&pair), INVALID);
    forgery.wait_closed();
}

#[test]
fn forged_descriptors_are_refused() {
    let mut forgery = Forgery::new();
    let sealed = kernel::memory_with(&good(), true);
    let (client, other) = (forgery.accepted.as_raw_fd(), forgery.other.as_raw_fd());
    let (end, listener) = (forgery.end.as_raw_fd(), forgery.listener.as_raw_fd());
    let (parcel, message) = (sealed.as_raw_fd(), forgery.message.clone());
    for fds in [
        &[end, client, other][..],
        &[end, client],
        &[end, client, parcel, other],
        &[end, client, listener, parcel],
        &[end, other, client, parcel],
        &[end, client, other, parcel, end],
    ] {
        assert_eq!(forgery.send(&message, fds), INVALID, "{fds:?}");
    }
    let mut cut = message.clone();
    cut.pop();
    assert_eq!(forgery.send(&cut, &[end, client, other, parcel]), INVALID);
    // What goes with a tunnel is too much for a connection.
    let mut plain = message;
    plain[1] = 1;
    assert_eq!(forgery.send(&plain, &[end, client, other]), INVALID);
    forgery.forger.send(&head([1, 2, 0], 1, 1), &[]);
    forgery.wait_closed();
}

/// Taken, since bytes can pass; what is missing of its request is told.
#[test]
fn a_tunnel_of_which_not_all_is_told_is_served() {
    let mut forgery = Forgery::new();
    assert_eq!(forgery.send_with(&kernel::memory_with(&good(), true)), TAKEN);
    forgery.client.write_all(b"to the other side").unwrap();
    let mut bytes = [0; 17];
    forgery.far.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"to the other side");
    let line = forgery.limpet.log.wait("has not told all that it should of a tunnel");
    assert_eq!((&*line.level, line.pid), ("alert", forgery.worker.0));
    forgery.client.shutdown(std::net::Shutdown::Both).unwrap();
    forgery.wait_closed();
}
