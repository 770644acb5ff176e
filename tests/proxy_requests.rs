//! What reaches an upstream: one request for one that was understood, framed by the proxy, and
//! nothing at all of what was not.
//!
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::Received;
use crate::common::*;

const SERVED: &str = "
    worker_processes 1;
    events { }
    http {
        access_log off; lingering_timeout 1s; client_body_timeout 2s; client_header_timeout 2s;
        proxy_http_version 1.1; proxy_set_header Connection '';
        upstream app { server 127.0.0.1:8090 max_fails=0; keepalive 8; }
        server {
            listen 8080;
            location / { proxy_pass http://app; }
            location /unbuffered/ { proxy_request_buffering off; proxy_pass http://app; }
            location /ping { return 200 pong; }
            location /host/ { proxy_set_header Host $http_host; proxy_pass http://app; }
            location /fields/ {
                proxy_set_header Connection ''; proxy_set_header X-Path $uri;
                proxy_pass http://app;
            }
            location ~ ^/group/(.*)$ {
                proxy_set_header Connection ''; proxy_set_header X-Group $1;
                proxy_pass http://app;
            }
            location /target/ { proxy_pass http://app$uri; }
            location ~ ^/target_group/(.*)$ { proxy_pass http://app/$1; }
            location /copied/ {
                mirror /copy; mirror_request_body off; proxy_pass http://app;
            }
            location = /copy { internal; proxy_pass http://app/copy; }
            location /set/ { set $args k=$arg_a; proxy_pass http://app; }
            location /rewritten/ { rewrite ^/rewritten/(.*)$ /new/$1 break; proxy_pass http://app; }
        }
    }
";

fn start() -> (Limpet, Upstream) {
    let place = Place::new();
    let upstream =
        Upstream::answering(&place, 8090, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    (Limpet::start_in(place, SERVED), upstream)
}

fn status_of(limpet: &Limpet, bytes: impl AsRef<[u8]>) -> u16 {
    let mut client = limpet.client();
    let _ = client.try_send(bytes);
    loop {
        match client.try_response(false).map_or(0, |response| response.status) {
            100 => {}
            status => return status,
        }
    }
}

/// Without how the body is framed: unbuffered, a chunked one has a length if all of it is there.
fn unframed(mut request: Received) -> Received {
    let is_framing = |line: &&str| {
        let line = line.to_lowercase();
        line.starts_with("content-length:") || line.starts_with("transfer-encoding:")
    };
    request.number = 0;
    request.head = request.head.lines().filter(|line| !is_framing(line)).collect();
    request
}

#[test]
fn requests_may_be_cut_anywhere() {
    let (limpet, upstream) = start();
    let mut pace = limpet.client();
    for location in ["/", "/unbuffered/"] {
        for (fields, body) in [
            ("Content-Length: 12\r\n", "hello, world"),
            (
                "Transfer-Encoding: chunked\r\n",
                "5;a=b\r\nhello\r\n007\r\n, world\r\n0\r\nX-T: t\r\n\r\n",
            ),
            ("X-Empty:\r\nX-Blanks:  a \r\nCookie: b=c\r\n", ""),
        ] {
            let bytes = format!(
                "POST {location}a%20b?c HTTP/1.1\r\nHost: a\r\nX-Own: x\r\n{fields}\r\n{body}"
            );
            assert_eq!(status_of(&limpet, &bytes), 200, "{bytes:?}");
            let seen =
                || -> Vec<_> { upstream.take_requests().into_iter().map(unframed).collect() };
            let whole = seen();
            assert_eq!(whole.len(), 1);
            assert!(whole[0].body.is_empty() || whole[0].body == b"hello, world");
            for cut in 1..bytes.len() {
                let mut client = limpet.client();
                client.send(&bytes[..cut]);
                pace.get("/ping");
                client.send(&bytes[cut..]);
                assert_eq!(client.response().status, 200, "{bytes:?} cut at {cut}");
                assert_eq!(seen(), whole, "{bytes:?} cut at {cut}");
            }
        }
    }
}

#[test]
fn pipelined_requests_are_passed_one_by_one() {
    let (limpet, upstream) = start();
    let all = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
               POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
               POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
               GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = exchange(limpet.port(8080), all);
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 4, "{answers}");
    let targets: Vec<_> = upstream.requests().iter().map(|r| r.target().to_string()).collect();
    assert_eq!(targets, ["/1", "/2", "/3", "/4"]);
    assert_eq!(upstream.connections(), 1);
}

/// What a request is hidden in, and how that is framed. Whoever sees two requests here can be
/// made to answer one client with another's answer.
#[test]
fn requests_cannot_be_smuggled() {
    let (limpet, upstream) = start();
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = inner.len();
    let chunked = format!("0\r\n\r\n{inner}");
    let both = chunked.len();
    let rows = [
        ("CL.TE", format!("Content-Length: {both}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}")),
        ("TE.CL", format!("Transfer-Encoding: chunked\r\nContent-Length: {both}\r\n\r\n{chunked}")),
        ("CL.CL", format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{inner}")),
        ("CL, list", format!("Content-Length: {length}, 0\r\n\r\n{inner}")),
        ("CL+", format!("Content-Length: +{length}\r\n\r\n{inner}")),
        ("CL 0x", format!("Content-Length: 0x{length:x}\r\n\r\n{inner}")),
        ("CL blank", format!("Content-Length : {length}\r\n\r\n{inner}")),
        ("TE blank", format!("Transfer-Encoding : chunked\r\n\r\n{chunked}")),
        ("TE x", format!("Transfer-Encoding: xchunked\r\n\r\n{chunked}")),
        ("TE list", format!("Transfer-Encoding: chunked, identity\r\n\r\n{chunked}")),
        ("TE identity", format!("Transfer-Encoding: identity\r\n\r\n{chunked}")),
        ("TE VT", format!("Transfer-Encoding: \x0bchunked\r\n\r\n{chunked}")),
        ("TE NUL", format!("Transfer-Encoding: chunked\0\r\n\r\n{chunked}")),
        (
            "TE twice",
            format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n{chunked}"),
        ),
        ("TE folded", format!("Transfer-Encoding:\r\n chunked\r\n\r\n{chunked}")),
        ("TE behind CR", format!("X: y\rTransfer-Encoding: chunked\r\n\r\n{chunked}")),
        ("CL behind NUL", format!("X: y\0\r\nContent-Length: {length}\r\n\r\n{inner}")),
        ("chunk LF", format!("Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n{inner}")),
        ("chunk spill", format!("Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n{inner}")),
        ("chunk sign", format!("Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n{inner}")),
        ("chunk 0x", format!("Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n{inner}")),
        (
            "chunk large",
            format!("Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n{inner}"),
        ),
        ("last chunk LF", format!("Transfer-Encoding: chunked\r\n\r\n0\n\n{inner}")),
    ];
    let mut wrong = Vec::new();
    for location in ["/", "/unbuffered/"] {
        for method in ["POST", "GET", "DELETE"] {
            for (what, rest) in &rows {
                let what = format!("{method} {location} {what}");
                let mut client = limpet.client();
                let _ =
                    client.try_send(format!("{method} {location} HTTP/1.1\r\nHost: a\r\n{rest}"));
                let answers = client.finish().try_rest().unwrap_or_default();
                let answers = String::from_utf8_lossy(&answers).into_owned();
                if answers.matches("HTTP/1.1 ").count() > 1 {
                    wrong.push(format!("{what}: two answers"));
                }
                let seen = upstream.take_requests();
                if seen.iter().any(|request| request.target() == "/smuggled") {
                    wrong.push(format!("{what}: smuggled"));
                }
                let whole = seen.iter().filter(|request| request.whole).count();
                let shared = !drives_nginx() || !what.contains("LF");
                if whole > 0 && shared {
                    wrong.push(format!("{what}: {whole} whole requests arrive"));
                }
            }
        }
    }
    if drives_nginx() {
        wrong.retain(|what| !what.contains("LF") && !what.contains("blank"));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Whatever the method, a body that looks like a request is a body.
#[test]
fn bodies_arrive_as_bodies() {
    let (limpet, upstream) = start();
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for location in ["/", "/unbuffered/"] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "UNKNOWN"] {
            for framed in [
                format!("Content-Length: {}\r\n\r\n{inner}", inner.len()),
                format!(
                    "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n",
                    inner.len()
                ),
            ] {
                let head = format!("{method} {location} HTTP/1.1\r\nHost: a\r\n");
                assert_eq!(status_of(&limpet, head + &framed), 200, "{method}");
                let seen = upstream.take_requests();
                assert_eq!(seen.len(), 1, "{seen:?}");
                assert_eq!(String::from_utf8_lossy(&seen[0].body), inner, "{method} {location}");
            }
        }
    }
}

/// Lengths are written anew, chunks are made anew, and what they were called is dropped.
#[test]
fn framing_is_the_proxys_own() {
    let (limpet, upstream) = start();
    let post = |target: &str, rest: &str| {
        let bytes = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{rest}");
        assert_eq!(status_of(&limpet, bytes), 200);
        upstream.take_requests().remove(0)
    };
    let length = |request: &Received| request.field("content-length").to_string();
    let request = post("/", "content-LENGTH: 000005\r\n\r\nhello");
    // nginx repeats what it was sent.
    assert!(length(&request) == "5" || drives_nginx(), "{request:?}");
    let chunks =
        "transfer-encoding: ChunKed\r\n\r\n005;a=\"b\"\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n";
    let request = post("/", chunks);
    assert_eq!((length(&request).as_str(), request.field("transfer-encoding")), ("5", ""));
    assert_eq!(request.body, b"hello");
    let request = post("/unbuffered/", chunks);
    let framing = (length(&request), request.field("transfer-encoding"));
    assert!(framing == ("5".into(), "") || framing == ("".into(), "chunked"), "{framing:?}");
    assert_eq!((&*request.body, request.trailers.as_str()), (&b"hello"[..], ""));
    for seen in 0..upstream.connections() {
        let bytes = String::from_utf8(upstream.bytes(seen)).unwrap();
        assert!(!bytes.contains("a=\"b\"") && !bytes.contains("ChunKed"), "{bytes}");
    }
}

#[test]
fn fields_of_one_hop_stay_here() {
    let (limpet, upstream) = start();
    let fields = "Keep-Alive: 300\r\nTE: trailers\r\nExpect: 100-continue\r\nUpgrade: websocket\r\n\
                  Connection: keep-alive, X-Hop, x-other\r\nX-Hop: a\r\nX-Other: b\r\nX-End: c\r\n";
    let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 0\r\n\r\n");
    assert_eq!(status_of(&limpet, bytes), 200);
    let request = upstream.take_requests().remove(0);
    for name in ["Keep-Alive", "TE", "Expect", "Upgrade", "Connection"] {
        assert_eq!(request.field(name), "", "{name}: {}", request.head);
    }
    assert_eq!(request.field("X-End"), "c");
    if !drives_nginx() {
        assert_eq!(request.field("X-Hop"), "", "{}", request.head);
        assert_eq!(request.field("X-Other"), "", "{}", request.head);
    }
}

/// A client must not be able to strip what others rely on.
#[test]
fn fields_that_count_cannot_be_stripped() {
    let (limpet, upstream) = start();
    let names = [
        "Host",
        "Content-Length",
        "Authorization",
        "Cookie",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Real-IP",
    ];
    for name in names {
        let fields: String = names[2..].iter().map(|name| format!("{name}: v\r\n")).collect();
        let bytes = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, {name}\r\n{fields}\
             Content-Length: 5\r\n\r\nhello"
        );
        assert_eq!(status_of(&limpet, bytes), 200);
        let request = upstream.take_requests().remove(0);
        assert_eq!(request.body, b"hello");
        for name in names {
            assert_ne!(request.field(name), "", "{name} is gone: {}", request.head);
        }
    }
}

/// nginx writes them as they are.
#[test]
fn no_value_ends_a_line() {
    if drives_nginx() {
        return;
    }
    let (limpet, upstream) = start();
    for injected in ["%0d%0aX-Evil:%20yes", "%0aX-Evil:%20yes", "%0d", "%0a%0aGET%20/evil"] {
        for location in ["fields", "group", "target", "target_group", "rewritten", "plain"] {
            let target = format!("/{location}/a{injected}");
            let status = status_of(&limpet, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert!(matches!(status, 200 | 400 | 500 | 502), "{target}: {status}");
            let seen = upstream.take_requests();
            assert_eq!(seen.len(), usize::from(status == 200), "{target}: {status} {seen:?}");
            for request in &seen {
                let is_line =
                    |line: &str| line.starts_with("X-Evil") || line.starts_with("GET /evil");
                assert!(!request.head.lines().any(is_line), "{}", request.head);
                assert!(!request.head.replace("\r\n", "").contains(['\r', '\n']), "{target}");
            }
        }
    }
    assert_eq!(limpet.get("/").status, 200);
}

/// A request line of version 0.9 cannot be passed on as it is.
#[test]
fn requests_of_version_0_9_are_not_passed_on() {
    if drives_nginx() {
        return;
    }
    let (limpet, upstream) = start();
    let answer = exchange(limpet.port(8080), "GET /\r\n");
    assert!(upstream.requests().is_empty(), "{answer}");
}

/// RFC 9112 3.2.2: what is asked for is asked of the host in the target.
#[test]
fn the_host_of_a_target_counts() {
    if drives_nginx() {
        return;
    }
    let (limpet, upstream) = start();
    for (target, line, sent) in [
        ("/host/", "a", "a"),
        ("http://b/host/", "a", "b"),
        ("http://b:80/host/", "a", "b:80"),
        ("http://[::1]:80/host/", "[::2]", "[::1]:80"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {line}\r\n\r\n");
        assert_eq!(status_of(&limpet, request), 200);
        let hosts: Vec<_> =
            upstream.take_requests().iter().map(|it| it.field("host").to_owned()).collect();
        assert_eq!(hosts, [sent], "{target}");
    }
}

/// A target with a host in it is passed on without, and always as a path.
#[test]
fn targets_are_paths() {
    let (limpet, upstream) = start();
    for (target, sent) in [
        ("http://a/b?c", "/b?c"),
        ("http://a", "/"),
        ("http://a/", "/"),
        ("http://a?b", "/?b"),
        ("http://a?", "/?"),
        ("/b#c?d", "/b#c?d"),
        ("/%2e%2e%2f?%0d%0a", "/%2e%2e%2f?%0d%0a"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let status = status_of(&limpet, request);
        let lines: Vec<_> =
            upstream.take_requests().iter().map(|it| it.line().to_owned()).collect();
        match status {
            200 => assert_eq!(lines, [format!("GET {sent} HTTP/1.1")], "{target}"),
            _ => assert!(status == 400 && lines.is_empty(), "{target}: {status}"),
        }
        assert_eq!(status == 400, target.starts_with("/%2e"), "{target}");
    }
}

#[test]
fn arguments_that_were_set_are_passed_on() {
    let (limpet, upstream) = start();
    assert_eq!(limpet.get("/set/x%20y?a=1&b=2").status, 200);
    let lines: Vec<_> = upstream.take_requests().iter().map(|it| it.line().to_owned()).collect();
    assert_eq!(lines, ["GET /set/x%20y?k=1 HTTP/1.1"]);
}

/// nginx promises it a length, and never sends it.
#[test]
fn a_copy_without_body_has_none() {
    if drives_nginx() {
        return;
    }
    let (limpet, upstream) = start();
    let post = "POST /copied/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(status_of(&limpet, post), 200);
    upstream
        .wait("the copy", |seen| seen.iter().map(|seen| seen.requests.len()).sum::<usize>() == 2);
    let seen = upstream.take_requests();
    let bodies = |target: &str| {
        let requests = seen.iter().filter(|it| it.target() == target);
        requests.map(|it| String::from_utf8_lossy(&it.body).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!((bodies("/copied/"), bodies("/copy")), (vec!["hello".into()], vec!["".into()]));
}
