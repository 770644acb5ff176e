//! Connections that become tunnels: websockets, and whatever else says 101.
//!
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::Peer;
use crate::common::*;
use std::time::Duration;

const SERVED: &str = "
    worker_processes 1;
    events { }
    http {
        access_log @DIR@/access.log;
        map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
        server {
            listen 8080;
            location / {
                proxy_pass http://127.0.0.1:8090;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout 5s;
            }
            location /short/ {
                proxy_pass http://127.0.0.1:8090;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout 1s;
            }
            location /unbuffered/ {
                proxy_request_buffering off;
                proxy_pass http://127.0.0.1:8090;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
            }
            location /ping { return 200 pong; }
        }
    }
";

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\
                      Connection: Upgrade\r\nX-App: tunnel\r\n\r\n";
const ASK: &str = "GET /tunnel HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";

fn start<Script>(script: Script) -> (Limpet, Upstream)
where
    Script: Fn(&mut Peer) + Send + Sync + 'static,
{
    let place = Place::new();
    let upstream = Upstream::tcp(&place, 8090, script);
    (Limpet::start_in(place, SERVED), upstream)
}

fn echo(peer: &mut Peer) {
    let Some(request) = peer.request() else { return };
    if request.field("upgrade") != "echo" || request.field("connection") != "upgrade" {
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno tunnel");
        return;
    }
    peer.send(SWITCH);
    while let Some(bytes) = peer.some() {
        peer.send(bytes);
    }
}

fn tunnel(limpet: &Limpet) -> Client {
    let mut client = limpet.client();
    client.send(ASK);
    let response = client.response();
    assert_eq!((response.status, response.header("upgrade")), (101, "echo"));
    assert_eq!(response.header("connection").to_lowercase(), "upgrade");
    assert_eq!(response.header("x-app"), "tunnel");
    client
}

#[test]
fn ten_thousand_messages_come_back() {
    let (limpet, _upstream) = start(echo);
    let mut client = tunnel(&limpet);
    for number in 0..10_000u32 {
        let message = format!("message {number} {}", "x".repeat(number as usize % 300));
        client.send(&message);
        assert_eq!(client.read_exact(message.len()).unwrap(), message.as_bytes());
    }
}

#[test]
fn bytes_of_all_kinds_and_sizes_come_back() {
    let (limpet, _upstream) = start(echo);
    let mut client = tunnel(&limpet);
    for size in [1, 100, 8191, 8192, 8193, 65536, 200_000] {
        let bytes: Vec<u8> = (0..size).map(|n| (n * 7 + size) as u8).collect();
        client.send(&bytes);
        assert!(client.read_exact(size).unwrap() == bytes, "{size} bytes");
    }
}

/// What follows a head in the same segment belongs to the tunnel.
#[test]
fn what_comes_with_the_heads_is_not_lost() {
    let (limpet, _upstream) = start(|peer| {
        peer.head();
        peer.send(SWITCH.to_owned() + "hello from the upstream");
        let mut seen = Vec::new();
        while seen.len() < 12 {
            match peer.some() {
                Some(more) => seen.extend(more),
                None => break,
            }
        }
        peer.send(seen);
    });
    let mut client = limpet.client();
    client.send(ASK);
    assert_eq!(client.response().status, 101);
    assert_eq!(client.read_exact(23).unwrap(), b"hello from the upstream");
    client.send("hello, world");
    assert_eq!(client.read_exact(12).unwrap(), b"hello, world");
    // nginx passes this on, too.
    let mut client = limpet.client();
    client.send(ASK.to_owned() + "hello, world");
    assert_eq!(client.response().status, 101);
    assert_eq!(client.read_exact(35).unwrap(), b"hello from the upstreamhello, world");
}

/// The body of a request goes out once, and what is behind it is the tunnel's.
#[test]
fn a_body_before_a_tunnel_is_no_part_of_it() {
    let (limpet, upstream) = start(|peer| {
        peer.request();
        peer.send(SWITCH);
        if let Some(first) = peer.exact(5) {
            peer.send(first);
        }
    });
    for path in ["/", "/unbuffered/"] {
        for body in [
            "Content-Length: 4\r\n\r\nbody",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ] {
            let (head, first) = body.split_at(body.find("body").unwrap());
            let ask = ASK.replace("GET /", &format!("POST {path}"));
            let ask = ask.replace("\r\n\r\n", "\r\n");
            for pieces in [
                vec![format!("{ask}{body}frame")],
                vec![format!("{ask}{head}"), format!("{first}frame")],
                vec![format!("{ask}{body}"), "frame".into()],
            ] {
                let mut client = limpet.client();
                for piece in &pieces {
                    client.send(piece);
                    limpet.get("/ping");
                }
                assert_eq!(client.response().status, 101, "{pieces:?}");
                let came = client.read_exact(5).unwrap();
                assert_eq!(String::from_utf8_lossy(&came), "frame", "{pieces:?}");
            }
        }
    }
    assert!(upstream.requests().iter().all(|request| request.body == b"body"));
}

/// RFC 9110 7.8: then it is a request as any other.
#[test]
fn only_who_may_asks_for_a_tunnel() {
    let (limpet, upstream) = start(echo);
    for ask in [
        ASK.replace("HTTP/1.1", "HTTP/1.0"),
        ASK.replace("Connection: Upgrade\r\n", ""),
        ASK.replace("Connection: Upgrade", "Connection: upgrades, x"),
    ] {
        let mut client = limpet.client();
        client.send(&ask);
        let text = client.response().text();
        if !drives_nginx() {
            assert_eq!(text, "no tunnel", "{ask:?}");
        }
    }
    if !drives_nginx() {
        assert!(upstream.requests().iter().all(|request| request.field("upgrade").is_empty()));
    }
    let mut client = limpet.client();
    client.send(ASK.replace("Connection: Upgrade", "Connection: keep-alive, UPGRADE"));
    assert_eq!(client.response().status, 101);
}

#[test]
fn the_end_of_one_side_ends_the_other() {
    let (limpet, upstream) = start(|peer| {
        peer.request();
        peer.send(SWITCH);
        if peer.some().is_some_and(|bytes| bytes == b"leave") {
            peer.send("bye");
            return;
        }
        peer.hang();
    });
    let mut client = tunnel(&limpet);
    client.send("leave");
    assert_eq!(client.try_rest().unwrap(), b"bye");
    let client = tunnel(&limpet);
    drop(client);
    upstream.wait_ended(1);
    let mut client = tunnel(&limpet);
    client.send("stay");
    kernel::reset_on_close(client.tcp());
    drop(client);
    upstream.wait_ended(2);
    assert_eq!(limpet.get("/ping").text(), "pong");
}

#[test]
fn tunnels_that_are_silent_end() {
    let (limpet, upstream) = start(echo);
    let mut client = limpet.client();
    client.send(ASK.replace("/tunnel", "/short/tunnel"));
    assert_eq!(client.response().status, 101);
    for _ in 0..5 {
        client.send("x");
        client.read_exact(1).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(client.is_closed_within(LIMIT));
    upstream.wait_ended(0);
    assert_eq!(limpet.log.wait("upstream timed out").level, "info");
}

/// What it is that has to be spoken, the client must hear (RFC 9110 15.5.22).
#[test]
fn an_upstream_says_what_to_upgrade_to() {
    let (limpet, _upstream) = start(|peer| {
        peer.request();
        peer.send("HTTP/1.1 426 No\r\nUpgrade: echo\r\nContent-Length: 0\r\n\r\n");
    });
    let response = limpet.get("/");
    assert_eq!((response.status, response.header("upgrade")), (426, "echo"));
}

/// An upstream that says no answers as any other.
#[test]
fn without_a_tunnel_there_is_an_answer() {
    let (limpet, upstream) = start(echo);
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "no tunnel");
    client.send(ASK.replace("Upgrade: echo", "Upgrade: other"));
    assert_eq!(client.response().text(), "no tunnel");
    // What is behind it is a request, not part of a tunnel.
    assert_eq!(client.get("/ping").text(), "pong");
    assert!(upstream.requests().iter().all(|request| request.target() != "/ping"));
}

#[test]
fn a_tunnel_is_logged_when_it_ends() {
    let (limpet, _upstream) = start(echo);
    let mut client = tunnel(&limpet);
    client.send("12345");
    client.read_exact(5).unwrap();
    assert!(!limpet.access.text().contains("/tunnel"));
    drop(client);
    let is_there = || limpet.access.text().contains("\"GET /tunnel HTTP/1.1\" 101 ");
    eventually("the line", is_there);
}

/// A tunnel whose reader is slow holds its sender back, and loses nothing.
#[test]
fn a_slow_side_loses_nothing() {
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| (n / 1000) as u8).collect();
    let (limpet, _upstream) = start(move |peer| {
        peer.request();
        peer.send(SWITCH);
        peer.send(&bytes);
    });
    let mut client = tunnel(&limpet);
    limpet.get("/ping");
    let all = client.try_rest().unwrap();
    assert_eq!(all.len(), 20_000_000);
    assert!(all.iter().enumerate().all(|(at, byte)| *byte == (at / 1000) as u8));
}

#[test]
fn many_tunnels_are_carried_at_once() {
    let (limpet, _upstream) = start(echo);
    let mut clients: Vec<_> = (0..100).map(|_| tunnel(&limpet)).collect();
    for round in 0..20 {
        for (at, client) in clients.iter_mut().enumerate() {
            client.send(format!("{round:04}:{at:04}"));
        }
        for (at, client) in clients.iter_mut().enumerate() {
            let back = client.read_exact(9).unwrap();
            assert_eq!(String::from_utf8(back).unwrap(), format!("{round:04}:{at:04}"));
        }
    }
}

/// A worker told to quit keeps its tunnels.
#[test]
fn a_reload_breaks_no_tunnel() {
    let (limpet, _upstream) = start(echo);
    let mut client = tunnel(&limpet);
    client.send("before");
    client.read_exact(6).unwrap();
    let old = limpet.workers()[0];
    limpet.signal(libc::SIGHUP);
    eventually("a new worker", || limpet.workers().iter().any(|worker| *worker != old));
    client.send("after");
    assert_eq!(client.read_exact(5).unwrap(), b"after");
    let mut new = tunnel(&limpet);
    new.send("new");
    assert_eq!(new.read_exact(3).unwrap(), b"new");
}
