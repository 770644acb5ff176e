//! Seeded mutations of what clients and upstreams say: nothing takes a worker down, nobody waits
//! for ever, and no byte goes further than the framing that was understood.
//!
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::Peer;
use crate::common::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const SERVED: &str = "
    worker_processes 1; error_log @DIR@/error.log info;
    events { }
    http {
        access_log off; lingering_timeout 1s; client_body_timeout 2s; client_header_timeout 2s;
        proxy_http_version 1.1; proxy_set_header Connection ''; proxy_read_timeout 100ms;
        upstream app { server 127.0.0.1:8090 max_fails=0; keepalive 8; }
        server {
            listen 8080;
            location / { proxy_pass http://app; }
            location /good { proxy_read_timeout 5s; proxy_pass http://app; }
            location /unbuffered/ {
                proxy_request_buffering off; proxy_buffering off; proxy_pass http://app;
            }
        }
    }
";

fn start<Script>(script: Script) -> (Limpet, Upstream)
where
    Script: Fn(&mut Peer) + Send + Sync + 'static,
{
    let place = Place::new();
    let upstream = Upstream::tcp(&place, 8090, script);
    (Limpet::start_in(place, SERVED), upstream)
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

/// Seeded mutations of good requests: the upstream sees whole requests or none, and never a
/// byte that its framing does not cover.
#[test]
fn mutated_requests_arrive_whole_or_not_at_all() {
    let (limpet, upstream) = start(|peer| while peer.request().is_some() && peer.send(GOOD) {});
    let workers = limpet.wait_workers(1);
    let good = [
        "POST /a?b HTTP/1.1|Host: a|X-A: b|Content-Length: 11|Connection: close||hello world",
        "POST /unbuffered/ HTTP/1.1|Host: a|Transfer-Encoding: chunked|Connection: close||\
         5;x=y|hello|0|T: v||",
        "GET http://host/%41/../b%20c?a=b HTTP/1.1|Host: a|Connection: close, x|Cookie: a=b||",
    ];
    let mut random = Random(0x2468_ace1);
    for round in 0..900 {
        let mut bytes = good[round % good.len()].replace('|', "\r\n").into_bytes();
        for _ in 0..=random.below(2) {
            random.mutate(&mut bytes);
        }
        let mut client = limpet.client();
        let _ = client.try_send(&bytes);
        let answer = client.finish().try_rest().unwrap_or_default();
        let shown = String::from_utf8_lossy(&bytes);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.") || !answer.starts_with(b"HTTP")
        );
        for request in upstream.take_requests() {
            let odd = request
                .head
                .replace("\r\n", "")
                .contains(|c: char| c.is_ascii_control() && c != '\t');
            assert!(!odd || drives_nginx(), "{shown:?} becomes {request:?}");
            let line: Vec<_> = request.line().split(' ').collect();
            assert_eq!(
                (line.len(), line.last()),
                (3, Some(&"HTTP/1.1")),
                "{shown:?} becomes {request:?}"
            );
        }
    }
    assert_eq!(limpet.wait_workers(1), workers);
    limpet.log.has_none_of(&["alert", "emerg", "crit"]);
}

/// Each mutation is asked for twice, so that what one leaves behind meets another client.
#[test]
fn mutated_answers_take_nothing_down_and_stay_with_their_requests() {
    let answers = [
        "HTTP/1.1 200 OK|Content-Type: text/plain|X-App: a|Content-Length: 5||hello",
        "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Connection: keep-alive||5;x=y|hello|0|T: v||",
        "HTTP/1.1 302 Found|Location: http://app/x|Set-Cookie: a=b; Path=/|Content-Length: 2||ok",
        "HTTP/1.1 204 No Content|X-Accel-Buffering: no|ETag: \"a\"||",
        "HTTP/1.1 103 Early Hints|Link: </a>||HTTP/1.1 200 OK|X-Accel-Expires: 5||until the end",
    ];
    let random = Arc::new(AtomicU32::new(0x1357_9bdf));
    let (limpet, _upstream) = start(move |peer| {
        while let Some(request) = peer.request() {
            let Ok(round) =
                request.target()[1..].trim_start_matches("unbuffered/").parse::<usize>()
            else {
                peer.send(GOOD);
                continue;
            };
            let mut own = Random(random.load(Ordering::SeqCst));
            let mut bytes = answers[round % answers.len()].replace('|', "\r\n").into_bytes();
            for _ in 0..=own.below(2) {
                own.mutate(&mut bytes);
            }
            random.store(own.0, Ordering::SeqCst);
            let cut = own.below(bytes.len());
            peer.send(&bytes[..cut]);
            peer.send(&bytes[cut..]);
            // Some stay open: what was promised may be missing.
            if own.below(8) != 0 {
                return;
            }
        }
    });
    let workers = limpet.wait_workers(1);
    for round in 0..400 {
        let location = if round % 2 == 0 { "" } else { "unbuffered/" };
        let mut client = limpet.client();
        client.send(format!(
            "GET /{location}{round} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ));
        let answer = client.try_rest().unwrap_or_default();
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 ") || drives_nginx(), "{text:?}");
        let next = limpet.get("/good");
        assert_eq!((next.status, &*next.text()), (200, "good"), "after {text:?}");
    }
    assert_eq!(limpet.wait_workers(1), workers);
    limpet.log.has_none_of(&["alert", "emerg"]);
}
