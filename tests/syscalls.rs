//! How many system calls a keep-alive request takes, counted by strace(1).
use crate::common::*;
use std::process::{Command, Stdio};

const AT_MOST: f64 = 2.3;
const AT_MOST_PROXIED: f64 = 4.3;
/// To accept a connection, watch it, and close it, and its last request, which nobody counts.
const OF_CONNECTION: f64 = 8.0;

#[test]
fn a_cached_file_takes_two_system_calls_and_a_share() {
    let place = Place::new();
    place.write("html/1k.txt", vec![b'x'; 1024]);
    let limpet = Limpet::start_in(
        place,
        "error_log @DIR@/error.log warn;
         events { }
         http {
             access_log off; sendfile on; keepalive_requests 100000000;
             server { listen 8080; root @DIR@/html; }
         }",
    );
    check(&limpet, AT_MOST);
}

/// Two towards each side, and a share.
#[test]
fn a_proxied_request_takes_four_system_calls_and_a_share() {
    let place = Place::new();
    let _upstream = Upstream::answering(
        &place,
        8090,
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n{}", "x".repeat(1024)),
    );
    let limpet = Limpet::start_in(
        place,
        "error_log @DIR@/error.log warn;
         events { }
         http {
             access_log off; keepalive_requests 100000000;
             upstream app {
                 server 127.0.0.1:8090; keepalive 64; keepalive_requests 100000000;
             }
             server {
                 listen 8080;
                 location /1k.txt {
                     proxy_pass http://app; proxy_http_version 1.1;
                     proxy_set_header Connection '';
                 }
             }
         }",
    );
    check(&limpet, AT_MOST_PROXIED);
}

/// A large body goes into its file without a look at it: what is written is its beginning.
#[test]
fn a_large_body_is_moved_by_the_kernel() {
    let (Some(strace), Some(curl)) = (program("strace"), program("curl")) else {
        return skip("strace or curl is not installed");
    };
    let place = Place::new();
    let body = place.write("body", vec![b'x'; 1 << 20]);
    let answer = "HTTP/1.1 204 No Content\r\n\r\n".to_string();
    let _upstream = Upstream::answering(&place, 8090, answer);
    let limpet = Limpet::start_in(
        place,
        "error_log @DIR@/error.log warn;
         events { }
         http {
             access_log off; client_max_body_size 2m; client_body_temp_path @DIR@/temp;
             server { listen 8080; location / { proxy_pass http://127.0.0.1:8090; } }
         }",
    );
    let worker = limpet.wait_workers(1)[0];
    let log = limpet.place.path("strace");
    let mut tracer = Command::new(strace);
    tracer.args(["-f", "-e", "trace=write,pwrite64,splice", "-o"]).arg(&log);
    let mut tracer =
        tracer.arg("-p").arg(worker.0.to_string()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it is traced", || worker.status("TracerPid") != "0");
    let url = format!("http://127.0.0.1:{}/", limpet.port(8080));
    let data = format!("@{}", body.display());
    let mut asked = Command::new(curl);
    asked.args(["-s", "-w", "%{http_code}", "--data-binary", &data, &url]);
    assert_eq!(asked.output().unwrap().stdout, b"204");
    kernel::kill(tracer.id() as i32, libc::SIGINT).unwrap();
    tracer.wait().unwrap();
    let calls = std::fs::read_to_string(log).unwrap();
    let count = |name: &str| calls.lines().filter(|line| line.contains(name)).count();
    if !drives_nginx() {
        assert!(count("write") <= 2 && count("splice(") >= 2, "{calls}");
    }
}

/// Asks for /1k.txt over 64 connections.
fn check(limpet: &Limpet, at_most: f64) {
    let (Some(strace), Some(wrk)) = (program("strace"), program("wrk")) else {
        return skip("strace or wrk is not installed");
    };
    let worker = limpet.wait_workers(1)[0];
    let url = format!("http://127.0.0.1:{}/1k.txt", limpet.port(8080));
    let load = |time: &str| Command::new(&wrk).args(["-t1", "-c64", time, &url]).output().unwrap();
    // What connecting takes, upstreams above all, is not of requests.
    load("-d1s");
    let summary = limpet.place.path("strace");
    let mut tracer = Command::new(strace);
    tracer.arg("-cf").arg("-o").arg(&summary).arg("-p").arg(worker.0.to_string());
    let mut tracer = tracer.stderr(Stdio::null()).spawn().unwrap();
    eventually("it is traced", || worker.status("TracerPid") != "0");
    let output = load("-d3s");
    kernel::kill(tracer.id() as i32, libc::SIGINT).unwrap();
    tracer.wait().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let requests = report.lines().find_map(|line| line.split_once(" requests in")).expect(&report);
    let requests: f64 = requests.0.trim().parse().unwrap();
    let text = std::fs::read_to_string(summary).unwrap();
    // The line of the sum has not the same columns in all versions; those of calls have.
    let of_call = |line: &str| line.split_whitespace().nth(3)?.parse::<f64>().ok();
    let calls: f64 =
        text.lines().filter(|line| !line.ends_with(" total")).filter_map(of_call).sum();
    assert!(calls > 0.0, "{text}");
    // A slow machine answers few: then what 64 connections take by themselves would count.
    let each = (calls - 64.0 * OF_CONNECTION) / requests;
    println!("{each:.3} system calls a request, {requests} requests\n{text}");
    if !drives_nginx() {
        assert!(each <= at_most, "{each:.3} system calls a request\n{text}");
    }
}
