//! As process 1 of a PID namespace, as in a container (process model, sections 4, 5 and 9).
use crate::common::*;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const SERVED: &str = "
    worker_processes 2;
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

/// Process 1 of a namespace of its own; None where there can be none.
fn start(config: &str) -> Option<Limpet> {
    start_until(config, "2 of 2 workers ready")
}

fn start_until(config: &str, line: &str) -> Option<Limpet> {
    let Some(unshare) = program("unshare").filter(|_| kernel::is_root()) else {
        skip("needs root and unshare");
        return None;
    };
    let mut limpet = Limpet::prepare(Place::new(), config);
    let plain = limpet.command();
    let mut command = Command::new(unshare);
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(limpet.place.dir());
    Birth::default().apply(&mut command);
    let around = limpet.launch_as(command);
    limpet.log.wait(line);
    limpet.adopt(around.children()[0]);
    Some(limpet)
}

/// A program in its namespace.
fn inside(limpet: &Limpet, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("nsenter");
    command.args(["-t", &limpet.master().0.to_string(), "-p", "-m"]);
    command.arg(program).args(arguments).current_dir(limpet.place.dir());
    output(&limpet.place, command)
}

fn signaller(limpet: &Limpet, word: &str) -> Output {
    let (dir, config) = (limpet.place.path(""), limpet.place.path("limpet.conf"));
    let paths = [dir.to_str().unwrap(), config.to_str().unwrap()];
    inside(limpet, binary().to_str().unwrap(), &["-p", paths[0], "-c", paths[1], "-s", word])
}

#[test]
fn every_signal_works() {
    if drives_nginx() {
        return;
    }
    let Some(mut limpet) = start(&format!("foreground_winch on; {SERVED}")) else { return };
    assert_eq!(limpet.place.read("limpet.pid"), "1\n");
    let first = limpet.wait_workers(2);
    limpet.configure(&format!("foreground_winch on; {}", SERVED.replace("served", "again")));
    limpet.signal(libc::SIGHUP);
    wait_all(&first);
    assert_eq!(limpet.get("/").text(), "again");

    std::fs::rename(limpet.place.path("error.log"), limpet.place.path("old.log")).unwrap();
    limpet.signal(libc::SIGUSR1);
    eventually("a new log", || limpet.place.path("error.log").exists());

    let second = limpet.wait_workers(2);
    limpet.signal(libc::SIGWINCH);
    wait_all(&second);
    assert!(limpet.master().lives() && limpet.workers().is_empty());
    limpet.signal(libc::SIGHUP);
    limpet.wait_workers(2);
    assert_eq!(limpet.get("/").text(), "again");

    limpet.signal(libc::SIGUSR2);
    limpet.log.wait("executing ");
    limpet.log.wait("generation 4: 2 of 2 workers ready");
    assert_eq!(limpet.get("/").text(), "again");

    limpet.signal(libc::SIGQUIT);
    limpet.wait_end();
    limpet.log.wait("signal 3 (SIGQUIT) received");
    assert!(!limpet.place.path("limpet.pid").exists());
}

#[test]
fn a_window_that_is_resized_ends_nobody() {
    if drives_nginx() {
        return;
    }
    let Some(limpet) = start(SERVED) else { return };
    let workers = limpet.wait_workers(2);
    limpet.signal(libc::SIGWINCH);
    limpet.log.wait("signal 28 (SIGWINCH) received");
    assert_eq!(limpet.wait_workers(2), workers);
}

#[test]
fn a_term_finishes_what_has_begun_and_a_second_does_not() {
    if drives_nginx() {
        return;
    }
    for is_patient in [true, false] {
        let Some(mut limpet) = start(SERVED) else { return };
        let mut client = limpet.client();
        client.get("/");
        client.send("GET / HTTP/1.1\r\nHost: x\r\n");
        let mut other = limpet.client();
        other.get("/");
        limpet.signal(libc::SIGTERM);
        limpet.log.wait_count("gracefully shutting down", 2);
        let began = Instant::now();
        if is_patient {
            assert_eq!(client.send("\r\n").response().text(), "served");
        } else {
            limpet.signal(libc::SIGTERM);
        }
        limpet.wait_end();
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}

#[test]
fn orphans_are_reaped() {
    if drives_nginx() {
        return;
    }
    let Some(limpet) = start(SERVED) else { return };
    let ran = inside(&limpet, "sh", &["-c", "for i in 1 2 3; do (sleep 0.2; exit 7) & done"]);
    assert!(ran.status.success(), "{ran:?}");
    limpet.log.wait_count("exited with code 7", 3);
    for line in limpet.log.with("exited with code 7") {
        assert!(line.level == "debug" && line.text.starts_with("unknown process "), "{line:?}");
    }
    let states = || limpet.master().children().into_iter().map(Process::state);
    eventually("no zombie", || states().all(|state| !state.starts_with('Z')));
    limpet.wait_workers(2);
}

#[test]
fn a_single_process_reaps_them_too() {
    if drives_nginx() {
        return;
    }
    let config = format!("master_process off; {SERVED}");
    let Some(limpet) = start_until(&config, "one process") else { return };
    let ran = inside(&limpet, "sh", &["-c", "sleep 0.2 &"]);
    assert!(ran.status.success(), "{ran:?}");
    limpet.log.wait("signal 17 (SIGCHLD) received");
    eventually("no zombie", || limpet.master().children().is_empty());
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn its_signaller_finds_it() {
    if drives_nginx() {
        return;
    }
    let Some(mut limpet) = start(SERVED) else { return };
    let first = limpet.wait_workers(2);
    let reload = signaller(&limpet, "reload");
    assert!(reload.status.success(), "{reload:?}");
    assert!(String::from_utf8_lossy(&reload.stdout).contains("generation 2: 2 of 2"), "{reload:?}");
    wait_all(&first);
    // Also without a pid file, on a read-only root.
    std::fs::remove_file(limpet.place.path("limpet.pid")).unwrap();
    let reload = signaller(&limpet, "reload");
    assert!(String::from_utf8_lossy(&reload.stdout).contains("generation 3: 2 of 2"), "{reload:?}");
    let status = signaller(&limpet, "status");
    assert!(String::from_utf8_lossy(&status.stdout).starts_with("master 1: running"), "{status:?}");
    // With process 1 the whole namespace ends, the signaller too, whatever it was going to say.
    drop(signaller(&limpet, "stop"));
    limpet.wait_end();
    limpet.log.wait("signal 2 (SIGINT) received");
}

#[test]
fn a_server_that_has_lost_its_workers_ends() {
    if drives_nginx() {
        return;
    }
    let Some(mut limpet) = start(SERVED) else { return };
    limpet.configure(&format!("nonsense; {SERVED}"));
    // No successor can have a channel.
    limpet.master().set_limit("--nofile=8:8");
    limpet.workers().iter().for_each(|worker| worker.signal(libc::SIGKILL));
    limpet.log.wait("no worker has been ready for 10 s");
    limpet.wait_end();
}
