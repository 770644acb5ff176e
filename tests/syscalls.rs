//! How many system calls a keep-alive request takes, counted by strace(1).
use crate::common::*;
use std::process::Command;

const AT_MOST: f64 = 2.3;

#[test]
fn a_cached_file_takes_two_system_calls_and_a_share() {
    let (Some(strace), Some(wrk)) = (program("strace"), program("wrk")) else {
        return skip("strace or wrk is not installed");
    };
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
    let worker = limpet.wait_workers(1)[0];
    let url = format!("http://127.0.0.1:{}/1k.txt", limpet.port(8080));
    let summary = limpet.place.path("strace");
    let mut tracer = Command::new(strace);
    tracer.arg("-cf").arg("-o").arg(&summary).arg("-p").arg(worker.0.to_string());
    let mut tracer = tracer.stderr(std::process::Stdio::null()).spawn().unwrap();
    eventually("it is traced", || worker.status("TracerPid") != "0");
    let output = Command::new(wrk).args(["-t1", "-c64", "-d3s", &url]).output().unwrap();
    kernel::kill(tracer.id() as i32, libc::SIGINT).unwrap();
    tracer.wait().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let requests = report.lines().find_map(|line| line.split_once(" requests in")).expect(&report);
    let requests: f64 = requests.0.trim().parse().unwrap();
    let text = std::fs::read_to_string(summary).unwrap();
    let total = text.lines().last().unwrap_or("");
    let calls: f64 =
        total.split_whitespace().nth(2).and_then(|calls| calls.parse().ok()).expect(&text);
    let each = calls / requests;
    println!("{each:.3} system calls a request, {requests} requests\n{text}");
    if !drives_nginx() {
        assert!(each <= AT_MOST, "{each:.3} system calls a request\n{text}");
    }
}
