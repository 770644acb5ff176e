//! Answers of upstreams that are cut, broken, reset, or more than was asked for: what the
//! client gets, and whether the connection to the upstream is used again.
//!
//! More than 500 lines: most of them are tables.
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::upstream::Peer;
use crate::common::*;

const SERVED: &str = "
    worker_processes 1;
    events { }
    http {
        access_log off; lingering_timeout 1s;
        proxy_http_version 1.1; proxy_set_header Connection '';
        upstream app { server 127.0.0.1:8090 max_fails=0; keepalive 8; }
        server {
            listen 8080;
            location / { proxy_pass http://app; }
            location /unbuffered/ { proxy_buffering off; proxy_pass http://app; }
            location /ping { return 200 pong; }
        }
    }
";

/// What the upstream does when it has said all of an answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Stay,
    Close,
    /// Closes one direction, and goes on reading.
    Finish,
    Reset,
}
use Then::{Close, Finish, Reset, Stay};

/// What the client gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gets {
    /// An answer of the proxy's own.
    Refusal,
    /// This status, and all of this body.
    Whole(u16, &'static str),
    /// This status, and then less than its head has promised.
    Cut(u16),
}
use Gets::{Cut, Refusal, Whole};

struct Row(&'static str, &'static str, Then, Gets);

/// Serves rows: the last segment but one of a path is the row, the last where it is cut.
fn start(rows: &'static [Row]) -> (Limpet, Upstream) {
    let place = Place::new();
    let pace = place.port(8080);
    let upstream = Upstream::tcp(&place, 8090, move |peer| play(peer, rows, pace));
    (Limpet::start_in(place, SERVED), upstream)
}

fn play(peer: &mut Peer, rows: &[Row], pace: u16) {
    while let Some(request) = peer.request() {
        let mut segments = request.target().rsplit('/').map(|text| text.parse::<usize>());
        let (Some(Ok(cut)), Some(Ok(row))) = (segments.next(), segments.next()) else {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            continue;
        };
        let Row(_, answer, then, _) = &rows[row];
        let answer = &bytes_of(answer);
        peer.send(&answer[..cut]);
        if cut > 0 {
            // Answered in a later turn of the same worker: it has seen what came before.
            get(pace, "/ping");
        }
        peer.send(&answer[cut..]);
        match then {
            Stay => continue,
            Close => return,
            Finish => {
                peer.finish();
                return peer.hang();
            }
            Reset => {
                get(pace, "/ping");
                return peer.reset();
            }
        }
    }
}

/// Written with `|` for CRLF, since most of an answer's lines end.
fn bytes_of(answer: &str) -> Vec<u8> {
    answer.replace('|', "\r\n").into_bytes()
}

/// Status, and the body if all of it came.
fn outcome(limpet: &Limpet, method: &str, target: &str) -> (u16, Option<String>) {
    let mut client = limpet.client();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let all = client.try_rest().unwrap_or_default();
    let text = String::from_utf8_lossy(&all).into_owned();
    let mut rest = text.as_str();
    loop {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
        let status = head.split([' ', '\r']).nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        if matches!(status, 100..200) && status != 101 {
            rest = body;
            continue;
        }
        return (status, body_of(method, status, head, body));
    }
}

fn body_of(method: &str, status: u16, head: &str, body: &str) -> Option<String> {
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Some(body.into());
    }
    if let Some(length) = length {
        return (length.parse() == Ok(body.len())).then(|| body.into());
    }
    if !head.contains("\r\ntransfer-encoding: chunked") {
        return Some(body.into());
    }
    let (mut rest, mut whole) = (body, String::new());
    loop {
        let (size, more) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return (more == "\r\n").then_some(whole);
        }
        whole.push_str(more.get(..size)?);
        rest = more.get(size..)?.strip_prefix("\r\n")?;
    }
}

fn is_as_expected(got: &(u16, Option<String>), expected: Gets) -> bool {
    match expected {
        Refusal => got.0 == 502 && got.1.is_some(),
        Whole(status, body) => got.0 == status && got.1.as_deref() == Some(body),
        Cut(status) => got.0 == status && got.1.is_none(),
    }
}

/// Each row, buffered and not; then one more request, which must not come over a connection
/// whose row says anything but a whole answer and `Stay`.
fn check(method: &str, rows: &'static [Row]) {
    let (limpet, upstream) = start(rows);
    let mut wrong = Vec::new();
    for (at, Row(what, _, _, expected)) in rows.iter().enumerate() {
        for location in ["", "/unbuffered"] {
            let got = outcome(&limpet, method, &format!("{location}/{at}/0"));
            if !is_as_expected(&got, *expected) {
                wrong.push(format!("{what}{location}: {got:?} instead of {expected:?}"));
            }
            let before = upstream.connections();
            let next = outcome(&limpet, "GET", "/good");
            if next != (200, Some("hello".into())) {
                wrong.push(format!("{what}{location}: then {next:?}"));
            }
            // nginx keeps a connection on which a body has followed the answer to HEAD.
            let kept = upstream.connections() == before;
            if kept && !(drives_nginx() && method == "HEAD") {
                wrong.push(format!("{what}{location}: the connection is used again"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    limpet.log.has_none_of(&["alert", "emerg"]);
    assert_eq!(limpet.log.count("exited on signal"), 0);
}

static WHOLE: &[Row] = &[
    Row(
        "with a length",
        "HTTP/1.1 200 OK|Content-Type: text/plain|X-App: a|Content-Length: 12||hello, world",
        Stay,
        Whole(200, "hello, world"),
    ),
    Row(
        "chunked",
        "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5;a=b|hello|7|, world|0||",
        Stay,
        Whole(200, "hello, world"),
    ),
    Row(
        "chunked, with trailers",
        "HTTP/1.1 200 OK|Transfer-Encoding: chunked||00c|hello, world|0|X-Sum: abc|X-B: c||",
        Stay,
        Whole(200, "hello, world"),
    ),
    Row(
        "until its end",
        "HTTP/1.1 200 OK|X-App: a||hello, world",
        Close,
        Whole(200, "hello, world"),
    ),
    Row("of version 1.0", "HTTP/1.0 200 OK||hello, world", Close, Whole(200, "hello, world")),
    Row(
        "lines of LF",
        "HTTP/1.1 200 OK\nX-App: a\nContent-Length: 5\n\nhello",
        Stay,
        Whole(200, "hello"),
    ),
    Row("no reason", "HTTP/1.1 404|Content-Length: 5||hello", Stay, Whole(404, "hello")),
    Row("no content", "HTTP/1.1 204 No Content|X-App: a||", Stay, Whole(204, "")),
    Row("not modified", "HTTP/1.1 304 Not Modified|ETag: \"a\"||", Stay, Whole(304, "")),
    Row("nothing in it", "HTTP/1.1 200 OK|Content-Length: 0||", Stay, Whole(200, "")),
];

#[test]
fn answers_may_be_cut_anywhere() {
    let (limpet, _upstream) = start(WHOLE);
    for (at, Row(what, answer, _, expected)) in WHOLE.iter().enumerate() {
        for location in ["", "/unbuffered"] {
            let whole = fields(&limpet, &format!("{location}/{at}/0"));
            for cut in 1..bytes_of(answer).len() {
                let target = format!("{location}/{at}/{cut}");
                let got = outcome(&limpet, "GET", &target);
                assert!(is_as_expected(&got, *expected), "{what}, cut at {cut}: {got:?}");
            }
            let middle = format!("{location}/{at}/30");
            assert_eq!(fields(&limpet, &middle), whole, "{what}, cut at 30");
        }
    }
}

fn fields(limpet: &Limpet, target: &str) -> Vec<(String, String)> {
    let mut fields = limpet.get(target).headers;
    fields.retain(|(name, _)| name != "Date");
    fields
}

#[test]
fn connections_are_used_again_while_all_is_well() {
    let (limpet, upstream) = start(WHOLE);
    let kept: Vec<_> = (0..WHOLE.len()).filter(|at| WHOLE[*at].2 == Stay).collect();
    let mut client = limpet.client();
    for round in 0..3 {
        for at in &kept {
            let response = client.get(&format!("/{at}/{round}"));
            let Whole(status, body) = WHOLE[*at].3 else { unreachable!() };
            assert_eq!((response.status, &*response.text()), (status, body), "{}", WHOLE[*at].0);
            let response = client.get(&format!("/unbuffered/{at}/{round}"));
            assert_eq!((response.status, &*response.text()), (status, body), "{}", WHOLE[*at].0);
        }
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn answers_that_end_too_early_are_not_made_whole() {
    static ROWS: &[Row] = &[
        Row("no answer", "", Close, Refusal),
        Row("no answer, half closed", "", Finish, Refusal),
        Row("reset at once", "", Reset, Refusal),
        Row("part of a status line", "HTTP/1.1 2", Close, Refusal),
        Row("a head without its end", "HTTP/1.1 200 OK|X-App: a|", Close, Refusal),
        Row("reset in the head", "HTTP/1.1 200 OK|X-Ap", Reset, Refusal),
        Row("no body", "HTTP/1.1 200 OK|Content-Length: 5||", Close, Cut(200)),
        Row("short body", "HTTP/1.1 200 OK|Content-Length: 5||hell", Close, Cut(200)),
        Row("short, half closed", "HTTP/1.1 200 OK|Content-Length: 5||hell", Finish, Cut(200)),
        Row("until it is half closed", "HTTP/1.1 200 OK||hello", Finish, Whole(200, "hello")),
        Row("reset in the body", "HTTP/1.1 200 OK|Content-Length: 5||hell", Reset, Cut(200)),
        Row("reset behind the head", "HTTP/1.1 200 OK|Content-Length: 5||", Reset, Cut(200)),
        Row("no chunk", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||", Close, Cut(200)),
        Row("short chunk", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hell", Close, Cut(200)),
        Row(
            "no last chunk",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|",
            Close,
            Cut(200),
        ),
        Row(
            "reset in a chunk",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|5|h",
            Reset,
            Cut(200),
        ),
        Row("reset instead of an end", "HTTP/1.1 200 OK||hello", Reset, Cut(200)),
        Row(
            "whole, then reset",
            "HTTP/1.1 200 OK|Content-Length: 5||hello",
            Reset,
            Whole(200, "hello"),
        ),
        Row(
            "whole, then closed",
            "HTTP/1.1 200 OK|Content-Length: 5||hello",
            Close,
            Whole(200, "hello"),
        ),
    ];
    check("GET", ROWS);
}

#[test]
fn more_than_was_announced_is_not_passed_on() {
    static ROWS: &[Row] = &[
        Row(
            "behind the body",
            "HTTP/1.1 200 OK|Content-Length: 5||hello and more",
            Stay,
            Whole(200, "hello"),
        ),
        Row(
            "a second answer",
            "HTTP/1.1 200 OK|Content-Length: 5||helloHTTP/1.1 200 OK|Content-Length: 4||evil",
            Stay,
            Whole(200, "hello"),
        ),
        Row("a body of 204", "HTTP/1.1 204 No Content||evil", Stay, Whole(204, "")),
        Row("a body of 304", "HTTP/1.1 304 Not Modified||evil", Stay, Whole(304, "")),
        Row(
            "a second answer behind 204",
            "HTTP/1.1 204 No Content||HTTP/1.1 200 OK|Content-Length: 4||evil",
            Stay,
            Whole(204, ""),
        ),
        Row(
            "behind the last chunk",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|0||HTTP/1.1 200 OK||",
            Stay,
            Whole(200, "hello"),
        ),
    ];
    check("GET", ROWS);
}

#[test]
fn bodies_of_heads_are_not_passed_on() {
    static ROWS: &[Row] = &[
        Row("a body", "HTTP/1.1 200 OK|Content-Length: 5||hello", Stay, Whole(200, "")),
        Row(
            "chunks",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|0||",
            Stay,
            Whole(200, ""),
        ),
        Row("until the end", "HTTP/1.1 200 OK||hello", Close, Whole(200, "")),
        Row(
            "an answer",
            "HTTP/1.1 200 OK||HTTP/1.1 200 OK|Content-Length: 4||evil",
            Stay,
            Whole(200, ""),
        ),
    ];
    check("HEAD", ROWS);
}

/// nginx takes some of these for answers.
#[test]
fn heads_that_are_not_understood_are_refused() {
    static ROWS: &[Row] = &[
        Row("no status line", "hello, world|", Close, Refusal),
        Row("another protocol", "ICY 200 OK||hello", Close, Refusal),
        Row("status of letters", "HTTP/1.1 abc OK||hello", Close, Refusal),
        Row("status of two digits", "HTTP/1.1 99 OK||hello", Close, Refusal),
        Row("status of four digits", "HTTP/1.1 2000 OK||hello", Close, Refusal),
        Row("status zero", "HTTP/1.1 000 OK||hello", Close, Refusal),
        Row("no colon", "HTTP/1.1 200 OK|nonsense|Content-Length: 5||hello", Stay, Refusal),
        Row("empty name", "HTTP/1.1 200 OK|: x|Content-Length: 5||hello", Stay, Refusal),
        Row(
            "blank before the colon",
            "HTTP/1.1 200 OK|X : x|Content-Length: 5||hello",
            Stay,
            Refusal,
        ),
        Row("blank in a name", "HTTP/1.1 200 OK|X Y: x|Content-Length: 5||hello", Stay, Refusal),
        Row("NUL in a value", "HTTP/1.1 200 OK|X: a\0b|Content-Length: 5||hello", Stay, Refusal),
        Row("NUL in a name", "HTTP/1.1 200 OK|X\0Y: a|Content-Length: 5||hello", Stay, Refusal),
        Row("CR in a value", "HTTP/1.1 200 OK|X: a\rb|Content-Length: 5||hello", Stay, Refusal),
        Row(
            "control in a value",
            "HTTP/1.1 200 OK|X: a\x01b|Content-Length: 5||hello",
            Stay,
            Refusal,
        ),
        Row("a folded line", "HTTP/1.1 200 OK|X: a| b|Content-Length: 5||hello", Stay, Refusal),
        Row("blank at first", "HTTP/1.1 200 OK| X: a|Content-Length: 5||hello", Stay, Refusal),
    ];
    if !drives_nginx() {
        check("GET", ROWS);
    }
}

/// nginx 1.22 takes some of these for answers.
#[test]
fn framing_in_doubt_is_refused() {
    static ROWS: &[Row] = &[
        Row(
            "length and chunked",
            "HTTP/1.1 200 OK|Content-Length: 5|Transfer-Encoding: chunked||5|hello|0||",
            Stay,
            Refusal,
        ),
        Row(
            "chunked and length",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Content-Length: 5||5|hello|0||",
            Stay,
            Refusal,
        ),
        Row(
            "two lengths",
            "HTTP/1.1 200 OK|Content-Length: 5|Content-Length: 6||hello",
            Stay,
            Refusal,
        ),
        Row(
            "two equal lengths",
            "HTTP/1.1 200 OK|Content-Length: 5|Content-Length: 5||hello",
            Stay,
            Refusal,
        ),
        Row("a list of lengths", "HTTP/1.1 200 OK|Content-Length: 5, 5||hello", Stay, Refusal),
        Row("a length with a sign", "HTTP/1.1 200 OK|Content-Length: +5||hello", Stay, Refusal),
        Row("a negative length", "HTTP/1.1 200 OK|Content-Length: -5||hello", Stay, Refusal),
        Row("a length of letters", "HTTP/1.1 200 OK|Content-Length: five||hello", Stay, Refusal),
        Row("an empty length", "HTTP/1.1 200 OK|Content-Length:||hello", Stay, Refusal),
        Row(
            "a length beyond 2^63",
            "HTTP/1.1 200 OK|Content-Length: 9223372036854775808||hello",
            Stay,
            Refusal,
        ),
        Row("unknown coding", "HTTP/1.1 200 OK|Transfer-Encoding: gzip||hello", Close, Refusal),
        Row(
            "two codings",
            "HTTP/1.1 200 OK|Transfer-Encoding: gzip, chunked||5|hello|0||",
            Close,
            Refusal,
        ),
        Row(
            "chunked twice",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Transfer-Encoding: chunked||5|hello|0||",
            Stay,
            Refusal,
        ),
        Row(
            "not quite chunked",
            "HTTP/1.1 200 OK|Transfer-Encoding: xchunked||5|hello|0||",
            Close,
            Refusal,
        ),
    ];
    if !drives_nginx() {
        check("GET", ROWS);
    }
}

#[test]
fn chunks_that_are_not_understood_end_the_answer() {
    static ROWS: &[Row] = &[
        Row("no number", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||x|hello|0||", Stay, Cut(200)),
        Row(
            "more than its size",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||4|hello|0||",
            Stay,
            Cut(200),
        ),
        Row(
            "no number later",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|x||",
            Stay,
            Cut(200),
        ),
        Row("no CRLF", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello0||", Stay, Cut(200)),
        Row(
            "a size beyond 2^64",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||10000000000000005|hello|0||",
            Stay,
            Cut(200),
        ),
        Row(
            "a size beyond 2^63",
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||ffffffffffffffff|hello|0||",
            Stay,
            Cut(200),
        ),
        Row("a sign", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||-5|hello|0||", Stay, Cut(200)),
    ];
    let (limpet, upstream) = start(ROWS);
    for (at, Row(what, ..)) in ROWS.iter().enumerate() {
        for location in ["", "/unbuffered"] {
            let before = upstream.connections();
            let (status, body) = outcome(&limpet, "GET", &format!("{location}/{at}/0"));
            // The head may be gone when the first chunk is seen to be broken, or held back.
            let refused = matches!(status, 0 | 502) || (status == 200 && body.is_none());
            assert!(refused, "{what}: {status} {body:?}");
            assert_eq!(outcome(&limpet, "GET", "/good"), (200, Some("hello".into())), "{what}");
            assert!(upstream.connections() > before.max(1), "{what}: used again");
        }
    }
}

#[test]
fn heads_that_are_too_long_are_refused() {
    let place = Place::new();
    let upstream = Upstream::tcp(&place, 8090, |peer| {
        while peer.request().is_some() {
            let fields = format!("X-Big: {}\r\n", "b".repeat(20_000));
            peer.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"));
        }
    });
    let limpet = Limpet::start_in(place, SERVED);
    assert_eq!(outcome(&limpet, "GET", "/").0, 502);
    limpet.log.wait("upstream sent too big header while reading response header from upstream");
    upstream.wait_ended(0);
}
