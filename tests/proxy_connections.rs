//! Connections to upstreams: when they are used again, when they end, and what comes over
//! them that nobody has asked for.
//!
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::{Gate, Peer};
use crate::common::*;
use std::time::{Duration, Instant};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Directives of the upstream, and of the location.
fn config(upstream: &str, location: &str) -> String {
    format!(
        "worker_processes 1;
         events {{ }}
         http {{
             access_log off; lingering_timeout 1s;
             proxy_http_version 1.1; proxy_set_header Connection '';
             upstream app {{ server 127.0.0.1:8090 max_fails=0; {upstream} }}
             server {{
                 listen 8080;
                 location / {{ proxy_pass http://app; {location} }}
                 location /ping {{ return 200 pong; }}
             }}
         }}"
    )
}

fn start<Script>(upstream: &str, location: &str, script: Script) -> (Limpet, Upstream)
where
    Script: Fn(&mut Peer) + Send + Sync + 'static,
{
    let place = Place::new();
    let upstream_of = Upstream::tcp(&place, 8090, script);
    (Limpet::start_in(place, &config(upstream, location)), upstream_of)
}

/// The final answer, and what came before it.
fn ask(client: &mut Client, request: &str) -> (Response, Vec<u16>) {
    client.send(request);
    let mut interim = Vec::new();
    loop {
        let response = client.response();
        if response.status >= 200 || response.status == 101 {
            return (response, interim);
        }
        interim.push(response.status);
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// nginx 1.22 takes the first head for the answer.
#[test]
fn interim_answers_come_before_the_one_that_counts() {
    if drives_nginx() {
        return;
    }
    let (limpet, _upstream) = start("keepalive 8;", "", |peer| {
        while let Some(request) = peer.request() {
            let rounds = request.field("x-rounds").parse().unwrap_or(1);
            for _ in 0..rounds {
                peer.send("HTTP/1.1 100 Continue\r\n\r\n");
                peer.send("HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n");
                peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
                peer.send("HTTP/1.1 199 What\r\n\r\n");
            }
            peer.send(GOOD);
        }
    });
    let mut client = limpet.client();
    for _ in 0..3 {
        let (response, interim) = ask(&mut client, GET);
        assert_eq!((response.status, &*response.text()), (200, "hello"));
        assert!(interim.iter().all(|status| [102, 103, 199].contains(status)), "{interim:?}");
    }
    let old = exchange(limpet.port(8080), "GET / HTTP/1.0\r\n\r\n");
    assert!(old.starts_with("HTTP/1.1 200 OK\r\n"), "{old}");
    assert_eq!(old.matches("HTTP/1.").count(), 1, "{old}");
    let many = "GET / HTTP/1.1\r\nHost: a\r\nX-Rounds: 5000\r\n\r\n";
    let (response, _) = ask(&mut limpet.client(), many);
    assert!(matches!(response.status, 200 | 502), "{response:?}");
}

/// `early_hints`: all of them, in order, without what is between the upstream and us.
#[test]
fn hints_do_not_depend_on_how_they_arrive() {
    if drives_nginx() {
        return;
    }
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\
        Content-Length: 5\r\nX-Gone: 1\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 103 Early\r\nLink: </b>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    const PASSED: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n";
    let place = Place::new();
    let port = place.port(8080);
    let _upstream = Upstream::tcp(&place, 8090, move |peer| {
        while let Some(head) = peer.head() {
            let at = |name: &str| head.split(name).nth(1)?.split([' ', '\r']).next()?.parse().ok();
            let (cut, body): (usize, usize) =
                (at("cut=").unwrap_or(0), at("Length: ").unwrap_or(0));
            let answer = format!("{HINTS}{GOOD}");
            peer.send(&answer[..cut]);
            get(port, "/ping");
            if cut >= HINTS.len() {
                peer.exact(body);
            }
            peer.send(&answer[cut..]);
        }
    });
    let location =
        "early_hints $http_x_want; proxy_hide_header X-Gone; proxy_request_buffering off;";
    let limpet = Limpet::start_in(place, &config("keepalive 8;", location));
    let asks = |cut: usize, lines: &str| {
        let answer = exchange(
            port,
            format!("GET /?cut={cut} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n"),
        );
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        let end = answer.find("HTTP/1.1 200 OK\r\n").unwrap();
        answer[..end].to_owned()
    };
    for cut in 0..=HINTS.len() + 20 {
        assert_eq!(asks(cut, "X-Want: 1\r\n"), PASSED, "cut at {cut}");
    }
    assert_eq!(asks(0, ""), "");
    let old = exchange(port, "GET / HTTP/1.0\r\nX-Want: 1\r\n\r\n");
    assert!(old.starts_with("HTTP/1.1 200 "), "{old}");
    // They come while the body of the request is awaited.
    let mut client = limpet.client();
    let length = HINTS.len();
    client.send(format!(
        "POST /?cut={length} HTTP/1.1\r\nHost: a\r\nX-Want: 1\r\nContent-Length: 4\r\n\r\nbo"
    ));
    assert_eq!(client.read_exact(PASSED.len()).unwrap(), PASSED.as_bytes());
    client.send("dy");
    assert_eq!(client.response().text(), "hello");
}

/// nginx hands the head of a tunnel to a client that has not asked for one.
#[test]
fn tunnels_that_nobody_asked_for_are_refused() {
    if drives_nginx() {
        return;
    }
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nevil";
    let (limpet, upstream) = start("keepalive 8;", "", move |peer| {
        while peer.request().is_some() {
            peer.send(answer);
        }
    });
    for fields in ["", "Upgrade: x\r\n", "Upgrade: x\r\nConnection: upgrade\r\n"] {
        let (response, _) =
            ask(&mut limpet.client(), &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(response.status, 502, "{fields:?}: {response:?}");
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn a_connection_that_the_upstream_has_closed_is_not_used() {
    let gate = Gate::default();
    let own = gate.clone();
    let (limpet, upstream) = start("keepalive 8;", "", move |peer| {
        peer.request();
        peer.send(GOOD);
        own.pass();
    });
    let mut client = limpet.client();
    for round in 1..5 {
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        let (response, _) = ask(&mut client, request);
        assert_eq!(response.status, 200, "round {round}");
        gate.open();
        upstream.wait_ended(round - 1);
        client.get("/ping");
        assert_eq!(upstream.connections(), round);
    }
}

#[test]
fn what_comes_over_an_idle_connection_ends_it() {
    let gate = Gate::default();
    let own = gate.clone();
    let (limpet, upstream) = start("keepalive 8;", "", move |peer| {
        while peer.request().is_some() && peer.send(GOOD) {
            if own.pass() {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            }
        }
    });
    let mut client = limpet.client();
    for round in 1..5 {
        assert_eq!(client.get("/").text(), "hello", "round {round}");
        gate.open();
        upstream.wait_ended(round - 1);
        assert_eq!(upstream.connections(), round);
    }
}

/// It may have been closed while the request was under way: that says nothing about the
/// request, if asking twice does no harm.
#[test]
fn a_connection_that_ends_when_it_is_used_again_is_replaced() {
    let (limpet, upstream) = start("keepalive 8;", "", |peer| {
        peer.request();
        peer.send(GOOD);
        peer.request();
    });
    let mut client = limpet.client();
    for round in 0..4 {
        assert_eq!(client.get("/").status, 200, "round {round}");
    }
    assert_eq!(upstream.connections(), 4);
    assert_eq!(upstream.take_requests().len(), 7);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(ask(&mut client, post).0.status, 502);
    assert_eq!(upstream.take_requests().len(), 1, "a POST is not sent twice");
    assert_eq!(ask(&mut client, post).0.status, 200);
}

/// nginx takes the peer for broken then, for ten seconds.
#[test]
fn a_connection_that_ends_when_it_is_used_again_is_no_failure_of_the_peer() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let once = |peer: &mut Peer| {
        peer.request();
        peer.send(GOOD);
        peer.request();
    };
    let (_first, second) = (Upstream::tcp(&place, 8091, once), Upstream::tcp(&place, 8092, once));
    let servers = "server 127.0.0.1:8091; server 127.0.0.1:8092;";
    let servers = config("", "").replace("server 127.0.0.1:8090 max_fails=0;", servers);
    let limpet = Limpet::start_in(place, &servers);
    let mut client = limpet.client();
    for round in 0..8 {
        assert_eq!(client.get("/").status, 200, "round {round}");
    }
    assert_eq!(limpet.log.count("temporarily disabled"), 0);
    assert_eq!(second.connections(), 4);
}

#[test]
fn connections_end_when_their_answers_say_so() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let (limpet, upstream) =
            start(
                "keepalive 8;",
                "",
                move |peer| {
                    while peer.request().is_some() && peer.send(answer) {}
                },
            );
        let mut client = limpet.client();
        for round in 0..3 {
            assert_eq!(client.get("/").text(), "hello");
            upstream.wait_ended(round);
        }
        assert_eq!(upstream.connections(), 3);
    }
}

#[test]
fn connections_serve_as_many_requests_and_as_long_as_they_are_told() {
    let (limpet, upstream) = start("keepalive 8; keepalive_requests 3;", "", |peer| {
        while peer.request().is_some() && peer.send(GOOD) {}
    });
    let mut client = limpet.client();
    for _ in 0..9 {
        assert_eq!(client.get("/").text(), "hello");
    }
    assert_eq!(upstream.connections(), 3);
    drop((limpet, upstream));
    let (limpet, upstream) = start("keepalive 8; keepalive_timeout 100ms;", "", |peer| {
        while peer.request().is_some() && peer.send(GOOD) {}
    });
    let mut client = limpet.client();
    client.get("/");
    upstream.wait_ended(0);
    assert_eq!(client.get("/").text(), "hello");
    assert_eq!(upstream.connections(), 2);
    drop((limpet, upstream));
    let (limpet, upstream) = start("keepalive 8; keepalive_time 100ms;", "", |peer| {
        while peer.request().is_some() && peer.send(GOOD) {}
    });
    let mut client = limpet.client();
    eventually("it is too old for another request", || {
        assert_eq!(client.get("/").text(), "hello");
        upstream.connections() > 1
    });
    assert!(upstream.requests().len() > 1);
}

#[test]
fn no_more_idle_connections_are_kept_than_is_said() {
    let gate = Gate::default();
    let own = gate.clone();
    let (limpet, upstream) = start("keepalive 2;", "", move |peer| {
        while peer.request().is_some() && own.pass() && peer.send(GOOD) {}
    });
    let mut clients: Vec<_> = (0..6).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    upstream.wait("six requests", |seen| {
        seen.iter().filter(|seen| !seen.requests.is_empty()).count() == 6
    });
    (0..6).for_each(|_| gate.open());
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "hello"));
    upstream
        .wait("four that have ended", |seen| seen.iter().filter(|seen| seen.ended).count() == 4);
}

#[test]
fn a_client_that_goes_takes_its_upstream_along() {
    for (location, ends) in [("", true), ("proxy_ignore_client_abort on;", false)] {
        let gate = Gate::default();
        let own = gate.clone();
        let (limpet, upstream) = start("", location, move |peer| {
            peer.request();
            match ends {
                true => peer.hang(),
                false => assert!(own.pass() && peer.send(GOOD)),
            }
        });
        let mut client = limpet.client();
        client.send(GET);
        upstream.wait("the request", |seen| seen.iter().any(|seen| !seen.requests.is_empty()));
        drop(client);
        if !ends {
            // Answered in later turns: it has seen that the client is gone.
            limpet.get("/ping");
            limpet.get("/ping");
            upstream.wait("a connection that goes on", |seen| !seen[0].ended);
            gate.open();
        }
        upstream.wait_ended(0);
        assert_eq!(limpet.get("/ping").text(), "pong");
    }
}

/// What was not waited for has no status.
#[test]
fn an_upstream_whose_client_goes_has_no_status() {
    let place = Place::new();
    let upstream = Upstream::tcp(&place, 8090, |peer| {
        peer.request();
        peer.hang();
    });
    let log = "log_format ends '$status $upstream_addr $upstream_status;';
        access_log @DIR@/access.log ends;";
    let limpet = Limpet::start_in(place, &config("", "").replace("access_log off;", log));
    let mut client = limpet.client();
    client.send(GET);
    upstream.wait("the request", |seen| seen.iter().any(|seen| !seen.requests.is_empty()));
    drop(client);
    let line = format!("499 127.0.0.1:{} -;", limpet.port(8090));
    eventually("the line", || limpet.access.text().contains(&line));
}

#[test]
fn upstreams_that_say_nothing_are_given_up() {
    let limits = "proxy_connect_timeout 300ms; proxy_read_timeout 300ms; proxy_send_timeout 300ms;";
    let (limpet, upstream) = start("", limits, Peer::hang);
    let asked = Instant::now();
    assert_eq!(limpet.get("/").status, 504);
    assert!(asked.elapsed() > Duration::from_millis(250), "{:?}", asked.elapsed());
    limpet.log.wait("upstream timed out (110: Connection timed out) while reading response header");
    upstream.wait_ended(0);
}

/// A pause between two reads counts, not the whole of an answer.
#[test]
fn slow_answers_arrive_if_they_never_stop() {
    let limits = "proxy_read_timeout 400ms; proxy_buffering off;";
    let (limpet, _upstream) = start("", limits, |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
        for byte in ["h", "e", "l", "l", "o", "!"] {
            std::thread::sleep(Duration::from_millis(150));
            peer.send(byte);
        }
    });
    assert_eq!(limpet.get("/").text(), "hello!");
}

#[test]
fn upstreams_that_do_not_accept_are_given_up() {
    let place = Place::new();
    let port = place.port(8090);
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    kernel::listen_for(&listener, 0);
    // One fits into the queue.
    let _queued = Client::connect(port);
    let limits = "proxy_connect_timeout 300ms;";
    let limpet = Limpet::start_in(place, &config("", limits));
    assert_eq!(limpet.get("/").status, 504);
    limpet.log.wait("upstream timed out (110: Connection timed out) while connecting to upstream");
}
