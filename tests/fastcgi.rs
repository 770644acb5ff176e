//! `fastcgi_pass`: what a responder gets, byte for byte, and what becomes of its answers
//! however they arrive; and php-fpm, where it is installed. More than 500 lines, since all of it
//! speaks to one responder.
use crate::common::*;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A request as a responder sees it.
#[derive(Debug, Default)]
struct Asked {
    keep: bool,
    params: Vec<u8>,
    stdin: Vec<u8>,
}

impl Asked {
    /// Reads the records of one request; `None`: the connection was closed.
    fn read(stream: &mut UnixStream) -> Option<Asked> {
        let mut asked = Asked::default();
        loop {
            let mut head = [0; 8];
            stream.read_exact(&mut head).ok()?;
            let [1, kind, 0, 1, high, low, padding, 0] = head else { panic!("{head:?}") };
            let mut content = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            stream.read_exact(&mut content).ok()?;
            stream.read_exact(&mut vec![0; padding.into()]).ok()?;
            match kind {
                1 => {
                    assert_eq!(content[..2], [0, 1], "a responder is wanted");
                    asked.keep = content[2] & 1 == 1;
                }
                4 => asked.params.extend(content),
                5 if content.is_empty() => return Some(asked),
                5 => asked.stdin.extend(content),
                _ => panic!("record {kind}"),
            }
        }
    }

    /// `NAME=value`, in the order of their coming.
    fn params(&self) -> Vec<String> {
        let (mut rest, mut all) = (&self.params[..], Vec::new());
        while !rest.is_empty() {
            let (name, value) = (length(&mut rest), length(&mut rest));
            let (pair, behind) = rest.split_at(name + value);
            let (name, value) = pair.split_at(name);
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            all.push(format!("{}={}", text(name), text(value)));
            rest = behind;
        }
        all
    }

    fn param(&self, name: &str) -> String {
        let params = self.params();
        let mut found = params.iter().filter_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        found.next().unwrap_or_default().to_owned()
    }
}

fn length(bytes: &mut &[u8]) -> usize {
    let long = bytes[0] >= 128;
    let (length, rest) = bytes.split_at(if long { 4 } else { 1 });
    *bytes = rest;
    let all = length.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
    if long { all & 0x7fff_ffff } else { all }
}

fn record(kind: u8, content: impl AsRef<[u8]>, padding: u8) -> Vec<u8> {
    let content = content.as_ref();
    let [high, low] = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, 1, high, low, padding, 0], content, &vec![7; padding.into()]].concat()
}

/// What ends an answer.
fn end() -> Vec<u8> {
    record(3, [0; 8], 0)
}

/// A responder that answers as it is told, and tells what it was asked.
fn respond(
    place: &Place,
    answer: impl Fn(&Asked, &mut UnixStream) + Send + 'static,
) -> Receiver<Asked> {
    let path = place.path("responder");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            while let Some(asked) = Asked::read(&mut stream) {
                answer(&asked, &mut stream);
                let keep = asked.keep;
                if tell.send(asked).is_err() {
                    return;
                }
                if !keep {
                    break;
                }
            }
        }
    });
    told
}

fn config(server: &str) -> String {
    format!(
        "worker_processes 1; error_log @DIR@/error.log info;
         events {{ }}
         http {{
             access_log off;
             upstream app {{ server unix:@DIR@/responder max_fails=0; keepalive 4; }}
             server {{
                 listen 8080; root @DIR@/html;
                 location = /ping {{ return 200 pong; }}
                 {server}
             }}
         }}"
    )
}

fn ask(limpet: &Limpet, request: &str) -> Response {
    let mut client = limpet.client();
    client.send(request);
    client.response()
}

#[test]
fn a_responder_gets_parameters() {
    let place = Place::new();
    let told = respond(&place, |_, stream| {
        stream.write_all(&[record(6, "A: b\n\nok", 3), end()].concat()).unwrap();
    });
    let limpet = Limpet::start_in(
        place,
        &config(
            "location / {
                 fastcgi_split_path_info ^(.+\\.php)(/.*)$; fastcgi_index in.php;
                 fastcgi_param SCRIPT $fastcgi_script_name;
                 fastcgi_param PATH_INFO $fastcgi_path_info;
                 fastcgi_param EMPTY ''; fastcgi_param NONE $arg_none if_not_empty;
                 fastcgi_param SOME $arg_some if_not_empty; fastcgi_param CL $content_length;
                 fastcgi_param HTTP_X_OWN own; fastcgi_param HTTP_X_GONE '';
                 fastcgi_pass app;
             }
             location /bare { fastcgi_pass_request_headers off; fastcgi_pass_request_body off;
                 fastcgi_param A b; fastcgi_pass app; }",
        ),
    );
    let long = "l".repeat(300);
    let response = ask(
        &limpet,
        &format!(
            "POST /a.php/x/y?some=1 HTTP/1.1\r\nHost: h\r\nX-Own: client\r\nx-gone: client\r\n\
             X-List: a\r\nCookie: a=1\r\nx-list: b\r\nCookie: b=2\r\nX-Long: {long}\r\n\
             Content-Length: 5\r\n\r\nhello"
        ),
    );
    assert_eq!((response.status, response.header("a"), response.text()), (200, "b", "ok".into()));
    let asked = told.recv().unwrap();
    assert!(!asked.keep);
    assert_eq!(asked.stdin, b"hello");
    let long = format!("HTTP_X_LONG={long}");
    let want = [
        "SCRIPT=/a.php",
        "PATH_INFO=/x/y",
        "EMPTY=",
        "SOME=1",
        "CL=5",
        "HTTP_X_OWN=own",
        "HTTP_HOST=h",
        "HTTP_X_LIST=a, b",
        "HTTP_COOKIE=a=1; b=2",
        &long,
        "HTTP_CONTENT_LENGTH=5",
    ];
    if !drives_nginx() {
        assert_eq!(asked.params(), want);
    }
    ask(&limpet, "GET /dir/ HTTP/1.1\r\nHost: h\r\nProxy: evil\r\nProxy-A: b\r\n\r\n");
    let asked = told.recv().unwrap();
    assert_eq!(
        (asked.param("SCRIPT"), asked.param("PATH_INFO")),
        ("/dir/in.php".into(), "".into())
    );
    assert_eq!(asked.param("HTTP_PROXY_A"), "b");
    assert_eq!(asked.param("HTTP_PROXY"), if drives_nginx() { "evil" } else { "" });
    ask(&limpet, "GET http://target/dir/ HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(
        told.recv().unwrap().param("HTTP_HOST"),
        if drives_nginx() { "h" } else { "target" }
    );
    ask(&limpet, "POST /bare HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    let asked = told.recv().unwrap();
    assert_eq!((asked.params(), asked.stdin.len()), (vec!["A=b".to_owned()], 0));
}

#[test]
fn bodies_of_all_sizes_reach_a_responder() {
    let place = Place::new();
    let told = respond(&place, |_, stream| {
        stream.write_all(&[record(6, "\n\n", 0), end()].concat()).unwrap();
    });
    let limpet = Limpet::start_in(
        place,
        &config(
            "fastcgi_param CL $content_length; fastcgi_keep_conn on; client_max_body_size 0;
             location / { fastcgi_pass app; }
             location /memory { client_body_buffer_size 256k; fastcgi_pass app; }
             location /stream { fastcgi_request_buffering off; fastcgi_pass app; }",
        ),
    );
    for path in ["/", "/memory", "/stream"] {
        for len in [0, 1, 8, 32_767, 32_768, 32_769, 65_536, 65_544, 200_000] {
            let body: String = (0..len).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
            let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\n");
            for framed in [
                format!("{head}Content-Length: {len}\r\n\r\n{body}"),
                match len {
                    0 => format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                    _ => format!(
                        "{head}Transfer-Encoding: chunked\r\n\r\n{len:x}\r\n{body}\r\n0\r\n\r\n"
                    ),
                },
            ] {
                assert_eq!(ask(&limpet, &framed).status, 200);
                let asked = told.recv().unwrap();
                assert!(asked.stdin == body.as_bytes(), "{path} {len}");
                assert!(asked.keep);
                assert_eq!(asked.param("CL"), len.to_string(), "{path}");
            }
        }
    }
}

#[test]
fn answers_do_not_depend_on_how_they_arrive() {
    let answer = [
        record(7, "PHP one.\n", 5),
        record(6, "Status: 404 Gone Fishing\r\nX-", 0),
        record(7, "two", 0),
        record(6, "A: b\r\nContent-Type: text/x\r\n\r\nhel", 1),
        record(6, "lo", 255),
        record(7, "three\n", 0),
        record(6, "", 0),
        record(3, [0; 8], 3),
    ]
    .concat();
    let place = Place::new();
    let (port, len, cuts) = (place.port(8080), answer.len(), answer.clone());
    let _told = respond(&place, move |asked, stream| {
        let cut: usize = asked.param("CUT").parse().unwrap();
        stream.write_all(&cuts[..cut]).unwrap();
        // Answered in a later turn of the same worker, which has seen what came before.
        get(port, "/ping");
        // Who has heard the end of the output may have closed.
        let _ = stream.write_all(&cuts[cut..]);
    });
    let limpet = Limpet::start_in(
        place,
        &config(
            "fastcgi_param CUT $arg_cut; fastcgi_pass_request_headers off;
             location / { fastcgi_pass app; }
             location /keep { fastcgi_keep_conn on; fastcgi_pass app; }
             location /unbuffered { fastcgi_buffering off; fastcgi_pass app; }",
        ),
    );
    for path in ["/", "/keep", "/unbuffered"] {
        for cut in 0..len {
            let response = limpet.get(&format!("{path}?cut={cut}"));
            let (status, reason) = (response.status, response.reason.as_str());
            assert_eq!((status, reason), (404, "Gone Fishing"), "{path} {cut}");
            assert_eq!((response.header("x-a"), response.header("content-type")), ("b", "text/x"));
            assert!(!response.has("status"));
            assert_eq!(response.text(), "hello", "{path} {cut}");
        }
    }
    limpet
        .log
        .wait("FastCGI sent in stderr: \"PHP one\" while reading response header from upstream");
    limpet.log.wait("FastCGI sent in stderr: \"three\" while reading upstream");
}

#[test]
fn requests_for_a_responder_may_be_cut_anywhere() {
    let place = Place::new();
    let told = respond(&place, |_, stream| {
        stream.write_all(&[record(6, "\nok", 0), end()].concat()).unwrap();
    });
    let limpet = Limpet::start_in(
        place,
        &config(
            "fastcgi_param LEN $content_length;
             location / { fastcgi_pass app; }
             location /unbuffered { fastcgi_request_buffering off; fastcgi_pass app; }",
        ),
    );
    let mut pace = limpet.client();
    for path in ["/", "/unbuffered"] {
        for (framing, body) in [
            ("Content-Length: 12", "hello, world"),
            (
                "Transfer-Encoding: chunked",
                "5;a=b\r\nhello\r\n007\r\n, world\r\n0\r\nX-T: t\r\n\r\n",
            ),
        ] {
            let bytes =
                format!("POST {path} HTTP/1.1\r\nHost: a\r\nX-Own: x\r\n{framing}\r\n\r\n{body}");
            assert_eq!(ask(&limpet, &bytes).text(), "ok", "{bytes:?}");
            let whole = told.recv().unwrap();
            assert_eq!(
                (whole.stdin.as_slice(), whole.param("HTTP_X_OWN").as_str()),
                (&b"hello, world"[..], "x")
            );
            for cut in 1..bytes.len() {
                let mut client = limpet.client();
                client.send(&bytes[..cut]);
                pace.get("/ping");
                client.send(&bytes[cut..]);
                assert_eq!(client.response().text(), "ok", "{bytes:?} cut at {cut}");
                let asked = told.recv().unwrap();
                assert_eq!(
                    (asked.params(), asked.stdin),
                    (whole.params(), whole.stdin.clone()),
                    "cut at {cut}"
                );
            }
        }
    }
}

/// What a responder says, what the client gets (an error: not all of it), and what the log
/// says of it.
type Row = (&'static [(u8, &'static str)], Result<(u16, &'static str), u16>, &'static str);

const ANSWERS: &[Row] = &[
    (&[(6, "\n"), (3, "\0\0\0\0\0\0\0\0")], Ok((200, "")), ""),
    (&[(6, "Location: /x\n\nmoved"), (3, "\0\0\0\0\0\0\0\0")], Ok((302, "moved")), ""),
    (&[(6, "Content-Length: 2\n\nokmore"), (3, "\0\0\0\0\0\0\0\0")], Ok((200, "ok")), "more data"),
    (&[(6, "Content-Length: 9\n\nok"), (3, "\0\0\0\0\0\0\0\0")], Err(200), "prematurely closed"),
    (&[(6, "A: b\n\nok")], Err(200), "prematurely closed"),
    (&[(6, "A: b\n")], Err(502), "prematurely closed connection"),
    (&[], Err(502), "prematurely closed connection"),
    (&[(6, "A: b\n"), (3, "\0\0\0\0\0\0\0\0")], Err(502), "prematurely closed FastCGI request"),
    (&[(6, "A: b\n"), (6, "")], Err(502), "prematurely closed FastCGI stdout"),
    (&[(3, "\0\0\0\0\0\0\0\0")], Err(502), "prematurely closed FastCGI request"),
    (&[(9, "x")], Err(502), "invalid FastCGI record type: 9"),
    (&[(3, "x")], Err(502), "end request record of 1 bytes"),
    (&[(6, "A: b\n\nok"), (9, "x")], Err(200), "invalid FastCGI record type: 9"),
    (&[(6, "Status: 20\n\n"), (3, "\0\0\0\0\0\0\0\0")], Err(502), "invalid status \"20\""),
    (&[(6, "Status: 103 Early\n\n")], Err(502), "invalid status \"103 Early\""),
    (&[(6, "A b: c\n\n")], Err(502), "invalid header: \"A\\x20...\""),
    (
        &[(6, "Content-Length: 1\nTransfer-Encoding: chunked\n\nx")],
        Err(502),
        "\"Content-Length\" and \"Transfer-Encoding\"",
    ),
    (&[(7, "Primary script unknown\n"), (6, "A: b\n\n")], Err(502), "Primary script unknown"),
];

#[test]
fn answers_that_are_none() {
    let place = Place::new();
    let _told = respond(&place, move |asked, stream| {
        let (records, ..) = ANSWERS[asked.param("ROW").parse::<usize>().unwrap()];
        let bytes: Vec<u8> =
            records.iter().flat_map(|(kind, text)| record(*kind, text, 2)).collect();
        // Who has heard enough may have closed.
        let _ = stream.write_all(&bytes);
    });
    let limpet = Limpet::start_in(
        place,
        &config(
            "location / { fastcgi_param ROW $arg_row; fastcgi_pass app;
                 fastcgi_catch_stderr 'script unknown'; }",
        ),
    );
    for (row, (records, want, words)) in ANSWERS.iter().enumerate() {
        let mut client = limpet.client();
        client.send(format!("GET /?row={row} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let found = match client.try_response(false) {
            Ok(response) if response.status == 502 => Err(502),
            Ok(response) => Ok((response.status, response.text())),
            // The head came, and not all of the body.
            Err(_) => Err(200),
        };
        let want = want.map(|(status, text)| (status, text.to_owned()));
        assert_eq!(found, want, "{records:?}");
        if !words.is_empty() {
            limpet.log.wait(words);
        }
    }
}

#[test]
fn a_kept_connection_serves_again() {
    let place = Place::new();
    let path = place.path("responder");
    let told = respond(&place, |_, stream| {
        stream.write_all(&[record(6, "\nhello", 0), end()].concat()).unwrap();
    });
    let limpet =
        Limpet::start_in(place, &config("fastcgi_keep_conn on; location / { fastcgi_pass app; }"));
    let mut client = limpet.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "hello");
        assert!(told.recv().unwrap().keep);
    }
    // The listener is gone: only the connection that was kept can have answered.
    std::fs::remove_file(path).unwrap();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "hello");
    }
    // HEAD has no body, whatever is sent.
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.try_response(true).unwrap().status, 200);
    assert_eq!(client.get("/ping").text(), "pong");
}

#[test]
fn asking_a_responder_allocates_nothing() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let _told = respond(&place, |_, stream| {
        let answer = record(6, "Content-Type: text/plain\r\n\r\nhello", 3);
        stream.write_all(&[answer, end()].concat()).unwrap();
    });
    let limpet = Limpet::start_in(
        place,
        &config(
            "fastcgi_param QUERY_STRING $query_string; fastcgi_param METHOD $request_method;
             keepalive_requests 100000; fastcgi_keep_conn on;
             location / { fastcgi_pass app; }",
        ),
    );
    let mut client = limpet.client();
    let mut asks = |count| {
        for number in 0..count {
            assert_eq!(client.get("/x?y=1").text(), "hello");
            let body = "x".repeat(number % 100);
            let len = body.len();
            client
                .send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n{body}"));
            assert_eq!(client.response().status, 200);
        }
    };
    asks(200);
    let before = crate::allocations::allocations(&limpet);
    asks(1_000);
    assert_eq!(crate::allocations::allocations(&limpet), before);
}

#[test]
fn directives_of_fastcgi() {
    let place = Place::new();
    let config =
        |line: &str| format!("events {{ }} http {{ server {{ location / {{ {line} }} }} }}");
    let limpet = Limpet::prepare(place, &config("return 200;"));
    for (line, words) in [
        ("fastcgi_split_path_info ^(.*)$;", "pattern \"^(.*)$\" must have 2 captures"),
        ("fastcgi_param A b c;", "invalid parameter \"c\""),
        ("fastcgi_index a; fastcgi_index b;", "\"fastcgi_index\" directive is duplicate"),
        ("fastcgi_pass 127.0.0.1;", "no port in upstream \"127.0.0.1\""),
        (
            "fastcgi_pass 127.0.0.1:9; fastcgi_pass 127.0.0.1:9;",
            "\"fastcgi_pass\" directive is duplicate",
        ),
        ("fastcgi_pass http://127.0.0.1:9;", "in upstream \"http://127.0.0.1:9\""),
        ("fastcgi_pass 127.0.0.1:9/x;", "in upstream \"127.0.0.1:9/x\""),
        ("fastcgi_next_upstream error http_502;", "invalid value \"http_502\""),
        ("include fastcgi.conf; fastcgi_param A b if_not_empty; fastcgi_pass unix:/x;", ""),
        ("include snippets/fastcgi-php.conf; fastcgi_pass $host:9;", ""),
    ] {
        limpet.configure(&config(line));
        let said = limpet.run(&["-t"]);
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(text.contains(words), "{line}: {text}");
        assert_eq!(said.status.success(), words.is_empty(), "{line}: {text}");
    }
}

/// php-fpm of Debian's packages, which ends with the test.
struct Fpm(Child);

impl Fpm {
    fn start(place: &Place) -> Option<Fpm> {
        let folders = ["/usr/sbin", "/usr/local/sbin"].map(Path::new);
        let mut files =
            folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
        let program = files.find_map(|file| {
            let path = file.ok()?.path();
            path.file_name()?.to_str()?.starts_with("php-fpm").then_some(path)
        })?;
        let config = place.fill(
            "[global]\nerror_log=@DIR@/fpm.log\ndaemonize=no\n\
             [www]\nuser=root\ngroup=root\nlisten=@DIR@/responder\nlisten.mode=0666\n\
             pm=static\npm.max_children=2\n",
        );
        let config = place.write("fpm.conf", config);
        let mut command = Command::new(program);
        command.arg("-R").arg("-F").arg("-y").arg(config);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let fpm = Fpm(child);
        eventually("php-fpm listens", || UnixStream::connect(place.path("responder")).is_ok());
        Some(fpm)
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        let _ = kernel::kill(self.0.id() as kernel::Pid, libc::SIGTERM);
        let _ = self.0.wait();
    }
}

const SCRIPTS: &[(&str, &str)] = &[
    (
        "html/a.php",
        "<?php $in = file_get_contents('php://input'); header('X-Test: 1'); echo \
         $_SERVER['REQUEST_METHOD'], ' ', $_SERVER['PATH_INFO'], ' ', $_SERVER['QUERY_STRING'], \
         ' ', \
         strlen($in), ' ', md5($in), ' ', $_SERVER['HTTP_PROXY'] ?? 'none';",
    ),
    (
        "html/big.php",
        "<?php for ($i = 0; $i < 3000; $i++) echo str_repeat(chr(97 + $i % 26), 1000);",
    ),
    ("html/error.php", "<?php error_log('it is broken.'); http_response_code(503); echo 'sorry';"),
    ("html/in/index.php", "<?php header('Location: /elsewhere'); setcookie('a', 'b');"),
];

#[test]
fn php() {
    let place = Place::new();
    for (name, text) in SCRIPTS {
        place.write(name, text);
    }
    let Some(_fpm) = Fpm::start(&place) else {
        eprintln!("SKIPPED: php-fpm is not installed");
        return;
    };
    let limpet = Limpet::start_in(
        place,
        &config(
            "index index.php; client_max_body_size 10m;
             location ~ [^/]\\.php(/|$) { include snippets/fastcgi-php.conf; fastcgi_pass app; }
             location ^~ /keep/ {
                 rewrite ^/keep(/.*)$ $1 break; fastcgi_keep_conn on; fastcgi_request_buffering off;
                 include fastcgi.conf; fastcgi_param PATH_INFO ''; fastcgi_pass app;
             }",
        ),
    );
    let body = "0123456789".repeat(30_000);
    for (target, info) in [("/a.php/x/y?q=1", "/x/y"), ("/keep/a.php?q=1", "")] {
        for _ in 0..3 {
            let text = format!(
                "POST {target} HTTP/1.1\r\nHost: h\r\nProxy: evil\r\nContent-Length: {}\r\n\
                 Content-Type: text/plain\r\n\r\n{body}",
                body.len()
            );
            let response = ask(&limpet, &text);
            assert_eq!((response.status, response.header("x-test")), (200, "1"));
            let words: Vec<String> = response.text().split(' ').map(str::to_owned).collect();
            assert_eq!(words[..4], ["POST", info, "q=1", "300000"]);
            assert_eq!(words[5], "none");
        }
        let big = limpet.get(if info.is_empty() { "/keep/big.php" } else { "/big.php" });
        let want: String = (0..3000u32)
            .map(|i| char::from(b'a' + (i % 26) as u8).to_string().repeat(1000))
            .collect();
        assert!(big.text() == want);
    }
    let response = limpet.get("/error.php");
    assert_eq!((response.status, response.text()), (503, "sorry".into()));
    limpet.log.wait("FastCGI sent in stderr: \"PHP message: it is broken\"");
    let response = limpet.get("/in/");
    assert_eq!((response.status, response.header("location")), (302, "/elsewhere"));
    assert_eq!(response.header("set-cookie"), "a=b");
    assert_eq!(limpet.get("/none.php").status, 404);
}
