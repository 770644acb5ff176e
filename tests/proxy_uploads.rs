//! Bodies on their way up and down: in memory that does not grow, in files that nobody sees, and
//! held back by whoever is slower.
//!
//! LIMPET_TEST_BODY=1024 takes bodies of 1024 MiB instead of 64.
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::{Gate, Peer};
use crate::common::*;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn config(location: &str) -> String {
    format!(
        "worker_processes 1; error_log @DIR@/error.log info;
         events {{ }}
         http {{
             access_log off; lingering_timeout 1s; client_max_body_size 0;
             client_body_temp_path @DIR@/temp/up; proxy_temp_path @DIR@/temp/down;
             proxy_http_version 1.1; proxy_set_header Connection '';
             server {{
                 listen 8080;
                 location / {{ proxy_pass http://127.0.0.1:8090; {location} }}
                 location /unbuffered/ {{
                     proxy_request_buffering off; proxy_buffering off;
                     proxy_pass http://127.0.0.1:8090; {location}
                 }}
                 location /in_memory/ {{
                     proxy_max_temp_file_size 0;
                     proxy_pass http://127.0.0.1:8090; {location}
                 }}
                 location /ping {{ return 200 pong; }}
             }}
         }}"
    )
}

/// A directory that workers may write to, whoever they are.
fn place() -> Place {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    for dir in ["temp", "temp/up", "temp/down"] {
        std::fs::create_dir(place.path(dir)).unwrap();
        let all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(place.path(dir), all).unwrap();
    }
    place
}

fn start<Script>(location: &str, script: Script) -> (Limpet, Upstream)
where
    Script: Fn(&mut Peer) + Send + Sync + 'static,
{
    let place = place();
    let upstream = Upstream::tcp(&place, 8090, script);
    (Limpet::start_in(place, &config(location)), upstream)
}

/// Bytes of a body that is large.
fn large() -> u64 {
    let mib = std::env::var("LIMPET_TEST_BODY").ok().and_then(|text| text.parse().ok());
    mib.unwrap_or(64) << 20
}

/// Sends zeros; the count that was taken before an error.
fn send_zeros(client: &mut Client, length: u64) -> u64 {
    let zeros = vec![0; 1 << 17];
    let mut left = length;
    while left > 0 {
        let piece = &zeros[..zeros.len().min(left as usize)];
        match client.tcp().write(piece) {
            Ok(count) => left -= count as u64,
            Err(_) => break,
        }
    }
    length - left
}

/// Files below, named ones only.
fn files(place: &Place, dir: &str) -> usize {
    let find = Command::new("find").arg(place.path(dir)).args(["-type", "f"]).output().unwrap();
    String::from_utf8_lossy(&find.stdout).lines().count()
}

#[test]
fn large_uploads_take_no_memory_and_leave_no_file() {
    for location in ["/", "/unbuffered/"] {
        let length = large();
        let (limpet, _upstream) = start("", move |peer| {
            while peer.head().is_some() && peer.swallow(length) {
                peer.send(GOOD);
            }
        });
        let worker = limpet.wait_workers(1)[0];
        let mut client = limpet.client();
        let head =
            format!("PUT {location} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.send(&head);
        send_zeros(&mut client, 1 << 20);
        let before = worker.resident_kib();
        assert_eq!(send_zeros(&mut client, length - (1 << 20)), length - (1 << 20));
        assert_eq!(client.response().text(), "hello", "{location}");
        let grown = worker.resident_kib().saturating_sub(before);
        println!("{location}: {grown} KiB more for {} MiB", length >> 20);
        assert!(grown < 4096, "{location}: the worker has grown by {grown} KiB");
        assert_eq!(files(&limpet.place, "temp"), 0);
    }
}

#[test]
fn large_downloads_take_no_memory_and_leave_no_file() {
    for location in ["/", "/unbuffered/", "/in_memory/"] {
        let length = large();
        let (limpet, _upstream) = start("", move |peer| {
            while peer.request().is_some() {
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
                let piece = vec![7; 1 << 17];
                (0..length >> 17).all(|_| peer.send(&piece));
            }
        });
        let worker = limpet.wait_workers(1)[0];
        let mut client = limpet.client();
        client.send(format!("GET {location} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        let first = client.read_exact(1 << 20).unwrap();
        let head = first.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let before = worker.resident_kib();
        let mut left = length - (first.len() - head) as u64;
        while left > 0 {
            let piece = client.some().unwrap_or_else(|error| panic!("{location} {left}: {error}"));
            assert!(!piece.is_empty() && piece.iter().all(|byte| *byte == 7));
            left -= piece.len() as u64;
        }
        let grown = worker.resident_kib().saturating_sub(before);
        println!("{location}: {grown} KiB more for {} MiB", length >> 20);
        assert!(grown < 4096, "{location}: the worker has grown by {grown} KiB");
        assert_eq!(client.try_rest().unwrap(), b"");
        assert_eq!(files(&limpet.place, "temp"), 0);
    }
}

/// An upload that is read slowly is sent slowly, when it is not buffered.
#[test]
fn an_upstream_that_does_not_read_holds_the_client_back() {
    let gate = Gate::default();
    let own = gate.clone();
    let length = 64 << 20;
    let (limpet, _upstream) = start("", move |peer| {
        peer.head();
        own.pass();
        peer.swallow(length);
        peer.send(GOOD);
    });
    let worker = limpet.wait_workers(1)[0];
    let mut client = limpet.client();
    client.tcp().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    client
        .send(format!("PUT /unbuffered/ HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    let sent = send_zeros(&mut client, length);
    assert!(sent < length / 2, "{sent} bytes are taken that nobody reads");
    assert!(worker.resident_kib() < 32 << 10, "{} KiB", worker.resident_kib());
    gate.open();
    client.tcp().set_write_timeout(Some(LIMIT)).unwrap();
    assert_eq!(send_zeros(&mut client, length - sent), length - sent);
    assert_eq!(client.response().text(), "hello");
}

/// An answer that is not read is not taken from the upstream either, when it may not go to
/// a file.
#[test]
fn a_client_that_does_not_read_holds_the_upstream_back() {
    for location in ["/unbuffered/", "/in_memory/"] {
        let sent = Arc::new(AtomicU64::new(0));
        let own = Arc::clone(&sent);
        let (limpet, _upstream) = start("", move |peer| {
            peer.request();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
            let piece = [7; 1 << 16];
            while own.load(Ordering::SeqCst) < 64 << 20 && peer.send(piece) {
                own.fetch_add(1 << 16, Ordering::SeqCst);
            }
        });
        let mut client = limpet.client();
        client.send(format!("GET {location} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        client.wait_first_byte();
        let mut last = 0;
        eventually("the upstream waits", || {
            std::thread::sleep(Duration::from_millis(300));
            let now = sent.load(Ordering::SeqCst);
            std::mem::replace(&mut last, now) == now
        });
        assert!(last < 32 << 20, "{location}: {last} bytes are taken that nobody reads");
        assert_eq!(limpet.get("/ping").text(), "pong");
        let all = client.try_rest().unwrap();
        assert!(all.len() > 64 << 20, "{location}: {}", all.len());
    }
}

/// To a file goes what a slow client does not take, so that the upstream is free again.
#[test]
fn a_client_that_does_not_read_frees_its_upstream_if_there_is_a_file() {
    let (limpet, upstream) = start("", |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n");
        let piece = [7; 1 << 16];
        (0..512).all(|_| peer.send(piece));
    });
    let worker = limpet.wait_workers(1)[0];
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    upstream.wait_ended(0);
    assert_eq!(files(&limpet.place, "temp/down"), 0, "its name is gone");
    let is_open = worker.fds().values().any(|target| target.contains("deleted"));
    assert!(is_open || !drives_nginx(), "{:?}", worker.fds());
    let all = client.try_rest().unwrap();
    assert!(all.len() > 32 << 20, "{}", all.len());
    eventually("the file is gone", || {
        !worker.fds().values().any(|target| target.contains("temp/down"))
    });
}

/// Buffered, an upload that stops is nobody's but ours; unbuffered, it ends the connection.
#[test]
fn an_upload_that_stops_is_not_taken_for_a_whole_one() {
    let (limpet, upstream) = start("client_body_timeout 300ms;", |peer| {
        if peer.request().is_some() {
            peer.send(GOOD);
        }
    });
    let half = |target: &str| {
        let mut client = limpet.client();
        client.send(format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"));
        client.send([b'x'; 50_000]);
        client
    };
    drop(half("/"));
    let mut late = half("/");
    assert!(late.is_closed_within(LIMIT));
    assert_eq!(upstream.connections(), 0);
    let client = half("/unbuffered/");
    upstream.wait("half a body", |seen| seen.iter().any(|seen| seen.bytes.len() > 49_000));
    drop(client);
    upstream.wait_ended(0);
    assert!(upstream.requests().iter().all(|request| !request.whole));
    let mut late = half("/unbuffered/");
    assert!(late.is_closed_within(LIMIT));
    upstream.wait_ended(1);
    assert!(upstream.requests().iter().all(|request| !request.whole));
}

/// The upstream has seen enough.
#[test]
fn an_answer_may_come_before_the_body() {
    let (limpet, upstream) = start("", |peer| {
        if peer.head().is_some() {
            peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge");
            peer.hang();
        }
    });
    let mut client = limpet.client();
    client.send("PUT /unbuffered/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    client.send([b'x'; 10_000]);
    let response = client.response();
    assert_eq!((response.status, &*response.text()), (413, "large"));
    upstream.wait_ended(0);
    drop(client);
    // One that goes on sending, and reads only then.
    let mut client = limpet.client();
    client.send("PUT /unbuffered/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    send_zeros(&mut client, 1_000_000);
    let response = client.response();
    assert_eq!((response.status, &*response.text()), (413, "large"));
    // Used again it may be only if all was sent.
    upstream.wait("the end of the body, or of the connection", |seen| {
        seen[1].ended || seen[1].bytes.len() > 1_000_000
    });
}

/// The client is asked by the proxy, and the upstream is not.
/// What has been read of a body cannot be read again, so nothing behind it is taken for a rest of
/// it, nor is a rest of it taken for a request.
#[test]
fn an_upload_that_fails_halfway_ends_its_connection_at_once() {
    let (limpet, _upstream) = start("", |peer| {
        peer.head();
        peer.exact(0x1000);
    });
    for body in ["Content-Length: 30000", "Transfer-Encoding: chunked"] {
        let mut client = limpet.client();
        client.send(format!("POST /unbuffered/ HTTP/1.1\r\nHost: a\r\n{body}\r\n\r\n"));
        let evil = "0\r\n\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(format!("6000\r\n{}{evil}", "x".repeat(0x2000)));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (502, "close"), "{body}");
        assert_eq!(client.rest(), b"", "{body}");
    }
}

/// The answer has come before the reset that nothing can be sent after.
#[test]
fn an_answer_that_ends_an_upload_arrives() {
    let (limpet, _upstream) = start("", |peer| {
        peer.head();
        peer.exact(100_000);
        peer.send("HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    });
    for location in ["", "unbuffered/"] {
        for round in 0..8 {
            let mut client = limpet.client();
            let length = 3_000_000;
            client.send(format!(
                "POST /{location} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            ));
            send_zeros(&mut client, length);
            assert_eq!(client.response().status, 403, "/{location}, round {round}");
        }
    }
}

#[test]
fn clients_that_wait_to_be_asked_are_asked() {
    let (limpet, upstream) = start("", |peer| while peer.request().is_some() && peer.send(GOOD) {});
    for target in ["/", "/unbuffered/"] {
        let mut client = limpet.client();
        client.send(format!(
            "PUT {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        ));
        assert_eq!(client.response().status, 100);
        client.send("body");
        assert_eq!(client.response().text(), "hello");
        let seen = upstream.take_requests().remove(0);
        assert_eq!((seen.field("expect"), &*seen.body), ("", &b"body"[..]));
    }
}

#[test]
fn many_uploads_at_once_arrive_as_they_were_sent() {
    let (limpet, upstream) =
        start(
            "client_body_buffer_size 16k;",
            |peer| {
                while peer.request().is_some() && peer.send(GOOD) {}
            },
        );
    let body = |at: usize| -> Vec<u8> { (0..60_000 + at).map(|n| (n * (at + 3)) as u8).collect() };
    let mut clients: Vec<_> = (0..24).map(|_| limpet.client()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let target = if at % 2 == 0 { "/" } else { "/unbuffered/" };
        let length = body(at).len();
        client.send(format!(
            "PUT {target}{at} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        ));
    }
    for piece in 0..4 {
        for (at, client) in clients.iter_mut().enumerate() {
            let body = body(at);
            let quarter = body.len() / 4;
            let end = if piece == 3 { body.len() } else { quarter * (piece + 1) };
            client.send(&body[quarter * piece..end]);
        }
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    let seen = upstream.requests();
    assert_eq!(seen.len(), 24);
    for request in seen {
        let at: usize = request.target().rsplit('/').next().unwrap().parse().unwrap();
        assert!(request.body == body(at), "body {at} is another");
    }
}

/// Process model, section 10: an upload that cannot be buffered gets 500, and no half of it
/// goes upstream; an answer that cannot be buffered ends, and all else goes on.
#[test]
fn a_full_device_refuses_what_it_cannot_hold() {
    let place = place();
    let Some(_full) = Full::mount(&place) else {
        return skip("a small file system cannot be mounted here");
    };
    let upstream =
        Upstream::tcp(&place, 8090, |peer| while peer.request().is_some() && peer.send(GOOD) {});
    let limpet = Limpet::start_in(place, &config("").replace("temp/up", "full/up"));
    let mut client = limpet.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    send_zeros(&mut client, 1_000_000);
    assert_eq!(client.response().status, 500);
    assert_eq!(upstream.connections(), 0);
    limpet.log.wait("(28: No space left on device)");
    assert_eq!(limpet.get("/").text(), "hello");
    let mut client = limpet.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
    send_zeros(&mut client, 5000);
    assert_eq!(client.response().text(), "hello");
}

/// A file system of 64 KiB below the place.
struct Full(std::path::PathBuf);

impl Full {
    fn mount(place: &Place) -> Option<Self> {
        let path = place.path("full");
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k,mode=777", "none"]).arg(&path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(path))
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        if !std::thread::panicking() {
            // The place was gone before, but for what is mounted in it.
            let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
        }
    }
}

/// What takes bandwidth from all would be a bug that only time shows.
#[test]
fn an_answer_is_passed_on_no_faster_than_it_may() {
    let (limpet, _upstream) = start("proxy_limit_rate 200k;", |peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n");
            peer.send(vec![7; 400_000]);
        }
    });
    let asked = Instant::now();
    assert_eq!(limpet.get("/").body.len(), 400_000);
    let took = asked.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
}
