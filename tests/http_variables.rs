//! Variables: what each is, in answers and in logs. What limpet shares with nginx passes with
//! LIMPET_TEST_BINARY=/usr/sbin/nginx, too.
use crate::common::*;

/// A server that answers `/v` with this text and logs it.
fn with_text(text: &str) -> Limpet {
    let place = Place::new();
    place.write("html/file.txt", "file\n");
    Limpet::start_in(
        place,
        &format!(
            "worker_processes 1; events {{ }}
             http {{
                 default_type text/plain; log_format f '{text}'; access_log @DIR@/a.log f;
                 server {{
                     listen 8080; listen unix:@DIR@/socket;
                     server_name first.example second.example;
                     root @DIR@/html; add_header X-Added one; add_header X-Added two;
                     location /v {{ return 200 '{text}'; }}
                     location /set {{ set $args q=1; set $limit_rate 64k; return 200 '{text}'; }}
                     location /moved {{ return 301 /to; }}
                     location /page {{ error_page 404 =200 /file.txt; }}
                     location /lost {{ return 444; }}
                 }}
             }}"
        ),
    )
}

fn answered(limpet: &Limpet, request: &str) -> String {
    let text = request.replace('\n', "\r\n") + "\r\nConnection: close\r\n\r\n";
    let answer = exchange(limpet.port(8080), text);
    answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.into())
}

#[test]
fn what_the_request_says() {
    let cases = [
        ("$args|$query_string|$is_args", "GET /v", "||"),
        ("$args|$query_string|$is_args", "GET /v?", "||"),
        ("$args|$query_string|$is_args", "GET /v?a=%20&b", "a=%20&b|a=%20&b|?"),
        ("$args|$arg_q|$is_args", "GET /set?x", "q=1|1|?"),
        ("$arg_a|$arg_B|$arg_c|$arg_d", "GET /v?A=1&a=2&b=&xc=3&d", "1|||"),
        ("$uri|$document_uri|$request_uri", "GET /v/%61//b?c", "/v/a/b|/v/a/b|/v/%61//b?c"),
        (
            "$request_method|$server_protocol|$scheme|$https|$request",
            "GET /v",
            "GET|HTTP/1.1|http||GET /v HTTP/1.1",
        ),
        (
            "$host|$http_host|$server_name",
            "GET /v HTTP/1.1\nHost: SECOND.example:81",
            "second.example|SECOND.example:81|first.example",
        ),
        (
            "$http_x_a-$http_user_agent-$http_none",
            "GET /v HTTP/1.1\nHost: a\nX-A:  b \nUser-Agent: c",
            "b-c-",
        ),
        (
            "$http_cookie|$cookie_a|$cookie_b|$cookie_c",
            "GET /v HTTP/1.1\nHost: a\nCookie: a=1; B = 2\nCookie: c=\"3\"",
            "a=1; B = 2; c=\"3\"|1|2|\"3\"",
        ),
        ("$content_length|$content_type", "GET /v HTTP/1.1\nHost: a\nContent-Type: x/y", "|x/y"),
        ("$remote_user", "GET /v HTTP/1.1\nHost: a\nAuthorization: Basic dXNlcjpw", "user"),
        ("$remote_user", "GET /v HTTP/1.1\nHost: a\nAuthorization: Basic dXNlcg==", ""),
        ("$remote_user", "GET /v HTTP/1.1\nHost: a\nAuthorization: Bearer dXNlcjpw", ""),
        ("$proxy_add_x_forwarded_for", "GET /v", "127.0.0.1"),
        (
            "$proxy_add_x_forwarded_for",
            "GET /v HTTP/1.1\nHost: a\nX-Forwarded-For: b, c",
            "b, c, 127.0.0.1",
        ),
        ("$limit_rate", "GET /set", "65536"),
        ("$limit_rate", "GET /v", "0"),
        ("$request_length", "GET /v", "55"),
        (
            "$remote_addr|$server_addr|$pipe|$connection_requests|$request_completion",
            "GET /v",
            "127.0.0.1|127.0.0.1|.|1|",
        ),
        (
            "$ssl_protocol$ssl_client_verify$upstream_addr$upstream_http_x$proxy_host$http2|",
            "GET /v",
            "|",
        ),
    ];
    for (text, request, expected) in cases {
        let limpet = with_text(text);
        let request = match request.contains('\n') {
            true => request.to_string(),
            false => format!("{request} HTTP/1.1\nHost: localhost"),
        };
        assert_eq!(answered(&limpet, &request), expected, "{text}: {request}");
    }
}

#[test]
fn header_lines_of_one_name_are_joined() {
    if drives_nginx() {
        return; // 1.23 and later
    }
    let limpet = with_text("$http_x_a|$http_user_agent|$content_type|$sent_http_x_added");
    answered(
        &limpet,
        "GET /v HTTP/1.1\nHost: a\nX-A: 1\nx-a: 2\nUser-Agent: 3\nUser-Agent: 4\n\
         Content-Type: 5\nContent-Type: 6",
    );
    eventually("a line", || !limpet.place.read("a.log").is_empty());
    assert_eq!(limpet.place.read("a.log"), "1, 2|3, 4|5, 6|one, two\n");
}

#[test]
fn ports_of_the_request() {
    if drives_nginx() {
        return; // 1.29.3
    }
    let limpet = with_text("$host$is_request_port$request_port");
    for (host, expected) in [("a", "a"), ("a:81", "a:81"), ("[::1]:82", "[::1]:82")] {
        assert_eq!(answered(&limpet, &format!("GET /v HTTP/1.1\nHost: {host}")), expected);
    }
}

#[test]
fn a_request_id_is_one_for_its_request() {
    let limpet = with_text("$request_id");
    let ids: Vec<_> = (0..40).map(|_| answered(&limpet, "GET /v HTTP/1.1\nHost: a")).collect();
    let is_hex = |id: &String| {
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    assert!(ids.iter().all(is_hex), "{ids:?}");
    eventually("lines", || limpet.place.read("a.log").lines().count() == 40);
    assert_eq!(limpet.place.read("a.log").lines().collect::<Vec<_>>(), ids);
    let mut unique = ids;
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 40);
}

#[test]
fn numbers_and_times_have_nginx_s_forms() {
    let names = "$msec $request_time $connection_time $time_local $time_iso8601 $pid $connection \
                 $remote_port $server_port $tcpinfo_rtt $tcpinfo_rttvar $tcpinfo_snd_cwnd \
                 $tcpinfo_rcv_space $connections_active $connections_waiting $status";
    let limpet = with_text(names);
    let text = answered(&limpet, "GET /v HTTP/1.1\nHost: a");
    let forms: Vec<String> = text
        .split(' ')
        .map(|word| {
            word.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect::<String>()
        })
        .map(|word| if word.chars().all(|c| c == '9') { "9".into() } else { word })
        .collect();
    assert_eq!(forms[..3], ["9999999999.999", "9.999", "9.999"], "{text}");
    assert!(forms[3].starts_with("99/") && forms[3].ends_with("/9999:99:99:99"), "{text}");
    assert_eq!(
        forms[4..6],
        ["+9999".to_string(), "9999-99-99T99:99:99+99:99".into()][..],
        "{text}"
    );
    assert!(forms[6..].iter().all(|form| form == "9"), "{text}");
    let words: Vec<_> = text.split(' ').collect();
    assert_eq!(words[6], limpet.workers()[0].0.to_string());
    assert_eq!(words[9], limpet.port(8080).to_string());
}

#[test]
fn what_was_answered() {
    let text = "$status $body_bytes_sent $sent_http_content_type $sent_http_content_length \
                $sent_http_location $request_completion $sent_http_last_modified $sent_http_etag \
                $sent_http_accept_ranges $sent_http_date";
    let cases = [
        ("GET /lost", "444 0 - - -  - - - -"),
        ("HEAD /file.txt", "200 0 text/plain 5 - OK MODIFIED ETAG bytes -"),
        ("GET /file.txt", "200 5 text/plain 5 - OK MODIFIED ETAG bytes -"),
        ("GET /page", "200 5 text/plain 5 - OK MODIFIED ETAG bytes -"),
        ("GET /moved", "301 SIZE text/html SIZE http://a:8080/to OK - - - -"),
        ("GET /missing", "404 SIZE text/html SIZE - OK - - - -"),
        ("BAD", "400 SIZE text/html SIZE - OK - - - -"),
    ];
    let limpet = with_text(text);
    for (i, (request, expected)) in cases.iter().enumerate() {
        exchange(
            limpet.port(8080),
            format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        );
        eventually("a line", || limpet.place.read("a.log").lines().count() == i + 1);
        let log = limpet.place.read("a.log");
        let line =
            log.lines().last().unwrap().replace(&format!(":{}/", limpet.port(8080)), ":8080/");
        let is_date = |line: &str, at: usize| line.get(at..at + 4).is_some_and(|gmt| gmt == " GMT");
        let mut words: Vec<String> = line.split(' ').map(str::to_string).collect();
        if let Some(at) = line.find(" GMT").filter(|at| is_date(&line, *at)) {
            let after = line[at + 4..].to_string();
            words = line[..at].split(' ').take(6).map(str::to_string).collect();
            words.push("MODIFIED".into());
            words.extend(after.split(' ').skip(1).map(str::to_string));
        }
        for word in &mut words {
            if word.contains("\\x22") {
                *word = "ETAG".into();
            }
        }
        if expected.contains("SIZE") {
            assert!(words[1].parse::<u32>().unwrap() > 100 && words[1] == words[3], "{line}");
            (words[1], words[3]) = ("SIZE".into(), "SIZE".into());
        }
        assert_eq!(words.join(" "), *expected, "{request}");
    }
}

#[test]
fn a_line_that_makes_no_sense_leaves_nothing_to_tell() {
    let text =
        "$request|$request_method|$uri|$request_uri|$args|$server_protocol|$host|$request_length";
    for (bytes, expected) in [
        ("BAD\r\n\r\n", "BAD|-|-|-|-|-|first.example|0"),
        ("GET /v?x\r\n", "GET /v?x|GET|/v|/v?x|x|-|first.example|10"),
        (
            "GET /a?b HTTP/1.0\r\nno header\r\n\r\n",
            "GET /a?b HTTP/1.0|GET|/a|/a?b|b|HTTP/1.0|first.example|19",
        ),
    ] {
        let limpet = with_text(text);
        exchange(limpet.port(8080), bytes);
        eventually("a line", || !limpet.place.read("a.log").is_empty());
        assert_eq!(limpet.place.read("a.log").trim_end(), expected);
    }
}

#[test]
fn a_unix_socket_has_a_path_and_no_ports() {
    let limpet =
        with_text("$remote_addr|$remote_port|$server_addr|$server_port|$binary_remote_addr");
    let mut client = Client::connect_unix(&limpet.place.path("socket"));
    client.send("GET /v HTTP/1.0\r\n\r\n");
    let path = limpet.place.path("socket").display().to_string();
    assert_eq!(client.response().text(), format!("unix:||unix:{path}||unix:"));
}

#[test]
fn pipelined_requests_say_so() {
    let limpet = with_text("$uri $pipe $connection_requests");
    let mut client = limpet.client();
    client.send("GET /v1 HTTP/1.1\r\nHost: a\r\n\r\nGET /v2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "/v1 . 1");
    assert_eq!(client.response().text(), "/v2 p 2");
    assert_eq!(client.get("/v3").text(), "/v3 . 3");
}

#[test]
fn unknown_names_are_errors() {
    for (line, expected) in [
        ("log_format f $nope;", "unknown \"nope\" variable"),
        ("log_format f $ssl_nope;", "unknown \"ssl_nope\" variable"),
        ("log_format f '$';", "invalid parameter \"$\""),
        ("log_format f '${a';", "the closing bracket in \"a\" variable is missing"),
        ("log_format f x; log_format f y;", "duplicate \"log_format\" name \"f\""),
        ("log_format combined x;", "duplicate \"log_format\" name \"combined\""),
        ("log_format f escape=x y;", "unknown log format escaping \"x\""),
        ("access_log a.log nope;", "unknown log format \"nope\""),
        ("access_log a.log combined if=$nope;", "unknown \"nope\" variable"),
        ("access_log $host combined buffer=4k;", "buffered logs cannot have variables in name"),
        ("open_log_file_cache inactive=1;", "\"open_log_file_cache\" must have \"max\" parameter"),
        ("open_log_file_cache max=x;", "invalid \"open_log_file_cache\" parameter \"max=x\""),
        ("server { listen 8080; set $host x; }", "the duplicate \"host\" variable"),
    ] {
        let limpet = Limpet::prepare(Place::new(), &format!("events {{ }} http {{ {line} }}"));
        let output = limpet.run(&["-t"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(expected), "{line}: {stderr}");
    }
}
