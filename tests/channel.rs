//! The channel seen from outside (process model, section 3): who holds which end, what
//! becomes of messages that no master writes, and of a channel that is full.
use crate::common::*;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

fn serving(workers: usize) -> String {
    format!(
        "worker_processes {workers}; events {{ }}
         http {{ server {{ listen 8080; location / {{ return 200 served; }} }} }}"
    )
}

/// Inode and peer's inode of every connected unix stream socket here (ss(8)).
fn stream_pairs() -> BTreeMap<u64, u64> {
    let output = Command::new("ss").arg("-Hxn").output().expect("ss");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pair = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [kind, state, _, _, _, inode, _, peer, ..] = words[..] else { return None };
        let connected = kind == "u_str" && state == "ESTAB";
        connected.then_some((inode.parse().ok()?, peer.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// Inode and number of a process's sockets.
fn sockets(process: Process) -> BTreeMap<u64, i32> {
    let inode = |(fd, target): (i32, String)| {
        Some((target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?, fd))
    };
    process.fds().into_iter().filter_map(inode).collect()
}

/// Inodes of the two ends of one child's channel.
#[derive(Debug, Clone, Copy)]
struct Ends {
    end0: u64,
    end1: u64,
}

/// The channel of each worker. End 1 is the one that no sibling holds, and that wakes nobody.
fn channels(limpet: &Limpet, workers: &[Process]) -> Option<Vec<Ends>> {
    let (pairs, master) = (stream_pairs(), sockets(limpet.master()));
    let held: Vec<_> = workers.iter().map(|worker| sockets(*worker)).collect();
    let wakes = |fd: i32| limpet.master().flags(fd) & libc::O_ASYNC != 0;
    let ends = |own: &BTreeMap<u64, i32>| {
        let holders =
            |inode: &u64| held.iter().filter(|sockets| sockets.contains_key(inode)).count();
        let is_end1 =
            |inode: &&u64| holders(inode) == 1 && master.get(inode).is_some_and(|fd| !wakes(*fd));
        own.keys()
            .filter(is_end1)
            .find_map(|end1| Some(Ends { end0: *pairs.get(end1)?, end1: *end1 }))
    };
    held.iter().map(ends).collect()
}

/// Each worker holds its own end 1, every sibling's end 0, and nothing else of channels.
fn know_each_other(limpet: &Limpet, count: usize) -> bool {
    let workers = limpet.workers();
    let Some(channels) = channels(limpet, &workers) else { return false };
    let master = sockets(limpet.master());
    workers.len() == count
        && channels.iter().all(|ends| master.contains_key(&ends.end0))
        && workers.iter().enumerate().all(|(own, worker)| {
            let held = sockets(*worker);
            channels.iter().enumerate().all(|(other, ends)| {
                held.contains_key(&ends.end0) == (own != other)
                    && held.contains_key(&ends.end1) == (own == other)
            })
        })
}

#[test]
fn each_worker_knows_exactly_its_living_siblings() {
    let limpet = Limpet::start(&serving(4));
    limpet.wait_workers(4);
    eventually("all know each other", || know_each_other(&limpet, 4));
    for round in 0..4 {
        let worker = limpet.workers()[round];
        worker.signal(libc::SIGKILL);
        worker.wait_end();
        eventually("all know each other again", || know_each_other(&limpet, 4));
    }
    limpet.reload(&serving(3));
    eventually("the new generation too", || know_each_other(&limpet, 3));
}

#[test]
fn siblings_are_told_of_each_birth_and_death() {
    let limpet = Limpet::start(&serving(2));
    let workers = limpet.wait_workers(2);
    limpet.log.wait(&format!("get channel s:1 pid:{}", workers[1].0));
    limpet.log.wait("door s:1 generation:1");
    workers[1].signal(libc::SIGKILL);
    limpet.log.wait(&format!("close channel s:1 pid:{}", workers[1].0));
    let new = limpet.wait_workers(2)[1];
    limpet.log.wait(&format!("get channel s:1 pid:{}", new.0));
}

#[test]
fn no_end_blocks_or_survives_an_exec_and_end_0_wakes_the_master() {
    let limpet = Limpet::start(&serving(2));
    let workers = limpet.wait_workers(2);
    let master = sockets(limpet.master());
    for ends in channels(&limpet, &workers).expect("channels with one end that wakes") {
        for (inode, wakes) in [(ends.end0, true), (ends.end1, false)] {
            let flags = limpet.master().flags(master[&inode]);
            assert!(flags & libc::O_NONBLOCK != 0 && flags & libc::O_CLOEXEC != 0, "{flags:o}");
            assert_eq!(flags & libc::O_ASYNC != 0, wakes, "{flags:o}");
        }
    }
}

fn ends_of(limpet: &Limpet, worker: Process) -> Ends {
    let workers = limpet.workers();
    eventually("all know each other", || know_each_other(limpet, workers.len()));
    let own = workers.iter().position(|sibling| *sibling == worker).unwrap();
    channels(limpet, &workers).unwrap()[own]
}

/// End 0 of a worker's channel, as the master or a sibling holds it.
struct Forger(OwnedFd);

impl Forger {
    fn new(limpet: &Limpet, worker: Process) -> Self {
        Self::holding(limpet, ends_of(limpet, worker).end0)
    }

    /// End 1, as the worker holds it itself.
    fn in_its_name(limpet: &Limpet, worker: Process) -> Self {
        Self::holding(limpet, ends_of(limpet, worker).end1)
    }

    fn holding(limpet: &Limpet, end: u64) -> Self {
        let fd = sockets(limpet.master())[&end];
        Self(kernel::descriptor_of(limpet.master().0, fd).unwrap())
    }

    /// command, pid, slot, fd
    fn send(&self, words: [i32; 4], fds: &[i32]) {
        self.send_bytes(&message(words), fds);
    }

    fn send_bytes(&self, bytes: &[u8], fds: &[i32]) {
        assert_eq!(kernel::send_with(&self.0, bytes, fds).unwrap(), bytes.len());
    }
}

/// Of generation 1.
fn message([command, pid, slot, fd]: [i32; 4]) -> Vec<u8> {
    [command, pid, slot, 1, fd].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

const OPEN: i32 = 1;
const CLOSE: i32 = 2;
const QUIT: i32 = 3;
const REOPEN: i32 = 5;

#[test]
fn forged_messages_are_dropped_and_the_channel_stays() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(&serving(2));
    let worker = limpet.wait_workers(2)[0];
    let forger = Forger::new(&limpet, worker);
    let file = std::fs::File::open("/dev/null").unwrap();
    let (null, socket) = (file.as_raw_fd(), forger.0.as_raw_fd());
    let before = worker.fds().len();
    forger.send([0, 1, 0, -1], &[]);
    forger.send([99, 1, 0, -1], &[]);
    forger.send([i32::MIN, i32::MIN, i32::MIN, i32::MIN], &[]);
    forger.send([OPEN, 1, 1024, 3], &[socket, socket]);
    forger.send([OPEN, 1, -1, 3], &[socket, socket]);
    forger.send([OPEN, 1, i32::MAX, 3], &[socket, socket]);
    forger.send([OPEN, 1, 7, 3], &[]); // no descriptor came
    forger.send([OPEN, 1, 7, 3], &[null, null, null]);
    forger.send([QUIT, 0, 0, -1], &[null]); // a descriptor nobody asked for
    forger.send([CLOSE, 12345, 1, -1], &[]); // not the pid that is in slot 1
    forger.send([CLOSE, 12345, 1023, -1], &[]);
    forger.send([OPEN, 1, 7, 3], &[socket]); // no door
    forger.send([OPEN, 1, 7, 3], &[null, null]); // no sockets
    forger.send([OPEN, 1, 7, 3], &[socket, socket]); // a channel that is no door
    forger.send([REOPEN, 0, 0, -1], &[]);
    let reopened = limpet.log.wait("reopening logs");
    assert_eq!(reopened.pid, worker.0, "what followed was obeyed");
    let alerts = limpet.log.lines().into_iter().filter(|line| line.pid == worker.0);
    assert!(alerts.filter(|line| line.level == "alert").count() >= 11);
    eventually("surplus descriptors are closed", || worker.fds().len() == before);
    assert!(limpet.wait_workers(2).contains(&worker));
    eventually("siblings are still known", || know_each_other(&limpet, 2));
    forger.send([QUIT, 0, 0, -1], &[]);
    worker.wait_end();
    limpet.log.wait(&format!("worker process {} exited with code 0", worker.0));
}

#[test]
fn a_short_message_ends_the_channel_and_signals_take_its_place() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&serving(2));
    let worker = limpet.wait_workers(2)[0];
    let forger = Forger::new(&limpet, worker);
    forger.send_bytes(b"short", &[]);
    let line = limpet.log.wait("recvmsg() returned not enough data");
    assert_eq!((&*line.level, line.pid), ("alert", worker.0));
    limpet.signal(libc::SIGUSR1);
    eventually("reopen comes by signal", || {
        limpet.log.with("reopening logs").iter().any(|line| line.pid == worker.0)
    });
    assert_eq!(limpet.get("/").text(), "served");
    limpet.signal(libc::SIGQUIT);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    limpet.log.wait(&format!("kill ({}, 3)", worker.0));
}

/// What it says of its channel is not heard either.
#[test]
fn who_is_not_listened_to_any_more_gets_signals_too() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&serving(2));
    let worker = limpet.wait_workers(2)[0];
    let voice = Forger::in_its_name(&limpet, worker);
    let forger = Forger::new(&limpet, worker);
    let own = Process(std::process::id() as i32);
    let wakes = |forger: &Forger| own.flags(forger.0.as_raw_fd()) & libc::O_ASYNC != 0;
    for _ in 0..8 {
        voice.send([QUIT, 0, 0, -1], &[]);
    }
    eventually("its end 0 wakes nobody", || !wakes(&forger));
    forger.send_bytes(b"short", &[]);
    limpet.log.wait("the channel is broken");
    limpet.signal(libc::SIGQUIT);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
}

/// A stopped worker whose channel is full, and how many messages filled it.
fn fill(limpet: &Limpet, worker: Process) -> usize {
    let forger = Forger::new(limpet, worker);
    worker.stop();
    let reopen = message([REOPEN, 0, 0, -1]);
    let fits = |_: &usize| kernel::send_with(&forger.0, &reopen, &[]).is_ok();
    let count = (0..1_000_000).take_while(fits).count();
    assert!(count > 50, "{count}");
    count
}

#[test]
fn nothing_is_lost_in_a_full_channel() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(&serving(3));
    let workers = limpet.wait_workers(3);
    fill(&limpet, workers[0]);
    for _ in 0..3 {
        let sibling = *limpet.workers().last().unwrap();
        sibling.signal(libc::SIGKILL);
        sibling.wait_end();
        eventually("a new sibling", || limpet.workers().len() == 3);
    }
    assert_eq!(limpet.get("/").text(), "served");
    workers[0].signal(libc::SIGCONT);
    eventually("it knows its siblings all the same", || know_each_other(&limpet, 3));
    assert!(limpet.workers().contains(&workers[0]));
}

/// O_NONBLOCK belongs to the description, which every sibling has too.
#[test]
fn a_full_channel_that_a_sibling_made_blocking_stops_nobody() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&serving(2));
    let worker = limpet.wait_workers(2)[0];
    kernel::set_blocking(&Forger::new(&limpet, worker).0);
    fill(&limpet, worker);
    limpet.signal(libc::SIGUSR1);
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
}

#[test]
fn quit_comes_through_a_full_channel() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(&serving(2));
    let workers = limpet.wait_workers(2);
    fill(&limpet, workers[0]);
    limpet.signal(libc::SIGHUP);
    workers[1].wait_end();
    eventually("new workers beside the stopped one", || limpet.master().children().len() == 3);
    workers[0].signal(libc::SIGCONT);
    workers[0].wait_end();
    limpet.log.wait(&format!("worker process {} exited with code 0", workers[0].0));
    limpet.wait_workers(2);
}
