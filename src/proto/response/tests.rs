//! Tests of the response head parser: what is taken, what is refused, and that
//! neither depends on how the bytes arrive. More than 500 lines: most of them are tables.
use super::body::Body;
use super::*;
use crate::proto::request::Method;

fn cgi() -> Rules {
    Rules { cgi: true, ..Rules::default() }
}

/// Parses `text` at once.
fn parse(text: &[u8], rules: &Rules) -> (Outcome, Head) {
    let mut head = Head::default();
    (head.parse(text, rules), head)
}

fn good(text: &str, rules: &Rules) -> Head {
    let (outcome, head) = parse(text.as_bytes(), rules);
    assert_eq!(outcome, Outcome::Done, "{text:?}");
    head
}

fn str_of(span: Span, text: &str) -> &str {
    std::str::from_utf8(span.of(text.as_bytes())).unwrap()
}

/// What the log would say.
fn told(text: &str, rules: &Rules) -> String {
    match parse(text.as_bytes(), rules) {
        (Outcome::Bad(bad), head) => head.complain(text.as_bytes(), bad).to_string(),
        (outcome, head) => format!("{outcome:?} {}", head.status),
    }
}

/// The same without the directive that would allow it.
fn complaint(text: &str, rules: &Rules) -> String {
    let words = told(text, rules);
    words.split_once(", which ").map_or(words.clone(), |(words, _)| words.into())
}

/// Names and values, as they would be forwarded.
fn fields(text: &str, rules: &Rules) -> String {
    let head = good(text, rules);
    let show = |field: Field<'_>| {
        format!("{}={}", str::from_utf8(field.name).unwrap(), field.value.escape_ascii())
    };
    head.fields(text.as_bytes()).map(show).collect::<Vec<_>>().join("|")
}

#[test]
fn a_usual_response() {
    let text = "HTTP/1.1 404 Not Found\r\nServer: x\r\nDate: now\nContent-Length: 12\r\n\
        Connection: keep-alive, X-Hop\r\nSet-Cookie: a=1\r\nset-cookie:  b=2 \r\nEmpty:\r\n\
        X_Y: 1\r\n\r\nbody";
    let head = good(text, &Rules::default());
    let buffer = text.as_bytes();
    assert_eq!(head.len as usize, text.len() - 4);
    assert_eq!((head.version, head.status), (Version::V11, 404));
    assert_eq!(str_of(head.status_line, text), "404 Not Found");
    assert_eq!(str_of(head.reason, text), "Not Found");
    assert_eq!((head.length, head.chunked), (Some(12), false));
    assert!(head.connection.keep_alive && head.connection.names && !head.connection.close);
    assert_eq!(head.get(buffer, Known::SetCookie), Some(&b"a=1"[..]));
    assert_eq!(head.get(buffer, Known::Location), None);
    assert_eq!(head.find(buffer, b"x_y"), Some(&b"1"[..]));
    assert!(head.has(Known::Date) && !head.has(Known::ETag) && !head.is_interim());
    let known: Vec<Option<Known>> = head.fields(buffer).map(|field| field.known).collect();
    assert_eq!(known[0], Some(Known::Server));
    assert_eq!(known[5..], [Some(Known::SetCookie), None, None]);
    assert_eq!(
        fields(text, &Rules::default()),
        "Server=x|Date=now|Content-Length=12|Connection=keep-alive, X-Hop|Set-Cookie=a=1\
         |set-cookie=b=2|Empty=|X_Y=1"
    );
    assert_eq!(head.left_out(buffer).count(), 0);
}

const NONE: &str = "upstream sent no valid HTTP/1.0 header";

#[test]
fn status_lines() {
    type Read<'a> = Result<(Version, u16, &'a str, &'a str), &'a str>;
    let cases: &[(&str, Read<'_>)] = &[
        ("HTTP/1.1 200 OK", Ok((Version::V11, 200, "200 OK", "OK"))),
        ("HTTP/1.0 200 OK", Ok((Version::V10, 200, "200 OK", "OK"))),
        ("HTTP/1.1 200", Ok((Version::V11, 200, "200", ""))),
        ("HTTP/1.1 200 ", Ok((Version::V11, 200, "200 ", ""))),
        ("HTTP/1.1   200  a \tb ", Ok((Version::V11, 200, "200  a \tb ", " a \tb "))),
        ("HTTP/1.1 403.1 No", Ok((Version::V11, 403, "403.1 No", ".1 No"))),
        ("HTTP/1.1 100 Continue", Ok((Version::V11, 100, "100 Continue", "Continue"))),
        ("HTTP/1.1 599 \u{e4}", Ok((Version::V11, 599, "599 \u{e4}", "\u{e4}"))),
        ("HTTP/1.2 200", Ok((Version::V11, 200, "200", ""))),
        ("HTTP/2.0 200", Ok((Version::V11, 200, "200", ""))),
        ("HTTP/1.01 200", Ok((Version::V11, 200, "200", ""))),
        ("HTTP/1.00 200", Ok((Version::V10, 200, "200", ""))),
        ("HTTP/12.345 200", Ok((Version::V11, 200, "200", ""))),
        ("HTTP/2 200", Err(NONE)),
        ("HTTP/0.9 200", Err(NONE)),
        ("HTTP/01.1 200", Err(NONE)),
        ("HTTP/123.1 200", Err(NONE)),
        ("HTTP/1.1234 200", Err(NONE)),
        ("HTTP/1. 200", Err(NONE)),
        ("HTTP/.1 200", Err(NONE)),
        ("HTTP/1,1 200", Err(NONE)),
        ("http/1.1 200", Err(NONE)),
        ("HTTPS/1.1 200", Err(NONE)),
        ("ICY 200 OK", Err(NONE)),
        (" HTTP/1.1 200", Err(NONE)),
        ("", Err(NONE)),
        ("HTTP/1.1", Err(NONE)),
        ("HTTP/1.1 ", Err(NONE)),
        ("HTTP/1.1\t200", Err(NONE)),
        ("HTTP/1.1 20", Err(NONE)),
        ("HTTP/1.1 2 00", Err(NONE)),
        ("HTTP/1.1 20x", Err(NONE)),
        ("HTTP/1.1 -20", Err(NONE)),
        ("HTTP/1.1 2000", Err(NONE)),
        ("HTTP/1.1 200OK", Err(NONE)),
        ("HTTP/1.1 200\tOK", Err(NONE)),
        ("HTTP/1.1 200 O\0K", Err(NONE)),
        ("HTTP/1.1 200 O\rK", Err(NONE)),
        ("HTTP/1.1 200 OK\r", Err(NONE)),
        ("HTTP/1.1 200 O\x01K", Err(NONE)),
        ("HTTP/1.1 000 X", Err("upstream sent invalid status \"000 X\"")),
        ("HTTP/1.1 099", Err("upstream sent invalid status \"099\"")),
        ("HTTP/1.1 600 X", Err("upstream sent invalid status \"600 X\"")),
        ("HTTP/1.1 999", Err("upstream sent invalid status \"999\"")),
    ];
    for (line, want) in cases {
        let text = format!("{line}\r\nA: b\r\n\r\n");
        match want {
            Ok(want) => {
                let head = good(&text, &Rules::default());
                let (line, reason) = (str_of(head.status_line, &text), str_of(head.reason, &text));
                assert_eq!((head.version, head.status, line, reason), *want);
            }
            Err(words) => assert_eq!(complaint(&text, &Rules::default()), *words, "{line:?}"),
        }
    }
}

#[test]
fn lenient_status_lines() {
    let rules = Rules { no_status_line: true, any_status: true, ..Rules::default() };
    for text in ["<html>", "\r\n\r\n", "ICY 200 OK\r\n\r\n", "HTTP/1.1 2x0\r\n\r\n", "HTP"] {
        let head = good(text, &rules);
        assert_eq!((head.len, head.version, head.status), (0, Version::V09, 200), "{text:?}");
        assert_eq!(head.fields(text.as_bytes()).count(), 0);
        let body = head.body(Method::Get);
        assert_eq!(body, Body { framing: Framing::UntilClose, keeps: false });
    }
    assert_eq!(parse(b"HTTP/", &rules).0, Outcome::Partial);
    assert_eq!(good("HTTP/1.1 999 No\r\n\r\n", &rules).status, 999);
    let words = "upstream sent invalid status \"099\"";
    assert_eq!(complaint("HTTP/1.1 099\r\n\r\n", &rules), words);
}

#[test]
fn header_lines() {
    let strict = Rules::default();
    let lenient = Rules { colonless: true, controls: true, ..strict };
    for (lines, plain, loose) in [
        ("A: b\nC:d\n", "A=b|C=d", "A=b|C=d"),
        ("A:\tb\t \r\n", "A=\\tb\\t", "A=\\tb\\t"),
        ("A: \u{e4}\r\n", "A=\\xc3\\xa4", "A=\\xc3\\xa4"),
        ("A: b: c\r\n", "A=b: c", "A=b: c"),
        ("A\r\n", "\"A\\x0d...\"", "A="),
        ("A_\nB: c\r\n", "\"A_\\x0a...\"", "A_=|B=c"),
        ("A: \x01b\x7f\r\n", "\"A: \\x01...\"", "A=\\x01b\\x7f"),
        ("A: b\0\r\n", "\"A: b\\x00...\"", "\"A: b\\x00...\""),
        ("A: b\rc\r\n", "\"A: b\\x0d...\"", "\"A: b\\x0d...\""),
        ("A: b\r\r\n", "\"A: b\\x0d...\"", "\"A: b\\x0d...\""),
        (" A: b\r\n", "\"\\x20...\"", "\"\\x20...\""),
        ("A: b\r\n c\r\n", "\"\\x20...\"", "\"\\x20...\""),
        ("A: b\r\n\tc\r\n", "\"\\x09...\"", "\"\\x09...\""),
        ("A : b\r\n", "\"A\\x20...\"", "\"A\\x20...\""),
        ("A b: c\r\n", "\"A\\x20...\"", "\"A\\x20...\""),
        (": b\r\n", "\"\\x3a...\"", "\"\\x3a...\""),
        ("A\0: b\r\n", "\"A\\x00...\"", "\"A\\x00...\""),
        ("\u{e4}: b\r\nC: d\r\n", "C=d", "C=d"),
        ("a_b!: c\r\nd@e: f\r\n(g): h\r\nI: j\r\n", "a_b!=c|I=j", "a_b!=c|I=j"),
        ("HTTP/1.1 200 OK: x\r\nA: b\r\nHTTP/\r\n", "A=b", "A=b"),
        ("HTTP/1.1 2\x01\r\n", "\"HTTP/1.1 2\\x01...\"", ""),
        ("XHTTP/1: a\r\n", "", ""),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        for (rules, want) in [(&strict, plain), (&lenient, loose)] {
            match want.starts_with('"') {
                true => {
                    let words = format!("upstream sent invalid header: {want}");
                    assert_eq!(complaint(&text, rules), words, "{lines:?}");
                }
                false => assert_eq!(fields(&text, rules), want, "{lines:?}"),
            }
        }
    }
    let text = "HTTP/1.1 200 OK\r\nA: b\r\n\rX";
    assert_eq!(complaint(text, &strict), "upstream sent invalid header: \"\\x0d...\"");
}

#[test]
fn what_would_allow_it() {
    for (text, own, name) in [
        ("<html>", false, "proxy_allow_no_status_line"),
        ("HTTP/1.1 600 X\r\n\r\n", false, "proxy_allow_any_status"),
        ("Status: 999\r\n\r\n", true, "fastcgi_allow_any_status"),
        ("HTTP/1.1 200 OK\r\nA\r\n\r\n", false, "proxy_allow_colonless_headers"),
        ("A\r\n\r\n", true, "fastcgi_allow_colonless_headers"),
        ("A: \x01\r\n\r\n", true, "fastcgi_allow_control_bytes_in_headers"),
        ("HTTP/1.1 099 X\r\n\r\n", false, ""),
        ("Status: 1000\r\n\r\n", true, ""),
        ("A: \0\r\n\r\n", true, ""),
        ("A b\r\n\r\n", true, ""),
    ] {
        let words = told(text, &Rules { cgi: own, ..Rules::default() });
        let suffix = format!(", which \"{name}\" would allow");
        assert_eq!(words.ends_with(&suffix), !name.is_empty(), "{words}");
        assert_eq!(words.contains("would allow"), !name.is_empty(), "{words}");
    }
}

#[test]
fn second_lines() {
    let text = "HTTP/1.1 200 OK\r\nDate: 1\r\nVary: a\r\ndate: 2\r\nVary: b\r\na@: c\r\n\r\n";
    assert_eq!(fields(text, &Rules::default()), "Date=1|Vary=a|Vary=b");
    let head = good(text, &Rules::default());
    let left: Vec<&[u8]> = head.left_out(text.as_bytes()).collect();
    assert_eq!(left, [&b"date: 2"[..], b"a@: c"]);
}

#[test]
fn bad_framing() {
    let length = |value: &str| {
        format!("upstream sent invalid \"Content-Length\" header: \"{}\"", value.trim_ascii())
    };
    let coding = |value: &str| {
        format!("upstream sent unknown \"Transfer-Encoding\": \"{}\"", value.trim_ascii())
    };
    let two = "upstream sent \"Content-Length\" and \"Transfer-Encoding\" \
               headers at the same time";
    let mut cases = vec![
        ("Content-Length: 5\r\nTransfer-Encoding: chunked".to_owned(), two.to_owned()),
        ("transfer-encoding: chunked\r\ncontent-length: 0".to_owned(), two.to_owned()),
        (
            "Content-Length: 5\r\nContent-Length: 5".to_owned(),
            "upstream sent duplicate header line: \"Content-Length: 5\"".to_owned(),
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked".to_owned(),
            "upstream sent duplicate header line: \"Transfer-Encoding: chunked\"".to_owned(),
        ),
    ];
    for value in
        ["", "+5", "-1", "5, 5", "5,6", "0x5", "1_0", "5 5", "\u{665}", "9223372036854775808"]
    {
        cases.push((format!("Content-Length: {value}"), length(value)));
    }
    for value in ["", "xchunked", "chunked, identity", "identity", ",chunked", "chunked,", "gzip"] {
        cases.push((format!("Transfer-Encoding: {value}"), coding(value)));
    }
    for rules in [Rules::default(), cgi()] {
        for (lines, want) in &cases {
            let status = if rules.cgi { "" } else { "HTTP/1.0 200 OK\r\n" };
            assert_eq!(&complaint(&format!("{status}{lines}\r\n\r\n"), &rules), want);
        }
    }
}

#[test]
fn bodies() {
    use Framing::{Chunked, Length, None, UntilClose};
    use Method::{Connect, Get, Head, Post};
    for (method, status, lines, framing, keeps) in [
        (Get, "1.1 200", "", UntilClose, false),
        (Get, "1.1 200", "Content-Length: 0", Length(0), true),
        (Post, "1.1 500", "Content-Length: 007", Length(7), true),
        (Get, "1.1 200", "Transfer-Encoding: Chunked", Chunked, true),
        (Get, "1.0 200", "Transfer-Encoding: chunked", Chunked, false),
        (Get, "1.0 200", "Content-Length: 7\r\nConnection: keep-alive", Length(7), false),
        (
            Get,
            "1.1 200",
            "Content-Length: 7\r\nConnection: x\r\nConnection: Close",
            Length(7),
            false,
        ),
        (Head, "1.1 200", "Content-Length: 7", None, true),
        (Head, "1.1 200", "Transfer-Encoding: chunked", None, true),
        (Head, "1.1 200", "", None, true),
        (Get, "1.1 304", "Content-Length: 7", None, true),
        (Get, "1.1 204", "", None, true),
        (Get, "1.1 204", "Content-Length: 0", None, true),
        (Get, "1.1 204", "Content-Length: 7", None, false),
        (Get, "1.1 204", "Transfer-Encoding: chunked", None, false),
        (Get, "1.1 100", "", None, true),
        (Get, "1.1 103", "Content-Length: 7", None, false),
        (Get, "1.1 101", "Upgrade: x", None, false),
        (Connect, "1.1 200", "Content-Length: 7", None, false),
        (Connect, "1.1 405", "Content-Length: 7", Length(7), false),
    ] {
        let text = format!("HTTP/{status} X\r\nA: b\r\n{lines}\r\n\r\n")
            .replace("\r\n\r\n\r\n", "\r\n\r\n");
        let body = good(&text, &Rules::default()).body(method);
        assert_eq!(body, Body { framing, keeps }, "{text:?}");
    }
    for (status, interim) in [(100, true), (101, false), (102, true), (199, true), (200, false)] {
        let head = good(&format!("HTTP/1.1 {status} X\r\n\r\n"), &Rules::default());
        assert_eq!(head.is_interim(), interim);
    }
}

#[test]
fn cgi_heads() {
    let invalid = |value: &str| Err(format!("upstream sent invalid status \"{value}\""));
    for (lines, want) in [
        ("", Ok((200, "", ""))),
        ("Content-Type: a\r\n", Ok((200, "", ""))),
        ("Status: 404 Not Found\n", Ok((404, "404 Not Found", "Not Found"))),
        ("Status: 404\r\n", Ok((404, "404", ""))),
        ("Status: 403.1 x\r\n", Ok((403, "403.1 x", "1 x"))),
        ("Location: /x\r\n", Ok((302, "", ""))),
        ("Location: /x\r\nStatus: 201 C\r\n", Ok((201, "201 C", "C"))),
        ("Status: 201\r\nStatus: 500\r\n", Ok((201, "201", ""))),
        ("Status: 20\r\n", invalid("20")),
        ("Status: \r\n", invalid("")),
        ("Status: abc\r\n", invalid("abc")),
        ("Status: +20\r\n", invalid("+20")),
        ("Status: 2000\r\n", invalid("2000")),
        ("Status: 103 Early\r\n", invalid("103 Early")),
        ("Status: 600\r\n", invalid("600")),
        ("HTTP/1.1 200 OK\r\nStatus: 202\r\n", Ok((202, "202", ""))),
    ] {
        let text = format!("{lines}\r\n");
        match want {
            Ok(want) => {
                let head = good(&text, &cgi());
                let (line, reason) = (str_of(head.status_line, &text), str_of(head.reason, &text));
                assert_eq!((head.status, line, reason), want);
            }
            Err(words) => assert_eq!(complaint(&text, &cgi()), words),
        }
    }
    let text = "Transfer-Encoding: chunked\r\n\r\n";
    assert_eq!(good(text, &cgi()).body(Method::Get).framing, Framing::UntilClose);
    let text = "Content-Length: 3\r\n\r\n";
    assert_eq!(good(text, &cgi()).body(Method::Get).framing, Framing::Length(3));
    assert_eq!(good(text, &cgi()).body(Method::Head).framing, Framing::None);
}

#[test]
fn sizes() {
    let text = "HTTP/1.1 200 OK\r\nA: bc\r\n\r\n";
    let rules = |size| Rules { size, ..Rules::default() };
    let len = text.len() as u32;
    assert_eq!(good(text, &rules(len)).len, len);
    for size in 0..len {
        assert_eq!(complaint(text, &rules(size)), "upstream sent too big header");
    }
    assert_eq!(parse(&text.as_bytes()[..text.len() - 1], &rules(len)).0, Outcome::Partial);
}

const CORPUS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 12\r\nDate: a\r\nDate: b\r\n\r\nbody",
    "HTTP/1.0 404 Not \tFound\nConnection: close, x\nTransfer-Encoding: chunked\n\n0\r\n\r\n",
    "HTTP/1.01   503\r\nx-accel-limit-rate: 5 \r\nA_b@: c\r\nEmpty:\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: \u{e4}\r\n\r\n",
    "HTTP/1.1 099 X\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA\r\nB: \x01\r\n C\r\n\r\n",
    "HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "Status: 302 Found\r\nLocation: /x\r\nX-Powered-By: PHP\r\n\r\nbody",
    "Location: /x\n\n",
    "<html>no head</html>",
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
    match found.0 {
        Outcome::Done => assert_eq!(found.1, want.1, "{:?}", String::from_utf8_lossy(text)),
        Outcome::Bad(bad) => {
            let words = |head: &Head| head.complain(text, bad).to_string();
            assert_eq!(words(found.1), words(want.1));
        }
        Outcome::Partial => {}
    }
}

/// A head that is taken has no bytes in it that could mean something else to
/// the next reader.
fn check_taken(text: &[u8], rules: &Rules) {
    let (outcome, head) = parse(text, rules);
    if outcome != Outcome::Done {
        return;
    }
    assert!(head.len <= rules.size);
    assert!((100..1000).contains(&head.status));
    for field in head.fields(text) {
        assert!(ascii::is_token(field.name));
        assert!(!field.value.iter().any(|b| b"\r\n\0".contains(b)));
    }
    let ends = head.status_line.of(text).iter().any(|b| b"\r\n\0".contains(b));
    assert!(!ends);
    assert!(!(head.chunked && head.length.is_some()));
}

#[test]
fn splits_do_not_matter() {
    for text in CORPUS {
        for rules in [Rules::default(), Rules { size: 40, ..Rules::default() }, cgi()] {
            check_splits(text.as_bytes(), &rules);
            check_taken(text.as_bytes(), &rules);
        }
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
    const BYTES: &[u8] = b"\r\n\t\0 :/HT.,;=-_@129\x01\x7f\x80\xff";
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..4000 {
        let mut text = CORPUS[round % CORPUS.len()].as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(text.len());
            let byte = BYTES[random.below(BYTES.len())];
            match random.below(4) {
                0 => text.insert(at, byte),
                1 if text.len() > 1 => drop(text.remove(at)),
                2 => text.extend_from_within(at..),
                _ => text[at] = byte,
            }
        }
        let rules = Rules {
            size: 20 + random.below(200) as u32,
            cgi: random.below(3) == 0,
            no_status_line: random.below(4) == 0,
            any_status: random.below(4) == 0,
            colonless: random.below(4) == 0,
            controls: random.below(4) == 0,
        };
        check_splits(&text, &rules);
        check_taken(&text, &rules);
    }
}

#[test]
fn slow_bytes_cost_linear_work() {
    // Each long token, byte by byte: its line is not looked at again.
    let rules = Rules { size: 9_000, controls: true, ..Rules::default() };
    let long = "a".repeat(8_000);
    for text in [
        format!("HTTP/1.1 {}", " ".repeat(8_000)),
        format!("HTTP/1.1 200 {long}"),
        format!("HTTP/1.1 200 OK\r\n{long}"),
        format!("HTTP/1.1 200 OK\r\n_{long}"),
        format!("HTTP/1.1 200 OK\r\n@{}", long.replace("aa", "a/")),
        format!("HTTP/1.1 200 OK\r\nHTTP/{long}"),
        format!("HTTP/1.1 200 OK\r\nA:{long}"),
        format!("HTTP/1.1 200 OK\r\nA:{}", long.replace("aa", "\t\x01")),
    ] {
        let mut head = Head::default();
        let mut looks = 0;
        for end in 1..=text.len() {
            let buffer = &text.as_bytes()[..end];
            looks += usize::from(head.token == Token::Short || !head.token_goes_on(buffer));
            assert_eq!(head.parse(buffer, &rules), Outcome::Partial);
        }
        assert!(looks < 50, "{looks} {}", &text[..20]);
    }
}
