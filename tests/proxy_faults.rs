//! What goes wrong around a proxy, and what must hold: the rows of the process model's
//! section 10 that need an upstream.
//!
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::Gate;
use crate::common::*;
use std::time::{Duration, Instant};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const GET: &str = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

fn config(main: &str, events: &str) -> String {
    format!(
        "{main} error_log @DIR@/error.log info; events {{ {events} }}
         http {{
             log_format values '\"$upstream_http_x_value\" $status';
             access_log @DIR@/access.log values; lingering_timeout 1s;
             proxy_http_version 1.1; proxy_set_header Connection '';
             server {{
                 listen 8080;
                 location / {{ proxy_pass http://127.0.0.1:8090; }}
                 location /ping {{ return 200 pong; }}
             }}
         }}"
    )
}

/// An upstream that answers what is slow when the gate lets it.
fn start(main: &str, events: &str) -> (Limpet, Upstream, Gate) {
    let place = Place::new();
    let gate = Gate::default();
    let own = gate.clone();
    let upstream = Upstream::tcp(&place, 8090, move |peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/slow" && !own.pass() {
                return;
            }
            if !peer.send(GOOD) {
                return;
            }
        }
    });
    (Limpet::start_in(place, &config(main, events)), upstream, gate)
}

fn asked(upstream: &Upstream, count: usize) {
    upstream.wait("the requests", |seen| {
        seen.iter().map(|seen| seen.requests.len()).sum::<usize>() >= count
    });
}

#[test]
fn quit_waits_for_the_upstream() {
    let (mut limpet, upstream, gate) = start("", "");
    let mut client = limpet.client();
    client.send(GET);
    asked(&upstream, 1);
    limpet.signal(libc::SIGQUIT);
    eventually("the port is closed", || !accepts(limpet.port(8080)));
    gate.open();
    assert_eq!(client.response().text(), "hello");
    let answered = Instant::now();
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert!(answered.elapsed() < Duration::from_secs(2), "{:?}", answered.elapsed());
}

#[test]
fn term_does_not_wait_for_the_upstream() {
    let (mut limpet, upstream, gate) = start("", "");
    let mut client = limpet.client();
    client.send(GET);
    asked(&upstream, 1);
    let told = Instant::now();
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    gate.open();
    upstream.wait_ended(0);
}

#[test]
fn a_reload_answers_what_is_in_flight() {
    let (limpet, upstream, gate) = start("", "");
    let mut clients: Vec<_> = (0..8).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    asked(&upstream, 8);
    let old = limpet.workers();
    limpet.signal(libc::SIGHUP);
    eventually("new workers", || limpet.workers().iter().any(|worker| !old.contains(worker)));
    assert_eq!(limpet.get("/quick").text(), "hello");
    (0..8).for_each(|_| gate.open());
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "hello"));
    wait_all(&old);
}

#[test]
fn a_killed_worker_takes_only_its_own_along() {
    let (limpet, upstream, gate) = start("worker_processes 2;", "");
    let workers = limpet.wait_workers(2);
    let mut clients: Vec<_> = (0..12).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    asked(&upstream, 12);
    workers[0].signal(libc::SIGKILL);
    workers[0].wait_end();
    limpet.wait_workers(2);
    assert_eq!(limpet.get("/quick").text(), "hello");
    (0..12).for_each(|_| gate.open());
    for client in &mut clients {
        let text = client.try_response(false).map(|response| response.text());
        assert!(text.as_ref().map_or(true, |text| text == "hello"), "{text:?}");
    }
    assert_eq!(limpet.get("/quick").text(), "hello");
}

#[test]
fn a_worker_without_descriptors_for_upstreams_recovers() {
    let (limpet, upstream, gate) = start("worker_rlimit_nofile 40;", "worker_connections 512;");
    let worker = limpet.wait_workers(1)[0];
    let mut clients: Vec<_> = (0..14).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    let refused = |limpet: &Limpet| limpet.log.count("(24: Too many open files)") > 0;
    eventually("all are asked, or there are no descriptors", || {
        refused(&limpet) || upstream.requests().len() == 14
    });
    (0..14).for_each(|_| gate.open());
    for mut client in clients {
        let status = client.try_response(false).map_or(0, |response| response.status);
        assert!(matches!(status, 0 | 200 | 500 | 502), "{status}");
    }
    assert_eq!(limpet.get("/quick").text(), "hello");
    assert_eq!(limpet.wait_workers(1), [worker]);
}

#[test]
fn connections_that_are_used_up_fail_one_request_and_nothing_else() {
    let (limpet, upstream, gate) = start("", "worker_connections 24;");
    let worker = limpet.wait_workers(1)[0];
    let mut clients: Vec<_> = (0..16).map(|_| limpet.client()).collect();
    let mut sent = 0;
    for client in &mut clients {
        sent += usize::from(client.try_send(GET).is_ok());
    }
    assert!(sent > 0);
    upstream.wait("some requests", |seen| seen.iter().any(|seen| !seen.requests.is_empty()));
    (0..16).for_each(|_| gate.open());
    let mut statuses = Vec::new();
    for mut client in clients {
        let status = client.try_response(false).map_or(0, |response| response.status);
        assert!(matches!(status, 0 | 200 | 500 | 502 | 503), "{status}");
        statuses.push(status);
    }
    assert!(statuses.contains(&200), "{statuses:?}");
    assert_eq!(limpet.get("/quick").text(), "hello");
    assert_eq!(limpet.wait_workers(1), [worker]);
}

/// What an upstream says cannot make a second line of a log, or end a field of one.
#[test]
fn values_of_upstreams_are_escaped_in_logs() {
    let place = Place::new();
    let _upstream = Upstream::answering(
        &place,
        8090,
        b"HTTP/1.1 200 OK\r\nX-Value: a\"b\\c\xc3\xa9\td\r\nContent-Length: 0\r\n\r\n",
    );
    let limpet = Limpet::start_in(place, &config("", ""));
    assert_eq!(limpet.get("/").status, 200);
    eventually("the line", || limpet.access.text().ends_with('\n'));
    let line = limpet.access.text();
    assert_eq!(line.lines().count(), 1, "{line:?}");
    assert!(line.starts_with("\"a\\x22b\\x5Cc"), "{line:?}");
    assert!(line.contains("\\x09d\" 200"), "{line:?}");
}

/// What is odd about an answer is told in one line, whatever bytes are in it.
#[test]
fn odd_bytes_of_upstreams_make_one_line_of_the_error_log() {
    let place = Place::new();
    let _upstream =
        Upstream::answering(&place, 8090, b"HTTP/1.1 200 OK\r\nX\x01\x1b[31m\0: a\r\n\r\n");
    let limpet = Limpet::start_in(place, &config("", ""));
    let status = limpet.get("/").status;
    assert!(status == 502 || drives_nginx(), "{status}");
    let text = limpet.log.text();
    let odd = text.bytes().any(|byte| byte < b' ' && byte != b'\n');
    assert!(!odd || drives_nginx(), "{text:?}");
    assert_eq!(text.lines().count(), limpet.log.lines().len(), "{text}");
}

/// Three hundred clients of a worker with an upstream that is killed under them: each is
/// answered or closed, and none hangs.
#[test]
fn an_upstream_that_dies_under_load_leaves_nobody_waiting() {
    let (limpet, upstream, _gate) = start("", "worker_connections 1024;");
    let worker = limpet.wait_workers(1)[0];
    let mut clients: Vec<_> = (0..300).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    asked(&upstream, 300);
    upstream.stop();
    for client in &mut clients {
        assert_eq!(client.response().status, 502);
    }
    assert_eq!(limpet.get("/ping").text(), "pong");
    assert_eq!(limpet.wait_workers(1), [worker]);
}
