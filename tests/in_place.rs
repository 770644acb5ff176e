//! USR2 with `daemon off`: the master becomes the new binary and stays the process it is
//! (process model, section 6).
use crate::common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const TWO_WORKERS: &str = "
    worker_processes 2;
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

/// A server in the foreground whose binary is a file of the test.
struct Server {
    limpet: Limpet,
    binary: PathBuf,
}

impl Server {
    fn start(config: &str) -> Self {
        let place = Place::new();
        let binary = place.path("limpet");
        copy_program(&crate::common::binary(), &binary);
        let mut limpet = Limpet::prepare_binary(&binary, place, config);
        limpet.launch();
        eventually("it serves", || limpet.workers().len() == 2);
        limpet.log.wait("2 of 2 workers ready");
        Self { limpet, binary }
    }

    /// Another binary in the place of this one: a script.
    fn replace(&self, script: &str) {
        let script = self.limpet.place.fill(&format!("#!/bin/sh\n{script}\n"));
        let new = self.limpet.place.write("new", script);
        fs::remove_file(&self.binary).unwrap();
        copy_program(&new, &self.binary);
        fs::set_permissions(&self.binary, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn restore(&self) {
        fs::remove_file(&self.binary).unwrap();
        copy_program(&crate::common::binary(), &self.binary);
    }

    /// Upgrades, and waits until the old workers have gone.
    fn upgrade(&self) {
        let old = self.limpet.workers();
        let ready = self.limpet.log.count("2 of 2 workers ready");
        self.limpet.signal(libc::SIGUSR2);
        self.limpet.log.wait_count("2 of 2 workers ready", ready + 1);
        wait_all(&old);
        self.limpet.wait_workers(2);
    }

    /// An upgrade that comes to nothing: the workers are the same, and a good one succeeds then.
    fn refuses(&self, words: &str) {
        let old = self.limpet.wait_workers(2);
        let failed = self.limpet.log.count("upgrade failed: ");
        self.limpet.signal(libc::SIGUSR2);
        let lines = self.limpet.log.wait_count("upgrade failed: ", failed + 1);
        let said = &lines.last().unwrap().text;
        assert!(said.contains(words), "{said}");
        assert_eq!(self.limpet.wait_workers(2), old);
        assert_eq!(self.limpet.get("/").text(), "served");
    }
}

/// A script that passes the trial by the real binary, and does something before it becomes it.
fn after_the_trial(what: &str) -> String {
    let real = crate::common::binary();
    let real = real.display();
    format!("case \"$*\" in *\" -t -q\") exec {real} \"$@\";; esac\n{what}\nexec {real} \"$@\"")
}

/// What a descriptor is, without the numbers that differ from one to the next of its kind.
fn kinds(process: Process) -> Vec<String> {
    let kind = |target: String| match target.split_once(":[") {
        Some((kind, _)) => kind.to_string(),
        None => target.trim_end_matches(" (deleted)").to_string(),
    };
    let mut kinds: Vec<String> = process.fds().into_values().map(kind).collect();
    kinds.sort();
    kinds
}

#[test]
fn the_process_stays_and_the_workers_change() {
    let server = Server::start(TWO_WORKERS);
    let (master, before) = (server.limpet.master(), kinds(server.limpet.master()));
    for generation in 2..=4 {
        server.restore();
        server.upgrade();
        assert_eq!(server.limpet.get("/").text(), "served");
        server.limpet.log.wait(&format!("generation {generation}: 2 of 2 workers ready"));
        eventually("the same descriptors", || kinds(master) == before);
        assert!(master.fds().keys().all(|fd| *fd <= 2 || master.is_cloexec(*fd)));
        assert_eq!(server.limpet.pid_file(), Some(master.0));
        assert!(master.title().contains(": master process"), "{}", master.title());
    }
    server.limpet.log.has_in_order(&[
        "signal 12 (SIGUSR2) received from",
        "changing binary",
        "tests the configuration with",
        "the process stays",
        "generation 2: 2 of 2 workers ready",
    ]);
    server.limpet.log.has_none_of(&["alert", "emerg", "error"]);
}

#[test]
fn no_connection_fails_during_ten_upgrades() {
    // A line for each thing that each client does would be read again and again.
    let server = Server::start(&format!("error_log @DIR@/error.log notice;{TWO_WORKERS}"));
    let port = server.limpet.port(8080);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ask = || {
            let mut asked = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(get(port, "/").text(), "served");
                asked += 1;
            }
            asked
        };
        let clients = [scope.spawn(ask), scope.spawn(ask)];
        for _ in 0..10 {
            server.upgrade();
        }
        done.store(true, Ordering::Relaxed);
        let asked: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(asked > 100, "{asked}");
    });
}

/// `-s upgrade` waits for the end of it, and its exit code tells.
#[test]
fn the_signaller_tells_how_an_upgrade_came_out() {
    let server = Server::start(TWO_WORKERS);
    let upgrade = || server.limpet.run(&["-s", "upgrade"]);
    let done = upgrade();
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("generation 2: 2 of 2 workers ready"), "{said}");
    // What only a worker would find out: the new image gives everything back.
    server.limpet.configure(&format!("working_directory @DIR@/nowhere;{TWO_WORKERS}"));
    let failed = upgrade();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("generation 2 serves on"), "{said}");
}

/// Idle connections go to the new workers, as in a reload.
#[test]
fn idle_connections_live_through_upgrades() {
    let server = Server::start(TWO_WORKERS);
    let mut clients: Vec<Client> = (0..8).map(|_| server.limpet.client()).collect();
    for _ in 0..4 {
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "served"));
        server.upgrade();
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "served"));
}

/// A script passes the trial by the real binary, and looks around before it becomes it.
#[test]
fn the_new_image_inherits_what_it_needs_and_nothing_else() {
    let server = Server::start(&TWO_WORKERS.replace(
        "http {",
        "http {
        limit_req_zone $uri zone=one:1m rate=10r/s;",
    ));
    let look = "for fd in /proc/$$/fd/*; do readlink $fd; done > @DIR@/fds";
    server.replace(&after_the_trial(look));
    server.upgrade();
    let mut inherited: Vec<String> = Vec::new();
    for target in server.limpet.place.read("fds").lines() {
        let name = target.strip_suffix(" (deleted)").unwrap_or(target);
        let name = if name.starts_with("socket:") { "socket" } else { name };
        inherited.push(name.rsplit_once('/').map_or(name, |(_, last)| last).to_string());
    }
    inherited.sort();
    // 0 and 1; stderr; the shell's own two; and the executable of the image before.
    let usual = ["null", "null", "error.log", "limpet", "fds", "limpet"];
    let left = ["scoreboard", "state", "texts", "zone:limit_req:one:1048576:v1"];
    let left = left.map(|name| format!("memfd:limpet:{name}"));
    // A listener, and of each worker two ends of its channel and one of its door.
    let mut expected = [&usual.map(String::from)[..], &left, &vec!["socket".into(); 7]].concat();
    expected.sort();
    assert_eq!(inherited, expected);
    assert_eq!(server.limpet.get("/").text(), "served");
}

#[test]
fn a_zone_keeps_what_was_counted() {
    let server = Server::start(
        "worker_processes 2; events { } http {
            limit_req_zone $uri zone=one:1m rate=1r/m;
            server { listen 8080; root @DIR@; limit_req zone=one; }
        }",
    );
    server.limpet.place.write("a", "a");
    server.limpet.place.write("b", "b");
    assert_eq!(server.limpet.get("/a").status, 200);
    server.upgrade();
    assert_eq!(server.limpet.get("/a").status, 503);
    assert_eq!(server.limpet.get("/b").status, 200);
    server.upgrade();
    assert_eq!(server.limpet.get("/b").status, 503);
    let config = server.limpet.place.read("limpet.conf");
    server.limpet.place.write("limpet.conf", config.replace("one:1m", "one:2m"));
    server.upgrade();
    assert_eq!(server.limpet.get("/b").status, 503, "a larger one takes it over");
}

#[test]
fn the_numbers_of_connections_go_on() {
    let server = Server::start(&TWO_WORKERS.replace("served", "$connection"));
    let number = || server.limpet.get("/").text().parse::<u64>().unwrap();
    let first = number();
    server.upgrade();
    assert!(number() > first);
}

#[test]
fn a_binary_that_does_not_pass_its_trial_is_not_executed() {
    let server = Server::start(TWO_WORKERS);
    let cases = [
        ("exit 3", "refuses the configuration (code 3)"),
        ("kill -SEGV $$", "exited on signal 11"),
        ("exit 0", "cannot take over in place"),
        ("echo 1 > @DIR@/tried; exit 0", "cannot take over in place"),
    ];
    for (script, words) in cases {
        server.replace(script);
        server.refuses(words);
    }
    fs::set_permissions(&server.binary, fs::Permissions::from_mode(0o644)).unwrap();
    server.refuses("refuses the configuration (code 1)");
    fs::remove_file(&server.binary).unwrap();
    server.refuses("refuses the configuration (code 1)");
    copy_program(&crate::common::binary(), &server.binary);
    server.limpet.configure("nonsense on;");
    server.refuses("refuses the configuration (code 1)");
    assert!(server.limpet.log.text().contains("unknown directive \"nonsense\""));
    server.limpet.configure(TWO_WORKERS);
    server.upgrade();
}

#[test]
fn a_trial_that_hangs_is_ended_and_the_master_is_there_meanwhile() {
    let server = Server::start(TWO_WORKERS);
    server.replace("sleep 1000");
    server.limpet.signal(libc::SIGUSR2);
    server.limpet.log.wait("tests the configuration with");
    // A second one is ignored, and a reload is not.
    server.limpet.signal(libc::SIGUSR2);
    server.limpet.log.wait("the changing binary signal is ignored");
    server.limpet.reload(TWO_WORKERS);
    let line = server.limpet.log.wait("upgrade failed: ");
    assert!(line.text.contains("has not tested it within 10 s"), "{}", line.text);
    server.limpet.wait_workers(2);
    server.restore();
    server.upgrade();
}

/// Everything that can go wrong after the trial: the old binary comes back, with its workers.
#[test]
fn an_image_that_cannot_start_gives_everything_back() {
    let server = Server::start(TWO_WORKERS);
    let before = kinds(server.limpet.master());
    let real = crate::common::binary();
    let later = [
        // Its configuration is not the one that was tested: the old one's is gone, too.
        ("echo nonsense > @DIR@/limpet.conf; exec REAL \"$@\"", "cannot start"),
        // Its state is one that nobody knows.
        ("LIMPET_IN_PLACE=99${LIMPET_IN_PLACE#1} exec REAL \"$@\"", "is not understood"),
        // Another server has its port by then.
        (
            "sed 's/listen /listen 127.0.0.1:1; listen 192.0.2.1:/' @DIR@/limpet.conf > @DIR@/x
          mv @DIR@/x @DIR@/limpet.conf; exec REAL \"$@\"",
            "cannot start",
        ),
        // It has other ideas of a master.
        ("exec REAL \"$@\" -g 'master_process off;'", "cannot start"),
    ];
    for (script, words) in later {
        server.limpet.configure(TWO_WORKERS);
        let script = script.replace("REAL", real.to_str().unwrap());
        server.replace(&format!(
            "case \"$*\" in *\" -t -q\") exec {} \"$@\";; esac\n{script}",
            real.display()
        ));
        server.refuses(words);
        eventually("the same descriptors", || kinds(server.limpet.master()) == before);
    }
    // A worker of the image that came back is replaced as ever.
    server.limpet.workers()[0].signal(libc::SIGKILL);
    server.limpet.wait_workers(2);
    server.limpet.configure(TWO_WORKERS);
    server.limpet.reload(TWO_WORKERS);
    server.restore();
    server.upgrade();
    eventually("the same descriptors", || kinds(server.limpet.master()) == before);
}

#[test]
fn workers_that_cannot_start_are_a_reason_to_come_back() {
    let server = Server::start(TWO_WORKERS);
    server.limpet.configure(&format!("working_directory @DIR@/nowhere;{TWO_WORKERS}"));
    server.refuses("no worker could start");
    server.limpet.log.has_in_order(&["chdir", "the binary before comes back", "serves on"]);
    // The numbers of generations do not come twice.
    server.limpet.configure(TWO_WORKERS);
    server.upgrade();
    server.limpet.log.wait("generation 3: 2 of 2");
}

/// A crash before the new workers are ready: in the start, and when some of them are there.
#[test]
fn an_image_that_crashes_after_its_trial_is_followed_by_the_one_before() {
    let server = Server::start(TWO_WORKERS);
    let (limpet, before) = (&server.limpet, kinds(server.limpet.master()));
    let mut client = limpet.client();
    client.get("/");
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("listen 8080; listen {};", held.local_addr().unwrap());
    limpet.configure(&TWO_WORKERS.replace("listen 8080;", &busy));
    for signal in [libc::SIGSEGV, libc::SIGABRT] {
        let (old, tries) = (limpet.wait_workers(2), limpet.log.count("try again to bind()"));
        let failed = limpet.log.count("upgrade failed: ");
        limpet.signal(libc::SIGUSR2);
        limpet.log.wait_count("try again to bind()", tries + 1);
        limpet.signal(signal);
        let lines = limpet.log.wait_count("upgrade failed: ", failed + 1);
        assert!(lines.last().unwrap().text.contains("the new binary has crashed"));
        assert_eq!(limpet.wait_workers(2), old);
        assert_eq!(client.get("/").text(), "served");
        eventually("the same descriptors", || kinds(limpet.master()) == before);
    }
    // Workers that wait for a name server that says nothing are not ready.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let upstream = format!(
        "http {{ upstream_resolve strict; resolver {};
             upstream named {{ zone named 64k; server name.invalid resolve; }}",
        silent.local_addr().unwrap()
    );
    limpet.configure(TWO_WORKERS);
    limpet.place.write("strict", limpet.place.fill(&TWO_WORKERS.replace("http {", &upstream)));
    server.replace(&after_the_trial("cp @DIR@/strict @DIR@/limpet.conf"));
    let old = limpet.wait_workers(2);
    limpet.signal(libc::SIGUSR2);
    eventually("two more are there", || limpet.workers().len() == 4);
    limpet.signal(libc::SIGBUS);
    limpet.log.wait_count("upgrade failed: the new binary has crashed", 3);
    assert_eq!(limpet.wait_workers(2), old, "the others have ended with it");
    assert_eq!(client.get("/").text(), "served");
    eventually("the same descriptors", || kinds(limpet.master()) == before);
    server.restore();
    limpet.configure(TWO_WORKERS);
    server.upgrade();
    assert_eq!(client.get("/").text(), "served");
}

/// A start that has no end: after 30 s, whatever it is that it waits for.
#[test]
fn an_image_that_hangs_after_its_trial_is_followed_by_the_one_before() {
    let server = Server::start(TWO_WORKERS);
    let limpet = &server.limpet;
    server.replace(&after_the_trial("rm @DIR@/limpet.conf; mkfifo @DIR@/limpet.conf"));
    let old = limpet.wait_workers(2);
    limpet.signal(libc::SIGUSR2);
    limpet.log.wait("the process stays");
    std::thread::sleep(std::time::Duration::from_secs(20));
    let line = limpet.log.wait("upgrade failed: ");
    assert!(line.text.contains("the new binary has not started within 30 s"), "{}", line.text);
    assert_eq!(limpet.wait_workers(2), old);
    assert_eq!(limpet.get("/").text(), "served");
}

/// As a reload does, and before anything is executed: the process that waits is the old one.
#[test]
fn at_the_limit_of_generations_an_upgrade_waits_for_the_oldest() {
    let limits = "worker_generations 2; worker_shutdown_timeout 400ms;";
    let server = Server::start(&format!("{limits} {TWO_WORKERS}"));
    let (limpet, old) = (&server.limpet, server.limpet.workers());
    // They are told to leave, and do not hear.
    old.iter().for_each(|worker| worker.stop());
    limpet.signal(libc::SIGHUP);
    limpet.log.wait("generation 2: 2 of 2 workers ready");
    limpet.signal(libc::SIGUSR2);
    let line = limpet.log.wait("2 generations of workers live: the upgrade waits up to 400 ms");
    assert_eq!(line.level, "warn");
    assert_eq!(limpet.log.wait("generation 1 is terminated for the next one").level, "alert");
    wait_all(&old);
    limpet.log.wait("generation 3: 2 of 2 workers ready");
    limpet.log.has_in_order(&["exited on signal 9", "the process stays", "generation 3"]);
    limpet.wait_workers(2);
}

#[test]
fn what_the_new_configuration_says_counts() {
    let server = Server::start(TWO_WORKERS);
    let changed = TWO_WORKERS.replace("served", "changed").replace("8080", "8081");
    server.limpet.configure(&format!("pid @DIR@/other.pid;{changed}"));
    server.upgrade();
    assert_eq!(get(server.limpet.port(8081), "/").text(), "changed");
    eventually("the old address is closed", || !accepts(server.limpet.port(8080)));
    let master = server.limpet.master();
    assert_eq!(server.limpet.place.read("other.pid").trim(), master.0.to_string());
    assert_eq!(server.limpet.pid_file(), None);
}

#[test]
fn a_stop_while_the_new_workers_come_up_stops_all() {
    let mut server = Server::start(TWO_WORKERS);
    let old = server.limpet.workers();
    // Of what was there before and is not to be there after, nothing stays either.
    server.limpet.configure(&format!("pid @DIR@/other.pid;{TWO_WORKERS}"));
    server.limpet.signal(libc::SIGUSR2);
    server.limpet.log.wait("the process stays");
    server.limpet.signal(libc::SIGTERM);
    assert_eq!(server.limpet.wait_end(), Ended::Code(0));
    wait_all(&old);
    assert_eq!(server.limpet.pid_file(), None);
    assert!(!server.limpet.place.path("other.pid").exists());
}

/// The first process of a PID namespace, as in a container; its number outside, and who
/// started it.
fn start_as_pid_1(config: &str) -> (Server, Process) {
    let place = Place::new();
    let binary = place.path("limpet");
    copy_program(&crate::common::binary(), &binary);
    let mut limpet = Limpet::prepare_binary(&binary, place, config);
    let server = limpet.command();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child=KILL"]).arg(&binary);
    command.args(server.get_args()).current_dir(limpet.place.dir());
    kernel::Birth::default().apply(&mut command);
    let starter = limpet.launch_as(command);
    eventually("its child is there", || !starter.children().is_empty());
    limpet.adopt(starter.children()[0]);
    limpet.wait_workers(2);
    limpet.log.wait("2 of 2 workers ready");
    (Server { limpet, binary }, starter)
}

#[test]
fn pid_1_hears_every_signal_and_reaps_orphans() {
    if !kernel::is_root() {
        return skip("PID namespaces are root's");
    }
    // As pid 1 it never leaves the foreground.
    let (server, starter) = start_as_pid_1(&format!("daemon on;{TWO_WORKERS}"));
    assert_eq!(server.limpet.pid_file(), Some(1));
    server.limpet.signal(libc::SIGHUP);
    server.limpet.log.wait("generation 2: 2 of 2");
    server.limpet.wait_workers(2);
    let log = server.limpet.place.path("error.log");
    fs::remove_file(&log).unwrap();
    server.limpet.signal(libc::SIGUSR1);
    eventually("the log is there again", || log.exists());
    server.upgrade();
    server.upgrade();
    server.limpet.log.wait("generation 4: 2 of 2");
    // The trial leaves a child behind, which is nobody's then.
    server.replace("sleep 0.1 & exit 3");
    server.refuses("code 3");
    server.limpet.log.wait("unknown process");
    eventually("nothing but the workers is left", || server.limpet.master().children().len() == 2);
    server.limpet.signal(libc::SIGQUIT);
    assert_eq!(starter.wait_end(), Ended::Code(0));
    assert_eq!(server.limpet.pid_file(), None);
}

/// The last of an upgrade is a stop by TERM, after which an exit code is all that is left.
#[test]
fn pid_1_stops_in_the_middle_of_an_upgrade() {
    if !kernel::is_root() {
        return skip("PID namespaces are root's");
    }
    let (server, starter) = start_as_pid_1(TWO_WORKERS);
    server.limpet.signal(libc::SIGUSR2);
    server.limpet.signal(libc::SIGTERM);
    assert_eq!(starter.wait_end(), Ended::Code(0));
}
