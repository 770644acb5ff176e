//! What `upstream` blocks may say, and what becomes of it.

use crate::http::conf::tests::read_all;
use crate::net::upstream::{Ask, Tries};
use crate::sys::addr::Ip;

#[test]
fn what_is_wrong_is_told_as_nginx_does() {
    let check = |text: &str, expected: &str| {
        let (_, errors, _) = read_all(text);
        assert_eq!(errors.join("; "), expected, "{text}");
    };
    let inside = |text: &str, expected: &str| check(&format!("upstream u {{ {text} }}"), expected);
    inside("server 127.0.0.1;", "");
    inside("server app; server app2:81 backup; server unix:/run/x weight=3 down;", "");
    inside("", "no servers are inside upstream");
    inside("server 127.0.0.1 backup;", "no servers in upstream \"u\"");
    inside("server 127.0.0.1:0;", "invalid port in upstream \"127.0.0.1:0\"");
    inside("server http://app;", "invalid port in upstream \"http://app\"");
    inside("server 127.0.0.1 weight=0;", "invalid parameter \"weight=0\"");
    inside("server 127.0.0.1 max_fails=x;", "invalid parameter \"max_fails=x\"");
    inside("server 127.0.0.1 fail_timeout=;", "invalid parameter \"fail_timeout=\"");
    inside("server 127.0.0.1 backups;", "invalid parameter \"backups\"");
    inside("server;", "invalid number of arguments in \"server\" directive");
    inside("server a service=x;", "service upstream \"a\" requires \"resolve\" parameter");
    inside("server a:1 service=x resolve;", "service upstream \"a:1\" may not have port");
    inside("server a; keepalive 8; keepalive 8;", "\"keepalive\" directive is duplicate");
    inside("server a; keepalive x;", "invalid value \"x\" in \"keepalive\" directive");
    inside("server a; keepalive 8 global;", "invalid parameter \"global\"");
    inside("hash; server a;", "invalid number of arguments in \"hash\" directive");
    inside("hash $uri consistently; server a;", "invalid parameter \"consistently\"");
    inside("random three; server a;", "invalid parameter \"three\"");
    inside("random two most_conn; server a;", "invalid parameter \"most_conn\"");
    inside("least_time soon; server a;", "invalid parameter \"soon\"");
    inside("server a backup; ip_hash; server b;", "");
    let unsupported = "balancing method does not support parameter \"backup\"";
    inside("ip_hash; server a backup;", unsupported);
    inside("hash $uri; server a backup;", unsupported);
    inside("random; server a backup;", unsupported);
    inside("least_conn; server a; server b backup slow_start=1s;", "");
    inside("zone z 64k; server a;", "");
    inside("zone z 64x; server a;", "invalid zone size \"64x\"");
    inside("zone z 4k; server a;", "zone \"z\" is too small");
    inside("zone \"\" 64k; server a;", "invalid zone name \"\"");
    inside("server a; sticky cookie id expires=1h domain=.a path=/ secure httponly;", "");
    inside("server a; sticky cookie id samesite=always;", "invalid parameter \"samesite=always\"");
    inside("server a; sticky route $cookie_a $arg_b;", "");
    inside("server a; sticky route a;", "invalid variable name \"a\"");
    inside("server a; sticky smell x;", "invalid parameter \"smell\"");
    let learn = "sticky learn create=$sent_http_x lookup=$http_x zone=s:64k timeout=1h;";
    inside(&format!("server a; {learn}"), "");
    inside(&format!("server a; {learn} {learn}"), "\"sticky\" directive is duplicate");
    let missing = "\"sticky\" directive requires \"create\" parameter";
    inside("server a; sticky learn lookup=$http_x zone=s:64k;", missing);
    check("upstream a { server b; } upstream A { server b; }", "duplicate upstream \"A\"");
    check("server { upstream a { server b; } }", "\"upstream\" directive is not allowed here");
}

#[test]
fn the_last_words_are_for_the_group() {
    let text = "upstream u { server 10.0.0.1 weight=2; server 10.0.0.2:81; keepalive 4;
                             keepalive_requests 5; keepalive_time 6s; keepalive_timeout 7s; }";
    let (http, errors, _) = read_all(text);
    assert_eq!(errors, [""; 0]);
    let group = &http.upstreams.all()[0].group;
    let ask = Ask { key: b"", client: Ip::Unix, sticky: b"", now_ms: 0 };
    let next = || {
        let lease = group.pick(&mut Tries::default(), &ask).ok().unwrap();
        String::from_utf8(lease.name().into()).unwrap()
    };
    let round = ["10.0.0.1:80", "10.0.0.2:81", "10.0.0.1:80"];
    assert_eq!([(); 3].map(|()| next()), round);
    let keepalive = group.keepalive;
    let times = (keepalive.time_ms, keepalive.timeout_ms);
    assert_eq!((keepalive.connections, keepalive.requests, times), (4, 5, (6000, 7000)));
}

#[test]
fn the_last_method_counts() {
    let text = "upstream u { ip_hash; least_conn; server a; }";
    let (_, errors, warnings) = read_all(text);
    assert_eq!((errors.len(), warnings), (0, vec!["load balancing method redefined".to_string()]));
}
