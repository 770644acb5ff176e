//! `-s`: the process that finds the master and signals it (process model, sections 1 and 9).
use crate::common::*;

const SERVED: &str = "
    worker_processes 2;
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

fn send(limpet: &Limpet, signal: &str) -> (Option<i32>, String) {
    let output = limpet.run(&["-s", signal]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn stop_and_quit_end_the_master() {
    for (signal, number) in [("stop", "15 (SIGTERM)"), ("quit", "3 (SIGQUIT)")] {
        let mut limpet = Limpet::start(SERVED);
        limpet.wait_workers(2);
        assert_eq!(send(&limpet, signal).0, Some(0));
        assert_eq!(limpet.wait_end(), Ended::Code(0));
        limpet.log.wait(&format!("signal {number} received from"));
    }
}

#[test]
fn reload_and_reopen_reach_the_master() {
    let limpet = Limpet::start(SERVED);
    let old = limpet.wait_workers(2);
    limpet.configure(&SERVED.replace("served", "again"));
    assert_eq!(send(&limpet, "reload").0, Some(0));
    wait_all(&old);
    assert_eq!(limpet.get("/").text(), "again");
    assert_eq!(send(&limpet, "reopen").0, Some(0));
    limpet.log.wait_count("reopening logs", 3);
}

#[test]
fn without_a_master_it_says_what_is_missing() {
    let limpet = Limpet::prepare(Place::new(), SERVED);
    let (code, stderr) = send(&limpet, "stop");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("limpet.pid\" failed (2: No such file or directory)"), "{stderr}");
    limpet.place.write("limpet.pid", "nonsense\n");
    let (code, stderr) = send(&limpet, "stop");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("invalid PID number \"nonsense\" in"), "{stderr}");
}

#[test]
fn a_pid_of_nobody_is_told() {
    let limpet = Limpet::prepare(Place::new(), SERVED);
    limpet.place.write("limpet.pid", "4194300\n");
    let (code, stderr) = send(&limpet, "reload");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("kill(4194300, 1) failed (3: No such process)"), "{stderr}");
}

#[test]
fn an_unknown_signal_is_refused() {
    let limpet = Limpet::prepare(Place::new(), SERVED);
    let (code, stderr) = send(&limpet, "nonsense");
    assert_eq!((code, stderr), (Some(1), format!("{}: invalid option: \"-s nonsense\"\n", name())));
}

#[test]
fn status_shows_every_process() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    let workers = limpet.wait_workers(2);
    for _ in 0..10 {
        limpet.get("/");
    }
    let output = limpet.run(&["-s", "status"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(table.contains(&limpet.master().0.to_string()), "{table}");
    for worker in workers {
        assert!(table.contains(&worker.0.to_string()), "{table}");
    }
}
