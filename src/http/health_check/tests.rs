//! What the directives may say, and what conditions mean.

use super::condition::judge;
use super::probe::Answer;
use crate::http::conf::Http;
use crate::http::conf::tests::read_all;
use crate::proto::response::{Head, Outcome, Rules};
use std::rc::Rc;

fn read(check: &str, blocks: &str) -> (Http, String) {
    let text = format!(
        "upstream u {{ zone z 64k; server 127.0.0.1; }} upstream bare {{ server 127.0.0.1; }}
         server {{ server_name a.example; location / {{ proxy_pass http://u; {check} }} }} {blocks}"
    );
    let (http, errors, _) = read_all(&text);
    (http, errors.join("; "))
}

#[test]
fn what_is_wrong_is_told() {
    let check = |text: &str, expected: &str| assert_eq!(read(text, "").1, expected, "{text}");
    check("health_check;", "");
    check("health_check interval=1s jitter=100ms fails=3 passes=2 uri=/a?b port=81;", "");
    check("health_check mandatory persistent keepalive_time=60s;", "");
    check("health_check persistent mandatory;", "");
    let alone = "\"persistent\" requires \"mandatory\" parameter";
    check("health_check persistent;", alone);
    for wrong in ["interval=0", "interval=x", "fails=0", "passes=", "port=0", "port=65536", "uri=a"]
    {
        check(&format!("health_check {wrong};"), &format!("invalid parameter \"{wrong}\""));
    }
    check("health_check \"uri=/a b\";", "invalid parameter \"uri=/a b\"");
    check("health_check often;", "invalid parameter \"often\"");
    check("health_check type=grpc;", "\"type=grpc\" is not supported by limpet");
    check("health_check; health_check;", "\"health_check\" directive is duplicate");
    check("health_check match=m;", "match \"m\" is not defined");
    let other = |text: &str| read("", &format!("server {{ {text} }}")).1;
    let no_zone = "\"health_check\" requires shared memory zone in upstream \"bare\"";
    assert_eq!(other("location / { proxy_pass http://bare; health_check; }"), no_zone);
    let no_pass = "\"health_check\" requires \"proxy_pass\" to an \"upstream\" block";
    assert_eq!(other("location / { health_check; }"), no_pass);
    assert_eq!(other("location / { proxy_pass http://$host; health_check; }"), no_pass);
    assert_eq!(other("health_check;"), "\"health_check\" directive is not allowed here");
}

#[test]
fn what_is_wrong_with_a_condition_is_told() {
    let inside = |text: &str, expected: &str| {
        let (_, errors) = read("health_check match=m;", &format!("match m {{ {text} }}"));
        assert_eq!(errors, expected, "{text}");
    };
    inside("status 200; header X; header ! Y; header Z = 1; body ~ \"o k\"; body !~ x;", "");
    inside("status;", "invalid number of arguments in \"status\" directive");
    inside("status !;", "invalid number of arguments in \"status\" directive");
    inside("status ok;", "invalid value \"ok\"");
    inside("status 300-200;", "invalid value \"300-200\"");
    inside("status 20;", "invalid value \"20\"");
    inside("status 200; status 201;", "\"status\" directive is duplicate");
    inside("header X is y;", "invalid parameter \"is\"");
    inside("header X = a b;", "invalid number of arguments in \"header\" directive");
    inside("body = x;", "invalid parameter \"=\"");
    inside("body x;", "invalid number of arguments in \"body\" directive");
    inside("require $x;", "\"require\" directive is not supported by limpet");
    inside("cookie x;", "unknown directive \"cookie\"");
    let twice = read("", "match m { status 200; } match m { status 200; }").1;
    assert_eq!(twice, "duplicate match \"m\"");
}

fn answer(text: &str) -> Answer {
    let (mut head, bytes) = (Head::default(), text.as_bytes().to_vec());
    assert_eq!(head.parse(&bytes, &Rules::default()), Outcome::Done);
    Answer { head, bytes }
}

#[test]
fn conditions_mean_what_they_say() {
    let answer = answer(
        "HTTP/1.1 204 No Content\r\nServer: nginx/1\r\nX-A: one\r\nX-A: two\r\n\r\nall is well",
    );
    let say = |text: &str| {
        let (http, errors) = read("health_check match=m;", &format!("match m {{ {text} }}"));
        assert_eq!(errors, "", "{text}");
        let rule = Rc::clone(&http.conf.health_check.matches[0]);
        judge(Some(&*rule), &answer, &mut http.regex_room.borrow_mut()).err().unwrap_or("well")
    };
    let (status, header, body) = ("checking status code", "checking header", "checking body");
    let cases = [
        ("", "well"),
        ("status 204;", "well"),
        ("status 200 201-299;", "well"),
        ("status 200 301-303;", status),
        ("status ! 500;", "well"),
        ("status ! 200-299;", status),
        ("header Server;", "well"),
        ("header Via;", header),
        ("header ! Via;", "well"),
        ("header ! server;", header),
        ("header server = nginx/1;", "well"),
        ("header Server = nginx;", header),
        ("header Server != nginx;", "well"),
        ("header Server ~ ^nginx;", "well"),
        ("header Server !~ nginx;", header),
        ("header Via !~ nginx;", "well"),
        ("header X-A = two;", "well"),
        ("header X-A != one;", header),
        ("body ~ \"is well\";", "well"),
        ("body !~ well;", body),
        ("status 204; header ! Via; body ~ ill;", body),
    ];
    for (text, expected) in cases {
        assert_eq!(say(text), expected, "{text}");
    }
}

#[test]
fn without_conditions_the_status_decides() {
    for (status, expected) in [(199, false), (200, true), (399, true), (404, false), (500, false)] {
        let mut answer = answer("HTTP/1.1 200 OK\r\n\r\n");
        answer.head.status = status;
        assert_eq!(judge(None, &answer, &mut Default::default()).is_ok(), expected, "{status}");
    }
}

#[test]
fn requests_have_what_is_always_the_same() {
    let asked = |lines: &str| {
        let (http, errors) = read(&format!("{lines} health_check uri=/up;"), "");
        assert_eq!(errors, "");
        String::from_utf8(http.checks[0].request.to_vec()).unwrap()
    };
    assert_eq!(asked(""), "GET /up HTTP/1.1\r\nHost: u\r\nConnection: close\r\n\r\n");
    let lines = "proxy_http_version 1.0; proxy_set_header Host b.example; proxy_set_header A 1;
        proxy_set_header B $uri; proxy_set_header Connection ''; proxy_set_header C '';";
    assert_eq!(
        asked(lines),
        "GET /up HTTP/1.0\r\nHost: b.example\r\nConnection: close\r\nA: 1\r\n\r\n"
    );
    let of_client = asked("proxy_set_header Host $host;");
    assert!(of_client.contains("\r\nHost: a.example\r\n"), "{of_client}");
}
