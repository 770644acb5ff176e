//! Answers that come little by little: what the upstream has said the client has read before it
//! says more.
//!
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::Gate;
use crate::common::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SERVED: &str = "
    worker_processes 1;
    events { }
    http {
        access_log off; gzip_types *;
        proxy_http_version 1.1; proxy_set_header Connection '';
        server {
            listen 8080;
            location / { proxy_pass http://127.0.0.1:8090; }
            location /ping { return 200 pong; }
            location /off/ { proxy_buffering off; proxy_pass http://127.0.0.1:8090; }
            location /compressed/ {
                gzip on; proxy_buffering off; proxy_pass http://127.0.0.1:8090;
            }
            location /ignored/ {
                proxy_ignore_headers X-Accel-Buffering; proxy_buffering off;
                proxy_pass http://127.0.0.1:8090;
            }
        }
    }
";

/// How the upstream tells where its answer ends.
#[derive(Clone, Copy)]
enum Framing {
    Chunked,
    Length,
    Close,
}

const EVENTS: usize = 20;

fn event(number: usize) -> String {
    format!("id: {number:03}\ndata: an event\n\n")
}

/// Says one event whenever the gate lets it.
fn start(framing: Framing, fields: &'static str) -> (Limpet, Upstream, Gate) {
    let place = Place::new();
    let gate = Gate::default();
    let own = gate.clone();
    let upstream = Upstream::tcp(&place, 8090, move |peer| {
        peer.request();
        let length = (0..EVENTS).map(|number| event(number).len()).sum::<usize>();
        let framed = match framing {
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".into(),
            Framing::Length => format!("Content-Length: {length}\r\n"),
            Framing::Close => String::new(),
        };
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{fields}{framed}\r\n"
        ));
        for number in 0..EVENTS {
            own.pass();
            let event = event(number);
            match framing {
                Framing::Chunked => peer.send(format!("{:x}\r\n{event}\r\n", event.len())),
                _ => peer.send(event),
            };
        }
        if let Framing::Chunked = framing {
            peer.send("0\r\n\r\n");
        }
    });
    (Limpet::start_in(place, SERVED), upstream, gate)
}

/// Reads until all of the text has come.
fn read_until(client: &mut Client, seen: &mut String, text: &str) {
    while !seen.contains(text) {
        let more = client.some().unwrap_or_else(|error| panic!("{text:?} does not come: {error}"));
        assert!(!more.is_empty(), "the end comes before {text:?}");
        seen.push_str(&String::from_utf8_lossy(&more));
    }
}

fn check(target: &str, framing: Framing, fields: &'static str) {
    let (limpet, _upstream, gate) = start(framing, fields);
    let mut client = limpet.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let mut seen = String::new();
    read_until(&mut client, &mut seen, "\r\n\r\n");
    assert!(!seen.contains("an event"), "before it is sent");
    for number in 0..EVENTS {
        gate.open();
        read_until(&mut client, &mut seen, &event(number));
        assert!(!seen.contains(&event(number + 1)), "before it is sent");
    }
    assert!(client.try_rest().is_ok());
}

#[test]
fn events_arrive_as_they_are_sent_if_nothing_is_buffered() {
    for framing in [Framing::Chunked, Framing::Length, Framing::Close] {
        check("/off/", framing, "");
        check("/ignored/", framing, "X-Accel-Buffering: yes\r\n");
    }
}

#[test]
fn events_arrive_as_they_are_sent_if_the_upstream_asks_for_it() {
    for framing in [Framing::Chunked, Framing::Length, Framing::Close] {
        check("/", framing, "X-Accel-Buffering: no\r\n");
    }
}

/// Buffered, too, nothing is held back when there is nothing more to read.
#[test]
fn a_client_sees_the_head_while_the_body_is_awaited() {
    let (limpet, _upstream, gate) = start(Framing::Chunked, "");
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    (0..EVENTS).for_each(|_| gate.open());
    let mut seen = String::new();
    read_until(&mut client, &mut seen, &event(EVENTS - 1));
}

/// Compression does not hold events back either: each is flushed.
#[test]
fn compressed_events_arrive_as_they_are_sent() {
    let (limpet, _upstream, gate) = start(Framing::Chunked, "");
    let mut client = limpet.client();
    client.send(
        "GET /compressed/ HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\
         Connection: close\r\n\r\n",
    );
    let mut seen = String::new();
    read_until(&mut client, &mut seen, "\r\n\r\n");
    assert!(seen.contains("Content-Encoding: gzip"), "{seen}");
    for _ in 0..EVENTS {
        gate.open();
        assert!(!client.some().unwrap().is_empty());
    }
}

/// A request that is sent little by little arrives so.
#[test]
fn uploads_arrive_as_they_are_sent_if_nothing_is_buffered() {
    let place = Place::new();
    let upstream = Upstream::tcp(&place, 8090, |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let config = SERVED.replace("proxy_buffering off", "proxy_request_buffering off");
    let limpet = Limpet::start_in(place, &config);
    let mut client = limpet.client();
    client.send("POST /off/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for number in 0..EVENTS {
        let event = event(number);
        client.send(format!("{:x}\r\n{event}\r\n", event.len()));
        upstream.wait("the event", |seen| {
            seen.first().is_some_and(|seen| String::from_utf8_lossy(&seen.bytes).contains(&event))
        });
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "ok");
}

/// What comes while a client cannot take what came before is not forgotten. Pieces come one by
/// one until nothing goes any more, so that each is on its way when the next comes.
#[test]
fn a_client_that_pauses_gets_all_that_has_come_meanwhile() {
    const PIECES: usize = 4000;
    const PIECE: [u8; 8192] = [7; 8192];
    let place = Place::new();
    let pace = place.port(8080);
    let sent = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&sent);
    let _upstream = Upstream::tcp(&place, 8090, move |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\n");
        for _ in 0..PIECES {
            peer.send(PIECE);
            get(pace, "/ping");
            own.fetch_add(1, Ordering::SeqCst);
        }
    });
    let limpet = Limpet::start_in(place, SERVED);
    let mut client = limpet.client();
    kernel::shrink_receive_buffer(client.tcp());
    client.send("GET /off/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut last = 0;
    eventually("nothing goes any more", || {
        std::thread::sleep(Duration::from_millis(200));
        let now = sent.load(Ordering::SeqCst);
        now > 0 && std::mem::replace(&mut last, now) == now
    });
    assert!(last < PIECES);
    let all = client.try_rest().unwrap();
    assert_eq!(all.iter().filter(|byte| **byte == 7).count(), PIECE.len() * PIECES);
}

/// Each holds no more than its buffers, and none waits for another.
#[test]
fn two_hundred_streams_are_served_by_one_worker() {
    let place = Place::new();
    let gate = Gate::default();
    let own = gate.clone();
    let _upstream = Upstream::tcp(&place, 8090, move |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\n\r\n");
        own.pass();
        peer.send("data: last\n\n");
    });
    let limpet = Limpet::start_in(
        place,
        &SERVED.replace("events { }", "events { worker_connections 1024; }"),
    );
    let mut clients: Vec<_> = (0..200).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for client in &mut clients {
        client.limit_reads(Duration::from_secs(10));
        client.wait_first_byte();
    }
    (0..200).for_each(|_| gate.open());
    for client in &mut clients {
        let all = String::from_utf8(client.try_rest().unwrap()).unwrap();
        assert!(all.contains("data: last\n\n"), "{all}");
    }
}

/// One file, sent by itself and where an upstream has led: each time with its own type.
#[test]
fn a_type_that_an_upstream_says_is_for_its_own_answers() {
    let place = Place::new();
    std::fs::create_dir(place.path("html")).unwrap();
    std::fs::write(place.path("html/file.txt"), "hello").unwrap();
    let moved = "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nX-Accel-Redirect: /file.txt\r\n\
                 Connection: close\r\nContent-Length: 0\r\n\r\n";
    let _upstream = Upstream::answering(&place, 8090, moved);
    let limpet = Limpet::start_in(
        place,
        "events { }
         http {
             types { text/plain txt; }
             server {
                 listen 8080; root @DIR@/html;
                 location /app { proxy_pass http://127.0.0.1:8090; }
             }
         }",
    );
    // What is young is not kept.
    for _ in 0..50 {
        for (target, said) in [("/app", "text/x"), ("/file.txt", "text/plain")] {
            let response = limpet.get(target);
            assert_eq!((&*response.text(), response.header("content-type")), ("hello", said));
        }
    }
}
