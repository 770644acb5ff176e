//! Hand-over (process model, section 8): a worker that leaves gives its connections to those
//! that stay, and their clients notice nothing.
use crate::common::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub fn serving(workers: usize, text: &str) -> String {
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

/// Clients that have been answered, with the worker that has each.
fn idle_clients(limpet: &Limpet, count: usize) -> Vec<(Client, Process)> {
    let clients = (0..count).map(|_| {
        let mut client = limpet.client();
        client.get("/");
        client
    });
    let mut clients: Vec<_> = clients.collect();
    let served = |client: &Client| server_of(limpet, client).expect("one process has it");
    clients.drain(..).map(|client| (served(&client), client)).map(|(at, to)| (to, at)).collect()
}

/// All but the last worker stopped; it quits, with clients of its own.
fn quit_before_the_deaf(limpet: &Limpet) -> (Vec<Client>, Process, Vec<Process>) {
    let workers = limpet.workers();
    let (quits, deaf) = workers.split_last().unwrap();
    deaf.iter().for_each(|worker| worker.stop());
    let clients = (0..8).map(|_| {
        let mut client = limpet.client();
        client.get("/");
        client
    });
    let clients = clients.collect();
    quits.signal(libc::SIGQUIT);
    limpet.log.wait_count("handed to worker", 8);
    (clients, *quits, deaf.to_vec())
}

#[test]
fn a_worker_that_quits_gives_its_connections_to_its_siblings() {
    let limpet = Limpet::start(&serving(3, "served"));
    limpet.wait_workers(3);
    let mut clients = idle_clients(&limpet, 24);
    for round in 0..6 {
        let worker = clients[round].1;
        let at = limpet.workers();
        worker.signal(libc::SIGQUIT);
        worker.wait_end();
        for (client, server) in &mut clients {
            assert_eq!(client.get("/").text(), "served");
            *server = server_of(&limpet, client).expect("one process has it");
            assert!(at.contains(server) || limpet.wait_workers(3).contains(server));
        }
        limpet.wait_workers(3);
    }
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}

/// Sent, not yet read by the only receiver, which is stopped: the sender takes it back, answers,
/// and leaves when the receiver listens again.
#[test]
fn a_receiver_that_sleeps_keeps_nobody_waiting() {
    let limpet = Limpet::start(&serving(2, "served"));
    limpet.wait_workers(2);
    let (mut clients, quits, deaf) = quit_before_the_deaf(&limpet);
    for client in &mut clients {
        client.send("GET /asleep HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for round in 0..3 {
        for client in &mut clients {
            assert_eq!(client.response().text(), "served", "{round}");
            assert_eq!(server_of(&limpet, client), Some(quits));
            client.send("GET /asleep HTTP/1.1\r\nHost: a\r\n\r\n");
        }
    }
    assert!(quits.lives(), "there is nobody else");
    deaf[0].signal(libc::SIGCONT);
    quits.wait_end();
    for client in &mut clients {
        assert_eq!(client.response().text(), "served");
        let server = server_of(&limpet, client).expect("one process has it");
        assert!(limpet.workers().contains(&server));
    }
    assert_eq!(limpet.log.count("this one is too late"), clients.len());
    answered_once(&limpet, "/asleep", 4 * clients.len());
}

/// So many requests were answered, and no more.
fn answered_once(limpet: &Limpet, path: &str, count: usize) {
    let logged = || limpet.access.text().matches(path).count();
    eventually("all lines are there", || logged() >= count);
    assert_eq!(logged(), count);
}

/// One of two that could take them is stopped: the other one gets what was sent to it.
#[test]
fn who_is_awake_gets_what_was_sent_to_the_sleeping() {
    let limpet = Limpet::start(&serving(1, "one"));
    let old = limpet.wait_workers(1)[0];
    let mut clients = idle_clients(&limpet, 12);
    clients[11].0.send("GET /half HT");
    old.stop();
    limpet.configure(&serving(3, "two"));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("generation 2: 3 of 3 workers ready");
    let workers = limpet.workers();
    let new: Vec<_> = workers.into_iter().filter(|worker| *worker != old).collect();
    new[..2].iter().for_each(|worker| worker.stop());
    old.signal(libc::SIGCONT);
    limpet.log.wait_count("connections are taken back", 2);
    for (client, _) in &mut clients[..11] {
        assert_eq!(client.get("/first").text(), "two");
    }
    clients[11].0.send("TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(clients[11].0.response().text(), "two");
    old.wait_end();
    new[..2].iter().for_each(|worker| worker.signal(libc::SIGCONT));
    limpet.log.wait_count("this one is too late", 8);
    for (client, _) in &mut clients {
        assert_eq!(client.get("/second").text(), "two");
        assert_eq!(server_of(&limpet, client), Some(new[2]));
    }
    limpet.wait_workers(3);
    answered_once(&limpet, "/first", 11);
    answered_once(&limpet, "/half", 1);
    answered_once(&limpet, "/second", 12);
}

/// The master aborts the one that is stopped: what it had not answered is somebody else's.
#[test]
fn a_receiver_that_is_aborted_for_its_stall_has_nothing() {
    let config = format!("worker_stall_timeout 2s; {}", serving(3, "served"));
    let limpet = Limpet::start(&config);
    limpet.wait_workers(3);
    let (mut clients, quits, deaf) = quit_before_the_deaf(&limpet);
    for client in &mut clients {
        assert_eq!(client.get("/stalled").text(), "served");
    }
    limpet.log.wait_count("aborting it", 2);
    wait_all(&deaf);
    quits.wait_end();
    let workers = limpet.wait_workers(3);
    for client in &mut clients {
        assert_eq!(client.get("/after").text(), "served");
        assert!(workers.contains(&server_of(&limpet, client).expect("one process has it")));
    }
    answered_once(&limpet, "/stalled", clients.len());
    answered_once(&limpet, "/after", clients.len());
}

/// It has not answered: the sender has the connection again, and another worker gets it.
#[test]
fn a_receiver_killed_before_its_answer_loses_nothing() {
    let limpet = Limpet::start(&serving(2, "served"));
    limpet.wait_workers(2);
    let (mut clients, quits, deaf) = quit_before_the_deaf(&limpet);
    for client in &mut clients {
        client.send("GET /lost HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    deaf[0].signal(libc::SIGKILL);
    for client in &mut clients {
        assert_eq!(client.response().text(), "served");
    }
    quits.wait_end();
    limpet.wait_workers(2);
    answered_once(&limpet, "/lost", clients.len());
}

#[test]
fn a_sender_killed_before_the_answer_loses_nothing() {
    let limpet = Limpet::start(&serving(2, "served"));
    limpet.wait_workers(2);
    let (mut clients, quits, deaf) = quit_before_the_deaf(&limpet);
    quits.signal(libc::SIGKILL);
    quits.wait_end();
    deaf[0].signal(libc::SIGCONT);
    for client in &mut clients {
        assert_eq!(client.get("/left").text(), "served");
    }
}

/// What it has said yes to goes with it, as all that it had; nobody else is touched.
#[test]
fn a_receiver_killed_after_its_answer_takes_only_its_own_along() {
    let limpet = Limpet::start(&serving(3, "served"));
    let workers = limpet.wait_workers(3);
    let mut clients = idle_clients(&limpet, 12);
    workers[2].signal(libc::SIGQUIT);
    workers[2].wait_end();
    for (client, server) in &mut clients {
        *server = server_of(&limpet, client).expect("one process has it");
    }
    workers[0].signal(libc::SIGKILL);
    workers[0].wait_end();
    for (client, server) in &mut clients {
        let works = client.try_get("/").is_ok();
        assert_eq!(works, *server != workers[0]);
    }
}

#[test]
fn what_no_worker_has_room_for_is_closed_with_a_line() {
    let config = serving(2, "served").replace("events {", "events { worker_connections 10;");
    let limpet = Limpet::start(&config);
    limpet.wait_workers(2);
    let workers = limpet.workers();
    workers[1].stop();
    let mut clients: Vec<_> = (0..8).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET");
        assert_eq!(client.response().text(), "served");
    }
    workers[1].signal(libc::SIGCONT);
    workers[0].stop();
    let mut others: Vec<_> = (0..8).map(|_| limpet.client()).collect();
    others.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "served"));
    workers[0].signal(libc::SIGCONT);
    workers[1].signal(libc::SIGQUIT);
    workers[1].wait_end();
    let works = |client: &mut Client| client.try_get("/").is_ok();
    let alive = others.iter_mut().map(works).filter(|works| *works).count();
    let told = limpet.log.count("is not taken over: no worker has room");
    assert_eq!((alive, told), (2, 6));
    for client in &mut clients {
        client.send(" / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "served");
    }
}

/// The new configuration does not listen there: whoever is idle is closed, with a line.
#[test]
fn connections_of_a_listener_that_is_gone_are_closed() {
    let with = |more: &str| serving(2, "served").replace("listen 8080;", more);
    let limpet = Limpet::start(&with("listen 8080; listen 8081;"));
    limpet.wait_workers(2);
    let (mut stays, mut goes) = (limpet.client(), Client::connect(limpet.port(8081)));
    stays.get("/");
    goes.get("/");
    limpet.reload(&with("listen 8080;"));
    assert!(goes.is_closed_within(LIMIT));
    assert_eq!(stays.get("/").text(), "served");
    let line = limpet.log.wait("is not taken over: nobody listens there any more");
    assert_eq!(line.level, "info");
}

/// Numbers, ages and what a balancer has said go on.
#[test]
fn a_connection_is_the_same_in_another_worker() {
    let text = "'$connection $connection_requests $proxy_protocol_addr $remote_port'";
    let config = serving(2, text).replace("listen 8080;", "listen 8080 proxy_protocol;");
    let limpet = Limpet::start(&config);
    limpet.wait_workers(2);
    let mut client = limpet.client();
    client.send("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n");
    let first = client.get("/").text();
    let mut half = limpet.client();
    half.send("PROXY TCP4 1.2.3.4 5");
    exchange(limpet.port(8080), "GET"); // by now it has been accepted; this one is closed
    let words: Vec<_> = first.split(' ').collect();
    for round in 2..5 {
        limpet.reload(&config);
        let now = client.get("/").text();
        assert_eq!(now, format!("{} {round} 1.2.3.4 {}", words[0], words[3]));
    }
    half.send(".6.7.8 1000 80\r\n");
    assert!(half.get("/").text().contains(" 1 1.2.3.4 "));
}

#[test]
fn connections_of_unix_sockets_go_too() {
    let config = serving(2, "served").replace("listen 8080;", "listen unix:@DIR@/socket;");
    let limpet = Limpet::start(&config);
    limpet.wait_workers(2);
    let mut client = Client::connect_unix(&limpet.place.path("socket"));
    assert_eq!(client.get("/").text(), "served");
    limpet.reload(&config);
    assert_eq!(client.get("/").text(), "served");
    limpet.log.wait("taken from worker");
}
