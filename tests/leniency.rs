//! What nginx takes and limpet refuses: refused, the error log names the directive that allows
//! it; allowed, the other side gets it framed anew. Heads of clients, of HTTP servers and of
//! FastCGI responders.
use crate::common::*;

const SERVED: &str = "
    worker_processes 1; error_log @DIR@/error.log info;
    events { }
    http {
        access_log off; lingering_timeout 1s;
        proxy_set_header Host h; fastcgi_param A b;
        server { listen 8080; location / { proxy_pass http://127.0.0.1:8090; } }
        server {
            listen 8081; allow_colonless_headers on;
            location / { proxy_pass http://127.0.0.1:8090; }
        }
        server {
            listen 8082; allow_control_bytes_in_headers on;
            location / { proxy_pass http://127.0.0.1:8090; }
        }
        server { listen 8083; strict_line_endings on; location / { return 200 ok; } }
        server {
            listen 8084;
            proxy_allow_any_status on;
            location /strict/ { proxy_allow_any_status off; proxy_pass http://127.0.0.1:8091; }
            location /colon/ {
                proxy_allow_colonless_headers on; proxy_pass http://127.0.0.1:8091;
            }
            location /control/ {
                proxy_allow_control_bytes_in_headers on; proxy_pass http://127.0.0.1:8091;
            }
            location /status/ { proxy_pass http://127.0.0.1:8091; }
            location /line/ { proxy_allow_no_status_line on; proxy_pass http://127.0.0.1:8091; }
        }
        server {
            listen 8085;
            location /strict/ { fastcgi_pass unix:@DIR@/responder; }
            location /colon/ {
                fastcgi_allow_colonless_headers on; fastcgi_pass unix:@DIR@/responder;
            }
            location /control/ {
                fastcgi_allow_control_bytes_in_headers on; fastcgi_pass unix:@DIR@/responder;
            }
            location /status/ {
                fastcgi_allow_any_status on; fastcgi_pass unix:@DIR@/responder;
            }
        }
    }
";

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn heads_of_clients() {
    let place = Place::new();
    let upstream = Upstream::answering(&place, 8090, OK);
    let limpet = Limpet::start_in(place, SERVED);
    let status = |port, lines: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
        exchange(limpet.port(port), request).get(9..12).unwrap_or_default().to_owned()
    };
    for (lines, port, sent, name) in [
        ("X-None\r\nA: b\r\n", 8081, "X-None: \r\nA: b\r\n", "allow_colonless_headers"),
        ("A: \x01b\x7f\r\n", 8082, "A: \x01b\x7f\r\n", "allow_control_bytes_in_headers"),
    ] {
        let others = [8081, 8082].into_iter().filter(|it| *it != port);
        for strict in others.chain([8080]) {
            assert_eq!(status(strict, lines), "400", "{lines:?} {strict}");
        }
        let told = format!(", which \"{name}\" would allow while reading client request headers");
        limpet.log.wait_count(&told, 2);
        assert!(upstream.take_requests().is_empty());
        assert_eq!(status(port, lines), "200", "{lines:?}");
        let want = format!("GET / HTTP/1.1\r\nHost: h\r\n{sent}\r\n");
        assert_eq!(upstream.take_requests()[0].head, want);
    }
    // What would frame or name a message anew stays refused, and NUL, CR and LF do.
    for (port, lines, want) in [
        (8081, "Content-Length\r\n", "400"),
        (8081, "Transfer-Encoding\r\n", "501"),
        (8081, "Host\r\n", "400"),
        (8081, "A b\r\n", "400"),
        (8081, "A\rB: c\r\n", "400"),
        (8082, "Transfer-Encoding: \x0bchunked\r\n", "501"),
        (8082, "Content-Length: \x0b5\r\n", "400"),
        (8082, "A: \0\r\n", "400"),
        (8082, "A: b\rc\r\n", "400"),
        (8083, "A: b\n", "400"),
        (8083, "A: b\r\n\nA: b\r\n", "400"),
        (8083, "A: b\r\n", "200"),
    ] {
        assert_eq!(status(port, lines), want, "{lines:?}");
    }
    assert!(upstream.take_requests().is_empty());
    assert!(exchange(limpet.port(8083), "GET / HTTP/1.0\n\n").contains(" 400 "));
}

/// What of an answer is not the proxy's own.
fn rest_of(answer: &str) -> String {
    let own = ["Server: ", "Date: ", "Connection: "];
    let is_own = |line: &str| own.iter().any(|name| line.starts_with(name));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let lines: Vec<_> = head.split("\r\n").filter(|line| !is_own(line)).collect();
    format!("{}||{body}", lines.join("|"))
}

/// Asks for each row where it is refused and where it is allowed: place, name of the
/// directive, what the upstream says, what the client gets.
fn check(limpet: &Limpet, port: u16, rows: &[(&str, &str, &str)]) {
    for (at, (allowed, name, want)) in rows.iter().enumerate() {
        let ask = |place: &str| {
            let request =
                format!("GET /{place}/{at} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            rest_of(&exchange(limpet.port(port), request))
        };
        assert!(ask("strict").starts_with("HTTP/1.1 502 "), "{at}");
        let told = format!(", which \"{name}\" would allow while reading response header from");
        limpet.log.wait(&told);
        assert_eq!(ask(allowed), *want, "{at}");
    }
}

#[test]
fn heads_of_servers() {
    const ROWS: &[(&str, &str, &str)] = &[
        (
            "colon",
            "proxy_allow_colonless_headers",
            "HTTP/1.1 200 OK|Content-Length: 2|X-None: |A: b||ok",
        ),
        (
            "control",
            "proxy_allow_control_bytes_in_headers",
            "HTTP/1.1 200 OK|Content-Length: 2|A: \x01b\x7f||ok",
        ),
        ("status", "proxy_allow_any_status", "HTTP/1.1 999 High|Content-Length: 2||ok"),
        (
            "line",
            "proxy_allow_no_status_line",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5\r\nplain\r\n0\r\n\r\n",
        ),
    ];
    let place = Place::new();
    let upstream = Upstream::tcp(&place, 8091, |peer| {
        while let Some(request) = peer.request() {
            let answer = match request.target().rsplit('/').next() {
                Some("0") => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-None\r\nA: b\r\n\r\nok",
                Some("1") => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: \x01b\x7f\r\n\r\nok",
                Some("2") => "HTTP/1.1 999 High\r\nContent-Length: 2\r\n\r\nok",
                Some("3") => "plain",
                Some("4") => "HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok",
                Some("5") => "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n",
            };
            peer.send(answer);
            if answer == "plain" {
                return;
            }
        }
    });
    let limpet = Limpet::start_in(place, SERVED);
    check(&limpet, 8084, ROWS);
    for target in ["/status/4", "/control/5", "/colon/6"] {
        let answer = exchange(
            limpet.port(8084),
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        );
        assert!(answer.starts_with("HTTP/1.1 502 "), "{target}: {answer}");
    }
    assert!(upstream.connections() > 0);
}

#[test]
fn heads_of_responders() {
    const ROWS: &[(&str, &str, &str)] = &[
        (
            "colon",
            "fastcgi_allow_colonless_headers",
            "HTTP/1.1 200 OK|Content-Length: 2|X-None: ||ok",
        ),
        (
            "control",
            "fastcgi_allow_control_bytes_in_headers",
            "HTTP/1.1 200 OK|Content-Length: 2|A: \x01||ok",
        ),
        ("status", "fastcgi_allow_any_status", "HTTP/1.1 600 High|Content-Length: 2||ok"),
    ];
    let place = Place::new();
    let _upstream = Upstream::unix(&place, "responder", |peer| {
        let mut asked = Vec::new();
        // Its only parameter is the same for all: the answer comes by turns of three lines.
        while !asked.ends_with(&[1, 5, 0, 1, 0, 0, 0, 0]) {
            let Some(more) = peer.some() else { return };
            asked.extend(more);
        }
        // Each row is asked for twice: refused, allowed.
        let head = ["X-None\n", "A: \x01\n", "Status: 600 High\n"][peer.number / 2];
        let content = format!("Content-Length: 2\n{head}\nok");
        let record = [&[1, 6, 0, 1, 0, content.len() as u8, 0, 0], content.as_bytes()].concat();
        peer.send([&record[..], &[1, 3, 0, 1, 0, 8, 0, 0], &[0; 8]].concat());
    });
    let limpet = Limpet::start_in(place, SERVED);
    check(&limpet, 8085, ROWS);
}
