//! The end of a server that tells before it goes (process model, section 5: `shutdown_delay`,
//! `-s drain`, `term_action`), and `health`, which tells it.
use crate::common::*;
use std::time::{Duration, Instant};

const SERVED: &str = "
    worker_processes 2;
    events { }
    http { server {
        listen 8080;
        location / { return 200 served; }
        location = /live { health live; }
        location = /ready { health ready; }
    } }
";

fn with(directives: &str) -> String {
    format!("{directives} {SERVED}")
}

/// In the middle of a request.
fn in_flight(limpet: &Limpet, target: &str) -> Client {
    let mut client = limpet.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n"));
    // Somebody has it: connections are accepted one after the other.
    eventually("it is read", || {
        let output = limpet.run(&["-s", "status", "--json"]);
        String::from_utf8_lossy(&output.stdout).contains("\"connections\":1")
    });
    client
}

fn finish(mut client: Client) -> Response {
    client.send("\r\n").response()
}

#[test]
fn health_is_live_and_ready() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    let mut client = limpet.client();
    for (target, text) in [("/live", "live\n"), ("/ready", "ready\n")] {
        let response = client.get(target);
        assert_eq!((response.status, response.text().as_str()), (200, text));
        assert_eq!(response.header("cache-control"), "no-store");
        assert_eq!(response.header("connection"), "keep-alive");
    }
    client.send("HEAD /ready HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.try_response(true).unwrap().status, 200);
    client.send("POST /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status, 405);
}

#[test]
fn after_a_reload_the_old_workers_are_as_ready_as_the_server() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    limpet.wait_workers(2);
    let client = in_flight(&limpet, "/ready");
    assert!(limpet.run(&["-s", "reload"]).status.success());
    limpet.log.wait_count("gracefully shutting down", 2);
    assert_eq!(finish(client).status, 200);
}

#[test]
fn drain_goes_on_until_everybody_has_noticed() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&with("shutdown_delay 1500ms;"));
    limpet.wait_workers(2);
    let mut kept = limpet.client();
    assert_eq!(kept.get("/").header("connection"), "keep-alive");
    let began = Instant::now();
    let mut command = limpet.command();
    let mut drain = command.args(["-s", "drain"]).spawn().unwrap();
    limpet.log.wait("signal 3 (SIGQUIT) received from");
    limpet.log.wait("draining for 1500 ms");
    let mut fresh = limpet.client();
    for client in [&mut kept, &mut fresh] {
        let response = client.get("/");
        assert_eq!((response.status, response.header("connection")), (200, "close"));
        assert!(client.is_closed_within(LIMIT));
    }
    let unready = limpet.get("/ready");
    assert_eq!((unready.status, unready.text().as_str()), (503, "stopping\n"));
    assert_eq!(limpet.get("/live").status, 200);
    let status = limpet.run(&["-s", "status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains(": draining, "), "{status:?}");
    limpet.workers()[0].signal(libc::SIGKILL);
    eventually("a worker is replaced", || limpet.workers().len() == 2);
    assert!(began.elapsed() < Duration::from_millis(1400), "too slow a machine for this test");
    let late = in_flight(&limpet, "/");
    limpet.log.wait_count("gracefully shutting down", 2);
    assert!(began.elapsed() >= Duration::from_millis(1500));
    assert!(!accepts(limpet.port(8080)));
    assert!(drain.try_wait().unwrap().is_none(), "something is in flight");
    assert_eq!(finish(late).status, 200);
    assert!(drain.wait().unwrap().success());
    assert_eq!(limpet.wait_end(), Ended::Code(0));
}

#[test]
fn a_quit_is_delayed_and_a_second_one_is_not() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&with("shutdown_delay 1m;"));
    limpet.wait_workers(2);
    limpet.signal(libc::SIGQUIT);
    limpet.log.wait("draining for 60000 ms");
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("reload failed: the server is going to stop");
    assert_eq!(limpet.get("/ready").status, 503);
    limpet.signal(libc::SIGQUIT);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
}

#[test]
fn a_graceful_term_finishes_what_has_begun() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&with("term_action graceful;"));
    limpet.wait_workers(2);
    let client = in_flight(&limpet, "/");
    limpet.signal(libc::SIGTERM);
    limpet.log.wait("signal 15 (SIGTERM) received from");
    limpet.log.wait_count("gracefully shutting down", 2);
    assert_eq!(finish(client).text(), "served");
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert_eq!(limpet.log.count(", exiting"), 0);
}

#[test]
fn a_second_term_and_int_are_fast() {
    if drives_nginx() {
        return;
    }
    for second in [libc::SIGTERM, libc::SIGINT] {
        let mut limpet = Limpet::start(&with("term_action graceful; shutdown_delay 1m;"));
        limpet.wait_workers(2);
        let client = in_flight(&limpet, "/");
        limpet.signal(libc::SIGTERM);
        limpet.log.wait("draining for 60000 ms");
        let began = Instant::now();
        limpet.signal(second);
        assert_eq!(limpet.wait_end(), Ended::Code(0));
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        drop(client);
    }
}

#[test]
fn a_graceful_term_ends_in_time() {
    if drives_nginx() {
        return;
    }
    let config = with("term_action graceful; worker_shutdown_timeout 500ms;");
    let mut limpet = Limpet::start(&config);
    limpet.wait_workers(2);
    let client = in_flight(&limpet, "/");
    let began = Instant::now();
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    let took = began.elapsed();
    assert!((450..3000).contains(&(took.as_millis() as u64)), "{took:?}");
    drop(client);
}

#[test]
fn stop_is_fast_also_where_a_term_is_not() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&with("term_action graceful;"));
    limpet.wait_workers(2);
    let client = in_flight(&limpet, "/");
    let output = limpet.run(&["-s", "stop"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    limpet.log.wait("signal 2 (SIGINT) received from");
    drop(client);
}

#[test]
fn a_worker_takes_term_as_its_master_does() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(
        &with("term_action graceful; worker_processes 1;").replace("worker_processes 2;", ""),
    );
    let worker = limpet.wait_workers(1)[0];
    let client = in_flight(&limpet, "/");
    worker.signal(libc::SIGTERM);
    limpet.log.wait("gracefully shutting down");
    assert_eq!(finish(client).text(), "served");
    assert_eq!(worker.wait_end(), Ended::Elsewhere);
    limpet.log.wait(&format!("worker process {} exited with code 0", worker.0));
}
