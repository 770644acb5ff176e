//! How a master ends what does not end by itself (process model, section 5): the clock
//! of 50 ms, doubled by each due tick and by nothing else, and SIGKILL past one second.
use crate::common::*;
use std::time::{Duration, Instant};

const TWO_WORKERS: &str = "
    worker_processes 2;
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

#[test]
fn a_stopped_worker_is_killed_after_seven_ticks() {
    let mut limpet = Limpet::start(TWO_WORKERS);
    let stopped = limpet.wait_workers(2)[0];
    stopped.stop();
    let began = Instant::now();
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    let took = began.elapsed();
    assert!(took > Duration::from_millis(3100), "killed too early: {took:?}");
    assert!(took < Duration::from_millis(4500), "killed too late: {took:?}");
    let exited = format!("worker process {} exited on signal 9", stopped.0);
    assert_eq!(limpet.log.wait(&exited).level, "alert");
    let clock = [50, 100, 200, 400, 800, 1600].map(|delay| format!("termination cycle: {delay}"));
    limpet.log.has_in_order(&clock.each_ref().map(|line| line.as_str()));
    assert_eq!(limpet.pid_file(), None);
}

/// nginx fails this one: every wake-up re-arms its timer in full.
#[test]
fn no_stream_of_signals_moves_the_clock() {
    let limpet = Limpet::start(TWO_WORKERS);
    let master = limpet.master();
    let disturb = move || {
        let every = Duration::from_millis(10);
        while master.wait_end_within(every).is_none() {
            let _ = kernel::kill(master.0, libc::SIGHUP);
            let _ = kernel::kill(master.0, libc::SIGIO);
        }
    };
    limpet.wait_workers(2)[0].stop();
    let began = Instant::now();
    limpet.signal(libc::SIGTERM);
    std::thread::spawn(disturb);
    assert!(limpet.master().wait_end_within(LIMIT).is_some());
    let took = began.elapsed();
    assert!(took > Duration::from_millis(3100), "killed too early: {took:?}");
    assert!(took < Duration::from_millis(4500), "killed too late: {took:?}");
    assert_eq!(limpet.log.exactly("reconfiguring"), 0);
}

#[test]
fn term_does_not_wait_for_requests() {
    let mut limpet = Limpet::start(TWO_WORKERS);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\n");
    let began = Instant::now();
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert!(client.is_closed_within(LIMIT));
}

#[test]
fn term_during_a_quit_ends_it_at_once() {
    let mut limpet = Limpet::start(TWO_WORKERS);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\n");
    limpet.signal(libc::SIGQUIT);
    limpet.log.wait("gracefully shutting down");
    assert!(limpet.master().lives());
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert!(client.is_closed_within(LIMIT));
}

/// nginx's alert: a socket that a graceful exit did not get rid of, by number.
#[test]
fn what_a_graceful_exit_leaves_open_is_told() {
    let mut limpet =
        Limpet::start(&TWO_WORKERS.replace("worker_processes 2", "worker_processes 1"));
    limpet.wait_workers(1);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\n");
    limpet.signal(libc::SIGQUIT);
    limpet.log.wait("gracefully shutting down");
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    let line = limpet.log.wait("open socket #");
    assert_eq!(line.level, "alert");
    assert!(line.text.starts_with("*1 ") && line.text.contains(" left in connection "), "{line:?}");
    assert_eq!(limpet.log.wait("aborting").level, "alert");
}

#[test]
fn quit_waits_no_longer_than_worker_shutdown_timeout() {
    let mut limpet = Limpet::start(&format!("worker_shutdown_timeout 300ms; {TWO_WORKERS}"));
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\n");
    client.send("Host: a\r\n");
    let began = Instant::now();
    limpet.signal(libc::SIGQUIT);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
    assert!(client.is_closed_within(LIMIT));
}

#[test]
fn quit_ends_within_half_a_second_of_the_last_answer() {
    let mut limpet = Limpet::start(TWO_WORKERS);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    limpet.signal(libc::SIGQUIT);
    limpet.log.wait_count("gracefully shutting down", 2);
    client.send("\r\n");
    assert_eq!(client.response().text(), "served");
    let answered = Instant::now();
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert!(answered.elapsed() < Duration::from_millis(500), "{:?}", answered.elapsed());
}

/// Stopping comes first: what was asked for in the same breath does not happen.
#[test]
fn nothing_is_reloaded_once_stopping() {
    let mut limpet = Limpet::start(TWO_WORKERS);
    limpet.wait_workers(2);
    limpet.master().stop();
    for signal in [libc::SIGHUP, libc::SIGUSR1, libc::SIGTERM, libc::SIGCONT] {
        limpet.signal(signal);
    }
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert_eq!(limpet.log.exactly("reopening logs"), 0);
    assert_eq!(limpet.log.count("start worker process "), 2);
}

/// nginx removes it, and `-s` finds nobody any more.
#[test]
fn a_master_that_goes_leaves_the_next_ones_pid_file() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(TWO_WORKERS);
    limpet.wait_workers(2);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n");
    limpet.signal(libc::SIGQUIT);
    limpet.log.wait_count("gracefully shutting down", 2);
    let mut next = limpet.command().stderr(std::process::Stdio::null()).spawn().unwrap();
    let pid = next.id() as i32;
    let took = within(LIMIT, || limpet.pid_file() == Some(pid));
    client.send("\r\n");
    assert_eq!(client.response().text(), "served");
    let ended = limpet.wait_end();
    let left = limpet.pid_file();
    Process(pid).signal(libc::SIGTERM);
    next.wait().unwrap();
    assert_eq!((took, ended, left), (true, Ended::Code(0), Some(pid)));
    assert_eq!(limpet.pid_file(), None);
}
