//! Hostile input: what is malformed gets 400 and the end of the connection, and nothing
//! takes a worker down. Rows of shared rules are in tests/oracle.rs; here stand the ones
//! where limpet is stricter than nginx, and those about bytes rather than answers.
use crate::common::*;

const SERVED: &str = "
    worker_processes 1;
    events { }
    http {
        access_log off;
        client_header_timeout 2s; client_body_timeout 2s; lingering_timeout 1s;
        server {
            listen 8080;
            root @DIR@/html;
            location /return { return 200 returned; }
        }
    }
";

fn start() -> Limpet {
    let place = Place::new();
    place.write("html/file.txt", "a file\n");
    Limpet::start_in(place, SERVED)
}

/// Status of the first answer, and whether a second request behind it was answered.
fn outcome(limpet: &Limpet, bytes: &[u8]) -> (u16, bool) {
    let sentinel = b"GET /return HTTP/1.0\r\n\r\n";
    let mut client = limpet.client();
    let _ = client.try_send([bytes, sentinel].concat());
    let first = client.try_response(bytes.starts_with(b"HEAD")).map(|response| response.status);
    (first.unwrap_or(0), client.try_response(false).is_ok_and(|second| second.status == 200))
}

fn refuses(rows: &[(&str, &[u8])], statuses: &[u16]) {
    let limpet = start();
    let mut wrong = Vec::new();
    for (what, bytes) in rows {
        let (status, went_on) = outcome(&limpet, bytes);
        if !statuses.contains(&status) || went_on {
            wrong.push(format!("{what}: {status}, next request answered: {went_on}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(limpet.get("/return").text(), "returned");
}

#[test]
fn heads_that_are_not_understood_end_the_connection() {
    refuses(
        &[
            ("NUL in a value", b"GET /return HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
            ("NUL in a name", b"GET /return HTTP/1.1\r\nHost: a\r\nX\0Y: a\r\n\r\n"),
            ("NUL in the target", b"GET /ret\0urn HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("bare CR in a value", b"GET /return HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
            ("CR CR LF", b"GET /return HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n"),
            ("no colon", b"GET /return HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n"),
            ("empty name", b"GET /return HTTP/1.1\r\nHost: a\r\n: value\r\n\r\n"),
            ("blank before colon", b"GET /return HTTP/1.1\r\nHost : a\r\n\r\n"),
            ("tab before colon", b"GET /return HTTP/1.1\r\nHost\t: a\r\n\r\n"),
            ("folded line", b"GET /return HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
            ("folded with tab", b"GET /return HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n"),
            ("blank first field", b"GET /return HTTP/1.1\r\n Host: a\r\n\r\n"),
            ("control in a value", b"GET /return HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n"),
            ("escape in a value", b"GET /return HTTP/1.1\r\nHost: a\r\nX: \x1b[31m\r\n\r\n"),
            ("DEL in a value", b"GET /return HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n"),
            ("8 bits in a name", b"GET /return HTTP/1.1\r\nHost: a\r\nX\xff: a\r\n\r\n"),
            ("blank in a name", b"GET /return HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n"),
            ("two blanks", b"GET  /return HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("two blanks behind", b"GET /return  HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("blank at the end", b"GET /return HTTP/1.1 \r\nHost: a\r\n\r\n"),
            ("version 1.10", b"GET /return HTTP/1.10\r\nHost: a\r\n\r\n"),
            ("version 1.01", b"GET /return HTTP/1.01\r\nHost: a\r\n\r\n"),
            ("backslash in the host", b"GET /return HTTP/1.1\r\nHost: a\\b\r\n\r\n"),
            ("tab in the line", b"GET\t/return HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("tab in the target", b"GET /ret\turn HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("blank in the target", b"GET /ret urn HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("control in the target", b"GET /ret\x01urn HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("DEL in the target", b"GET /ret\x7furn HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("method in lower case", b"get /return HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
            ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("no host", b"GET /return HTTP/1.1\r\n\r\n"),
            ("two hosts", b"GET /return HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            ("blank in the host", b"GET /return HTTP/1.1\r\nHost: a b\r\n\r\n"),
            ("path in the host", b"GET /return HTTP/1.1\r\nHost: a/b\r\n\r\n"),
            ("user in the host", b"GET /return HTTP/1.1\r\nHost: u@a\r\n\r\n"),
            ("list in the host", b"GET /return HTTP/1.1\r\nHost: a, b\r\n\r\n"),
            ("port no number", b"GET /return HTTP/1.1\r\nHost: a:b\r\n\r\n"),
            ("NUL in the host", b"GET /return HTTP/1.1\r\nHost: a\0\r\n\r\n"),
            ("encoded NUL", b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("broken escape", b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("out of the root", b"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ],
        &[400, 405, 505],
    );
}

#[test]
fn framing_in_doubt_ends_the_connection() {
    let post = |fields: &str, body: &str| {
        format!("POST /return HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}").into_bytes()
    };
    let lengths = [
        "+5",
        "-1",
        "0x5",
        "1_0",
        "5 5",
        "5, 5",
        "5,5",
        "five",
        "",
        "9223372036854775808",
        "18446744073709551621",
        "99999999999999999999999",
        "\u{665}",
        "5.0",
        "5e0",
        "5;",
    ];
    let codings = [
        "xchunked",
        "chunked, identity",
        "identity",
        ",chunked",
        "chunked,",
        "chunked;q=1",
        "\x0bchunked",
        "chunked\x0b",
        "\u{a0}chunked",
        "",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "\"chunked\"",
        "chunked x",
    ];
    let mut rows: Vec<(String, Vec<u8>)> = Vec::new();
    for length in lengths {
        let fields = format!("Content-Length: {length}\r\n");
        rows.push((format!("Content-Length: {length:?}"), post(&fields, "hello")));
    }
    for coding in codings {
        let fields = format!("Transfer-Encoding: {coding}\r\n");
        rows.push((format!("Transfer-Encoding: {coding:?}"), post(&fields, "0\r\n\r\n")));
    }
    for (what, fields) in [
        ("two equal lengths", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("length and chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("two codings, one unknown", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
        ("blank before colon", "Transfer-Encoding : chunked\r\n"),
        ("blank before colon of length", "Content-Length : 5\r\n"),
        ("folded coding", "Transfer-Encoding:\r\n chunked\r\n"),
        ("CR before coding", "X: y\rTransfer-Encoding: chunked\r\n"),
    ] {
        rows.push((what.to_string(), post(fields, "0\r\n\r\n")));
    }
    rows.push((
        "chunked in 1.0".to_string(),
        b"POST /return HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
    ));
    let rows: Vec<_> = rows.iter().map(|(what, bytes)| (&**what, &**bytes)).collect();
    refuses(&rows, &[400, 411, 413, 501]);
}

/// The answer to the head may already be out: what matters is that nothing of a broken
/// body is ever taken for a request.
#[test]
fn a_broken_chunked_body_is_never_followed_by_a_request() {
    let limpet = start();
    let mut wrong = Vec::new();
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\rhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5_\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\t5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello, more\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5;a=b\0\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX\0: y\r\n\r\n",
    ] {
        let head = "POST /return HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (status, went_on) = outcome(&limpet, format!("{head}{body}").as_bytes());
        if went_on || !matches!(status, 200 | 400 | 413) {
            wrong.push(format!("{body:?}: {status}, next request answered: {went_on}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A request smuggled in the body of one that is answered early stays a body.
#[test]
fn bodies_of_any_method_are_bodies() {
    let limpet = start();
    let inner = "GET /file.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "POST", "UNKNOWN"] {
        for target in ["/return", "/file.txt", "/missing"] {
            let length = inner.len();
            for framed in [
                format!("Content-Length: {length}\r\n\r\n{inner}"),
                format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"),
            ] {
                let mut client = limpet.client();
                let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n");
                let _ = client.try_send(head + &framed + "GET /return HTTP/1.0\r\n\r\n");
                let answer =
                    String::from_utf8_lossy(&client.try_rest().unwrap_or_default()).into_owned();
                let first_is_file = method == "GET" && target == "/file.txt";
                let files = answer.matches("a file\n").count();
                assert_eq!(files, usize::from(first_is_file), "{method} {target}: {answer}");
            }
        }
    }
}

/// However the bytes arrive, the outcome is the same.
#[test]
fn cuts_change_no_outcome() {
    let limpet = start();
    let mut pace = limpet.client();
    for bytes in [
        &b"GET /return HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"[..],
        b"\r\nGET /file.txt HTTP/1.1\nHost: a\n\n",
        b"POST /return HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"GET http://b/file.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n\r\n",
    ] {
        let whole = outcome(&limpet, bytes).0;
        for cut in 1..bytes.len() {
            let mut client = limpet.client();
            let _ = client.try_send(&bytes[..cut]);
            pace.get("/return");
            let _ = client.try_send(&bytes[cut..]);
            let status = client.try_response(false).map_or(0, |response| response.status);
            assert_eq!(status, whole, "{:?} cut at {cut}", String::from_utf8_lossy(bytes));
        }
    }
}

/// What cannot be told without breaking a line is a 500 without a body, and the end.
#[test]
fn a_head_that_cannot_be_sent_has_no_body() {
    let place = Place::new();
    place.write("html/file.txt", "a file\n".repeat(10_000));
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let _upstream = Upstream::answering(&place, 8090, answer);
    let limpet = Limpet::start_in(
        place,
        "worker_processes 1; events { }
         http {
             access_log off; lingering_timeout 1s; gzip on; gzip_types *;
             server {
                 listen 8080; root @DIR@/html;
                 location /moved { return 302 http://a$uri; }
                 location /text { add_header X-Uri $uri; return 200 text; }
                 location /none { add_header X-Uri $uri always; return 404; }
                 location /file { set $was $uri; add_header X-Uri $was; try_files /file.txt =404; }
                 location /passed { add_header X-Uri $uri; proxy_pass http://127.0.0.1:8090; }
             }
         }",
    );
    for target in ["/moved", "/text", "/none", "/file", "/passed"] {
        for lines in
            ["", "Range: bytes=0-1\r\n", "Range: bytes=0-1,3-4\r\n", "Accept-Encoding: gzip\r\n"]
        {
            let ask = format!("GET {target}%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            let all = exchange(limpet.port(8080), ask.repeat(2));
            assert!(all.starts_with("HTTP/1.1 500 "), "{target} {lines:?}: {all}");
            assert!(all.contains("\r\nContent-Length: 0\r\n"), "{target} {lines:?}: {all}");
            assert_eq!(all.find("\r\n\r\n"), Some(all.len() - 4), "{target} {lines:?}: {all}");
        }
    }
}

/// Seeded mutations of good requests: each connection gets an answer or its end, and the
/// worker that started is the worker at the end.
#[test]
fn mutated_requests_take_nothing_down() {
    let limpet = start();
    let workers = limpet.wait_workers(1);
    let good = [
        "GET /file.txt HTTP/1.1|Host: a|Range: bytes=0-1,3-|If-None-Match: \"a\", W/\"b\"||",
        "POST /return HTTP/1.1|Host: a.b:80|Transfer-Encoding: chunked||5;x=y|hello|0|T: v||",
        "HEAD http://host/%41/../file.txt?a=b HTTP/1.1|Host: a|Connection: close, x|\
         Content-Length: 3||abc",
    ];
    let mut random = Random(0x1234_5678);
    for round in 0..1500 {
        let mut bytes = good[round % good.len()].replace('|', "\r\n").into_bytes();
        for _ in 0..=random.below(3) {
            random.mutate(&mut bytes);
        }
        let mut client = limpet.client();
        let _ = client.try_send(&bytes);
        let answer = client.finish().try_rest();
        let hangs =
            answer.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!hangs, "no end after {:?}", String::from_utf8_lossy(&bytes));
        let answer = answer.unwrap_or_default();
        let plausible =
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 ") || !answer.starts_with(b"HTTP");
        assert!(plausible, "{:?}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(limpet.wait_workers(1), workers);
    limpet.log.has_none_of(&["alert", "emerg", "crit"]);
}
