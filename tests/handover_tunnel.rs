//! Hand-over of tunnels (process model, section 8): a websocket through the proxy outlives the
//! worker that it began in, and neither of its ends notices.
use crate::common::upstream::Peer;
use crate::common::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Two workers; `more` stands in `http`.
pub fn proxying(more: &str) -> String {
    let log = if more.contains("access_log") { "" } else { "access_log @DIR@/access.log;" };
    format!(
        "worker_processes 2; events {{ }}
         http {{
             {log} {more}
             server {{
                 listen 8080;
                 set $whose $arg_whose;
                 location / {{
                     proxy_pass http://backend; proxy_http_version 1.1;
                     proxy_set_header Upgrade $http_upgrade;
                     proxy_set_header Connection upgrade;
                     proxy_read_timeout 60s;
                 }}
                 location /short {{
                     proxy_pass http://backend; proxy_http_version 1.1;
                     proxy_set_header Upgrade $http_upgrade;
                     proxy_set_header Connection upgrade;
                     proxy_read_timeout 2s;
                 }}
                 location /ping {{ return 200 pong; }}
             }}
         }}"
    )
}

pub const BACKEND: &str = "upstream backend { server 127.0.0.1:8090; }";

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\
                      Connection: Upgrade\r\nX-App: told\r\n\r\n";
const ASK: &str =
    "GET /tunnel?whose=mine HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";

pub fn echo(peer: &mut Peer) {
    peer.request();
    peer.send(SWITCH);
    while peer.some().is_some_and(|bytes| peer.send(bytes)) {}
}

pub fn start(
    config: &str,
    script: impl Fn(&mut Peer) + Send + Sync + 'static,
) -> (Limpet, Upstream) {
    let place = Place::new();
    let upstream = Upstream::tcp(&place, 8090, script);
    let limpet = Limpet::start_in(place, config);
    limpet.wait_workers(2);
    (limpet, upstream)
}

fn tunnel(limpet: &Limpet) -> Client {
    let mut client = limpet.client();
    client.send(ASK);
    assert_eq!(client.response().status, 101);
    client
}

#[track_caller]
fn talk(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(String::from_utf8(client.read_exact(text.len()).unwrap()).unwrap(), text);
}

/// All lines of the access log that speak of tunnels, once there are so many.
#[track_caller]
fn lines(limpet: &Limpet, count: usize) -> Vec<String> {
    let found = || -> Vec<String> {
        let text = limpet.access.text();
        text.lines().filter(|line| line.contains("/tunnel")).map(String::from).collect()
    };
    eventually("lines of tunnels", || found().len() >= count);
    let found = found();
    assert_eq!(found.len(), count, "{found:?}");
    found
}

/// Every value that a line can have is that of the whole tunnel, whoever writes it.
#[test]
fn a_tunnel_outlives_three_reloads_and_is_logged_once() {
    let format = "map $uri $kind { default other; /tunnel upgraded; }
        log_format all '$pid|$remote_addr|$request|$status|$body_bytes_sent|$request_length|'
            '$upstream_addr|$upstream_status|$upstream_bytes_received|$upstream_bytes_sent|'
            '$upstream_response_length|$http_upgrade|$upstream_http_x_app|$sent_http_x_app|'
            '$whose|$kind|$connection_requests|$server_port|$request_completion|$host|'
            '$request_time $upstream_response_time $bytes_sent $request_id $connection';
        access_log @DIR@/access.log all;";
    let config = proxying(&format!("{BACKEND}{format}"));
    let (limpet, _upstream) = start(&config, echo);
    let mut straight = tunnel(&limpet);
    talk(&mut straight, "hello, world");
    drop(straight);
    let straight = lines(&limpet, 1).remove(0);

    let mut client = tunnel(&limpet);
    for piece in ["hel", "lo, ", "wor"] {
        talk(&mut client, piece);
        std::thread::sleep(Duration::from_millis(10));
        limpet.reload(&config);
        limpet.wait_workers(2);
    }
    assert_eq!(limpet.log.count("taken from worker"), 3);
    talk(&mut client, "ld");
    let workers = limpet.workers();
    drop(client);
    let line = lines(&limpet, 2).remove(1);
    let writer = line.split('|').next().unwrap().parse().unwrap();
    assert!(workers.contains(&Process(writer)), "{line}");
    // What is the same for every tunnel of the kind.
    let same = |line: &str| line.split('|').skip(1).take(18).collect::<Vec<_>>().join("|");
    let told = format!(
        "127.0.0.1|GET /tunnel?whose=mine HTTP/1.1|101|12|{}|127.0.0.1:{}|101|",
        ASK.len(),
        limpet.port(8090)
    );
    assert!(same(&line).starts_with(&told), "{line}");
    assert!(same(&line).contains("|echo|told|told|mine|upgraded|1|"), "{line}");
    assert_eq!(same(&line), same(&straight));
    let last = |line: &str| -> Vec<String> {
        line.rsplit('|').next().unwrap().split(' ').map(String::from).collect()
    };
    let (own, straight) = (last(&line), last(&straight));
    for time in &own[..2] {
        assert!(time.parse::<f64>().unwrap() >= 0.03, "{line}");
    }
    assert_eq!((&own[2], own[3].len()), (&straight[2], 32), "{line}");
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}

/// Neither end reads: what is on its way lies in limpet, in both directions, and travels.
#[test]
fn bytes_on_their_way_travel_in_both_directions() {
    const SIZE: usize = 16 << 20;
    let pattern = |salt: usize| move |at: usize| (at / 251 * 7 + at + salt) as u8;
    let bytes = move |salt| -> Vec<u8> { (0..SIZE).map(pattern(salt)).collect() };
    let go = std::sync::Arc::new(AtomicBool::new(false));
    let gate = std::sync::Arc::clone(&go);
    let config = proxying(BACKEND);
    let (limpet, upstream) = start(&config, move |peer| {
        peer.request();
        peer.send(SWITCH);
        // Sends all, in the end, and reads nothing before the test says so.
        std::thread::scope(|scope| {
            let mut sender = peer.sender();
            scope.spawn(move || sender.send(bytes(1)));
            eventually("the gate", || gate.load(Ordering::SeqCst));
            let all = peer.exact(SIZE).expect("all of it");
            assert!(all.iter().enumerate().all(|(at, byte)| *byte == pattern(2)(at)));
        });
        peer.finish();
        peer.hang();
    });
    let mut client = tunnel(&limpet);
    let mut sender = client.tcp().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut sender, &bytes(2)).unwrap());
        for _ in 0..3 {
            // Until nothing moves any more.
            std::thread::sleep(Duration::from_millis(200));
            limpet.reload(&config);
        }
        go.store(true, Ordering::SeqCst);
        let all = client.read_exact(SIZE).unwrap();
        assert!(all.iter().enumerate().all(|(at, byte)| *byte == pattern(1)(at)));
    });
    upstream.wait_ended(0);
    assert_eq!(limpet.log.count("taken from worker"), 3);
    let line = lines(&limpet, 1).remove(0);
    assert!(line.contains(&format!(" 101 {SIZE} ")), "{line}");
}

/// The upstream has ended, and the client has not read all of it yet.
#[test]
fn a_side_that_has_ended_stays_so() {
    const SIZE: usize = 16 << 20;
    let config = proxying(BACKEND);
    let (limpet, upstream) = start(&config, |peer| {
        peer.request();
        peer.send(SWITCH);
        peer.send(vec![b'x'; SIZE]);
    });
    let mut client = limpet.client();
    kernel::shrink_receive_buffer(client.tcp());
    client.send(ASK);
    assert_eq!(client.response().status, 101);
    limpet.reload(&config);
    client.read_exact(SIZE / 2).unwrap();
    limpet.reload(&config);
    assert_eq!(client.read_exact(SIZE / 2).unwrap().len(), SIZE / 2);
    assert_eq!(client.try_rest().unwrap(), b"");
    upstream.wait_ended(0);
    assert!(lines(&limpet, 1)[0].contains(&format!(" 101 {SIZE} ")));
}

#[test]
fn a_hundred_reloads_lose_no_message() {
    let config = format!("error_log @DIR@/error.log notice; {}", proxying(BACKEND));
    let (limpet, _upstream) = start(&config, echo);
    let done = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (limpet, done) = (&limpet, &done);
                let mut client = tunnel(limpet);
                scope.spawn(move || {
                    let mut count = 0;
                    while count < 10_000 || !done.load(Ordering::Relaxed) {
                        let message = format!("{count:08} {}", "x".repeat(count % 300));
                        talk(&mut client, &message);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for _ in 0..100 {
            let old = limpet.wait_workers(2);
            let told = limpet.log.count("gracefully shutting down");
            limpet.signal(libc::SIGHUP);
            limpet.log.wait_count("gracefully shutting down", told + old.len());
            let since = Instant::now();
            wait_all(&old);
            assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        }
        done.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<usize>>()
    });
    let body = |count: usize| (0..count).map(|at| 9 + at % 300).sum::<usize>();
    let mut wanted: Vec<_> = sent.into_iter().map(body).collect();
    let size = |line: String| line.split(' ').nth(9).unwrap().parse::<usize>().unwrap();
    let mut logged: Vec<_> = lines(&limpet, 4).into_iter().map(size).collect();
    wanted.sort_unstable();
    logged.sort_unstable();
    assert_eq!(logged, wanted);
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}

/// More than a worker can read at once is always there: it leaves all the same.
#[test]
fn a_tunnel_that_is_never_silent_goes_too() {
    const SIZE: usize = 256 << 20;
    let config = proxying(BACKEND);
    let (limpet, _upstream) = start(&config, |peer| {
        peer.request();
        peer.send(SWITCH);
        let piece = vec![b'x'; 1 << 20];
        (0..SIZE >> 20).all(|_| peer.send(&piece));
    });
    let mut client = tunnel(&limpet);
    let read = std::thread::spawn(move || {
        let pieces = std::iter::from_fn(|| client.some().ok().filter(|bytes| !bytes.is_empty()));
        pieces.map(|bytes| bytes.len()).sum::<usize>()
    });
    for _ in 0..3 {
        limpet.reload(&config);
    }
    assert_eq!(read.join().unwrap(), SIZE);
    assert!(lines(&limpet, 1)[0].contains(&format!(" 101 {SIZE} ")));
}

/// Also by a single worker that is told to leave, to its sibling.
#[test]
fn a_worker_that_quits_gives_its_tunnels_to_its_sibling() {
    let (limpet, _upstream) = start(&proxying(BACKEND), echo);
    let mut clients: Vec<_> = (0..10).map(|_| tunnel(&limpet)).collect();
    for round in 0..4 {
        let worker = limpet.wait_workers(2)[round % 2];
        worker.signal(libc::SIGQUIT);
        worker.wait_end();
        clients.iter_mut().for_each(|client| talk(client, "still there"));
    }
    drop(clients);
    lines(&limpet, 10);
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}

#[test]
fn an_upgrade_in_place_takes_tunnels_along() {
    let (limpet, _upstream) = start(&proxying(BACKEND), echo);
    let mut client = tunnel(&limpet);
    for round in 1..=3 {
        talk(&mut client, "before");
        let old = limpet.wait_workers(2);
        limpet.signal(libc::SIGUSR2);
        limpet.log.wait_count("2 of 2 workers ready", round);
        wait_all(&old);
        talk(&mut client, "behind");
    }
    drop(client);
    assert!(lines(&limpet, 1)[0].contains(" 101 36 "));
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}

#[test]
fn a_second_master_takes_tunnels_over() {
    let place = Place::new();
    let _upstream = Upstream::tcp(&place, 8090, echo);
    let mut limpet = Limpet::daemonize(place, &proxying(BACKEND));
    limpet.wait_workers(2);
    let mut client = tunnel(&limpet);
    for _ in 0..2 {
        talk(&mut client, "before");
        let old = limpet.master();
        old.signal(libc::SIGUSR2);
        let new = || limpet.pid_file().map(Process).filter(|process| *process != old);
        eventually("a new master", || new().is_some());
        let new = new().unwrap();
        eventually("its workers", || new.children_titled(": worker process").len() == 2);
        old.signal(libc::SIGQUIT);
        old.wait_end();
        limpet.adopt(new);
        limpet.wait_workers(2);
        talk(&mut client, "behind");
    }
    drop(client);
    assert!(lines(&limpet, 1)[0].contains(" 101 24 "));
}

/// All workers but the last stopped; that one quits, with tunnels of its own.
fn quit_before_the_deaf(limpet: &Limpet) -> (Vec<Client>, Process, Process) {
    let workers = limpet.wait_workers(2);
    let (deaf, quits) = (workers[0], workers[1]);
    deaf.stop();
    let mut clients: Vec<_> = (0..4).map(|_| tunnel(limpet)).collect();
    clients.iter_mut().for_each(|client| talk(client, "before"));
    quits.signal(libc::SIGQUIT);
    limpet.log.wait_count("handed to worker", clients.len());
    for client in &mut clients {
        client.send("asleep");
    }
    (clients, quits, deaf)
}

#[test]
fn a_receiver_killed_before_its_answer_loses_no_tunnel() {
    let (limpet, upstream) = start(&proxying(BACKEND), echo);
    let (mut clients, quits, deaf) = quit_before_the_deaf(&limpet);
    deaf.signal(libc::SIGKILL);
    for client in &mut clients {
        assert_eq!(client.read_exact(6).unwrap(), b"asleep");
        talk(client, "awake");
    }
    quits.wait_end();
    drop(clients);
    (0..4).for_each(|at| upstream.wait_ended(at));
    assert!(lines(&limpet, 4).iter().all(|line| line.contains(" 101 17 ")));
}

/// Nobody else is there: it comes back, goes on where it was, and leaves when the receiver wakes.
#[test]
fn a_receiver_that_is_stopped_does_not_stop_tunnels() {
    let (limpet, _upstream) = start(&proxying(BACKEND), echo);
    let (mut clients, quits, deaf) = quit_before_the_deaf(&limpet);
    for client in &mut clients {
        assert_eq!(client.read_exact(6).unwrap(), b"asleep");
        talk(client, "still asleep");
    }
    assert!(quits.lives());
    deaf.signal(libc::SIGCONT);
    quits.wait_end();
    clients.iter_mut().for_each(|client| talk(client, "awake"));
    drop(clients);
    assert!(lines(&limpet, 4).iter().all(|line| line.contains(" 101 29 ")));
}

/// What it has taken goes with it, and only that.
#[test]
fn a_receiver_killed_after_its_answer_takes_its_tunnels_along() {
    let (limpet, upstream) = start(&proxying(BACKEND), echo);
    let workers = limpet.wait_workers(2);
    let mut client = tunnel(&limpet);
    talk(&mut client, "before");
    limpet.reload(&proxying(BACKEND));
    let line = limpet.log.wait("taken from worker");
    let taker = Process(line.pid);
    assert!(!workers.contains(&taker));
    taker.signal(libc::SIGKILL);
    assert!(client.is_closed_within(LIMIT));
    upstream.wait_ended(0);
    assert!(limpet.access.text().is_empty());
}

/// Nobody has room: it goes on where it is, and goes as soon as there is some.
#[test]
fn what_no_worker_has_room_for_stays_until_there_is_some() {
    let config = proxying(BACKEND).replace("events {", "events { worker_connections 8;");
    let (limpet, _upstream) = start(&config, echo);
    let workers = limpet.wait_workers(2);
    workers[1].stop();
    let mut others: Vec<_> = (0..8).map(|_| limpet.client()).collect();
    for client in &mut others {
        client.send("GET /half");
    }
    eventually("they are there", || workers[0].fds().len() > 16);
    workers[1].signal(libc::SIGCONT);
    workers[0].stop();
    let mut client = tunnel(&limpet);
    workers[0].signal(libc::SIGCONT);
    workers[1].signal(libc::SIGQUIT);
    let line = limpet.log.wait("is not taken over: no worker has room");
    assert_eq!((line.pid, &*line.level), (workers[1].0, "warn"));
    talk(&mut client, "it goes on");
    drop(others);
    workers[1].wait_end();
    talk(&mut client, "and on");
    drop(client);
    assert!(lines(&limpet, 1)[0].contains(" 101 16 "));
}

/// Limits count a tunnel once, wherever it is.
#[test]
fn a_tunnel_is_counted_wherever_it_is() {
    let zones = "upstream backend { zone backend 64k; server 127.0.0.1:8090 max_conns=1; }";
    let limits = "limit_conn_zone $binary_remote_addr zone=clients:64k;";
    let by_peer = proxying(zones);
    let by_client = proxying(&format!("{BACKEND} {limits} limit_conn clients 1;"));
    for (config, refused) in [(by_peer, 502), (by_client, 503)] {
        let (limpet, _upstream) = start(&config, echo);
        let mut client = tunnel(&limpet);
        for _ in 0..3 {
            assert_eq!(limpet.get("/tunnel").status, refused);
            limpet.reload(&config);
            limpet.wait_workers(2);
            talk(&mut client, "on");
        }
        assert_eq!(limpet.get("/tunnel").status, refused);
        drop(client);
        eventually("it is free again", || {
            let mut client = limpet.client();
            client.send(ASK);
            client.response().status == 101
        });
    }
}

/// What was left of its silence is left of it in the next worker.
#[test]
fn silence_ends_a_tunnel_in_the_next_worker_too() {
    let (limpet, upstream) = start(&proxying(BACKEND), echo);
    let mut client = limpet.client();
    client.send(ASK.replace("/tunnel", "/short"));
    assert_eq!(client.response().status, 101);
    talk(&mut client, "last words");
    let since = Instant::now();
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(500));
        limpet.reload(&proxying(BACKEND));
    }
    assert!(client.is_closed_within(LIMIT));
    assert!(since.elapsed() >= Duration::from_millis(1900), "{:?}", since.elapsed());
    upstream.wait_ended(0);
    let line = limpet.log.wait("upstream timed out");
    assert!(line.text.contains("while proxying upgraded connection, client: 127.0.0.1"));
    let taken = limpet.log.with("taken from worker");
    assert_eq!(taken.last().map(|taken| taken.pid), Some(line.pid));
    limpet.log.wait(&format!("upstream: \"http://127.0.0.1:{}/short", limpet.port(8090)));
}

/// Its server, its location and its upstream are not there any more: it goes on all the same.
#[test]
fn a_tunnel_outlives_its_configuration() {
    let (limpet, _upstream) = start(&proxying(BACKEND), echo);
    let mut client = tunnel(&limpet);
    limpet.reload(
        "worker_processes 2; events { }
         http {
             log_format new '$request $status $body_bytes_sent $upstream_addr $arg_whose';
             access_log @DIR@/access.log new;
             server { listen 8080; server_name other; return 404; }
         }",
    );
    talk(&mut client, "it goes on");
    drop(client);
    let wanted =
        format!("GET /tunnel?whose=mine HTTP/1.1 101 10 127.0.0.1:{} mine", limpet.port(8090));
    assert_eq!(lines(&limpet, 1), [wanted]);
}

/// Nobody listens there any more: who has it keeps it.
#[test]
fn a_tunnel_of_a_listener_that_is_gone_stays_where_it_is() {
    let (limpet, _upstream) = start(&proxying(BACKEND), echo);
    let mut client = tunnel(&limpet);
    limpet.configure(&proxying(BACKEND).replace("listen 8080;", "listen 8081;"));
    limpet.signal(libc::SIGHUP);
    let line = limpet.log.wait("is not taken over: nobody listens there any more");
    talk(&mut client, "it goes on");
    assert!(Process(line.pid).lives());
    drop(client);
    Process(line.pid).wait_end();
    lines(&limpet, 1);
}
