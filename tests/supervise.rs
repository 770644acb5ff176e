//! Workers that serve nobody (process model, section 5: `worker_stall_timeout`,
//! `exit_on_worker_loss`, `worker_generations`), and HUPs that come together.
use crate::common::*;
use std::time::{Duration, Instant};

const SERVED: &str = "
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

#[test]
fn a_worker_that_hangs_is_aborted_and_replaced() {
    if drives_nginx() {
        return;
    }
    let limpet =
        Limpet::start(&format!("worker_stall_timeout 300ms; worker_processes 2; {SERVED}"));
    let workers = limpet.wait_workers(2);
    // Idle for much longer than that: nobody minds.
    let mut client = limpet.client();
    client.get("/");
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(limpet.workers(), workers);
    workers[0].stop();
    let line = limpet.log.wait(&format!("worker process {} in slot 0 (ready)", workers[0].0));
    assert_eq!(line.level, "alert");
    assert!(line.text.contains(" has not turned for ") && line.text.ends_with(" ms, aborting it"));
    limpet.log.wait(&format!("worker process {} exited on signal 6", workers[0].0));
    eventually("two workers", || limpet.workers().len() == 2);
    let now = limpet.workers();
    assert!(now.contains(&workers[1]) && !now.contains(&workers[0]));
    assert_eq!(limpet.get("/").text(), "served");
    assert_eq!(limpet.log.count("aborting it"), 1);
}

#[test]
fn a_master_that_was_stopped_itself_blames_nobody() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(&format!("worker_stall_timeout 2s; worker_processes 2; {SERVED}"));
    let workers = limpet.wait_workers(2);
    let all: Vec<_> = workers.iter().copied().chain([limpet.master()]).collect();
    all.iter().for_each(|process| process.stop());
    std::thread::sleep(Duration::from_millis(3500));
    // The master first: it finds heartbeats of long ago.
    all.iter().rev().for_each(|process| process.signal(libc::SIGCONT));
    // Until it has looked at them a few times.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(limpet.wait_workers(2), workers);
}

#[test]
fn a_master_without_workers_ends_where_it_is_told_to() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&format!("exit_on_worker_loss on; {SERVED}"));
    let worker = limpet.wait_workers(1)[0];
    // Its successors never become ready: the limit leaves them no descriptors.
    limpet.master().set_limit("--nofile=8:8");
    let began = Instant::now();
    worker.signal(libc::SIGKILL);
    assert_eq!(limpet.wait_end(), Ended::Code(1));
    let took = began.elapsed();
    assert!((9..14).contains(&took.as_secs()), "{took:?}");
    limpet.log.wait("no worker has been ready for 10 s");
}

#[test]
fn at_the_limit_of_generations_a_reload_waits_for_the_oldest() {
    if drives_nginx() {
        return;
    }
    let served = SERVED.replace("location", "location = /big { root @DIR@/html; } location");
    let config = format!("worker_generations 3; worker_shutdown_timeout 1m; {served}");
    let place = Place::new();
    place.write("html/big", vec![b'x'; 16 << 20]);
    let limpet = Limpet::start_in(place, &config);
    let mut held = Vec::new();
    for generation in 1..4 {
        // An answer that nobody reads keeps a worker of this generation.
        let worker = limpet.workers()[0];
        let mut client = limpet.client();
        client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n").wait_first_byte();
        held.push((client, worker));
        if generation < 3 {
            assert!(limpet.run(&["-s", "reload"]).status.success());
        }
    }
    limpet.configure(&config.replace("served", "again"));
    let mut command = limpet.command();
    let mut reload = command.args(["-q", "-s", "reload"]).spawn().unwrap();
    let line = limpet.log.wait("3 generations of workers live: the reload waits up to 60000 ms");
    assert_eq!(line.level, "warn");
    std::thread::sleep(Duration::from_millis(100));
    assert!(reload.try_wait().unwrap().is_none());
    let (mut client, worker) = held.remove(0);
    assert_eq!(client.response().body.len(), 16 << 20);
    worker.wait_end();
    assert!(reload.wait().unwrap().success());
    assert_eq!(limpet.get("/").text(), "again");
}

#[test]
fn the_oldest_generation_is_ended_when_it_takes_too_long() {
    if drives_nginx() {
        return;
    }
    let config = format!("worker_generations 2; worker_shutdown_timeout 400ms; {SERVED}");
    let limpet = Limpet::start(&config);
    let old = limpet.wait_workers(1)[0];
    // It is told, and does not hear.
    old.stop();
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("generation 2: 1 of 1 workers ready");
    limpet.signal(libc::SIGHUP);
    let line = limpet.log.wait("generation 1 is terminated for the next one");
    assert_eq!(line.level, "alert");
    limpet.log.wait("generation 3: 1 of 1 workers ready");
    limpet.log.wait(&format!("worker process {} exited on signal 9", old.0));
}

#[test]
fn hups_during_a_reload_are_one_more() {
    let limpet = Limpet::start(SERVED);
    limpet.wait_workers(1);
    limpet.master().stop();
    for _ in 0..20 {
        limpet.signal(libc::SIGHUP);
    }
    limpet.signal(libc::SIGCONT);
    limpet.log.wait("reconfiguring");
    if drives_nginx() {
        return;
    }
    limpet.log.wait("generation 2: 1 of 1 workers ready");
    // While it is under way: the master is stopped between the fork and the verdict.
    let old = limpet.wait_workers(1)[0];
    old.stop();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = held.local_addr().unwrap();
    limpet.configure(&SERVED.replace("listen 8080;", &format!("listen 8080; listen {addr};")));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("try again to bind() after 500ms");
    for _ in 0..20 {
        limpet.signal(libc::SIGHUP);
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(held);
    limpet.log.wait("generation 4: 1 of 1 workers ready");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(limpet.log.count("generation 5"), 0);
    old.signal(libc::SIGCONT);
}
