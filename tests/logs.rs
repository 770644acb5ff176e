//! Logs: levels and targets, what a line says, and that none of it ever stops a worker
//! (process model, section 6, "Logs never stop a worker").
use crate::common::*;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::process::{ChildStderr, ChildStdout, Stdio};
use std::time::{Duration, Instant};

fn logged(main: &str, http: &str) -> String {
    format!(
        "{main} worker_processes 2; events {{ }}
         http {{ {http}
             server {{ listen 8080; root @DIR@; location /ok {{ return 200 served; }} }} }}"
    )
}

#[test]
fn a_log_takes_its_level_and_what_is_worse() {
    let config = "error_log @DIR@/error.log debug; error_log @DIR@/notice.log notice;
                  error_log @DIR@/error_only.log error;";
    let limpet = Limpet::start(&logged(config, ""));
    let worker = limpet.wait_workers(2)[0];
    limpet.get("/missing");
    limpet.log.wait("open() \"");
    worker.signal(libc::SIGKILL);
    limpet.log.wait("exited on signal 9");
    let read = |name| {
        let text = limpet.place.read(name);
        ["[debug]", "[notice]", "[error]", "[alert]"].map(|level| text.contains(level))
    };
    assert_eq!(read("error.log"), [true, true, true, true]);
    assert_eq!(read("notice.log"), [false, true, true, true]);
    assert_eq!(read("error_only.log"), [false, false, true, true]);
}

#[test]
fn a_line_about_a_request_tells_client_server_request_and_host() {
    let limpet = Limpet::start(&logged("", "").replace("listen", "server_name here; listen"));
    let mut client = limpet.client();
    client.send("GET /missing?a=b HTTP/1.1\r\nHost: there\r\nReferer: http://from/\r\n\r\n");
    assert_eq!(client.response().status, 404);
    let line = limpet.log.wait("missing\" failed");
    let dir = limpet.place.dir().display();
    let expected = format!(
        " open() \"{dir}/missing\" failed (2: No such file or directory), client: 127.0.0.1, \
         server: here, request: \"GET /missing?a=b HTTP/1.1\", host: \"there\", \
         referrer: \"http://from/\""
    );
    assert_eq!(line.level, "error");
    let (number, text) = line.text.split_at(line.text.find(' ').unwrap());
    assert!(number.starts_with('*') && number[1..].parse::<u64>().is_ok(), "{number}");
    assert_eq!(text, expected);
}

#[test]
fn connection_numbers_are_unique_over_workers_and_reloads() {
    let limpet = Limpet::start(&logged("", ""));
    limpet.wait_workers(2);
    for round in 0..4 {
        for _ in 0..5 {
            limpet.get("/missing");
        }
        if round % 2 == 1 {
            limpet.reload(&logged("", ""));
            limpet.wait_workers(2);
        }
    }
    let lines = limpet.log.wait_count("failed (2: No such file", 20);
    let mut numbers: Vec<_> =
        lines.iter().map(|line| line.text.split(' ').next().unwrap().to_string()).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 20);
}

#[test]
fn the_combined_format_is_nginx_s() {
    let limpet = Limpet::start(&logged("", "access_log @DIR@/access.log;"));
    let mut client = limpet.client();
    client.send("GET /ok?x HTTP/1.1\r\nHost: a\r\nReferer: http://r/\r\nUser-Agent: me\r\n\r\n");
    client.response();
    client.send("HEAD /ok HTTP/1.0\r\n\r\n");
    client.rest();
    eventually("two lines", || limpet.access.text().lines().count() == 2);
    let text = limpet.access.text();
    let lines: Vec<_> = text.lines().collect();
    let end = "\"GET /ok?x HTTP/1.1\" 200 6 \"http://r/\" \"me\"";
    assert!(lines[0].starts_with("127.0.0.1 - - [") && lines[0].ends_with(end), "{text}");
    let date = &lines[0][15..lines[0].find(']').unwrap()];
    let form: String =
        date.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    assert_eq!((form.len(), &form[2..3], &form[6..]), (26, "/", "/0000:00:00:00 +0000"));
    assert!(lines[1].ends_with("\"HEAD /ok HTTP/1.0\" 200 0 \"-\" \"-\""), "{text}");
}

#[test]
fn control_bytes_and_quotes_are_escaped() {
    let limpet = Limpet::start(&logged("", "access_log @DIR@/access.log;"));
    let lines = |count| {
        eventually("a line", || limpet.access.text().lines().count() == count);
        limpet.access.text().lines().last().unwrap().to_string()
    };
    let mut client = limpet.client();
    client.send(b"GET /ok HTTP/1.1\r\nHost: a\r\nUser-Agent: a\"b\\c\xff\r\n\r\n");
    client.response();
    let line = lines(1);
    assert!(line.ends_with("\"a\\x22b\\x5Cc\\xFF\""), "{line}");
    exchange(limpet.port(8080), "GET /\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n");
    let line = lines(2);
    assert!(line.contains("\"GET /\\x1B[31m HTTP/1.1\" 400"), "{line}");
    let mut client = limpet.client();
    client.send("GET /missing%0a%1b[1m HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response();
    limpet.log.wait("failed (2: No such file");
    let log = std::fs::read(limpet.place.path("error.log")).unwrap();
    assert!(!log.contains(&0x1b));
}

#[test]
fn access_log_off_and_several_logs() {
    let limpet = Limpet::start(
        "events { }
         http {
             access_log @DIR@/one.log; access_log @DIR@/two.log;
             server {
                 listen 8080;
                 location /on { return 200; }
                 location /off { access_log off; return 200; }
                 location /own { access_log @DIR@/own.log; return 200; }
             }
         }",
    );
    for target in ["/on", "/off", "/own", "/on"] {
        limpet.get(target);
    }
    let lines = |name: &str| limpet.place.read(name).lines().count();
    eventually("lines", || lines("one.log") == 2 && lines("two.log") == 2 && lines("own.log") == 1);
    assert!(!limpet.place.read("one.log").contains("/off"));
}

#[test]
fn syslog_gets_both_logs() {
    let place = Place::new();
    let socket = UnixDatagram::bind(place.path("syslog.sock")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    std::fs::set_permissions(
        place.path("syslog.sock"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let target = "syslog:server=unix:@DIR@/syslog.sock,tag=mytag,severity=info";
    let limpet = Limpet::start_in(
        place,
        &logged(
            "error_log @DIR@/error.log debug;
             error_log syslog:server=unix:@DIR@/syslog.sock error;",
            &format!("access_log {target};"),
        ),
    );
    limpet.wait_workers(2);
    limpet.get("/missing");
    let mut datagrams = Vec::new();
    let mut bytes = [0; 4096];
    while datagrams.len() < 2 {
        let length = socket.recv(&mut bytes).expect("a datagram");
        datagrams.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
    datagrams.sort();
    let access = datagrams.iter().find(|text| text.contains("mytag: ")).expect("an access line");
    // local7.info and local7.error
    assert!(access.starts_with("<190>") && access.contains("GET /missing HTTP/1.1"), "{access}");
    let error = datagrams.iter().find(|text| text.contains("[error]")).expect("an error line");
    assert!(error.starts_with("<187>") && error.contains("No such file"), "{error}");
}

#[test]
fn debug_connection_raises_one_client_to_debug() {
    let debugged = |address: &str| {
        let config = logged("error_log @DIR@/error.log error;", "");
        let config =
            config.replace("events { }", &format!("events {{ debug_connection {address}; }}"));
        let limpet = Limpet::start(&config);
        limpet.get("/ok");
        limpet.get("/missing");
        limpet.log.wait("missing");
        limpet.log.lines().iter().any(|line| line.level == "debug")
    };
    assert!(debugged("127.0.0.1"));
    assert!(debugged("127.0.0.0/24"));
    assert!(!debugged("192.0.2.1"));
}

/// Starts it with stdout and stderr as pipes that the test holds.
fn piped(config: &str) -> (Limpet, ChildStdout, ChildStderr) {
    let mut limpet = Limpet::prepare(Place::new(), config);
    let mut command = limpet.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    limpet.own(child);
    eventually("workers", || limpet.workers().len() == 2);
    (limpet, stdout, stderr)
}

const TO_STDOUT: &str = "access_log /dev/stdout; keepalive_requests 100000;";
const TO_STDERR: &str = "error_log /dev/stderr debug;";

/// nginx stands still as soon as the pipe is full.
#[test]
fn pipes_that_nobody_reads_stop_nothing() {
    let (limpet, stdout, _stderr) = piped(&logged(TO_STDERR, TO_STDOUT));
    let mut client = limpet.client();
    for _ in 0..3000 {
        assert_eq!(client.get("/ok").status, 200);
    }
    // Whole lines only, and in the end a word about what was dropped.
    let mut lines = BufReader::new(stdout).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.ends_with('"'), "{first}");
    let port = limpet.port(8080);
    let traffic = std::thread::spawn(move || {
        for _ in 0..200 {
            let _ = try_get(port, "/ok");
        }
    });
    for line in lines.by_ref().take(600) {
        let line = line.unwrap();
        assert!(line.starts_with("127.0.0.1 - - [") && line.ends_with('"'), "{line}");
    }
    traffic.join().unwrap();
}

/// A worker and then the master wait half a second for a slow reader, and no more.
#[test]
fn a_pipe_that_nobody_reads_does_not_delay_the_end() {
    let (mut limpet, _stdout, _stderr) = piped(&logged(TO_STDERR, TO_STDOUT));
    let mut client = limpet.client();
    for _ in 0..1000 {
        assert_eq!(client.get("/ok").status, 200);
    }
    let began = Instant::now();
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[test]
fn pipes_whose_readers_are_gone_kill_nothing() {
    let (mut limpet, stdout, stderr) = piped(&logged(TO_STDERR, TO_STDOUT));
    drop((stdout, stderr));
    let workers = limpet.workers();
    let mut client = limpet.client();
    for _ in 0..50 {
        assert_eq!(client.get("/ok").status, 200);
    }
    limpet.signal(libc::SIGUSR1);
    limpet.signal(libc::SIGHUP);
    wait_all(&workers);
    eventually("two workers", || limpet.workers().len() == 2);
    assert_eq!(limpet.get("/ok").text(), "served");
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
}

/// What failed is tried again once a second, not in each turn, and not waited for at the end.
#[test]
fn a_log_that_fails_keeps_nobody_awake() {
    let (mut limpet, stdout, _stderr) = piped(&logged("", TO_STDOUT));
    drop(stdout);
    let workers = limpet.wait_workers(2);
    assert_eq!(limpet.get("/ok").status, 200);
    limpet.log.wait("(32: Broken pipe)");
    let turns = || -> u64 {
        let count = |worker: &Process| worker.status("voluntary_ctxt_switches").parse::<u64>();
        workers.iter().map(|worker| count(worker).unwrap()).sum()
    };
    let before = turns();
    std::thread::sleep(Duration::from_secs(1));
    assert!(turns() - before < 20, "{} turns in a second", turns() - before);
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    // Terminate is sent again after 50, 150 and 350 ms to a worker that is still there.
    assert_eq!(limpet.log.with("termination cycle: 400").len(), 0);
}

/// O_NONBLOCK belongs to the open description, which the user's shell shares.
#[test]
fn an_inherited_descriptor_keeps_its_mode() {
    let (limpet, mut stdout, _stderr) = piped(&logged("", TO_STDOUT));
    limpet.get("/ok");
    let mut byte = [0];
    stdout.read_exact(&mut byte).unwrap();
    assert_eq!(limpet.master().flags(1) & libc::O_NONBLOCK, 0);
}

#[test]
fn logs_on_a_full_device_stop_nothing() {
    let limpet = Limpet::start(&logged("", "access_log /dev/full;"));
    let mut client = limpet.client();
    for _ in 0..20 {
        assert_eq!(client.get("/ok").text(), "served");
    }
    let full = limpet.log.wait("No space left on device");
    assert_eq!(full.level, "alert");
    // one line a second at most, not one for each request
    assert!(limpet.log.count("No space left on device") < 10);
}

#[test]
fn a_buffered_log_is_flushed_by_time_and_at_the_end() {
    let buffered = "access_log @DIR@/access.log combined buffer=32k flush=200ms;";
    let mut limpet = Limpet::start(&logged("", buffered));
    limpet.get("/ok");
    eventually("a line after the flush time", || limpet.access.text().lines().count() == 1);
    limpet.place.write("access.log", "");
    let unflushed = "access_log @DIR@/access.log combined buffer=32k flush=1h;";
    limpet.reload(&logged("", unflushed));
    limpet.get("/ok");
    assert!(!within(Duration::from_millis(100), || !limpet.access.text().is_empty()));
    limpet.signal(libc::SIGQUIT);
    limpet.wait_end();
    assert_eq!(limpet.access.text().lines().count(), 1);
}

#[test]
fn an_error_log_of_a_location_is_its_own() {
    let limpet = Limpet::start(
        "error_log @DIR@/error.log debug; events { }
         http { server { listen 8080; root @DIR@;
             location /own { error_log @DIR@/own.log; } } }",
    );
    limpet.get("/own");
    limpet.get("/other");
    limpet.log.wait("/other\" failed");
    assert!(limpet.place.read("own.log").contains("/own\" failed"));
    assert_eq!(limpet.log.count("/own\" failed"), 0);
}

#[test]
fn rewriting_is_told_where_rewrite_log_is_on() {
    let inside = "rewrite ^/none /x;
                  if ($arg_a ~ ^b) { rewrite ^/(told) /new/$1?c=$arg_a last; }
                  rewrite ^/moved /there redirect; return 204;";
    let limpet = Limpet::start(&format!(
        "error_log @DIR@/error.log notice; events {{ }}
         http {{ server {{ listen 8080; location / {{ rewrite_log on; {inside} }}
                           location /new {{ if ($uri ~ new) {{ return 200; }} }} }} }}"
    ));
    for target in ["/told?a=b", "/moved?a=d"] {
        limpet.get(target);
    }
    limpet.log.wait("rewritten redirect");
    limpet.log.has_in_order(&[
        "\"^/none\" does not match \"/told\", client: 127.0.0.1",
        "\"^b\" matches \"b\"",
        "\"^/(told)\" matches \"/told\"",
        "rewritten data: \"/new/told\", args: \"c=b&a=b\"",
        "\"^b\" does not match \"d\"",
        "\"^/moved\" matches \"/moved\"",
        "rewritten redirect: \"/there?a=d\"",
    ]);
    assert_eq!(limpet.log.count("\"new\" matches"), 0);
}
