//! Listening sockets: how they are opened, kept, shared and closed (process model, section 6).
use crate::common::*;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One worker behind `listen` lines.
fn listening(lines: &str) -> String {
    format!(
        "events {{ }}
         http {{ access_log off; server {{ {lines} location / {{ return 200 served; }} }} }}"
    )
}

/// What ss(8) shows of listening TCP sockets, one line each.
fn ss(options: &str) -> Vec<String> {
    let output = Command::new("ss").arg(options).output().expect("ss");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| line.contains(":80")).map(str::to_string).collect()
}

#[test]
fn a_busy_port_is_tried_five_times_and_then_named() {
    let place = Place::new();
    let _busy = TcpListener::bind(("0.0.0.0", place.port(8080))).unwrap();
    let mut limpet = Limpet::prepare(place, &listening("listen 8080;"));
    let began = Instant::now();
    limpet.launch();
    assert_eq!(limpet.wait_end(), Ended::Code(1));
    let took = began.elapsed();
    assert!((1900..5000).contains(&took.as_millis()), "{took:?}");
    let port = limpet.port(8080);
    let failed = format!("bind() to 0.0.0.0:{port} failed (98: Address already in use)");
    assert_eq!(limpet.log.with(&failed).len(), 5);
    assert!(limpet.log.with(&failed).iter().all(|line| line.level == "emerg"));
    assert!(limpet.log.exactly("try again to bind() after 500ms") >= 4);
    assert_eq!(limpet.log.count("still could not bind()"), 1);
    assert_eq!(limpet.pid_file(), None);
}

#[test]
fn a_port_that_becomes_free_is_taken() {
    let place = Place::new();
    let busy = TcpListener::bind(("0.0.0.0", place.port(8080))).unwrap();
    let mut limpet = Limpet::prepare(place, &listening("listen 8080; listen 8081;"));
    limpet.launch();
    limpet.log.wait("Address already in use");
    assert_eq!(limpet.pid_file(), None, "a pid file only when everything listens");
    drop(busy);
    limpet.wait_workers(1);
    assert_eq!(limpet.get("/").text(), "served");
    assert_eq!(get(limpet.port(8081), "/").text(), "served");
}

#[test]
fn a_restart_over_connections_in_time_wait_binds_at_once() {
    let mut first = Limpet::start(&listening("listen 8080;"));
    for _ in 0..5 {
        let mut client = first.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.rest();
    }
    first.signal(libc::SIGTERM);
    first.wait_end();
    first.place.write("error.log", "");
    first.launch();
    first.wait_workers(1);
    assert_eq!(first.get("/").text(), "served");
    assert_eq!(first.log.count("bind() to"), 0);
}

#[test]
fn the_right_addresses_are_bound() {
    let limpet = Limpet::start(&listening(
        "listen 8080; listen 127.0.0.1:8081; listen *:8082; listen [::]:8083; listen [::1]:8084;
         listen localhost:8085;",
    ));
    if limpet.place.network().is_none() {
        return skip("needs fixed ports");
    }
    let lines = ss("-Hltn").join("\n");
    for address in [
        "0.0.0.0:8080",
        "127.0.0.1:8081",
        "0.0.0.0:8082",
        "[::]:8083",
        "[::1]:8084",
        "127.0.0.1:8085",
    ] {
        assert!(lines.contains(&format!(" {address} ")), "{address} in {lines}");
    }
    for port in [8083, 8084] {
        let mut client = Client::try_connect(("::1", port)).unwrap();
        assert_eq!(client.get("/").text(), "served");
    }
    // ipv6only is on by default
    assert!(!accepts(8083));
}

#[test]
fn a_wildcard_v6_listener_takes_v4_when_told_to() {
    let limpet = Limpet::start(&listening("listen [::]:8080 ipv6only=off;"));
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn the_options_of_listen_reach_the_socket() {
    let limpet = Limpet::start(&listening(
        "listen 8080 backlog=77; listen 8081; listen 8082 deferred; listen 8083 fastopen=5;
         listen 8084 so_keepalive=10s:5s:3; listen 8085 rcvbuf=64k sndbuf=128k;
         listen 8086 so_keepalive=on; listen 8087 so_keepalive=off; listen 127.0.0.1:8088 bind;",
    ));
    if limpet.place.network().is_none() {
        return skip("needs fixed ports");
    }
    let backlog = |port: u16| -> String {
        let all = ss("-Hltn");
        let line = all.iter().find(|line| line.contains(&format!(":{port} "))).unwrap();
        line.split_whitespace().nth(2).unwrap().to_string()
    };
    assert_eq!((&*backlog(8080), &*backlog(8081)), ("77", "511"));
    let socket = |port| Listener::of(limpet.master(), port);
    assert!(socket(8082).option(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT) > 0);
    assert_eq!(socket(8083).option(libc::IPPROTO_TCP, libc::TCP_FASTOPEN), 5);
    assert_eq!(socket(8084).option(libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
    assert_eq!(socket(8084).option(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE), 10);
    assert_eq!(socket(8084).option(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL), 5);
    assert_eq!(socket(8084).option(libc::IPPROTO_TCP, libc::TCP_KEEPCNT), 3);
    assert_eq!(socket(8085).option(libc::SOL_SOCKET, libc::SO_RCVBUF), 2 * 65536);
    assert_eq!(socket(8085).option(libc::SOL_SOCKET, libc::SO_SNDBUF), 2 * 131072);
    assert_eq!(socket(8086).option(libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
    assert_eq!(socket(8087).option(libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
    assert_eq!(socket(8080).option(libc::SOL_SOCKET, libc::SO_REUSEADDR), 1);
    assert!(socket(8080).is_nonblocking());
}

/// A duplicate of another process's listening socket.
struct Listener(std::os::fd::OwnedFd);

impl Listener {
    fn of(process: Process, port: u16) -> Self {
        let listens = |fd: &i32| {
            let copy = kernel::descriptor_of(process.0, *fd).ok()?;
            let listener = TcpListener::from(copy);
            (listener.local_addr().ok()?.port() == port).then_some(listener)
        };
        let sockets = process.fds();
        let mut sockets = sockets.iter().filter(|(_, target)| target.starts_with("socket:"));
        Self(sockets.find_map(|(fd, _)| listens(fd)).expect("a listener").into())
    }

    fn option(&self, level: i32, name: i32) -> i32 {
        kernel::socket_option(&self.0, level, name)
    }

    fn is_nonblocking(&self) -> bool {
        kernel::is_nonblocking(&self.0)
    }
}

/// Beyond nginx: `accept_defer`.
#[test]
fn listeners_wait_for_requests_while_short_connections_follow_each_other() {
    if drives_nginx() {
        return;
    }
    let Some(wrk) = program("wrk") else { return skip("wrk is not installed") };
    let load = |limpet: &Limpet, path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", limpet.port(8080));
        let mut wrk = Command::new(&wrk);
        wrk.args(["-t1", "-c64", "-d8", &url]).stdout(Stdio::null()).spawn().unwrap()
    };
    for (setting, wanted) in [("", true), ("accept_defer off;", false)] {
        let limpet = Limpet::start(&format!(
            "worker_processes 1; error_log @DIR@/error.log notice; events {{ {setting} }}
             http {{ access_log off; server {{
                 listen 8080; location / {{ return 200 kept; }}
                 location /short {{ keepalive_timeout 0; return 200 short; }}
             }} }}"
        ));
        let worker = limpet.wait_workers(1)[0];
        let listener = Listener::of(worker, limpet.port(8080));
        let defers = || listener.option(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT) > 0;
        let loaded = |path: &str, most: u64| {
            let mut wrk = load(&limpet, path);
            let seen = within(Duration::from_secs(most), defers);
            wrk.kill().unwrap();
            wrk.wait().unwrap();
            seen
        };
        assert!(!loaded("/", 1), "connections that stay: {setting:?}");
        let most = if wanted { 7 } else { 1 };
        assert_eq!(loaded("/short", most), wanted, "connections that do not: {setting:?}");
        eventually("it ends with the load", || !defers());
        let sockets = || worker.fds().values().filter(|name| name.starts_with("socket:")).count();
        // Those of the load may be closing yet.
        eventually("who says nothing is accepted", || {
            let before = sockets();
            let _silent = limpet.client();
            within(Duration::from_millis(500), || sockets() > before)
        });
    }
}

#[test]
fn reuseport_gives_each_worker_a_socket_of_its_own() {
    let limpet =
        Limpet::start(&format!("worker_processes 3; {}", listening("listen 8080 reuseport;")));
    if limpet.place.network().is_none() {
        return skip("needs fixed ports");
    }
    limpet.wait_workers(3);
    assert_eq!(ss("-Hltn").len(), 3);
    for _ in 0..20 {
        assert_eq!(limpet.get("/").text(), "served");
    }
}

#[test]
fn shared_listeners_wake_one_worker() {
    let limpet = Limpet::start(&format!("worker_processes 2; {}", listening("listen 8080;")));
    for worker in limpet.wait_workers(2) {
        limpet.get("/");
        // EPOLLIN, EPOLLEXCLUSIVE, and what the kernel adds to every interest
        let exclusive = 0x1000_0001;
        eventually("an exclusive interest", || {
            epoll_interests(worker).iter().any(|events| events & exclusive == exclusive)
        });
        let wrong = 0x8000_2000u64; // EPOLLET, EPOLLRDHUP
        let listeners = epoll_interests(worker).into_iter().filter(|events| events >> 28 & 1 == 1);
        assert!(listeners.clone().all(|events| events & wrong == 0));
        assert_eq!(listeners.count(), 1);
    }
}

/// The event masks of a process's epoll sets (proc_pid_fdinfo(5)).
fn epoll_interests(process: Process) -> Vec<u64> {
    let epolls = process.fds().into_iter().filter(|(_, target)| target.contains("[eventpoll]"));
    let info = |(fd, _)| {
        std::fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", process.0)).unwrap_or_default()
    };
    let text: String = epolls.map(info).collect();
    let interest = |line: &str| {
        let (_, rest) = line.strip_prefix("tfd:")?.split_once("events:")?;
        u64::from_str_radix(rest.split_whitespace().next()?, 16).ok()
    };
    text.lines().filter_map(interest).collect()
}

#[test]
fn the_accept_mutex_lets_one_worker_listen_at_a_time() {
    let limpet = Limpet::start(&format!(
        "worker_processes 2; {}",
        listening("listen 8080;")
            .replace("events { }", "events { accept_mutex on; accept_mutex_delay 50ms; }")
    ));
    limpet.wait_workers(2);
    for _ in 0..50 {
        assert_eq!(limpet.get("/").text(), "served");
    }
}

/// Whoever dies with the mutex in its hand takes it away from nobody.
#[test]
fn killed_workers_do_not_keep_the_accept_mutex() {
    let limpet = Limpet::start(&format!(
        "worker_processes 2; {}",
        listening("listen 8080;")
            .replace("events { }", "events { accept_mutex on; accept_mutex_delay 20ms; }")
    ));
    for round in 0..20 {
        let worker = limpet.wait_workers(2)[round % 2];
        worker.signal(libc::SIGKILL);
        worker.wait_end();
        assert_eq!(limpet.get("/").text(), "served", "after death {round}");
    }
}

#[test]
fn unix_sockets_are_made_replaced_and_removed() {
    let place = Place::new();
    drop(UnixListener::bind(place.path("stale.sock")).unwrap()); // nobody listens any more
    let mut limpet = Limpet::start_in(
        place,
        &listening("listen unix:@DIR@/new.sock; listen unix:@DIR@/stale.sock;"),
    );
    for name in ["new.sock", "stale.sock"] {
        let path = limpet.place.path(name);
        assert!(path.metadata().unwrap().file_type().is_socket());
        assert_eq!(Client::connect_unix(&path).get("/").text(), "served");
    }
    limpet.signal(libc::SIGQUIT);
    limpet.wait_end();
    assert!(!limpet.place.path("new.sock").exists() && !limpet.place.path("stale.sock").exists());
}

/// Beyond nginx, which takes any socket file for busy.
#[test]
fn a_unix_socket_that_someone_serves_is_left_alone() {
    let place = Place::new();
    let live = UnixListener::bind(place.path("live.sock")).unwrap();
    let mut limpet = Limpet::prepare(place, &listening("listen unix:@DIR@/live.sock;"));
    limpet.launch();
    assert_eq!(limpet.wait_end(), Ended::Code(1));
    limpet.log.wait("live.sock failed (98: Address already in use)");
    assert!(limpet.place.path("live.sock").exists());
    drop(live);
}

#[test]
fn a_reload_closes_and_removes_a_dropped_unix_socket() {
    let limpet = Limpet::start(&listening("listen 8080; listen unix:@DIR@/a.sock;"));
    limpet.wait_workers(1);
    limpet.reload(&listening("listen 8080; listen unix:@DIR@/b.sock;"));
    limpet.wait_workers(1);
    assert_eq!(Client::connect_unix(&limpet.place.path("b.sock")).get("/").text(), "served");
    eventually("the old one is removed", || !limpet.place.path("a.sock").exists());
}

#[test]
fn several_servers_share_an_address_and_one_is_the_default() {
    let limpet = Limpet::start(
        "events { }
         http {
             server { listen 8080; server_name one; return 200 one; }
             server { listen 8080 default_server; server_name two; return 200 two; }
             server { listen 127.0.0.1:8080; server_name one; return 200 specific; }
         }",
    );
    let ask = |host: &str| {
        let mut client = limpet.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.response().text()
    };
    assert_eq!(ask("one"), "specific");
    assert_eq!(ask("unknown"), "specific");
}

#[test]
fn a_worker_stopped_leaves_new_connections_to_the_others() {
    let limpet = Limpet::start(&format!("worker_processes 3; {}", listening("listen 8080;")));
    limpet.wait_workers(3)[0].stop();
    for _ in 0..30 {
        assert_eq!(limpet.get("/").text(), "served");
    }
    limpet.workers().iter().for_each(|worker| worker.signal(libc::SIGCONT));
}

/// A port below 1024 without the right to it: the message says what is missing.
#[test]
fn no_right_to_a_port_is_told() {
    if !kernel::is_root() {
        return skip("needs root to become someone else");
    }
    let place = Place::new();
    std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "1024").unwrap();
    std::os::unix::fs::chown(place.dir(), Some(65532), Some(65532)).unwrap();
    let mut limpet = Limpet::prepare(place, &listening("listen 80;"));
    let mut command = limpet.command();
    Birth { user: Some((65532, 65532)), ..Birth::default() }.apply(&mut command);
    let began = Instant::now();
    limpet.launch_as(command);
    assert_eq!(limpet.wait_end(), Ended::Code(1));
    assert!(began.elapsed() < Duration::from_secs(2), "what is not busy is not tried again");
    limpet.log.wait("bind() to 0.0.0.0:80 failed (13: Permission denied)");
    if !drives_nginx() {
        assert!(limpet.stderr().contains("ip_unprivileged_port_start"), "{}", limpet.stderr());
    }
}

/// Someone else's datagrams on the same number are no obstacle.
#[test]
fn a_udp_port_of_the_same_number_does_not_matter() {
    let place = Place::new();
    let _udp = UdpSocket::bind(("0.0.0.0", place.port(8080))).unwrap();
    let limpet = Limpet::start_in(place, &listening("listen 8080;"));
    assert_eq!(limpet.get("/").text(), "served");
}
