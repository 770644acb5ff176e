//! HUP: a new generation takes over, or the old one goes on (process model, section 6).
use crate::common::*;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Two workers that answer with `text`; `more` stands in the server.
fn serving(text: &str, more: &str) -> String {
    format!(
        "worker_processes 2; events {{ }}
         http {{ server {{ listen 8080; {more} location / {{ return 200 {text}; }} }} }}"
    )
}

#[test]
fn a_new_configuration_is_served_by_new_workers() {
    let limpet = Limpet::start(&serving("one", ""));
    let old = limpet.wait_workers(2);
    assert_eq!(limpet.get("/").text(), "one");
    limpet.reload(&serving("two", ""));
    assert_eq!(limpet.get("/").text(), "two");
    let new = limpet.wait_workers(2);
    assert!(old.iter().all(|worker| !new.contains(worker)));
    limpet.log.has_in_order(&[
        "signal 1 (SIGHUP) received from",
        "reconfiguring",
        "start worker processes",
        "start worker process ",
        "gracefully shutting down",
        "exited with code 0",
    ]);
    limpet.log.has_none_of(&["warn", "error", "crit", "alert", "emerg"]);
}

#[test]
fn the_number_of_workers_follows_the_configuration() {
    let limpet = Limpet::start(&serving("one", ""));
    limpet.wait_workers(2);
    limpet.reload(&serving("one", "").replace("processes 2", "processes 4"));
    limpet.wait_workers(4);
    limpet.reload(&serving("one", "").replace("processes 2", "processes 1"));
    limpet.wait_workers(1);
}

#[test]
fn an_old_worker_finishes_its_answer_and_says_so_in_its_title() {
    let big = "location /big { root @DIR@/html; }";
    let place = Place::new();
    place.write("html/big", vec![b'x'; 16 << 20]);
    let limpet = Limpet::start_in(place, &serving("one", big));
    limpet.wait_workers(2);
    let mut client = limpet.client();
    kernel::shrink_receive_buffer(client.tcp());
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").wait_first_byte();
    limpet.configure(&serving("two", big));
    limpet.signal(libc::SIGHUP);
    let draining =
        || limpet.master().children_titled(": worker process is shutting down").len() == 1;
    eventually("one worker drains", draining);
    eventually("the others are new", || limpet.workers().len() == 2);
    assert_eq!(limpet.get("/").text(), "two");
    assert_eq!(client.response().body.len(), 16 << 20);
    limpet.wait_workers(2);
    if !drives_nginx() {
        assert_eq!(client.get("/").text(), "two", "another worker has the connection now");
    }
}

#[test]
fn a_broken_configuration_changes_nothing() {
    let limpet = Limpet::start(&serving("one", ""));
    let workers = limpet.wait_workers(2);
    for (broken, why) in [
        (serving("two", "lisen 8081;"), "unknown directive \"lisen\""),
        (serving("two", "listen 8081;").replace("8081;", "8081"), "not terminated by \";\""),
        ("events {".to_string(), "unexpected end of file, expecting \"}\""),
        (serving("two", "listen 8081 lazily;"), "invalid parameter \"lazily\""),
        (serving("two", "include @DIR@/missing;"), "failed (2: No such file or directory)"),
    ] {
        limpet.configure(&broken);
        limpet.signal(libc::SIGHUP);
        let line = limpet.log.wait(why);
        assert!(line.level == "emerg" && line.text.contains("limpet.conf:"), "{line:?}");
        assert_eq!(limpet.get("/").text(), "one");
        assert_eq!(limpet.wait_workers(2), workers);
    }
    limpet.reload(&serving("two", ""));
    assert_eq!(limpet.get("/").text(), "two");
}

#[test]
fn an_unreadable_configuration_changes_nothing() {
    let limpet = Limpet::start(&serving("one", ""));
    let workers = limpet.wait_workers(2);
    std::fs::remove_file(limpet.place.path("limpet.conf")).unwrap();
    limpet.signal(libc::SIGHUP);
    let line = limpet.log.wait("limpet.conf\" failed (2: No such file or directory)");
    assert_eq!(line.level, "emerg");
    assert_eq!(limpet.wait_workers(2), workers);
    limpet.reload(&serving("two", ""));
    assert_eq!(limpet.get("/").text(), "two");
}

#[test]
fn a_busy_port_changes_nothing_and_does_not_deafen_the_master() {
    let limpet = Limpet::start(&serving("one", ""));
    let workers = limpet.wait_workers(2);
    let busy = TcpListener::bind(("0.0.0.0", limpet.port(8081))).unwrap();
    limpet.configure(&serving("two", "listen 8081;"));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("(98: Address already in use)");
    assert_eq!(limpet.get("/").text(), "one");
    limpet.log.wait("still could not bind()");
    assert_eq!(limpet.wait_workers(2), workers);
    drop(busy);
    limpet.reload(&serving("two", "listen 8081;"));
    assert_eq!(get(limpet.port(8081), "/").text(), "two");
}

/// A new generation that still waits for its port writes to the new files too.
#[test]
fn logs_rotated_while_a_reload_waits_for_a_port_are_new_for_all() {
    let limpet = Limpet::start(&serving("one", ""));
    limpet.wait_workers(2);
    let busy = TcpListener::bind(("0.0.0.0", limpet.port(8081))).unwrap();
    limpet.configure(&serving("two", "listen 8081;"));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("try again to bind()");
    let (log, old) = (limpet.place.path("error.log"), limpet.place.path("error.log.1"));
    std::fs::rename(&log, &old).unwrap();
    limpet.signal(libc::SIGUSR1);
    eventually("a new log", || log.exists());
    drop(busy);
    let to_new = |process: &Process| {
        let fds = process.fds();
        fds.values().any(|to| Path::new(to) == log) && !fds.values().any(|to| Path::new(to) == old)
    };
    eventually("the second generation", || limpet.get("/").text() == "two");
    let all = || limpet.wait_workers(2).into_iter().chain([limpet.master()]).collect::<Vec<_>>();
    eventually("all write to the new log", || all().iter().all(to_new));
}

#[test]
fn addresses_come_and_go_and_unchanged_ones_keep_their_socket() {
    let limpet = Limpet::start(&serving("one", "listen 8081;"));
    let sockets = |limpet: &Limpet| {
        let (fds, ports) = (limpet.master().fds(), listening(limpet.master()));
        (fds.len(), ports)
    };
    limpet.wait_workers(2);
    let (_, before) = sockets(&limpet);
    assert_eq!(before.len(), 2);
    limpet.reload(&serving("two", "listen 8082;"));
    assert_eq!(get(limpet.port(8082), "/").text(), "two");
    // The master closes its own a moment after it has told the workers.
    eventually("the old address is closed", || !accepts(limpet.port(8081)));
    let after = sockets(&limpet).1;
    let kept: Vec<_> = after.iter().filter(|socket| before.contains(socket)).collect();
    assert!(kept.len() == 1 && after.len() == 2, "{before:?} {after:?}");
}

/// Port and inode of the listening TCP sockets of a process.
fn listening(process: Process) -> Vec<(u16, String)> {
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", process.0)).unwrap();
    let fds = process.fds();
    let listener = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let inode = format!("socket:[{}]", words[9]);
        let port = u16::from_str_radix(words[1].split_once(':')?.1, 16).ok()?;
        (words[3] == "0A" && fds.values().any(|fd| *fd == inode)).then_some((port, inode))
    };
    table.lines().skip(1).filter_map(listener).collect()
}

#[test]
fn no_request_fails_while_generations_change() {
    let limpet = Limpet::start(&serving("one", ""));
    limpet.wait_workers(2);
    let done = AtomicBool::new(false);
    let port = limpet.port(8080);
    let served = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut served = 0;
            while !done.load(Ordering::Relaxed) {
                let response = try_get(port, "/");
                let text = response.as_ref().map(Response::text).unwrap_or_default();
                if !matches!(&*text, "one" | "two") {
                    return Err(format!("after {served} answers: {response:?}"));
                }
                served += 1;
            }
            Ok(served)
        });
        for text in ["two", "one", "two", "one", "two"] {
            limpet.reload(&serving(text, ""));
        }
        done.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    assert!(served.as_ref().is_ok_and(|served| *served > 20), "{served:?}");
}

#[test]
fn a_burst_of_hups_settles() {
    let limpet = Limpet::start(&serving("one", ""));
    limpet.wait_workers(2);
    limpet.configure(&serving("two", ""));
    for _ in 0..100 {
        limpet.signal(libc::SIGHUP);
        assert_eq!(limpet.get("/").status, 200);
    }
    limpet.wait_workers(2);
    assert_eq!(limpet.get("/").text(), "two");
    limpet.log.has_none_of(&["crit", "alert", "emerg"]);
}

#[test]
fn a_changed_pid_path_moves_the_file() {
    let limpet = Limpet::start(&serving("one", ""));
    limpet.wait_workers(2);
    limpet.reload(&format!("pid @DIR@/other.pid; {}", serving("two", "")));
    assert_eq!(limpet.place.read("other.pid").trim(), limpet.master().0.to_string());
    eventually("the old file is gone", || limpet.pid_file().is_none());
}

#[test]
fn a_stop_in_the_middle_of_a_reload_leaves_no_pid_file() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&serving("one", ""));
    limpet.wait_workers(2);
    limpet.master().set_limit("--as=16777216");
    limpet.configure(&format!("pid @DIR@/other.pid; {}", serving("two", "")));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("not enough address space");
    assert!(!limpet.place.read("other.pid").is_empty(), "the next generation comes up");
    limpet.signal(libc::SIGQUIT);
    assert_eq!(limpet.wait_end(), Ended::Code(0));
    assert_eq!(limpet.pid_file(), None);
    assert_eq!(limpet.place.read("other.pid"), "");
}

#[test]
fn a_changed_error_log_is_written_from_then_on() {
    let limpet = Limpet::start(&serving("one", ""));
    limpet.wait_workers(2);
    limpet.reload(&format!("error_log @DIR@/other.log debug; {}", serving("two", "")));
    limpet.wait_workers(2);
    assert!(limpet.place.read("other.log").contains("exited with code 0"));
    let stderr = |process: Process| process.fds()[&2].clone();
    assert!(stderr(limpet.master()).ends_with("other.log"), "{}", stderr(limpet.master()));
    assert!(limpet.workers().iter().all(|worker| stderr(*worker).ends_with("other.log")));
}

/// Beyond nginx, which is left with workers that exit as soon as they start.
#[test]
fn workers_that_cannot_start_are_rolled_back() {
    let limpet = Limpet::start(&serving("one", ""));
    let workers = limpet.wait_workers(2);
    std::fs::create_dir(limpet.place.path("gone")).unwrap();
    limpet.configure(&format!("working_directory @DIR@/gone/missing; {}", serving("two", "")));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait_count("exited with", 2);
    let changed = || limpet.workers() != workers;
    assert!(!within(Duration::from_millis(500), changed), "the old workers go on");
    assert_eq!(limpet.wait_workers(2), workers);
    for _ in 0..5 {
        assert_eq!(limpet.get("/").text(), "one");
    }
    limpet.reload(&serving("two", ""));
    assert_eq!(limpet.get("/").text(), "two");
}

#[test]
fn workers_of_the_new_generation_are_not_told_to_quit() {
    let limpet = Limpet::start(&serving("one", ""));
    limpet.reload(&serving("two", ""));
    let new = limpet.wait_workers(2);
    for _ in 0..3 {
        assert_eq!(limpet.get("/").text(), "two");
    }
    let quitters = limpet.log.with("gracefully shutting down");
    assert!(new.iter().all(|worker| quitters.iter().all(|line| line.pid != worker.0)));
}
