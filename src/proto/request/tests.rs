//! Tests of the request head parser: what is taken, what is refused, and that
//! neither depends on how the bytes arrive.
use super::*;

/// Parses `text` at once.
fn parse(text: &[u8], rules: &Rules) -> (Outcome, Head) {
    let mut head = Head::default();
    (head.parse(text, rules), head)
}

fn good(text: &str) -> Head {
    let (outcome, head) = parse(text.as_bytes(), &Rules::default());
    assert_eq!(outcome, Outcome::Done, "{text:?}");
    head
}

fn str_of(span: Span, text: &str) -> &str {
    std::str::from_utf8(span.of(text.as_bytes())).unwrap()
}

#[test]
fn a_usual_request() {
    let text = "GET /a/b.html?x=1&y=#z HTTP/1.1\r\nHost: Example.com:8080\r\n\
        User-Agent: curl/8\r\nAccept: */*\r\nEmpty:\r\nx-forwarded-for:  1.2.3.4 \r\n\r\nGET /";
    let head = good(text);
    let buffer = text.as_bytes();
    assert_eq!(head.len as usize, text.len() - 5);
    assert_eq!(str_of(head.line, text), "GET /a/b.html?x=1&y=#z HTTP/1.1");
    assert_eq!((head.method, str_of(head.method_name, text)), (Method::Get, "GET"));
    assert_eq!((head.version, head.form), (Version::V11, Form::Origin));
    assert_eq!(head.request_uri(buffer), b"/a/b.html?x=1&y=#z");
    assert_eq!(head.path(buffer), b"/a/b.html");
    assert_eq!(str_of(head.args, text), "x=1&y=");
    assert_eq!(str_of(head.host, text), "Example.com");
    assert_eq!((head.port, head.host_has_upper), (Some(8080), true));
    assert!(!head.complex && head.keeps_alive() && !head.expects_continue);
    assert_eq!(head.framing, Framing::None);
    assert_eq!(head.get(buffer, Known::UserAgent), Some(&b"curl/8"[..]));
    assert_eq!(head.get(buffer, Known::XForwardedFor), Some(&b"1.2.3.4"[..]));
    assert_eq!(head.get(buffer, Known::Cookie), None);
    assert_eq!(head.find(buffer, b"empty"), Some(&b""[..]));
    let names: Vec<&[u8]> = head.fields(buffer).map(|field| field.name).collect();
    assert_eq!(names, [&b"Host"[..], b"User-Agent", b"Accept", b"Empty", b"x-forwarded-for"]);
    assert_eq!(head.lines, 5);
}

#[test]
fn request_lines() {
    type Read = Result<(Method, Form, Version), Bad>;
    let cases: &[(&str, Read)] = &[
        ("GET / HTTP/1.1", Ok((Method::Get, Form::Origin, Version::V11))),
        ("GET / HTTP/1.0", Ok((Method::Get, Form::Origin, Version::V10))),
        ("GET / HTTP/1.2", Ok((Method::Get, Form::Origin, Version::V11))),
        ("M-SEARCH / HTTP/1.1", Ok((Method::Unknown, Form::Origin, Version::V11))),
        ("A_B /\u{e4} HTTP/1.1", Ok((Method::Unknown, Form::Origin, Version::V11))),
        ("OPTIONS * HTTP/1.1", Ok((Method::Options, Form::Asterisk, Version::V11))),
        ("GET http://h/x HTTP/1.1", Ok((Method::Get, Form::Absolute, Version::V11))),
        ("GET http://h HTTP/1.1", Ok((Method::Get, Form::Absolute, Version::V11))),
        ("GET a+b-c.1://h?x HTTP/1.1", Ok((Method::Get, Form::Absolute, Version::V11))),
        ("GET http://[::1]:80/ HTTP/1.1", Ok((Method::Get, Form::Absolute, Version::V11))),
        ("CONNECT h:443 HTTP/1.1", Ok((Method::Connect, Form::Authority, Version::V11))),
        ("CONNECT / HTTP/1.1", Ok((Method::Connect, Form::Origin, Version::V11))),
        ("CONNECT h HTTP/1.1", Err(Bad::HostInLine)),
        ("CONNECT http://h/ HTTP/1.1", Err(Bad::HostInLine)),
        ("GET * HTTP/1.1", Err(Bad::Request)),
        ("OPTIONS ** HTTP/1.1", Err(Bad::Request)),
        ("get / HTTP/1.1", Err(Bad::Method)),
        ("GE1T / HTTP/1.1", Err(Bad::Method)),
        (" GET / HTTP/1.1", Err(Bad::Method)),
        ("GET\t/ HTTP/1.1", Err(Bad::Method)),
        ("\x16\x03\x01\x02", Err(Bad::Method)),
        ("GET", Err(Bad::Method)),
        ("GET ", Err(Bad::Request)),
        ("GET  / HTTP/1.1", Err(Bad::Request)),
        ("GET /  HTTP/1.1", Err(Bad::Request)),
        ("GET / HTTP/1.1 ", Err(Bad::Request)),
        ("GET /a b HTTP/1.1", Err(Bad::Request)),
        ("GET /\t HTTP/1.1", Err(Bad::Request)),
        ("GET /\0 HTTP/1.1", Err(Bad::Request)),
        ("GET /\x7f HTTP/1.1", Err(Bad::Request)),
        ("GET /?\x01 HTTP/1.1", Err(Bad::Request)),
        ("GET /#\x01 HTTP/1.1", Err(Bad::Request)),
        ("GET ?x HTTP/1.1", Err(Bad::Request)),
        ("GET x HTTP/1.1", Err(Bad::Request)),
        ("GET http:/h/ HTTP/1.1", Err(Bad::Request)),
        ("GET http:///x HTTP/1.1", Err(Bad::HostInLine)),
        ("GET http://a@h/ HTTP/1.1", Err(Bad::HostInLine)),
        ("GET http://h#f HTTP/1.1", Err(Bad::Request)),
        ("GET http://h:1:2/ HTTP/1.1", Err(Bad::HostInLine)),
        ("GET / http/1.1", Err(Bad::Request)),
        ("GET / HTTP/1.01", Err(Bad::Request)),
        ("GET / HTTP/1.", Err(Bad::Request)),
        ("GET / HTTP/1", Err(Bad::Request)),
        ("GET / HTTP/1,1", Err(Bad::Request)),
        ("GET / HTTP/0.9", Err(Bad::Request)),
        ("GET / HTTP/01.1", Err(Bad::Request)),
        ("GET / HTTP/2.0", Err(Bad::Version)),
        ("GET / HTTP/11.1", Err(Bad::Version)),
        ("GET / HTTPS/1.1", Err(Bad::Request)),
        ("GET / XTTP/1.1", Err(Bad::Request)),
        ("POST /", Err(Bad::MethodIn09)),
        ("OPTIONS *", Err(Bad::Request)),
        ("CONNECT h:1", Err(Bad::MethodIn09)),
        ("GET / HTTP/1.1\rX", Err(Bad::Request)),
        ("GET / HTTP/1.1\r\r\n", Err(Bad::Request)),
    ];
    for (line, want) in cases {
        let text = format!("{line}\r\nHost: h\r\n\r\n");
        let (outcome, head) = parse(text.as_bytes(), &Rules::default());
        let found = match outcome {
            Outcome::Done => Ok((head.method, head.form, head.version)),
            Outcome::Bad(bad) => Err(bad),
            Outcome::Partial => panic!("{line:?} is not complete"),
        };
        assert_eq!(found, *want, "{line:?}");
    }
}

#[test]
fn http_09_has_no_headers() {
    let head = good("GET /x?y\r\nHost: h\r\n");
    assert_eq!((head.version, head.len), (Version::V09, 10));
    assert!(!head.keeps_alive());
    assert_eq!(good("\n\r\nGET /\n").len, 9);
}

#[test]
fn targets_are_taken_apart() {
    for (target, path, args, complex) in [
        ("/", "/", "", false),
        ("/a.b/c", "/a.b/c", "", false),
        ("/a?", "/a", "", false),
        ("/a?b?c", "/a", "b?c", false),
        ("/a#b?c", "/a", "", false),
        ("/a?b#c?d", "/a", "b", false),
        ("/a+b\u{fc};'\"<>[]|\\^`{}", "/a+b\u{fc};'\"<>[]|\\^`{}", "", false),
        ("//a", "//a", "", true),
        ("/a//", "/a//", "", true),
        ("/.a", "/.a", "", true),
        ("/a/../b?/../", "/a/../b", "/../", true),
        ("/%41", "/%41", "", true),
        ("/a?%41//..", "/a", "%41//..", false),
        ("http://h", "/", "", false),
        ("http://h?x", "/", "x", false),
        ("http://h/?x", "/", "x", false),
        ("http://h//x", "//x", "", true),
        ("http://h:8/", "/", "", false),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n");
        let head = good(&text);
        assert_eq!(head.path(text.as_bytes()), path.as_bytes(), "{target}");
        assert_eq!(str_of(head.args, &text), args, "{target}");
        assert_eq!(head.complex, complex, "{target}");
        let host = if target.starts_with('/') { "other" } else { "h" };
        assert_eq!(str_of(head.host, &text), host, "{target}");
        let port = if target.contains(":8") { ":8" } else { "" };
        let told = format!("{host}{port}");
        assert_eq!(head.get(text.as_bytes(), Known::Host), Some(told.as_bytes()), "{target}");
        assert_eq!(head.find(text.as_bytes(), b"host"), Some(told.as_bytes()), "{target}");
    }
}

/// Header lines of an HTTP/1.1 request and what they make of it.
#[test]
fn header_lines() {
    let cases: &[(&str, Result<(), Bad>)] = &[
        ("Host: h\r\n", Ok(())),
        ("hOST:h\n", Ok(())),
        ("Host: h\r\nX: a\tb\u{80}\u{fc}\"\\\r\n", Ok(())),
        ("Host: h\r\nX:\r\nY: \r\n", Ok(())),
        ("Host: h\r\nX_Y: 1\r\n(odd): 2\r\n!#$%&'*+.^`|~: 3\r\n", Ok(())),
        ("", Err(Bad::NoHost)),
        ("X: y\r\n", Err(Bad::NoHost)),
        ("Host: \r\n", Err(Bad::Host)),
        ("Host: a b\r\n", Err(Bad::Host)),
        ("Host: \th\r\n", Err(Bad::Host)),
        ("Host: a, a\r\n", Err(Bad::Host)),
        ("Host: a\r\nHost: a\r\n", Err(Bad::DuplicateHost)),
        ("Host: h\r\nno colon\r\n", Err(Bad::Header)),
        ("Host: h\r\nnocolon\r\n", Err(Bad::NoColon)),
        ("Host: h\r\n: no name\r\n", Err(Bad::Header)),
        ("Host : h\r\n", Err(Bad::Header)),
        ("Host\t: h\r\n", Err(Bad::Header)),
        (" Host: h\r\n", Err(Bad::Header)),
        ("Host: h\r\n folded\r\n", Err(Bad::Header)),
        ("Host: h\r\n\tfolded\r\n", Err(Bad::Header)),
        ("Host: h\r\nX\0: y\r\n", Err(Bad::Header)),
        ("Host: h\r\nX\u{fc}: y\r\n", Err(Bad::Header)),
        ("Host: h\r\nX\x7f: y\r\n", Err(Bad::Header)),
        ("Host: h\r\nX: \0\r\n", Err(Bad::Header)),
        ("Host: h\r\nX: a\x01b\r\n", Err(Bad::Control)),
        ("Host: h\r\nX: a\x7fb\r\n", Err(Bad::Control)),
        ("Host: h\r\nX: a\rb\r\n", Err(Bad::Header)),
        ("Host: h\r\r\n", Err(Bad::Header)),
        ("Host: h\r\nX: a\r\r\n", Err(Bad::Header)),
        ("Host: h\r\n\r\r\n", Err(Bad::Header)),
        ("Host: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n", Err(Bad::DuplicateHeader)),
        ("Host: h\r\nContent-Length:1, 1\r\n", Err(Bad::ContentLength)),
        ("Host: h\r\nContent-Length: \t1\r\n", Err(Bad::ContentLength)),
        ("Host: h\r\nContent-Length : 1\r\n", Err(Bad::Header)),
        ("Host: h\r\nTransfer-Encoding : chunked\r\n", Err(Bad::Header)),
        ("Host: h\r\nTransfer-Encoding: xchunked\r\n", Err(Bad::TransferEncoding)),
        ("Host: h\r\nTransfer-Encoding: \x0bchunked\r\n", Err(Bad::Control)),
        ("Host: h\r\nTransfer-Encoding: chunked\u{85}\r\n", Err(Bad::TransferEncoding)),
        (
            "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(Bad::DuplicateHeader),
        ),
        ("Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n", Err(Bad::TwoFramings)),
        ("Host: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", Err(Bad::TwoFramings)),
        ("Host: h\r\nContent-Length: 3\r\nContent_Length: 5\r\n", Ok(())),
        ("Host: h\r\nCookie: a\r\nCookie: b\r\n", Ok(())),
    ];
    for (lines, want) in cases {
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let found = match parse(text.as_bytes(), &Rules::default()).0 {
            Outcome::Done => Ok(()),
            Outcome::Bad(bad) => Err(bad),
            Outcome::Partial => panic!("{lines:?} is not complete"),
        };
        assert_eq!(found, *want, "{lines:?}");
    }
}

#[test]
fn what_headers_mean() {
    let head = good("GET / HTTP/1.0\r\n\r\n");
    assert!(!head.keeps_alive());
    let head = good("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert!(head.keeps_alive());
    let head = good("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, close\r\n\r\n");
    assert!(!head.keeps_alive() && head.connection.names);
    let head =
        good("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection:Upgrade\r\n\r\n");
    let want = Connection { keep_alive: true, upgrade: true, ..Connection::default() };
    assert_eq!(head.connection, want);
    assert!(head.is_repeated(Known::Connection) && !head.is_repeated(Known::Host));
    let text = "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 007\r\n\r\n";
    let head = good(text);
    assert!(head.expects_continue);
    assert_eq!(head.framing, Framing::Length(7));
    let head = good("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
    assert!(!head.expects_continue);
    let head = good("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n");
    assert_eq!(head.framing, Framing::Chunked);
}

#[test]
fn odd_names_are_left_out_or_not() {
    let text = b"GET / HTTP/1.1\r\nHost: h\r\nA_B: 1\r\nC.D: 2\r\nE-F: 3\r\n\r\n";
    for (underscores, ignore_invalid, want) in [
        (false, true, vec!["Host", "E-F"]),
        (true, true, vec!["Host", "A_B", "E-F"]),
        (false, false, vec!["Host", "A_B", "C.D", "E-F"]),
    ] {
        let rules = Rules { underscores, ignore_invalid, ..Rules::default() };
        let (outcome, head) = parse(text, &rules);
        assert_eq!(outcome, Outcome::Done);
        let names: Vec<_> =
            head.fields(text).map(|f| String::from_utf8_lossy(f.name).into_owned()).collect();
        assert_eq!(names, want);
    }
}

#[test]
fn leniencies() {
    let nginx = Rules { colonless: true, controls: true, ..Rules::default() };
    let strict = Rules { strict_line_endings: true, ..Rules::default() };
    let usual = Rules::default();
    for (text, rules, taken) in [
        ("GET / HTTP/1.0\nA: b\n\n", usual, true),
        ("GET / HTTP/1.0\nA: b\r\n\r\n", strict, false),
        ("GET / HTTP/1.0\r\nA: b\n\r\n", strict, false),
        ("GET / HTTP/1.0\r\nA: b\r\n\n", strict, false),
        ("\nGET / HTTP/1.0\r\n\r\n", strict, false),
        ("\r\n\r\nGET / HTTP/1.0\r\n\r\n", strict, true),
        ("GET / HTTP/1.0\r\nnocolon\r\n\r\n", nginx, true),
        ("GET / HTTP/1.0\r\nno colon\r\n\r\n", nginx, false),
        ("GET / HTTP/1.0\r\nContent-Length\r\n\r\n", nginx, false),
        ("GET / HTTP/1.0\r\nA: \x01\x7f\r\n\r\n", nginx, true),
        ("GET / HTTP/1.0\r\nA: \0\r\n\r\n", nginx, false),
        ("GET / HTTP/1.0\r\nA: \rb\r\n\r\n", nginx, false),
    ] {
        let outcome = parse(text.as_bytes(), &rules).0;
        assert_eq!(outcome == Outcome::Done, taken, "{text:?} {outcome:?}");
    }
}

#[test]
fn limits() {
    let rules = Rules { line: 32, head: 100, headers: 3, ..Rules::default() };
    let line = |target: usize| format!("GET /{} HTTP/1.0\r\n", "a".repeat(target));
    let header = |value: usize| format!("A: {}\r\n", "b".repeat(value));
    for (text, want) in [
        // 32 bytes with the end of line are taken, 33 are not.
        (line(16) + "\r\n", Outcome::Done),
        (line(17) + "\r\n", Outcome::Bad(Bad::TooLongLine)),
        (line(500), Outcome::Bad(Bad::TooLongLine)),
        (line(0) + &header(27) + "\r\n", Outcome::Done),
        (line(0) + &header(28) + "\r\n", Outcome::Bad(Bad::TooLongHeader)),
        (line(16) + &header(27) + &header(27) + "A: \r\n", Outcome::Bad(Bad::TooLarge)),
        (line(0) + &header(1).repeat(3) + "\r\n", Outcome::Done),
        (line(0) + &header(1).repeat(4) + "\r\n", Outcome::Bad(Bad::TooManyHeaders)),
        ("\r\n".repeat(60), Outcome::Bad(Bad::TooLongLine)),
        // What is wrong within the limit comes before the limit.
        ("GET /\x01".to_owned() + &"a".repeat(100), Outcome::Bad(Bad::Request)),
        ("GET /".to_owned() + &"a".repeat(100) + "\x01", Outcome::Bad(Bad::TooLongLine)),
    ] {
        assert_eq!(parse(text.as_bytes(), &rules).0, want, "{text:?}");
        check_splits(text.as_bytes(), &rules);
    }
}

/// A head per feature, for the split and mutation tests.
const CORPUS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "\r\n\nGET /a?b HTTP/1.1\nHost: h\n\nGET /next HTTP/1.1\r\n",
    "GET /a/../b//c%20d?e#f HTTP/1.0\r\nConnection: keep-alive\r\n\r\nxx",
    "POST http://Ex.com:80/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789",
    "PUT /u HTTP/1.1\r\nHost: h:1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0",
    "OPTIONS * HTTP/1.1\r\nhost: [::1]:8080\r\nX_Y: z\r\n\r\n",
    "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
    "GET /x\r\n",
    "GET / HTTP/1.9\r\nHost:h\r\nRange: bytes=0-1,2-3\r\nIf-Range: \"x\"\r\nEmpty:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nA: b\t c  \r\nCookie: a=b\r\nCookie: c=d\r\nVia: x\r\n\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nnocolon\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n",
    "get / HTTP/1.1\r\n\r\n",
];

/// Byte by byte, and in two pieces at every place, as at once.
fn check_splits(text: &[u8], rules: &Rules) {
    let (outcome, whole) = parse(text, rules);
    let mut head = Head::default();
    for end in 0..=text.len() {
        let mut fresh = Head::default();
        let mut first = fresh.parse(&text[..end], rules);
        if first == Outcome::Partial {
            first = fresh.parse(text, rules);
        }
        check_same(text, (first, &fresh), (outcome, &whole));
        let now = head.parse(&text[..end], rules);
        if now != Outcome::Partial {
            check_same(text, (now, &head), (outcome, &whole));
            return;
        }
    }
    assert_eq!(outcome, Outcome::Partial, "{:?}", String::from_utf8_lossy(text));
}

fn check_same(text: &[u8], found: (Outcome, &Head), want: (Outcome, &Head)) {
    assert_eq!(found.0, want.0, "{:?}", String::from_utf8_lossy(text));
    if found.0 == Outcome::Done {
        assert_eq!(found.1, want.1, "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn splits_do_not_matter() {
    let tight = Rules { line: 40, head: 80, headers: 3, ..Rules::default() };
    for text in CORPUS {
        check_splits(text.as_bytes(), &Rules::default());
        check_splits(text.as_bytes(), &tight);
    }
}

/// Marsaglia's xorshift: the same bytes on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

#[test]
fn mutations_never_panic_nor_depend_on_splits() {
    const BYTES: &[u8] = b"\r\n\t\0 :/?#%.*_,;=-aZ19\x7f\x80\xff";
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..3000 {
        let mut text = CORPUS[round % CORPUS.len()].as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(text.len());
            let byte = BYTES[random.below(BYTES.len())];
            match random.below(4) {
                0 => text.insert(at, byte),
                1 => drop(text.remove(at)),
                2 => text.extend_from_within(at..),
                _ => text[at] = byte,
            }
        }
        let rules = Rules {
            line: 20 + random.below(200) as u32,
            strict_line_endings: random.below(4) == 0,
            colonless: random.below(4) == 0,
            controls: random.below(4) == 0,
            ..Rules::default()
        };
        check_splits(&text, &rules);
        check_taken(&text, &rules);
    }
}

/// A head that is taken has no bytes in it that could mean something else to
/// the next reader.
fn check_taken(text: &[u8], rules: &Rules) {
    let (outcome, head) = parse(text, rules);
    if outcome != Outcome::Done {
        return;
    }
    for field in head.fields(text) {
        assert!(!field.name.is_empty());
        assert!(field.name.iter().all(|&b| b > b' ' && b < 0x7f && b != b':'));
        assert!(!field.value.iter().any(|b| b"\r\n\0".contains(b)));
    }
    let line = head.line.of(text);
    assert!(line.iter().all(|&b| b >= b' ' && b != 0x7f));
}

#[test]
fn slow_bytes_cost_linear_work() {
    // Each long token, byte by byte: its line is not looked at again.
    let rules = Rules { line: 9_000, head: 9_000, controls: true, ..Rules::default() };
    let long = "a".repeat(8_000);
    for text in [
        long.to_uppercase(),
        format!("GET /{long}"),
        format!("GET /?{long}"),
        format!("GET {long}"),
        format!("GET http://{long}"),
        format!("CONNECT {long}"),
        format!("GET / HTTP/1.1\r\n{long}"),
        format!("GET / HTTP/1.1\r\n_{long}"),
        format!("GET / HTTP/1.1\r\nA:{long}"),
        format!("GET / HTTP/1.1\r\nA:{}", long.replace("aa", "\t\x01")),
    ] {
        let mut head = Head::default();
        let mut looks = 0;
        for end in 1..=text.len() {
            let buffer = &text.as_bytes()[..end];
            looks += usize::from(head.token == Token::Short || !head.token_goes_on(buffer));
            assert_eq!(head.parse(buffer, &rules), Outcome::Partial);
        }
        assert!(looks < 40, "{looks} {}", &text[..20]);
    }
}
