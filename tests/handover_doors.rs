//! Doors (process model, section 8): what comes through one is not believed, and one that is full
//! is waited for.
use crate::common::*;
use crate::handover::serving;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};

/// The writing end of a worker's door, as its siblings hold it.
pub struct Forger(OwnedFd);

impl Forger {
    pub fn new(limpet: &Limpet, worker: Process) -> Self {
        // The master says which descriptors a child gets before it says which child.
        let text = limpet.log.text();
        let (before, _) = text.split_once(&format!("start worker process {}", worker.0)).unwrap();
        let number = before.rsplit_once(" door ").unwrap().1.split(':').next().unwrap();
        Self(kernel::descriptor_of(limpet.master().0, number.parse().unwrap()).unwrap())
    }

    pub fn send(&self, bytes: &[u8], fds: &[i32]) {
        assert_eq!(kernel::send_with(&self.0, bytes, fds).unwrap(), bytes.len());
    }
}

/// Version, kind, reason; pid of the sender; ticket.
pub fn head(first: [u8; 3], pid: i32, ticket: u64) -> Vec<u8> {
    let mut bytes = vec![first[0], first[1], first[2], 0, 0, 0, 0, 0];
    bytes.extend(pid.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(ticket.to_ne_bytes());
    bytes
}

/// A connection of 127.0.0.1 from this port that came in by 0.0.0.0:8080.
pub fn connection(peer: u16, port: u16, input: &[u8]) -> Vec<u8> {
    let addr = |ip: [u8; 4], port: u16| {
        let mut bytes = vec![4, 4];
        bytes.extend(port.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(ip);
        bytes.extend([0; 104]);
        bytes
    };
    let mut bytes = head([1, 1, 0], 1, 7);
    bytes.extend(4711u64.to_ne_bytes());
    bytes.extend([3u32, 1000, 60_000].iter().flat_map(|number| number.to_ne_bytes()));
    bytes.extend([1u16, 0, input.len() as u16].iter().flat_map(|number| number.to_ne_bytes()));
    bytes.extend(addr([127, 0, 0, 1], peer));
    bytes.extend(addr([0, 0, 0, 0], port));
    bytes.extend(input);
    bytes
}

/// Who has no room in its door is asked again, and nothing is lost meanwhile.
#[test]
fn a_door_that_is_full_is_waited_for() {
    let limpet = Limpet::start(&serving(2, "served"));
    let workers = limpet.wait_workers(2);
    let forger = Forger::new(&limpet, workers[0]);
    workers[0].stop();
    let mut clients: Vec<_> = (0..8).map(|_| limpet.client()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "served"));
    while kernel::send_with(&forger.0, &head([1, 3, 0], 1, 1), &[]).is_ok() {}
    workers[1].signal(libc::SIGQUIT);
    limpet.log.wait_count("is full, *", 20);
    for client in &mut clients {
        client.send("GET /full HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    workers[0].signal(libc::SIGCONT);
    for client in &mut clients {
        assert_eq!(client.response().text(), "served");
    }
    workers[1].wait_end();
    limpet.log.wait_count("taken from worker", clients.len());
}

#[test]
fn forged_messages_are_refused_and_the_door_stays() {
    let limpet = Limpet::start(&serving(2, "served"));
    let worker = limpet.wait_workers(2)[0];
    let forger = Forger::new(&limpet, worker);
    let (port, file) = (limpet.port(8080), std::fs::File::open("/dev/null").unwrap());
    // A listener of our own: what it accepts is a client that somebody hands in.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::try_connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, from) = listener.accept().unwrap();
    let (answers, end) = kernel::seqpacket_pair();
    let mut answers = std::fs::File::from(answers);
    let mut answer = || {
        let mut bytes = [0; 64];
        assert_eq!(answers.read(&mut bytes).unwrap(), 24);
        (bytes[1], bytes[2], bytes[16])
    };
    let (null, socket, end) = (file.as_raw_fd(), accepted.as_raw_fd(), end.as_raw_fd());
    let before = worker.fds().len();
    let good = connection(from.port(), port, b"");

    forger.send(b"", &[]);
    forger.send(b"x", &[]);
    forger.send(&[0xff; 40_000], &[null]);
    forger.send(&head([1, 3, 0], 1, 0), &[]); // an answer to nothing
    forger.send(&head([1, 4, 2], 1, u64::MAX), &[null, null]);
    forger.send(&head([1, 99, 0], 1, 1), &[null]);
    forger.send(&head([9, 1, 0], 1, 1), &[null, null]);
    forger.send(&good[..good.len() - 1], &[end, socket]);
    forger.send(&good, &[]);
    forger.send(&good, &[socket]);
    forger.send(&good, &[end, null]); // no socket
    forger.send(&good, &[end, end]); // of another kind
    forger.send(&good, &[end, listener.as_raw_fd()]); // nobody is connected
    forger.send(&good, &[null, socket, null]);
    forger.send(&connection(from.port() ^ 1, port, b""), &[end, socket]); // another peer
    forger.send(&connection(from.port(), 9, b""), &[end, socket]); // nobody listens there
    forger.send(&[&*good, b"x"].concat(), &[end, socket]);
    limpet.log.wait_count("came through the door", 12);
    eventually("their descriptors are closed", || worker.fds().len() == before);
    assert_eq!(limpet.get("/").text(), "served");

    let (refused, invalid, no_listener, taken) = (4, 4, 3, 3);
    for _ in 0..5 {
        assert_eq!(answer(), (refused, invalid, 7));
    }
    assert_eq!(answer(), (refused, no_listener, 7));
    assert_eq!(answer(), (refused, invalid, 7));
    // A message that is right.
    forger.send(&connection(from.port(), port, b"GET /in HT"), &[end, socket]);
    assert_eq!(answer(), (taken, 0, 7));
    drop(accepted);
    client.send("TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "served");
    let line = limpet.log.wait("*4711 taken from worker 1");
    assert_eq!(line.pid, worker.0);
    assert!(limpet.wait_workers(2).contains(&worker));
}

/// Some are told, the rest is counted; the worker serves on.
#[test]
fn a_flood_of_forged_messages_does_not_fill_the_log() {
    let limpet = Limpet::start(&serving(2, "served"));
    let worker = limpet.wait_workers(2)[0];
    let forger = Forger::new(&limpet, worker);
    let all = 5000;
    for _ in 0..all {
        while kernel::send_with(&forger.0, b"nonsense", &[]).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    let told = || limpet.log.count("a message of 8 bytes came through the door");
    let left_out = || {
        let words = " more lines about messages of siblings were left out";
        let count =
            |line: &str| line.strip_suffix(words)?.rsplit(' ').next()?.parse::<usize>().ok();
        limpet.log.text().lines().filter_map(count).sum::<usize>()
    };
    eventually("all are accounted for", || told() + left_out() == all);
    assert!(told() <= all / 10, "{} lines", told());
    assert_eq!(limpet.get("/").text(), "served");
}
