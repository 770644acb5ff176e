//! Access logs: formats, conditions, names made of values, JSON; and error logs as JSON.
//! What limpet shares with nginx passes with LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::*;
use std::os::unix::net::UnixDatagram;

/// What a server with these logs has written to `a.log` for the requests; it has ended.
fn logged(http: &str, requests: &[&str]) -> (Limpet, Vec<String>) {
    let mut limpet = asked(http, requests);
    limpet.signal(libc::SIGQUIT);
    limpet.wait_end();
    let lines = limpet.place.read("a.log").lines().map(str::to_string).collect();
    (limpet, lines)
}

/// The server itself.
fn asked(http: &str, requests: &[&str]) -> Limpet {
    let place = Place::new();
    place.write("html/file.txt", "file\n");
    let config = format!(
        "user root; worker_processes 1; events {{ }}
         http {{ default_type text/plain; {http} }}"
    );
    let limpet = Limpet::start_in(place, &config);
    for request in requests {
        let text = request.replace('\n', "\r\n") + "\r\n\r\n";
        exchange(limpet.port(8080), text);
    }
    limpet
}

#[test]
fn values_are_escaped_as_the_format_says() {
    let odd = "GET /x HTTP/1.0\nX-Odd: a\"b\\c\td\u{e9}";
    let cases = [
        ("", r"a\x22b\x5Cc\x09d\xC3\xA9 - "),
        ("escape=default", r"a\x22b\x5Cc\x09d\xC3\xA9 - "),
        ("escape=json", "a\\\"b\\\\c\\td\u{e9}  "),
        ("escape=none", "a\"b\\c\td\u{e9}  "),
    ];
    for (escape, expected) in cases {
        let (_limpet, lines) = logged(
            &format!(
                "log_format f {escape} '$http_x_odd $http_none $is_args' ; access_log @DIR@/a.log f;
                 server {{ listen 8080; return 200; }}"
            ),
            &[odd],
        );
        assert_eq!(lines, [expected], "{escape}");
    }
}

#[test]
fn a_format_is_made_of_all_its_strings() {
    let (_limpet, lines) = logged(
        r#"log_format f '$request_method' "-${uri}x$status" ' "$args" ' plain;
           log_format empty escape=json;
           access_log @DIR@/a.log f; access_log @DIR@/empty.log empty;
           server {
               listen 8080;
               location / { return 204; }
               location /json { access_log @DIR@/a.log empty; return 204; }
           }"#,
        &["GET /a HTTP/1.0", "GET /b?c HTTP/1.0", "GET /json HTTP/1.0"],
    );
    assert_eq!(lines, [r#"GET-/ax204 "-" plain"#, r#"GET-/bx204 "c" plain"#, ""]);
}

#[test]
fn a_condition_keeps_lines_out() {
    let (_limpet, lines) = logged(
        "log_format f $uri;
         server {
             listen 8080; access_log @DIR@/a.log f if=$arg_log; access_log @DIR@/all.log f;
             return 204;
         }",
        &[
            "GET /1?log=1 HTTP/1.0",
            "GET /0?log=0 HTTP/1.0",
            "GET /none HTTP/1.0",
            "GET /00?log=00 HTTP/1.0",
        ],
    );
    assert_eq!(lines, ["/1", "/00"]);
}

#[test]
fn logs_are_those_of_the_location_that_answers() {
    let (limpet, lines) = logged(
        "log_format f $request_method$uri; access_log @DIR@/a.log f;
         server {
             listen 8080; root @DIR@/html;
             location /if {
                 if ($arg_quiet) { access_log @DIR@/quiet.log f; return 204; }
                 return 204;
             }
             location /except/ {
                 limit_except GET { access_log @DIR@/except.log f; deny all; }
                 return 204;
             }
             location /off { access_log @DIR@/never.log f; access_log off; return 204; }
             error_page 404 /off;
         }",
        &[
            "GET /if HTTP/1.0",
            "GET /if?quiet=1 HTTP/1.0",
            "GET /except/ HTTP/1.0",
            "PUT /except/ HTTP/1.0",
            "GET /missing HTTP/1.0",
            "GET /file.txt HTTP/1.0",
        ],
    );
    assert_eq!(lines, ["GET/if", "GET/except/", "GET/file.txt"]);
    let read = |name| limpet.place.read(name);
    assert_eq!((&*read("quiet.log"), &*read("never.log")), ("GET/if\n", ""));
}

#[test]
fn a_name_of_values_is_a_file_for_each() {
    for cache in ["", "open_log_file_cache max=1;", "open_log_file_cache max=9 min_uses=2 valid=0;"]
    {
        let (limpet, _) = logged(
            &format!(
                "log_format f $uri; {cache}
                 server {{
                     listen 8080; root @DIR@/html; return 204;
                     access_log @DIR@/$host-$arg_n.log f;
                 }}
                 server {{
                     listen 8080; server_name lost; root @DIR@/lost; return 204;
                     access_log @DIR@/$host.log f;
                 }}"
            ),
            &[
                "GET /1?n=x HTTP/1.1\nHost: a\nConnection: close",
                "GET /2?n=x HTTP/1.1\nHost: b\nConnection: close",
                "GET /3?n=x HTTP/1.1\nHost: a\nConnection: close",
                "GET /4 HTTP/1.1\nHost: a\nConnection: close",
                "GET /5?n=/../a HTTP/1.1\nHost: a\nConnection: close",
                "GET /6 HTTP/1.1\nHost: lost\nConnection: close",
            ],
        );
        let read = |name: &str| limpet.place.read(name);
        assert_eq!((&*read("a-x.log"), &*read("b-x.log")), ("/1\n/3\n", "/2\n"), "{cache}");
        assert_eq!(read("a-.log"), "/4\n", "{cache}");
        limpet.log.wait("lost\" existence failed (2: No such file or directory)");
        assert!(!limpet.place.path("lost.log").exists());
        if !drives_nginx() {
            limpet.log.wait("the name of an access log cannot be used");
            assert!(!limpet.place.path("a.log").exists());
        }
    }
}

#[test]
fn a_cached_log_stays_open_from_its_second_line() {
    let limpet = asked(
        "log_format f $uri;
         server {
             listen 8080; root @DIR@/html; return 204;
             open_log_file_cache max=10 min_uses=2 inactive=1h valid=1h;
             access_log @DIR@/$host.log f;
         }",
        &["GET /1 HTTP/1.1\nHost: a\nConnection: close"],
    );
    let worker = limpet.workers()[0];
    let log = limpet.place.path("a.log");
    let is_open = || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", worker.0)).unwrap();
        fds.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path == log))
    };
    let ask = |uri: &str| {
        exchange(
            limpet.port(8080),
            format!("GET {uri} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        )
    };
    eventually("a line", || limpet.place.read("a.log") == "/1\n");
    assert!(!is_open());
    ask("/2");
    eventually("two lines", || limpet.place.read("a.log") == "/1\n/2\n");
    assert!(is_open());
    std::fs::rename(&log, limpet.place.path("old.log")).unwrap();
    ask("/3");
    eventually("three lines", || limpet.place.read("old.log") == "/1\n/2\n/3\n");
}

#[test]
fn a_line_to_syslog_is_whole() {
    let place = Place::new();
    let socket = UnixDatagram::bind(place.path("syslog")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let limpet = Limpet::start_in(
        place,
        "user root; events { }
         http {
             log_format f '$http_x_long|$status';
             access_log
                 syslog:server=unix:@DIR@/syslog,facility=local0,severity=warn,tag=web,nohostname f;
             server { listen 8080; return 204; }
         }",
    );
    let long = "x".repeat(7000);
    exchange(limpet.port(8080), format!("GET / HTTP/1.0\r\nX-Long: {long}\r\n\r\n"));
    let mut room = [0; 16384];
    let count = socket.recv(&mut room).unwrap();
    let line = String::from_utf8_lossy(&room[..count]).into_owned();
    // 16 (local0) times 8, and 4 (warn).
    assert!(line.starts_with("<132>"), "{line}");
    assert!(line.ends_with(&format!(" web: {long}|204")), "{}", line.len());
}

#[test]
fn a_long_line_is_cut_rather_than_lost() {
    if drives_nginx() {
        return;
    }
    let all = "$http_x_long".repeat(200);
    let (_limpet, lines) = logged(
        &format!(
            "log_format f '$uri {all}'; access_log @DIR@/a.log f;
             server {{ listen 8080; return 204; }}"
        ),
        &[&format!("GET /long HTTP/1.0\nX-Long: {}", "x".repeat(8000)), "GET /short HTTP/1.0"],
    );
    assert!(lines[0].starts_with("/long xxx") && lines[0].len() > 700_000, "{}", lines[0].len());
    assert!(lines[1].starts_with("/short --"), "{}", lines[1]);
}

#[test]
fn json_is_an_object_for_each_request() {
    if drives_nginx() {
        return;
    }
    let (_limpet, lines) = logged(
        "access_log @DIR@/a.log json; server { listen 8080; server_name here; return 200 ok; }",
        &[
            "GET /a?b=\"\\ HTTP/1.1\nHost: X\nUser-Agent: q\"\\\u{e9}\t\n\
             Authorization: Basic dTpw\nConnection: close",
            "BAD\u{1}",
            "GET /",
        ],
    );
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!(object(line), Some(""), "{line}");
    }
    let head = concat!(
        r#""remote_addr":"127.0.0.1","remote_user":"u","request":"GET /a?b=\"\\ HTTP/1.1","#,
        r#""method":"GET","scheme":"http","host":"x","uri":"/a?b=\"\\","protocol":"HTTP/1.1","#,
        r#""status":200,"body_bytes_sent":2,"bytes_sent":"#,
    );
    assert!(lines[0].contains(head), "{}", lines[0]);
    assert!(lines[0].contains("\"user_agent\":\"q\\\"\\\\\u{e9}\\t\""), "{}", lines[0]);
    assert!(lines[1].contains(r#""status":400"#) && lines[1].contains(r#""uri":"""#));
    assert!(lines[2].contains(r#""protocol":"""#), "{}", lines[2]);
}

#[test]
fn a_format_json_of_the_configuration_takes_its_place() {
    let (_limpet, lines) = logged(
        "log_format json escape=json '{\"own\":\"$uri\"}'; access_log @DIR@/a.log json;
         server { listen 8080; return 204; }",
        &["GET /a HTTP/1.0"],
    );
    assert_eq!(lines, [r#"{"own":"/a"}"#]);
}

#[test]
fn error_logs_may_be_objects() {
    if drives_nginx() {
        return;
    }
    let (limpet, _) = logged(
        "error_log @DIR@/json.log info format=json; error_log @DIR@/plain.log info;
         access_log off;
         server { listen 8080; server_name here; root @DIR@/html; }",
        &["GET /missing%22%0a HTTP/1.1\nHost: there\nReferer: http://r/\"\nConnection: close"],
    );
    let lines = || limpet.place.read("json.log");
    for line in lines().lines() {
        assert_eq!(object(line), Some(""), "{line}");
    }
    let dir = limpet.place.dir().display();
    let all = lines();
    let line = all.lines().find(|line| line.contains("missing")).unwrap();
    let end = format!(
        concat!(
            r#""message":"open() \"{}/html/missing\"\\x0A\" failed","#,
            r#""errno":2,"error":"No such file or directory","client":"127.0.0.1","#,
            r#""server":"here","request":"GET /missing%22%0a HTTP/1.1","host":"there","#,
            r#""referrer":"http://r/\""}}"#,
        ),
        dir
    );
    assert!(line.contains(r#","level":"error","pid":"#) && line.ends_with(&end), "{line}");
    assert!(limpet.place.read("plain.log").contains(" [error] "));
}

/// Reads a JSON object without nested values; what follows it.
fn object(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('{')?;
    loop {
        rest = string(rest)?.strip_prefix(':')?;
        rest = match rest.starts_with('"') {
            true => string(rest)?,
            false => {
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
                rest[..end].parse::<f64>().ok()?;
                assert!(!rest.starts_with("00"), "{text}");
                &rest[end..]
            }
        };
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.strip_prefix('}'),
        }
    }
}

fn string(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('"')?.chars();
    loop {
        match rest.next()? {
            '"' => return Some(rest.as_str()),
            '\\' => match rest.next()? {
                'u' => {
                    let digits = rest.as_str().get(..4)?;
                    u32::from_str_radix(digits, 16).ok()?;
                    rest = rest.as_str()[4..].chars();
                }
                '"' | '\\' | 'b' | 'f' | 'n' | 'r' | 't' => {}
                _ => return None,
            },
            char if char < ' ' => return None,
            _ => {}
        }
    }
}
