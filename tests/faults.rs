//! What goes wrong around a server, and what must hold (process model, section 10): the
//! rows that need no cache, upload or upstream.
use crate::common::*;
use std::time::{Duration, Instant};

fn serving(main: &str, events: &str) -> String {
    format!(
        "{main} events {{ {events} }}
         http {{ access_log off; keepalive_timeout 60s;
             server {{ listen 8080; location / {{ return 200 served; }} }} }}"
    )
}

/// Processor time that a process takes in a second, in per cent.
fn load(process: Process) -> u64 {
    let before = process.ticks();
    std::thread::sleep(Duration::from_secs(1));
    process.ticks() - before
}

/// A user of no other process, so that RLIMIT_NPROC counts ours alone.
const LONELY: u32 = 64999;

fn lonely(config: &str) -> Limpet {
    let place = Place::new();
    std::os::unix::fs::chown(place.dir(), Some(LONELY), Some(LONELY)).unwrap();
    let mut limpet = Limpet::prepare(place, config);
    let mut command = limpet.command();
    Birth { user: Some((LONELY, LONELY)), ..Birth::default() }.apply(&mut command);
    limpet.launch_as(command);
    limpet
}

/// nginx does not try again: it is left with one worker fewer.
#[test]
fn a_master_that_may_not_fork_waits_and_recovers_unasked() {
    if !kernel::is_root() {
        return skip("needs root to become someone else");
    }
    let limpet = lonely(&serving("worker_processes 2;", ""));
    let workers = limpet.wait_workers(2);
    limpet.master().set_limit("--nproc=1:100");
    workers[0].signal(libc::SIGKILL);
    workers[0].wait_end();
    let line = limpet.log.wait("fork() failed");
    assert!(line.text.contains("(11: Resource temporarily unavailable)"), "{line:?}");
    assert!(load(limpet.master()) < 5, "the master spins");
    assert_eq!(limpet.get("/").text(), "served");
    let status = limpet.run(&["-s", "status", "--json"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert_eq!(status.matches("\"kind\":").count(), 1, "{status}");
    limpet.master().set_limit("--nproc=100:100");
    let workers = limpet.wait_workers(2);
    limpet.signal(libc::SIGHUP);
    wait_all(&workers);
    limpet.wait_workers(2);
}

#[test]
fn a_master_without_descriptors_waits_and_recovers_unasked() {
    let limpet = Limpet::start(&serving("worker_processes 2;", ""));
    let workers = limpet.wait_workers(2);
    let used = limpet.master().fds().len() as u64;
    limpet.master().set_limit(&format!("--nofile={}:4096", used - 4));
    workers[0].signal(libc::SIGKILL);
    workers[0].wait_end();
    limpet.log.wait("(24: Too many open files)");
    assert!(load(limpet.master()) < 5, "the master spins");
    assert_eq!(limpet.get("/").text(), "served");
    limpet.master().set_limit("--nofile=4096:4096");
    limpet.wait_workers(2);
    assert_eq!(limpet.get("/").text(), "served");
}

/// Connections that ask and stay.
fn clients(limpet: &Limpet, count: usize) -> Vec<Client> {
    let ask = |_| {
        let mut client = limpet.client();
        assert_eq!(client.get("/").text(), "served");
        client
    };
    (0..count).map(ask).collect()
}

#[test]
fn a_worker_out_of_descriptors_serves_on_and_recovers() {
    let limpet = Limpet::start(&serving("worker_rlimit_nofile 32;", "worker_connections 512;"));
    let worker = limpet.wait_workers(1)[0];
    limpet.get("/");
    let mut busy = Vec::new();
    for _ in 0..60 {
        let mut client = limpet.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n"); // not idle: it owes the rest of a head
        busy.push(client);
    }
    let line = limpet.log.wait("accept4() failed (24: Too many open files)");
    assert_eq!(line.level, "crit");
    assert!(load(worker) < 30, "the worker spins");
    busy[0].send("\r\n");
    assert_eq!(busy[0].response().text(), "served");
    drop(busy);
    let recovered = Instant::now();
    assert_eq!(limpet.get("/").text(), "served");
    assert!(recovered.elapsed() < Duration::from_secs(3), "{:?}", recovered.elapsed());
    assert_eq!(limpet.wait_workers(1), [worker]);
}

/// As in nginx: when connections run short, the idle ones give way.
#[test]
fn idle_connections_give_way_when_connections_run_out() {
    let limpet = Limpet::start(&serving("", "worker_connections 32;"));
    let mut idle = clients(&limpet, 100);
    let mut last = limpet.client();
    assert_eq!(last.get("/").text(), "served");
    assert!(idle[0].is_closed_within(LIMIT), "the oldest has given way");
    limpet.log.wait("worker_connections are not enough");
}

#[test]
fn with_only_busy_connections_new_ones_wait_or_are_closed_and_no_worker_spins() {
    let limpet = Limpet::start(&serving("", "worker_connections 32;"));
    let worker = limpet.wait_workers(1)[0];
    let mut busy = Vec::new();
    for _ in 0..60 {
        let mut client = limpet.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n");
        busy.push(client);
    }
    limpet.log.wait("32 worker_connections are not enough");
    assert!(load(worker) < 30, "the worker spins");
    busy[0].send("\r\n");
    assert_eq!(busy[0].response().text(), "served");
    drop(busy);
    eventually("it recovers", || {
        try_get(limpet.port(8080), "/").is_ok_and(|response| response.text() == "served")
    });
    assert_eq!(limpet.wait_workers(1), [worker]);
}

#[test]
fn with_memory_used_up_every_client_is_answered_or_closed() {
    let limpet = Limpet::start(&serving("", "worker_connections 1024;"));
    let worker = limpet.wait_workers(1)[0];
    limpet.get("/");
    let size: u64 = worker.status("VmSize").trim_end_matches(" kB").parse().unwrap();
    worker.set_limit(&format!("--as={}:unlimited", (size + 256) * 1024));
    let mut clients: Vec<_> = (0..300).map(|_| limpet.client()).collect();
    let field = "X: ".to_string() + &"y".repeat(900) + "\r\n";
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", field.repeat(6));
    for client in &mut clients {
        let _ = client.try_send(&head);
    }
    for (number, mut client) in clients.into_iter().enumerate() {
        match client.try_response(false) {
            Ok(response) => assert!(matches!(response.status, 200 | 500), "{response:?}"),
            Err(error) => {
                let hangs = error.kind() == std::io::ErrorKind::WouldBlock;
                assert!(!hangs, "client {number} hangs");
            }
        }
    }
    worker.set_limit("--as=unlimited:unlimited");
    assert_eq!(limpet.get("/").text(), "served");
}

/// The workers of a killed master close their listeners at once and finish what they owe.
#[test]
fn after_a_killed_master_the_same_command_starts_again_within_a_second() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&serving("worker_processes 2;", ""));
    let workers = limpet.wait_workers(2);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    limpet.get("/");
    limpet.signal(libc::SIGKILL);
    limpet.wait_end();
    let again = Instant::now();
    limpet.launch();
    eventually("new workers", || limpet.workers().len() == 2);
    eventually("it serves", || {
        try_get(limpet.port(8080), "/").is_ok_and(|response| response.text() == "served")
    });
    assert!(again.elapsed() < Duration::from_secs(2), "{:?}", again.elapsed());
    client.send("\r\n");
    assert_eq!(client.response().text(), "served");
    wait_all(&workers);
    assert_eq!(limpet.log.count("came through the door"), 0, "the end of it is no message");
}

#[test]
fn random_signals_leave_one_master_and_its_workers() {
    let limpet = Limpet::daemonize(Place::new(), &serving("worker_processes 2;", ""));
    limpet.wait_workers(2);
    let mut seed = 0x2545_f491_u32;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed
    };
    let signals = [
        libc::SIGHUP,
        libc::SIGUSR1,
        libc::SIGCHLD,
        libc::SIGALRM,
        libc::SIGIO,
        libc::SIGPIPE,
        libc::SIGWINCH,
        libc::SIGHUP,
    ];
    for _ in 0..300 {
        limpet.signal(signals[next() as usize % signals.len()]);
        if next() % 4 == 0 {
            let children = limpet.master().children();
            if let Some(child) = children.first() {
                let _ = kernel::kill(child.0, [libc::SIGKILL, libc::SIGQUIT][next() as usize % 2]);
            }
        }
    }
    // A WINCH and a HUP that are found together end without workers, as in nginx.
    let master = limpet.master().0;
    let reopened = || {
        let lines = limpet.log.with("reopening logs");
        lines.iter().filter(|line| line.pid == master && !line.text.contains("signal")).count()
    };
    let before = reopened();
    limpet.signal(libc::SIGUSR1);
    eventually("all signals have been seen", || reopened() > before);
    limpet.signal(libc::SIGHUP);
    limpet.wait_workers(2);
    assert_eq!(limpet.get("/").text(), "served");
    assert_eq!(limpet.pid_file(), Some(master));
}

#[test]
fn a_stopped_worker_does_not_hold_up_a_reload() {
    let limpet = Limpet::start(&serving("worker_processes 3;", ""));
    let workers = limpet.wait_workers(3);
    workers[1].stop();
    for _ in 0..20 {
        assert_eq!(limpet.get("/").text(), "served");
    }
    limpet.signal(libc::SIGHUP);
    for worker in [workers[0], workers[2]] {
        worker.wait_end();
    }
    assert_eq!(limpet.get("/").text(), "served");
    workers[1].signal(libc::SIGCONT);
    workers[1].wait_end();
    limpet.wait_workers(3);
}
