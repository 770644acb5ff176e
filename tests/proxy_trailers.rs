//! What stands behind the last chunk of an upstream's answer (`proxy_pass_trailers`).
use crate::common::*;

const SERVED: &str = "
    worker_processes 1;
    events { }
    http {
        log_format trailers '$uri [$upstream_trailer_x_sum] [$sent_trailer_x_sum]';
        access_log @DIR@/access.log trailers;
        proxy_pass_trailers on;
        server {
            listen 8080;
            location / { proxy_pass http://127.0.0.1:8090; proxy_set_header TE trailers; }
            location /off/ { proxy_pass_trailers off; proxy_pass http://127.0.0.1:8090; }
            location /hidden/ { proxy_hide_header x-sum; proxy_pass http://127.0.0.1:8090; }
            location /added/ { add_trailer X-Own mine; proxy_pass http://127.0.0.1:8090; }
            location /unchunked/ {
                chunked_transfer_encoding off; proxy_pass http://127.0.0.1:8090;
            }
            location /zip/ {
                gzip on; gzip_types *; gzip_min_length 0; proxy_pass http://127.0.0.1:8090;
            }
        }
    }
";

const BODY: &str = "4\r\nsome\r\n3\r\nall\r\n0\r\n";
const TRAILERS: &str = "X-Sum: 1234 \r\nContent-Length: 5\r\nSet-Cookie: a=b\r\nEmpty:\r\n\r\n";

fn start() -> (Limpet, Upstream) {
    let place = Place::new();
    let upstream = Upstream::tcp(&place, 8090, |peer| {
        while let Some(request) = peer.request() {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n";
            let target = request.target();
            let tail = match () {
                () if target.contains("bare") => "\r\n".into(),
                () if target.contains("long") => format!("A: {}\r\n\r\n", "b".repeat(9000)),
                () if target.contains("bad") => "A b\r\n\r\n".into(),
                () if target.contains("sized") => {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsomeall");
                    continue;
                }
                () => TRAILERS.to_string(),
            };
            let answer = format!("{head}{BODY}{tail}");
            if target.contains("bytes") {
                let _ = answer.bytes().all(|byte| peer.send([byte]));
            } else {
                peer.send(answer);
            }
        }
    });
    (Limpet::start_in(place, SERVED), upstream)
}

fn trailers(response: &Response) -> String {
    let lines = response.trailers.iter();
    lines
        .map(|(name, value)| format!("{}={value}", name.to_lowercase()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn trailers_come_through_but_those_that_must_not() {
    let (limpet, upstream) = start();
    let mut client = limpet.client();
    for (target, expected) in [
        ("/", "x-sum=1234 empty="),
        ("/bytes", "x-sum=1234 empty="),
        ("/off/", ""),
        ("/off/bytes", ""),
        ("/hidden/", "empty="),
        ("/added/", "x-own=mine x-sum=1234 empty="),
        ("/bare", ""),
        ("/bytes/bare", ""),
        ("/sized", ""),
    ] {
        let response = client.get(target);
        assert_eq!(
            (response.text(), trailers(&response)),
            ("someall".into(), expected.into()),
            "{target}"
        );
    }
    // Whoever reads trailers leaves nothing of them to the next answer of a kept connection.
    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.requests()[0].field("te"), "trailers");
    let lines = Log::new(&limpet.place, "access.log");
    eventually("they are variables", || {
        let text = lines.text();
        text.contains("/bytes [1234] [1234]\n") && text.contains("/hidden/ [1234] [-]\n")
    });
}

#[test]
fn without_chunks_there_are_none() {
    let (limpet, _upstream) = start();
    let old = exchange(limpet.port(8080), "GET / HTTP/1.0\r\n\r\n");
    assert!(old.ends_with("\r\n\r\nsomeall"), "{old}");
    let plain = limpet.get("/unchunked/");
    assert_eq!((plain.text().as_str(), plain.has("transfer-encoding")), ("someall", false));
}

#[test]
fn they_follow_what_filters_make_of_the_body() {
    let (limpet, _upstream) = start();
    let mut client = limpet.client();
    for target in ["/zip/", "/zip/bytes"] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.header("content-encoding"), "gzip");
        assert_eq!(inflate::gunzip(&response.body).unwrap(), b"someall");
        assert_eq!(trailers(&response), "x-sum=1234 empty=");
    }
}

/// Broken or endless trailers are no end of an answer: it is cut off.
#[test]
fn what_is_no_trailer_ends_the_connection() {
    let (limpet, _upstream) = start();
    for target in ["/bad", "/bytes/bad", "/long", "/off/bad"] {
        let answer =
            exchange(limpet.port(8080), format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(!answer.ends_with("0\r\n\r\n"), "{target}: {answer}");
    }
    limpet.log.wait_count("upstream sent invalid chunked response", 4);
}
