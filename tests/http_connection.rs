//! A connection's life: keep-alive, pipelining, timeouts, lingering close, limits.
use crate::common::*;
use std::time::{Duration, Instant};

/// One worker, so that an answer on one connection means that all earlier bytes of the
/// others have been read.
fn serving(http: &str, server: &str) -> String {
    format!(
        "events {{ }}
         http {{ access_log off; {http} server {{ listen 8080; root @DIR@/html; {server}
             location = /one {{ return 200 one; }} location = /two {{ return 200 two; }} }} }}"
    )
}

fn start(http: &str, server: &str) -> Limpet {
    let place = Place::new();
    place.write("html/file.txt", "a file\n");
    place.write("html/big.bin", vec![b'x'; 8 << 20]);
    Limpet::start_in(place, &serving(http, server))
}

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn a_connection_serves_many_requests() {
    let limpet = start("", "");
    let mut client = limpet.client();
    for _ in 0..100 {
        assert_eq!(client.get("/one").text(), "one");
        assert_eq!(client.get("/file.txt").text(), "a file\n");
        assert_eq!(client.get("/missing").status, 404);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let limpet = start("", "");
    let mut client = limpet.client();
    let batch: String = (0..200)
        .map(|number| request(["/one", "/two", "/file.txt", "/missing"][number % 4]))
        .collect();
    client.send(&batch);
    for _ in 0..50 {
        assert_eq!(client.response().text(), "one");
        assert_eq!(client.response().text(), "two");
        assert_eq!(client.response().text(), "a file\n");
        assert_eq!(client.response().status, 404);
    }
}

#[test]
fn pipelined_requests_cut_anywhere_are_answered_in_order() {
    let limpet = start("", "");
    let batch = request("/one") + &request("/file.txt") + &request("/two");
    let mut pace = limpet.client();
    for cut in 1..batch.len() {
        let mut client = limpet.client();
        client.send(&batch[..cut]);
        pace.get("/one");
        client.send(&batch[cut..]);
        assert_eq!(client.response().text(), "one", "cut at {cut}");
        assert_eq!(client.response().text(), "a file\n", "cut at {cut}");
        assert_eq!(client.response().text(), "two", "cut at {cut}");
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let limpet = start("", "");
    let (mut client, mut pace) = (limpet.client(), limpet.client());
    for byte in request("/file.txt").bytes() {
        client.send([byte]);
        pace.get("/one");
    }
    assert_eq!(client.response().text(), "a file\n");
}

/// Answers that are not read hold back the pipeline, and nothing else.
#[test]
fn a_pipeline_of_big_files_waits_for_its_reader() {
    let limpet = start("", "");
    let mut slow = limpet.client();
    slow.send(request("/big.bin").repeat(4));
    let mut other = limpet.client();
    for _ in 0..20 {
        assert_eq!(other.get("/one").text(), "one");
    }
    for _ in 0..4 {
        let response = slow.response();
        assert_eq!(response.body.len(), 8 << 20);
        assert!(response.body.iter().all(|byte| *byte == b'x'));
    }
}

#[test]
fn keepalive_requests_bounds_a_connection() {
    let limpet = start("keepalive_requests 3;", "");
    let mut client = limpet.client();
    assert_eq!(client.get("/one").header("connection"), "keep-alive");
    assert_eq!(client.get("/one").header("connection"), "keep-alive");
    assert_eq!(client.get("/one").header("connection"), "close");
    assert!(client.is_closed_within(LIMIT));
}

#[test]
fn an_idle_connection_is_closed_after_keepalive_timeout() {
    let limpet = start("keepalive_timeout 200ms;", "");
    let mut client = limpet.client();
    client.get("/one");
    let idle = Instant::now();
    assert!(client.is_closed_within(LIMIT));
    let idle = idle.elapsed();
    assert!((150..2000).contains(&idle.as_millis()), "{idle:?}");
}

#[test]
fn timers_go_by_the_interval_timer_under_timer_resolution() {
    let place = Place::new();
    place.write("html/file.txt", "a file\n");
    let serving = serving("keepalive_timeout 300ms;", "");
    let limpet = Limpet::start_in(place, &format!("timer_resolution 50ms; {serving}"));
    let mut client = limpet.client();
    assert_eq!(client.get("/file.txt").text(), "a file\n");
    let idle = Instant::now();
    assert!(client.is_closed_within(LIMIT));
    let idle = idle.elapsed();
    assert!((150..2000).contains(&idle.as_millis()), "{idle:?}");
    assert_eq!(limpet.get("/one").text(), "one");
}

#[test]
fn a_request_in_time_renews_the_keepalive_timeout() {
    let limpet = start("keepalive_timeout 400ms;", "");
    let mut client = limpet.client();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1000) {
        assert_eq!(client.get("/one").text(), "one");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_head_that_does_not_come_is_waited_for_client_header_timeout() {
    let limpet = start("client_header_timeout 200ms;", "");
    let (mut silent, mut partial) = (limpet.client(), limpet.client());
    partial.send("GET /one HTTP/1.1\r\nHost:");
    let began = Instant::now();
    assert!(silent.is_closed_within(LIMIT) && partial.is_closed_within(LIMIT));
    let waited = began.elapsed();
    assert!((150..2000).contains(&waited.as_millis()), "{waited:?}");
    limpet.log.wait("client timed out (110: Connection timed out)");
}

/// Bytes that trickle in do not renew the timeout: it is for the whole head.
#[test]
fn a_slow_head_gains_no_time() {
    let limpet = start("client_header_timeout 500ms;", "");
    let mut client = limpet.client();
    let began = Instant::now();
    let mut sent = client.try_send("GET /one HTTP/1.1\r\nX: ");
    while sent.is_ok() && began.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(50));
        sent = client.try_send("x");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn a_reader_that_stands_still_is_left_after_send_timeout() {
    let limpet = start("send_timeout 300ms;", "");
    let mut client = limpet.client();
    client.send(request("/big.bin"));
    limpet.log.wait("client timed out (110: Connection timed out)");
    let got = client.try_rest().map(|bytes| bytes.len());
    assert!(!got.is_ok_and(|length| length > 8 << 20));
    assert_eq!(limpet.get("/one").text(), "one");
}

#[test]
fn a_timed_out_connection_is_reset_when_told_to() {
    let limpet = start("reset_timedout_connection on; send_timeout 300ms;", "");
    let mut client = limpet.client();
    client.send(request("/big.bin"));
    limpet.log.wait("client timed out (110: Connection timed out)");
    let error = client.try_rest().expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Without the lingering, the client's unread bytes would turn into a reset that can
/// destroy the answer on its way.
#[test]
fn an_answer_to_a_refused_body_arrives_while_the_body_is_still_sent() {
    let limpet = start("client_max_body_size 1k;", "");
    let mut client = limpet.client();
    client.send("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    for _ in 0..10 {
        let _ = client.try_send([b'b'; 10_000]);
        std::thread::sleep(Duration::from_millis(2));
    }
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (413, "close"));
    limpet.log.wait("client intended to send too large body: 1000000 bytes");
}

/// The same where the length is not known beforehand: the body is read up to its limit,
/// and what comes then must not take the answer along.
#[test]
fn an_answer_before_an_endless_chunked_body_arrives() {
    let limpet = start("client_max_body_size 1k;", "");
    let mut client = limpet.client();
    client.send("POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..10 {
        let _ = client.try_send(format!("2710\r\n{}\r\n", "b".repeat(10_000)));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(client.response().text(), "one");
    assert!(client.is_closed_within(LIMIT));
}

/// 444 says nothing of its own, and takes nothing from the requests in front of it.
#[test]
fn silence_comes_after_the_answers_before_it() {
    let limpet = start("", "location = /silent { return 444; }");
    let mut client = limpet.client();
    client.send(request("/one") + &request("/two") + &request("/silent") + &request("/one"));
    assert_eq!(client.response().text(), "one");
    assert_eq!(client.response().text(), "two");
    assert!(client.is_closed_within(LIMIT));
}

#[test]
fn connections_that_end_unasked_are_told_of() {
    let limpet = start("client_header_timeout 200ms;", "");
    let mut silent = limpet.client();
    drop(limpet.client());
    limpet.log.wait("client closed connection while waiting for request, client: 127.0.0.1");
    let mut kept = limpet.client();
    kept.get("/one");
    drop(kept);
    limpet.log.wait("client 127.0.0.1 closed keepalive connection");
    assert!(silent.is_closed_within(LIMIT));
    limpet.log.wait("client timed out (110: Connection timed out) while waiting for request");
    limpet.client().send("GET /one HTTP/1.1\r\nHo");
    limpet.log.wait("client prematurely closed connection while reading client request headers");
    let mut odd = limpet.client();
    odd.send("GET /one HTTP/1.1\r\nHost: a\r\nX_odd: b\r\nX-Good: c\r\n\r\n");
    assert_eq!(odd.response().text(), "one");
    limpet.log.wait("client sent invalid header line: \"X_odd: b\" while reading client request");
}

#[test]
fn lingering_ends_in_time() {
    let limpet = start("client_max_body_size 1k; lingering_time 1s; lingering_timeout 200ms;", "");
    let mut client = limpet.client();
    client.send("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!(client.response().status, 413);
    let worker = limpet.workers()[0];
    let connections = || worker.fds().values().filter(|fd| fd.starts_with("socket:")).count();
    let all = connections();
    eventually("the worker closes its end", || connections() < all);
}

/// The last read took as much as was wanted, so nobody knows what is behind it.
#[test]
fn what_follows_a_body_that_was_read_resets_nothing() {
    let inside = "location /read { mirror /copy; alias @DIR@/html/file.txt; keepalive_timeout 0; }
                  location /copy { internal; return 204; }";
    let limpet = start("", inside);
    let (mut client, mut pace) = (limpet.client(), limpet.client());
    client.send("GET /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome");
    pace.get("/one");
    client.send("thing").send("a".repeat(100)).finish();
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(rest.ends_with("\r\n\r\na file\n"), "{rest}");
}

#[test]
fn who_expects_to_be_asked_for_no_body_stays() {
    let limpet = start("", "");
    let mut client = limpet.client();
    for fields in ["", "Content-Length: 0\r\n"] {
        client
            .send(format!("GET /one HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{fields}\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (200, "keep-alive"));
    }
    client.get("/two");
}

#[test]
fn discarded_bodies_leave_the_connection_usable() {
    let limpet = start("client_max_body_size 10m;", "");
    let (mut client, mut pace) = (limpet.client(), limpet.client());
    let body = "b".repeat(300_000);
    let chunked = format!("{:x}\r\n{body}\r\n7\r\nand so \r\n0\r\n\r\n", body.len());
    for _ in 0..3 {
        let length = body.len();
        client.send(format!(
            "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        assert_eq!(client.response().text(), "one");
        let head = "POST /two HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(head).send(&chunked[..150_000]);
        pace.get("/one");
        client.send(&chunked[150_000..]);
        assert_eq!(client.response().text(), "two");
    }
    assert_eq!(client.get("/file.txt").text(), "a file\n");
}

#[test]
fn a_chunked_body_may_be_cut_anywhere() {
    let limpet = start("", "");
    let mut pace = limpet.client();
    let head = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = format!("{head}5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nT: v\r\n\r\n");
    let whole = whole + &request("/two");
    for cut in 1..whole.len() {
        let mut client = limpet.client();
        client.send(&whole[..cut]);
        pace.get("/one");
        client.send(&whole[cut..]);
        assert_eq!(client.response().text(), "one", "cut at {cut}");
        assert_eq!(client.response().text(), "two", "cut at {cut}");
    }
}

#[test]
fn heads_are_bounded() {
    let limpet = start("client_header_buffer_size 512; large_client_header_buffers 2 1k;", "");
    let field = |length| format!("X: {}\r\n", "v".repeat(length));
    let with = |fields: String| {
        exchange(limpet.port(8080), format!("GET /one HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    };
    let status = |text: String| text.split(' ').nth(1).unwrap_or("").to_string();
    assert_eq!(status(with(field(900) + "Connection: close\r\n")), "200");
    assert_eq!(status(with(field(1100))), "400");
    assert!(with(field(1100)).contains("Request Header Or Cookie Too Large"));
    assert_eq!(status(with(field(700).repeat(5))), "400");
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1100));
    assert_eq!(status(exchange(limpet.port(8080), long)), "414");
    limpet.log.wait("client sent too long URI");
    let told = |words| limpet.log.count(words);
    eventually("three heads are told", || {
        told("client sent too long header line") + told("client sent too large request") == 3
    });
}

#[test]
fn a_client_that_half_closes_is_still_answered() {
    let limpet = start("", "");
    let mut client = limpet.client();
    client.send(request("/one") + &request("/two")).finish();
    assert_eq!(client.response().text(), "one");
    assert_eq!(client.response().text(), "two");
    assert!(client.is_closed_within(LIMIT));
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let limpet = start("", "");
    let worker = limpet.wait_workers(1)[0];
    limpet.get("/one");
    // the client's own, if it is not closed yet, and that of the file
    let before = worker.fds().len() + 1;
    for round in 0..60 {
        let mut client = limpet.client();
        match round % 4 {
            0 => {}
            1 => drop(client.try_send("GET /one HT")),
            2 => drop(client.try_send(request("/big.bin"))),
            _ => drop(client.try_send(request("/one"))),
        }
        if round % 3 == 0 {
            kernel::reset_on_close(client.tcp());
        }
    }
    let back = within(LIMIT, || worker.fds().len() <= before);
    assert!(back, "{before} descriptors before, now {:#?}", worker.fds());
    assert_eq!(limpet.get("/one").text(), "one");
    limpet.log.has_none_of(&["alert", "emerg", "crit"]);
}

#[test]
fn tcp_nodelay_and_nopush_change_nothing_that_is_seen() {
    for switches in ["tcp_nodelay off; tcp_nopush off;", "tcp_nodelay on; tcp_nopush on;"] {
        let limpet = start(&format!("sendfile on; {switches}"), "");
        let mut client = limpet.client();
        for _ in 0..3 {
            assert_eq!(client.get("/big.bin").body.len(), 8 << 20);
            assert_eq!(client.get("/file.txt").text(), "a file\n");
        }
    }
}

/// What has left is counted and told, also where the client goes away in the middle.
#[test]
fn answers_that_are_cut_are_logged_with_what_has_left() {
    for sendfile in ["on", "off"] {
        let place = Place::new();
        place.write("html/big.bin", vec![b'x'; 64 << 20]);
        let config = format!(
            "error_log @DIR@/error.log info; events {{ }}
             http {{ log_format sent '$uri $body_bytes_sent $request_completion.';
                     access_log @DIR@/sent.log sent; sendfile {sendfile};
                     server {{ listen 8080; root @DIR@/html; }} }}"
        );
        let limpet = Limpet::start_in(place, &config);
        let mut client = limpet.client();
        client.send(request("/big.bin"));
        client.read_exact(3_000_000).unwrap();
        drop(client);
        let line = limpet.log.wait("while sending response to client");
        assert!(line.text.contains("request: \"GET /big.bin HTTP/1.1\""), "{}", line.text);
        eventually("the line is written", || limpet.place.read("sent.log").ends_with(" .\n"));
        let log = limpet.place.read("sent.log");
        let sent: u64 = log.split(' ').nth(1).unwrap().parse().unwrap();
        assert!((2_999_000..64 << 20).contains(&sent), "sendfile {sendfile}: {log}");
    }
}
