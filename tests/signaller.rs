//! `-s`: the process that finds the master and signals it (process model, sections 1 and 9).
use crate::common::*;

const SERVED: &str = "
    worker_processes 2;
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

fn send(limpet: &Limpet, signal: &str) -> (Option<i32>, String) {
    let Told { code, stderr, .. } = tell(limpet, &["-s", signal]);
    (code, stderr)
}

struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn tell(limpet: &Limpet, arguments: &[&str]) -> Told {
    told(limpet.run(arguments))
}

fn told(output: std::process::Output) -> Told {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    Told { code: output.status.code(), stdout, stderr }
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
fn a_reload_is_over_when_the_signaller_says_so() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    limpet.wait_workers(2);
    for generation in 2..5 {
        limpet.configure(&SERVED.replace("served", &format!("number-{generation}")));
        let Told { code, stdout, stderr } = tell(&limpet, &["-s", "reload"]);
        let ready = format!("limpet: generation {generation}: 2 of 2 workers ready in ");
        assert!(code == Some(0) && stdout.starts_with(&ready), "{stdout}{stderr}");
        for _ in 0..10 {
            assert_eq!(limpet.get("/").text(), format!("number-{generation}"));
        }
    }
    let Told { code, stdout, .. } = tell(&limpet, &["-q", "-s", "reload"]);
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "-q");
}

#[test]
fn a_refused_reload_gives_the_reason() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    let workers = limpet.wait_workers(2);
    let pid = limpet.master().0.to_string();
    // The signaller does not read the configuration of a master that is named by number.
    let reload = || tell(&limpet, &["-s", "reload", "--pid", &pid]);
    limpet.configure("events { } http { nonsense on; }");
    let Told { code, stderr, .. } = reload();
    let place = limpet.place.path("limpet.conf");
    let reason = format!(
        "reload failed: unknown directive \"nonsense\" in {}:4; generation 1 serves on",
        place.display()
    );
    assert!(code == Some(1) && stderr.contains(&reason), "{stderr}");

    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = held.local_addr().unwrap();
    limpet.configure(&SERVED.replace("listen 8080", &format!("listen {addr}")));
    let Told { code, stderr, .. } = reload();
    let reason = format!("bind() to {addr} failed (98: Address already in use)");
    assert!(code == Some(1) && stderr.contains(&reason), "{stderr}");

    assert_eq!(limpet.workers(), workers, "the same ones serve");
    limpet.configure(SERVED);
    assert_eq!(reload().code, Some(0));
}

#[test]
fn a_reload_that_is_rolled_back_gives_the_reason() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    limpet.wait_workers(2);
    limpet.configure(&format!("working_directory /nowhere; {SERVED}"));
    let Told { code, stderr, .. } = tell(&limpet, &["-s", "reload"]);
    let reason = "reload failed: no worker could start, all exited with fatal code 2";
    assert!(code == Some(1) && stderr.contains(reason), "{stderr}");
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn many_signallers_at_once_all_get_a_verdict_of_their_own_time() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    limpet.wait_workers(2);
    limpet.configure(&SERVED.replace("served", "again"));
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = limpet.command();
            command.args(["-q", "-s", "reload"]).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
        assert_eq!(limpet.get("/").text(), "again");
    }
}

#[test]
fn after_a_reopen_nobody_writes_to_the_old_file() {
    if drives_nginx() {
        return;
    }
    let config = SERVED.replace("http {", "http { access_log @DIR@/access.log;");
    let limpet = Limpet::start(&config);
    limpet.wait_workers(2);
    for round in 0..10 {
        limpet.get("/");
        let old = limpet.place.path("access.old");
        std::fs::rename(limpet.place.path("access.log"), &old).unwrap();
        let Told { code, stdout, stderr } = tell(&limpet, &["-s", "reopen"]);
        assert_eq!((code, stdout.as_str()), (Some(0), "limpet: logs reopened\n"), "{stderr}");
        let before = std::fs::read_to_string(&old).unwrap();
        (0..4).for_each(|_| drop(limpet.get("/")));
        assert_eq!(std::fs::read_to_string(&old).unwrap(), before, "round {round}");
    }
}

#[test]
fn a_reopen_that_fails_says_which_file() {
    if drives_nginx() {
        return;
    }
    let config = SERVED.replace("http {", "http { access_log @DIR@/logs/access.log;");
    let place = Place::new();
    let logs = place.path("logs");
    std::fs::create_dir(&logs).unwrap();
    let limpet = Limpet::start_in(place, &config);
    limpet.wait_workers(2);
    std::fs::remove_dir_all(&logs).unwrap();
    let Told { code, stderr, .. } = tell(&limpet, &["-s", "reopen"]);
    let reason = format!("open() \"{}\" failed", logs.join("access.log").display());
    assert!(code == Some(1) && stderr.contains(&reason), "{stderr}");
}

#[test]
fn without_waiting_it_is_nginx() {
    let limpet = Limpet::start(SERVED);
    let workers = limpet.wait_workers(2);
    limpet.master().signal(libc::SIGSTOP);
    let arguments: &[&str] =
        if drives_nginx() { &["-s", "reload"] } else { &["-s", "reload", "--no-wait"] };
    assert_eq!(tell(&limpet, arguments).code, Some(0), "a stopped master tells nobody anything");
    limpet.master().signal(libc::SIGCONT);
    wait_all(&workers);
}

#[test]
fn quit_waits_for_what_is_in_flight() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    limpet.wait_workers(2);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n");
    limpet.get("/");
    let mut command = limpet.command();
    let mut quit = command.args(["-q", "-s", "quit"]).spawn().unwrap();
    limpet.log.wait_count("gracefully shutting down", 2);
    assert!(quit.try_wait().unwrap().is_none(), "a request is on its way");
    client.send("\r\n");
    assert_eq!(client.response().text(), "served");
    assert!(quit.wait().unwrap().success());
    assert_eq!(limpet.place.read("limpet.pid"), "", "the pid file went with the master");
}

#[test]
fn who_may_not_see_the_verdict_is_told_who_may() {
    if drives_nginx() {
        return;
    }
    let Some(setpriv) = program("setpriv").filter(|_| kernel::is_root()) else {
        return skip("needs root and setpriv");
    };
    let limpet = Limpet::start(SERVED);
    let workers = limpet.wait_workers(2);
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&setpriv);
        command.args(["--bounding-set", "-sys_ptrace"]).arg(binary());
        command.args(["-p", limpet.place.dir().to_str().unwrap(), "-c"]);
        command.arg(limpet.place.path("limpet.conf")).args(arguments);
        told(output(&limpet.place, command))
    };
    let Told { code, stderr, .. } = run(&["-s", "reload"]);
    let text =
        "the signal is sent; its verdict is for uid 0 to see, or for root with CAP_SYS_PTRACE";
    assert!(code == Some(0) && stderr.contains(text), "{stderr}");
    wait_all(&workers);
    let Told { code, stderr, .. } = run(&["-s", "status"]);
    assert!(code == Some(1) && stderr.contains("root with CAP_SYS_PTRACE"), "{stderr}");
}

#[test]
fn a_stale_pid_file_hits_nobody() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::prepare(Place::new(), SERVED);
    let mut other = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    limpet.place.write("limpet.pid", format!("{}\n", other.id()));
    let (code, stderr) = send(&limpet, "stop");
    assert!(other.try_wait().unwrap().is_none(), "it lives");
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(code == Some(1) && stderr.contains("is no limpet"), "{stderr}");
}

#[test]
fn an_upgrade_in_place_has_a_verdict() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(SERVED);
    let old = limpet.wait_workers(2);
    let Told { code, stdout, stderr } = tell(&limpet, &["-s", "upgrade"]);
    let ready = "limpet: generation 2: 2 of 2 workers ready in ";
    assert!(code == Some(0) && stdout.starts_with(ready), "{stdout}{stderr}");
    wait_all(&old);
    limpet.configure("nonsense;");
    let pid = limpet.master().0.to_string();
    let Told { code, stderr, .. } = tell(&limpet, &["-s", "upgrade", "--pid", &pid]);
    assert!(code == Some(1) && stderr.contains("upgrade failed: "), "{stderr}");
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn an_upgrade_of_a_daemon_ends_with_the_old_master_told_to_quit() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::daemonize(Place::new(), SERVED);
    limpet.wait_workers(2);
    let old = limpet.master();
    let Told { code, stdout, stderr } = tell(&limpet, &["-s", "upgrade"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    old.wait_end();
    let new = Process(limpet.pid_file().unwrap());
    assert!(new != old && stdout.contains(&new.0.to_string()), "{stdout}");
    limpet.adopt(new);
    limpet.wait_workers(2);
    assert_eq!(limpet.get("/").text(), "served");
    limpet.signal(libc::SIGTERM);
    limpet.wait_end();
}
