//! USR1 and log rotation (process model, section 6).
use crate::common::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

const LOGGED: &str = "
    user daemon;
    worker_processes 2;
    events { }
    http {
        access_log @DIR@/access.log;
        server { listen 8080; location / { return 200 served; } }
    }
";

#[test]
fn after_a_rotation_everyone_writes_to_the_new_files() {
    let limpet = Limpet::start(LOGGED);
    limpet.wait_workers(2);
    limpet.get("/before");
    for log in ["error.log", "access.log"] {
        fs::rename(limpet.place.path(log), limpet.place.path(&format!("{log}.1"))).unwrap();
    }
    limpet.signal(libc::SIGUSR1);
    let reopened = || {
        limpet.get("/after");
        limpet.access.text().contains("/after")
    };
    eventually("lines in the new access log", reopened);
    let (old, new) = (limpet.place.read("access.log.1"), limpet.access.text());
    assert!(old.contains("/before") && !new.contains("/before"), "{old:?} {new:?}");
    let told = || limpet.place.read("error.log.1").matches(": reopening logs").count();
    eventually("the master and both workers reopen", || told() == 3);
    eventually("nobody holds the old files", || {
        fds_of(&limpet, "error.log.1").is_empty() && fds_of(&limpet, "access.log.1").is_empty()
    });
}

/// Descriptors of the master and the workers that lead to a file of the test.
fn fds_of(limpet: &Limpet, name: &str) -> Vec<String> {
    let path = limpet.place.path(name).display().to_string();
    let mut processes = limpet.wait_workers(2);
    processes.push(limpet.master());
    let fds = processes.iter().flat_map(|process| process.fds().into_values());
    fds.filter(|target| *target == path).collect()
}

#[test]
fn reopened_files_belong_to_the_user_of_the_workers() {
    if !kernel::is_root() {
        return skip("needs root");
    }
    let limpet = Limpet::start(LOGGED);
    limpet.wait_workers(2);
    fs::remove_file(limpet.place.path("access.log")).unwrap();
    limpet.signal(libc::SIGUSR1);
    eventually("a new access log", || limpet.place.path("access.log").exists());
    let user = limpet.workers()[0].user();
    assert_ne!(user, 0);
    let owner = || fs::metadata(limpet.place.path("access.log")).unwrap().uid();
    eventually("it belongs to the user of the workers", || owner() == user);
}

#[test]
fn a_worker_reopens_when_it_alone_is_told_to() {
    let limpet = Limpet::start(LOGGED);
    let worker = limpet.wait_workers(2)[0];
    worker.signal(libc::SIGUSR1);
    let line = limpet.log.wait("reopening logs");
    assert_eq!(line.pid, worker.0);
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn without_its_directory_a_log_goes_on_in_the_old_file() {
    let place = Place::new();
    fs::create_dir(place.path("logs")).unwrap();
    let limpet =
        Limpet::start_in(place, &LOGGED.replace("@DIR@/access.log", "@DIR@/logs/access.log"));
    limpet.wait_workers(2);
    fs::rename(limpet.place.path("logs"), limpet.place.path("elsewhere")).unwrap();
    limpet.signal(libc::SIGUSR1);
    limpet.log.wait("logs/access.log\" failed (2: No such file or directory)");
    limpet.get("/after");
    let went_on = || limpet.place.read("elsewhere/access.log").contains("/after");
    eventually("the old file goes on", went_on);
    assert_eq!(limpet.wait_workers(2).len(), 2);
}

#[test]
fn rotation_under_load_loses_no_line() {
    let limpet = Limpet::start(LOGGED);
    limpet.wait_workers(2);
    let (done, port) = (AtomicBool::new(false), limpet.port(8080));
    let answers = std::thread::scope(|scope| {
        let client = || {
            let (mut client, mut count) = (Client::connect(port), 0);
            while !done.load(Ordering::Relaxed) {
                assert_eq!(client.get("/line").status, 200);
                count += 1;
            }
            count
        };
        let clients = [scope.spawn(client), scope.spawn(client), scope.spawn(client)];
        for round in 1..=10 {
            let rotated = limpet.place.path(&format!("access.log.{round}"));
            fs::rename(limpet.place.path("access.log"), rotated).unwrap();
            limpet.signal(libc::SIGUSR1);
            eventually("a new log", || fs::metadata(limpet.place.path("access.log")).is_ok());
        }
        done.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>()
    });
    let lines = || {
        let rotated = (1..=10).map(|round| format!("access.log.{round}"));
        let logs = rotated.chain(["access.log".to_string()]);
        logs.map(|log| limpet.place.read(&log).matches("GET /line HTTP/1.1").count()).sum::<usize>()
    };
    eventually("as many lines as answers", || lines() == answers);
}
