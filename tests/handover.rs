//! Hand-over (process model, section 8): a worker that leaves gives its connections to those
//! that stay, and their clients notice nothing.
use crate::common::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn serving(workers: usize, text: &str) -> String {
    format!(
        "worker_processes {workers}; events {{ }}
         http {{ keepalive_requests 1000000; keepalive_timeout 60s;
             access_log @DIR@/access.log;
             server {{ listen 8080; location / {{ return 200 {text}; }} }} }}"
    )
}

/// The worker that has a client's connection.
fn server_of(limpet: &Limpet, client: &Client) -> Option<Process> {
    let port = client.tcp().local_addr().unwrap().port();
    let remote = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let inode = table.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(2)?.ends_with(&remote).then(|| format!("socket:[{}]", words[9]))
    })?;
    let has = |process: &Process| process.fds().values().any(|target| *target == inode);
    let holders: Vec<_> = limpet.master().children().into_iter().filter(has).collect();
    (holders.len() == 1).then(|| holders[0])
}

#[test]
fn an_idle_connection_lives_through_a_reload() {
    let limpet = Limpet::start(&serving(2, "one"));
    limpet.wait_workers(2);
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "one");
    let old = server_of(&limpet, &client).unwrap();
    limpet.reload(&serving(2, "two"));
    let new = server_of(&limpet, &client).expect("exactly one process has it");
    assert_ne!(old, new);
    assert_eq!(client.get("/").text(), "two");
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}

/// What was read of a head travels with the connection.
#[test]
fn half_a_head_is_finished_by_the_next_generation() {
    let limpet = Limpet::start(&serving(2, "one"));
    limpet.wait_workers(2);
    let mut clients: Vec<_> = (0..4).map(|_| limpet.client()).collect();
    clients[1].send("GET / HTTP/1.1\r\n");
    clients[2].get("/");
    clients[2].send("GET / HTTP/1.1\r\nHos");
    let wide = "x".repeat(5000);
    clients[3].send(format!("GET / HTTP/1.1\r\nHost: a\r\nA: {wide}\r\nB: {wide}\r\n"));
    limpet.get("/"); // by now the others have been accepted, mostly
    limpet.log.wait_count("http keepalive handler", 1);
    limpet.configure(&serving(2, "two"));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait_count("taken from worker", 3);
    clients[0].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    clients[1].send("Host: a\r\n\r\n");
    clients[2].send("t: a\r\n\r\n");
    for client in &mut clients[..3] {
        assert_eq!(client.response().text(), "two");
    }
    // More than travels: it is answered where it is, and goes then.
    clients[3].send("\r\n");
    assert_eq!(clients[3].response().text(), "one");
    assert_eq!(clients[3].get("/").text(), "two");
    limpet.wait_workers(2);
}

#[test]
fn idle_clients_notice_no_reload() {
    let quiet = "error_log @DIR@/error.log notice;";
    let limpet = Limpet::start(&format!("{quiet} {}", serving(2, "served")));
    limpet.wait_workers(2);
    let done = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..32)
            .map(|number| {
                let (limpet, done) = (&limpet, &done);
                let mut client = limpet.client();
                scope.spawn(move || {
                    let mut asked = 0;
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(client.get("/").text(), "served", "after {asked} answers");
                        asked += 1;
                        std::thread::sleep(Duration::from_millis(1 + number % 7));
                    }
                    asked
                })
            })
            .collect();
        for _ in 0..20 {
            let old = limpet.workers();
            let told = limpet.log.count("gracefully shutting down");
            limpet.signal(libc::SIGHUP);
            limpet.log.wait_count("gracefully shutting down", told + old.len());
            let since = Instant::now();
            wait_all(&old);
            assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
        }
        done.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>()
    });
    limpet.wait_workers(2);
    assert_eq!(limpet.access.text().lines().count(), asked, "a line for each answer");
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}
