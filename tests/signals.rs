//! What each signal does to the master and to a worker (process model, section 4).
use crate::common::*;

const TWO_WORKERS: &str = "
    worker_processes 2;
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

#[test]
fn term_and_int_end_the_master_and_its_workers() {
    for (signal, name) in [(libc::SIGTERM, "15 (SIGTERM)"), (libc::SIGINT, "2 (SIGINT)")] {
        let mut limpet = Limpet::start(TWO_WORKERS);
        assert_eq!(limpet.get("/").text(), "served");
        let workers = limpet.wait_workers(2);
        limpet.signal(signal);
        assert_eq!(limpet.wait_end(), Ended::Code(0));
        assert!(workers.iter().all(|worker| !worker.lives()));
        assert!(!accepts(limpet.port(8080)));
        assert_eq!(limpet.pid_file(), None);
        let sender = std::process::id();
        limpet.log.wait(&format!("signal {name} received from {sender}, exiting"));
        limpet.log.has_in_order(&["exited with code 0", "exit"]);
        limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
    }
}

#[test]
fn the_log_is_complete_when_the_master_has_ended() {
    let mut limpet = Limpet::start(TWO_WORKERS);
    let mut pids: Vec<_> = limpet.wait_workers(2).iter().map(|worker| worker.0).collect();
    pids.push(limpet.master().0);
    limpet.signal(libc::SIGQUIT);
    limpet.wait_end();
    for pid in pids {
        let last = limpet
            .log
            .lines()
            .into_iter()
            .rfind(|line| line.pid == pid && matches!(&*line.level, "notice"));
        assert_eq!(last.unwrap().text, "exit");
    }
}

#[test]
fn quit_answers_what_is_in_flight_and_refuses_what_is_new() {
    let mut limpet = Limpet::start(TWO_WORKERS);
    let mut client = limpet.client();
    client.get("/");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    let mut idle = limpet.client();
    idle.get("/");
    limpet.signal(libc::SIGQUIT);
    limpet.log.wait("signal 3 (SIGQUIT) received from");
    eventually("new connections are refused", || !accepts(limpet.port(8080)));
    assert!(idle.is_closed_within(LIMIT));
    let shutting_down = ": worker process is shutting down";
    eventually("a title tells", || !limpet.master().children_titled(shutting_down).is_empty());
    client.send("\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (200, "close"));
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert_eq!(limpet.pid_file(), None);
    limpet.log.wait_count("gracefully shutting down", 2);
}

#[test]
fn a_worker_obeys_term_and_quit_and_is_replaced() {
    for (signal, words) in [
        (libc::SIGTERM, "exiting"),
        (libc::SIGINT, "exiting"),
        (libc::SIGQUIT, "gracefully shutting down"),
    ] {
        let limpet = Limpet::start(TWO_WORKERS);
        let workers = limpet.wait_workers(2);
        workers[0].signal(signal);
        workers[0].wait_end();
        let now = limpet.wait_workers(2);
        assert!(now.contains(&workers[1]) && !now.contains(&workers[0]));
        limpet.log.wait(words);
        limpet.log.wait(&format!("worker process {} exited with code 0", workers[0].0));
        assert_eq!(limpet.get("/").text(), "served");
    }
}

#[test]
fn a_worker_ignores_what_is_meant_for_the_master() {
    let limpet = Limpet::start(TWO_WORKERS);
    let workers = limpet.wait_workers(2);
    for (signal, words) in [
        (libc::SIGHUP, "signal 1 (SIGHUP) received from"),
        (libc::SIGUSR2, "signal 12 (SIGUSR2) received from"),
        (libc::SIGIO, "signal 29 (SIGIO) received from"),
    ] {
        workers[0].signal(signal);
        let line = limpet.log.wait(words);
        assert!(line.pid == workers[0].0 && line.text.ends_with(", ignoring"), "{line:?}");
    }
    assert_eq!(limpet.wait_workers(2), workers);
}

#[test]
fn pipe_and_sys_are_ignored_by_all() {
    let limpet = Limpet::start(TWO_WORKERS);
    let mut processes = limpet.wait_workers(2);
    processes.push(limpet.master());
    for process in processes {
        for signal in [libc::SIGPIPE, libc::SIGSYS] {
            assert!(process.signals("SigIgn") & bit(signal) != 0, "{signal} in {process:?}");
            process.signal(signal);
        }
    }
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn signals_are_caught_and_open_while_waiting() {
    let limpet = Limpet::start(TWO_WORKERS);
    let mut processes = limpet.wait_workers(2);
    processes.push(limpet.master());
    let caught = [
        libc::SIGHUP,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGWINCH,
        libc::SIGTERM,
        libc::SIGQUIT,
        libc::SIGINT,
        libc::SIGALRM,
        libc::SIGIO,
        libc::SIGCHLD,
    ];
    for process in processes {
        for signal in caught {
            assert!(process.signals("SigCgt") & bit(signal) != 0, "{signal} in {process:?}");
        }
        let open = || caught.iter().all(|signal| process.signals("SigBlk") & bit(*signal) == 0);
        eventually("waits with signals open", open);
    }
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

#[test]
fn what_the_parent_blocked_or_ignored_does_not_deafen() {
    let mut limpet = Limpet::prepare(Place::new(), TWO_WORKERS);
    let all = [libc::SIGHUP, libc::SIGTERM, libc::SIGCHLD, libc::SIGQUIT, libc::SIGALRM];
    let birth = Birth { block: all.to_vec(), ignore: all.to_vec(), ..Birth::default() };
    let mut command = limpet.command();
    birth.apply(&mut command);
    limpet.launch_as(command);
    let workers = limpet.wait_workers(2);
    limpet.signal(libc::SIGHUP);
    wait_all(&workers);
    let workers = limpet.wait_workers(2);
    workers[0].signal(libc::SIGTERM);
    workers[0].wait_end();
    limpet.wait_workers(2);
    limpet.signal(libc::SIGQUIT);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
}

#[test]
fn winch_stops_the_workers_of_a_daemon_and_hup_brings_them_back() {
    let limpet = Limpet::daemonize(Place::new(), TWO_WORKERS);
    let workers = limpet.wait_workers(2);
    limpet.signal(libc::SIGWINCH);
    wait_all(&workers);
    limpet.log.wait("signal 28 (SIGWINCH) received from");
    assert!(limpet.log.wait("SIGWINCH").text.ends_with(", stop accepting connections"));
    assert!(limpet.master().lives() && limpet.master().children().is_empty());
    let mut waiting = limpet.client();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    limpet.signal(libc::SIGHUP);
    assert_eq!(waiting.response().text(), "served");
    limpet.wait_workers(2);
}

#[test]
fn winch_does_nothing_in_the_foreground() {
    let limpet = Limpet::start(TWO_WORKERS);
    let workers = limpet.wait_workers(2);
    limpet.signal(libc::SIGWINCH);
    limpet.log.wait("SIGWINCH");
    limpet.signal(libc::SIGUSR1);
    limpet.log.wait("reopening logs");
    assert_eq!(limpet.wait_workers(2), workers);
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn ten_thousand_signals_change_nothing() {
    let limpet = Limpet::start(TWO_WORKERS);
    let workers = limpet.wait_workers(2);
    let mut client = limpet.client();
    for round in 0..10_000 {
        limpet.signal([libc::SIGIO, libc::SIGALRM, libc::SIGCHLD][round % 3]);
        workers[round % 2].signal([libc::SIGHUP, libc::SIGIO, libc::SIGALRM][round % 3]);
        if round % 1000 == 0 {
            assert_eq!(client.get("/").text(), "served");
        }
    }
    assert_eq!(limpet.get("/").text(), "served");
    assert_eq!(limpet.wait_workers(2), workers);
}

#[test]
fn a_death_is_reaped_and_told() {
    let limpet = Limpet::start(TWO_WORKERS);
    let worker = limpet.wait_workers(2)[0];
    worker.signal(libc::SIGKILL);
    limpet.log.wait(&format!("signal 17 (SIGCHLD) received from {}", worker.0));
    let line = limpet.log.wait(&format!("worker process {} exited on signal 9", worker.0));
    assert_eq!((&*line.level, line.pid), ("alert", limpet.master().0));
    limpet.wait_workers(2);
}

#[test]
fn a_signal_of_the_kernel_names_no_sender() {
    let mut limpet = Limpet::start(TWO_WORKERS);
    limpet.wait_workers(2);
    limpet.signal(libc::SIGQUIT);
    limpet.wait_end();
    let lines = limpet.log.with("signal 29 (SIGIO) received");
    assert!(!lines.is_empty() && lines.iter().all(|line| !line.text.contains("from")), "{lines:?}");
}
