//! Several peers of which some fail: the next one is asked, and what fails is left alone for
//! a while.
//!
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::{Gate, Peer};
use crate::common::*;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

fn config(upstream: &str, location: &str) -> String {
    format!(
        "worker_processes 1; error_log @DIR@/error.log info;
         events {{ }}
         http {{
             access_log off; lingering_timeout 1s; client_body_temp_path @DIR@/temp;
             proxy_http_version 1.1; proxy_set_header Connection '';
             upstream app {{ {upstream} }}
             server {{
                 listen 8080;
                 location / {{ proxy_pass http://app; {location} }}
                 location /ping {{ return 200 pong; }}
             }}
         }}"
    )
}

/// Says who it is.
fn named(place: &Place, port: u16) -> Upstream {
    Upstream::tcp(place, port, move |peer| {
        while peer.request().is_some() {
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{port}"));
        }
    })
}

fn silent(place: &Place, port: u16) -> Upstream {
    Upstream::tcp(place, port, |peer| {
        peer.request();
        peer.hang();
    })
}

const THREE: &str = "server 127.0.0.1:8090 max_fails=1 fail_timeout=10s;
    server 127.0.0.1:8091 max_fails=1 fail_timeout=10s;
    server 127.0.0.1:8092 max_fails=1 fail_timeout=10s; keepalive 8;";

/// One is killed while it is asked, one takes requests and never answers, one is well.
#[test]
fn of_three_peers_one_is_killed_and_one_hangs_and_no_request_fails() {
    let place = Place::new();
    let good = named(&place, 8090);
    let killed = named(&place, 8091);
    let hanging = silent(&place, 8092);
    let limpet = Limpet::start_in(place, &config(THREE, "proxy_read_timeout 500ms;"));
    let port = limpet.port(8080);
    let network = limpet.place.network();
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(port)).collect();
    std::thread::scope(|scope| {
        let loads: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || (0..150).filter(|_| client.get("/").status != 200).count())
            })
            .collect();
        killed.wait("some requests", |seen| {
            seen.iter().map(|seen| seen.requests.len()).sum::<usize>() > 10
        });
        killed.stop();
        for load in loads {
            assert_eq!(load.join().unwrap(), 0, "requests fail ({network:?})");
        }
    });
    assert!(hanging.requests().len() < 30, "who hangs is asked {} times", hanging.requests().len());
    assert!(good.requests().len() > 1000);
    assert!(limpet.log.count("upstream timed out") >= 1);
    assert_eq!(limpet.log.count("exited on signal"), 0);
}

#[test]
fn a_peer_that_failed_is_asked_again_after_its_time() {
    let place = Place::new();
    let _good = named(&place, 8090);
    let servers = "server 127.0.0.1:8090; server 127.0.0.1:8091 max_fails=1 fail_timeout=1s;";
    let limpet = Limpet::start_in(place, &config(servers, ""));
    for _ in 0..6 {
        assert_eq!(limpet.get("/").text(), "8090");
    }
    assert_eq!(limpet.log.count("connect() failed (111: Connection refused)"), 1);
    let _back = named(&limpet.place, 8091);
    let deadline = Instant::now() + Duration::from_secs(10);
    while limpet.get("/").text() != "8091" {
        assert!(Instant::now() < deadline, "it is not asked again");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn backups_serve_when_nobody_else_can() {
    let place = Place::new();
    let _backup = named(&place, 8091);
    let servers = "server 127.0.0.1:8090 fail_timeout=1s; server 127.0.0.1:8091 backup;";
    let limpet = Limpet::start_in(place, &config(servers, ""));
    for _ in 0..4 {
        assert_eq!(limpet.get("/").text(), "8091");
    }
    let _first = named(&limpet.place, 8090);
    eventually("the first is back", || limpet.get("/").text() == "8090");
}

#[test]
fn when_nobody_is_left_the_answer_is_502_at_once() {
    let servers = "server 127.0.0.1:8090 fail_timeout=60s; server 127.0.0.1:8091 fail_timeout=60s;";
    let limpet = Limpet::start(&config(servers, ""));
    assert_eq!(limpet.get("/").status, 502);
    limpet.log.wait_count("connect() failed", 2);
    assert_eq!(limpet.get("/").status, 502);
    limpet.log.wait("no live upstreams while connecting to upstream");
    assert_eq!(limpet.log.count("connect() failed"), 2, "they are left alone");
}

/// All of the body goes to the next peer, whether it was in memory or in a file.
#[test]
fn the_next_peer_gets_all_of_the_body() {
    let place = Place::new();
    place.write("temp/.keep", "");
    let own = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(place.path("temp"), own).unwrap();
    let broken = Upstream::tcp(&place, 8090, |peer| {
        peer.head();
        peer.exact(5);
        peer.reset();
    });
    let good = named(&place, 8091);
    let servers = "server 127.0.0.1:8090 max_fails=0; server 127.0.0.1:8091 backup;";
    let limpet = Limpet::start_in(place, &config(servers, "client_max_body_size 0;"));
    for length in [5, 1000, 20_000, 1_000_000] {
        let body: Vec<u8> = (0..length).map(|n| (n * 31) as u8).collect();
        for framed in [true, false] {
            let mut client = limpet.client();
            if framed {
                client
                    .send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
                client.send(&body);
            } else {
                client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
                client.send(format!("{length:x}\r\n")).send(&body).send("\r\n0\r\n\r\n");
            }
            assert_eq!(client.response().text(), "8091", "{length} {framed}");
            let seen = good.take_requests().remove(0);
            assert!(seen.body == body, "{length} {framed}");
        }
    }
    assert_eq!(broken.connections(), 8);
}

/// What cannot be sent again is not.
#[test]
fn a_body_that_is_not_kept_is_not_sent_twice() {
    let place = Place::new();
    let broken = Upstream::tcp(&place, 8090, |peer| {
        peer.request();
    });
    let good = named(&place, 8091);
    let servers = "server 127.0.0.1:8090 max_fails=0; server 127.0.0.1:8091 backup;";
    let limpet = Limpet::start_in(place, &config(servers, "proxy_request_buffering off;"));
    let mut client = limpet.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send([b'x'; 60_000]);
    broken.wait("part of the body", |seen| seen.iter().any(|seen| seen.bytes.len() > 50_000));
    let _ = client.try_send([b'x'; 40_000]);
    assert_eq!(client.response().status, 502);
    assert!(good.requests().is_empty());
}

/// Once something of an answer has gone to the client there is no second one.
#[test]
fn an_answer_that_has_begun_is_not_started_again() {
    let place = Place::new();
    let _broken = Upstream::tcp(&place, 8090, |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun");
    });
    let good = named(&place, 8091);
    let servers = "server 127.0.0.1:8090 max_fails=0; server 127.0.0.1:8091 backup;";
    let limpet = Limpet::start_in(place, &config(servers, "proxy_buffering off;"));
    let answer = exchange(limpet.port(8080), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nbegun"), "{answer}");
    assert!(good.requests().is_empty());
}

#[test]
fn the_time_for_all_tries_is_limited() {
    let place = Place::new();
    let all: Vec<_> = (8090..8095).map(|port| silent(&place, port)).collect();
    let servers: String =
        (8090..8095).map(|port| format!("server 127.0.0.1:{port} max_fails=0; ")).collect();
    let limits = "proxy_read_timeout 300ms; proxy_next_upstream_timeout 500ms;";
    let limpet = Limpet::start_in(place, &config(&servers, limits));
    assert_eq!(limpet.get("/").status, 504);
    let asked: usize = all.iter().map(Upstream::connections).sum();
    assert_eq!(asked, 2);
}

/// Weights are kept to the request, and spread as evenly as they can be.
#[test]
fn weights_are_kept_smoothly() {
    let place = Place::new();
    let _all: Vec<_> = (8090..8093).map(|port| named(&place, port)).collect();
    let servers = "server 127.0.0.1:8090 weight=5; server 127.0.0.1:8091; server 127.0.0.1:8092;";
    let limpet = Limpet::start_in(place, &config(servers, ""));
    let order: Vec<_> = (0..14).map(|_| limpet.get("/").text()).collect();
    let once = ["8090", "8090", "8091", "8090", "8092", "8090", "8090"];
    assert_eq!(order, [once, once].concat());
}

/// The other end of a connection may be slow to accept, but not for ever.
#[test]
fn a_peer_that_does_not_accept_is_passed_by() {
    let place = Place::new();
    let listener = std::net::TcpListener::bind(("127.0.0.1", place.port(8090))).unwrap();
    kernel::listen_for(&listener, 0);
    let _queued = Client::connect(place.port(8090));
    let _good = named(&place, 8091);
    let servers = "server 127.0.0.1:8090 max_fails=0; server 127.0.0.1:8091 backup;";
    let limpet = Limpet::start_in(place, &config(servers, "proxy_connect_timeout 200ms;"));
    for _ in 0..3 {
        assert_eq!(limpet.get("/").text(), "8091");
    }
}

fn hello(peer: &mut Peer) {
    while peer.request().is_some() {
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    }
}

/// A reload takes the new peers, and loses no request.
#[test]
fn peers_change_with_a_reload_and_no_request_fails() {
    let place = Place::new();
    let first = Upstream::tcp(&place, 8090, hello);
    let second = Upstream::tcp(&place, 8091, hello);
    let limpet = Limpet::start_in(place, &config("server 127.0.0.1:8090; keepalive 4;", ""));
    let port = limpet.port(8080);
    let end = Gate::default();
    std::thread::scope(|scope| {
        let own = end.clone();
        let load = scope.spawn(move || {
            let mut count = 0;
            while !own.pass_within(Duration::ZERO) {
                assert_eq!(get(port, "/").text(), "hello");
                count += 1;
            }
            count
        });
        first.wait("requests", |seen| seen.len() > 2);
        limpet.reload(&config("server 127.0.0.1:8091; keepalive 4;", ""));
        second.wait("requests", |seen| seen.iter().any(|seen| seen.requests.len() > 5));
        end.open();
        assert!(load.join().unwrap() > 5);
    });
}

/// What cannot be done here would fail with any peer, so none is blamed, and no other asked.
#[test]
fn what_is_wrong_here_is_no_failure_of_a_peer() {
    let place = Place::new();
    let _good = (named(&place, 8090), named(&place, 8091));
    let peers = "server 127.0.0.1:8090; server 127.0.0.1:8091; keepalive 0;";
    let limpet = Limpet::start_in(place, &config(peers, "proxy_bind $arg_from;"));
    for _ in 0..3 {
        assert_eq!(limpet.get("/?from=192.0.2.1").status, 500);
    }
    limpet.log.wait("bind(192.0.2.1");
    assert_eq!(limpet.get("/?from=127.0.0.1").status, 200);
    assert_eq!(limpet.log.count("temporarily disabled"), 0);
}
