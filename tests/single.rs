//! `master_process off`: one process that is master and worker (process model, section 1).
use crate::common::*;

const SINGLE: &str = "
    master_process off;
    events { }
    http { access_log @DIR@/access.log; server { listen 8080; location / { return 200 one; } } }
";

#[test]
fn one_process_serves() {
    let limpet = Limpet::start(SINGLE);
    for _ in 0..5 {
        assert_eq!(limpet.get("/").text(), "one");
    }
    assert!(limpet.master().children().is_empty());
    assert_eq!(limpet.pid_file(), Some(limpet.master().0));
}

/// nginx's foreground has left before.
#[test]
fn a_daemon_of_one_process_says_that_it_serves() {
    let limpet = Limpet::daemonize(Place::new(), SINGLE);
    assert_eq!(limpet.get("/").text(), "one");
    assert!(limpet.master().children().is_empty());
}

#[test]
fn an_upgrade_is_refused_in_words() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SINGLE);
    let output = limpet.run(&["-s", "upgrade"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("upgrade failed: there is no master"), "{text}");
    assert_eq!(limpet.get("/").text(), "one");
}

#[test]
fn it_ends_on_term_int_and_quit() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT] {
        let mut limpet = Limpet::start(SINGLE);
        assert_eq!(limpet.get("/").text(), "one");
        limpet.signal(signal);
        assert_eq!(limpet.wait_end(), Ended::Code(0));
        assert_eq!(limpet.pid_file(), None);
        assert!(!accepts(limpet.port(8080)));
    }
}

#[test]
fn it_reloads_in_place() {
    let limpet = Limpet::start(SINGLE);
    assert_eq!(limpet.get("/").text(), "one");
    limpet.configure(&SINGLE.replace("200 one", "200 two").replace("8080", "8081"));
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("reconfiguring");
    eventually("the new address", || {
        try_get(limpet.port(8081), "/").is_ok_and(|response| response.text() == "two")
    });
    eventually("the old address is closed", || !accepts(limpet.port(8080)));
    limpet.configure("broken");
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("unexpected end of file");
    assert_eq!(get(limpet.port(8081), "/").text(), "two");
}

/// What a server is, only its start decides.
#[test]
fn a_reload_makes_no_master_of_it_and_no_single_process_of_a_master() {
    let single = Limpet::start(SINGLE);
    single.configure(
        &SINGLE.replace("master_process off", "worker_processes 2").replace("one", "two"),
    );
    single.signal(libc::SIGHUP);
    eventually("the new text", || single.get("/").text() == "two");
    assert!(single.master().children().is_empty());
    if drives_nginx() {
        return;
    }
    let config = SINGLE.replace("master_process off", "worker_processes 2");
    let master = Limpet::start(&config);
    master.wait_workers(2);
    master.reload(&format!("daemon on; master_process off; {config}"));
    master.wait_workers(2);
    // Nor does an upgrade in place, which comes back to what it was.
    let upgrade = master.run(&["-s", "upgrade"]);
    assert_eq!(upgrade.status.code(), Some(1));
    let text = String::from_utf8_lossy(&upgrade.stderr);
    assert!(text.contains("upgrade failed: the new binary cannot start"), "{text}");
    assert_eq!(master.get("/").text(), "one");
    master.wait_workers(2);
}

#[test]
fn it_reopens_its_logs() {
    let limpet = Limpet::start(SINGLE);
    limpet.get("/before");
    std::fs::rename(limpet.place.path("access.log"), limpet.place.path("old.log")).unwrap();
    limpet.signal(libc::SIGUSR1);
    eventually("lines in the new log", || {
        limpet.get("/after");
        limpet.access.text().contains("/after")
    });
    assert!(limpet.place.read("old.log").contains("/before"));
}

#[test]
fn winch_and_usr2_are_ignored() {
    let limpet = Limpet::start(SINGLE);
    for (signal, name) in [(libc::SIGWINCH, "SIGWINCH"), (libc::SIGUSR2, "SIGUSR2")] {
        limpet.signal(signal);
        limpet.log.wait(name);
        assert_eq!(limpet.get("/").text(), "one");
    }
}
