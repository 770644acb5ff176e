//! USR2: a new binary beside the old one (process model, section 6), with `daemon on`.
use crate::common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const TWO_WORKERS: &str = "
    worker_processes 2;
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

/// A daemon whose binary is a file of the test, so that it can be replaced.
struct Daemon {
    limpet: Limpet,
    binary: PathBuf,
}

impl Daemon {
    fn start() -> Self {
        Self::start_with("", &[])
    }

    /// With more directives, and variables in the environment.
    fn start_with(main: &str, variables: &[(&str, &str)]) -> Self {
        kernel::become_subreaper();
        let place = Place::new();
        let binary = place.path(&name());
        copy_program(&crate::common::binary(), &binary);
        let mut limpet = Limpet::prepare(place, &format!("daemon on;{main}{TWO_WORKERS}"));
        let mut command = Command::new(&binary);
        command.args(limpet.command().get_args()).envs(variables.iter().copied());
        let status = command.current_dir(limpet.place.dir()).status().unwrap();
        assert!(status.success());
        eventually("a pid file", || limpet.pid_file().is_some());
        limpet.adopt(Process(limpet.pid_file().unwrap()));
        limpet.wait_workers(2);
        Self { limpet, binary }
    }

    fn replace_binary(&self, content: &[u8], mode: u32) {
        let new = self.limpet.place.write("new", content);
        fs::remove_file(&self.binary).unwrap();
        copy_program(&new, &self.binary);
        fs::set_permissions(&self.binary, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn restore_binary(&self) {
        fs::remove_file(&self.binary).unwrap();
        copy_program(&crate::common::binary(), &self.binary);
    }

    fn old_pid_file(&self) -> String {
        self.limpet.place.read("limpet.pid.oldbin").trim().to_string()
    }

    /// Sends USR2 and waits for the new master and its workers.
    fn upgrade(&self) -> Process {
        let old = self.limpet.master();
        old.signal(libc::SIGUSR2);
        let new = || self.limpet.pid_file().map(Process).filter(|process| *process != old);
        eventually("a new pid file", || new().is_some());
        let new = new().unwrap();
        eventually("its workers", || new.children_titled(": worker process").len() == 2);
        new
    }

    /// The old master serves with its workers, alone, and its pid file is back.
    fn check_old_serves(&self) {
        let old = self.limpet.master();
        let back = || self.limpet.pid_file() == Some(old.0) && self.old_pid_file().is_empty();
        eventually("the pid file is back", back);
        self.limpet.wait_workers(2);
        for _ in 0..5 {
            assert_eq!(self.limpet.get("/").text(), "served");
        }
    }
}

#[test]
fn a_new_binary_takes_over_when_the_old_master_quits() {
    let mut daemon = Daemon::start();
    let old = daemon.limpet.master();
    daemon.restore_binary();
    let new = daemon.upgrade();
    assert_eq!(new.parent(), old.0);
    assert_eq!(daemon.old_pid_file(), old.0.to_string());
    assert!(new.title().contains(": master process"), "{}", new.title());
    assert_eq!(daemon.limpet.get("/").text(), "served");
    old.signal(libc::SIGQUIT);
    assert_eq!(old.wait_end(), Ended::Code(0));
    assert_eq!(daemon.limpet.pid_file(), Some(new.0));
    assert!(daemon.old_pid_file().is_empty());
    daemon.limpet.adopt(new);
    daemon.limpet.wait_workers(2);
    for _ in 0..5 {
        assert_eq!(daemon.limpet.get("/").text(), "served");
    }
    daemon.limpet.log.has_in_order(&[
        "signal 12 (SIGUSR2) received from",
        "changing binary",
        "start new binary process",
    ]);
}

#[test]
fn the_new_binary_inherits_the_listeners_and_nothing_else() {
    let daemon = Daemon::start();
    let dir = daemon.limpet.place.dir().display();
    let tell = format!(
        "#!/bin/sh\nenv > {dir}/env\nfor fd in /proc/$$/fd/*; do readlink $fd; done > {dir}/fds\n"
    );
    daemon.replace_binary(tell.as_bytes(), 0o755);
    daemon.limpet.signal(libc::SIGUSR2);
    daemon.limpet.log.wait("new binary process");
    daemon.check_old_serves();
    let variable = format!("{}=", name().to_uppercase());
    let environment = daemon.limpet.place.read("env");
    let inherited = environment.lines().find_map(|entry| entry.strip_prefix(&variable));
    assert!(inherited.is_some_and(|fds| fds.matches(';').count() == 1), "{environment}");
    let fds = daemon.limpet.place.read("fds");
    let sockets = fds.lines().filter(|target| target.starts_with("socket:")).count();
    // The listener, and the bridge to the old master.
    assert_eq!(sockets, if drives_nginx() { 1 } else { 2 }, "{fds}");
    assert!(!fds.contains("memfd:"), "{fds}");
}

#[test]
fn what_the_configuration_says_of_an_inherited_listener_counts() {
    let daemon = Daemon::start();
    let config = daemon.limpet.place.read("limpet.conf");
    let port = daemon.limpet.port(8080).to_string();
    let changed = config.replace(&format!("{port};"), &format!("{port} backlog=77;"));
    assert_ne!(changed, config);
    daemon.limpet.place.write("limpet.conf", changed);
    daemon.upgrade();
    let shown = Command::new("ss").arg("-ltnH").output().expect("ss").stdout;
    let shown = String::from_utf8(shown).unwrap();
    let line = shown.lines().find(|line| line.contains(&format!(":{port} ")));
    assert_eq!(line.and_then(|line| line.split_whitespace().nth(2)), Some("77"), "{shown}");
}

#[test]
fn the_environment_is_what_the_configuration_names() {
    let variables = [("KEPT", "kept"), ("CHANGED", "before"), ("DROPPED", "dropped")];
    let daemon = Daemon::start_with("env KEPT; env CHANGED=after; env NEW=new;", &variables);
    let dir = daemon.limpet.place.dir().display();
    daemon.replace_binary(format!("#!/bin/sh\nenv > {dir}/env\n").as_bytes(), 0o755);
    daemon.limpet.signal(libc::SIGUSR2);
    daemon.limpet.log.wait("new binary process");
    daemon.check_old_serves();
    let environment = daemon.limpet.place.read("env");
    for entry in ["KEPT=kept", "CHANGED=after", "NEW=new"] {
        assert!(environment.lines().any(|line| line == entry), "{entry} in {environment}");
    }
    assert!(!environment.contains("dropped"), "{environment}");
}

#[test]
fn no_request_fails_during_an_upgrade() {
    let mut daemon = Daemon::start();
    let port = daemon.limpet.port(8080);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(get(port, "/").text(), "served");
            }
        });
        for _ in 0..3 {
            let old = daemon.limpet.master();
            let new = daemon.upgrade();
            old.signal(libc::SIGQUIT);
            old.wait_end();
            daemon.limpet.adopt(new);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        client.join().unwrap();
    });
    daemon.limpet.wait_workers(2);
}

#[test]
fn a_binary_that_cannot_start_is_survived_and_a_good_one_taken_then() {
    let daemon = Daemon::start();
    let broken: [(&str, &[u8], u32); 4] = [
        ("not executable", b"#!/bin/sh\nexit 0\n", 0o644),
        ("no program", b"\x7fELF nonsense", 0o755),
        ("fails", b"#!/bin/sh\nexit 3\n", 0o755),
        ("crashes", b"#!/bin/sh\nkill -SEGV $$\n", 0o755),
    ];
    for (count, (what, content, mode)) in broken.into_iter().enumerate() {
        daemon.replace_binary(content, mode);
        daemon.limpet.signal(libc::SIGUSR2);
        daemon.limpet.log.wait_count("changing binary", 2 * (count + 1)); // signal and deed
        daemon.limpet.log.wait_count("start new binary process", count + 1);
        println!("{what}");
        daemon.check_old_serves();
    }
    fs::remove_file(&daemon.binary).unwrap();
    daemon.limpet.signal(libc::SIGUSR2);
    daemon.limpet.log.wait_count("start new binary process", broken.len() + 1);
    daemon.check_old_serves();
    copy_program(&crate::common::binary(), &daemon.binary);
    daemon.upgrade();
}

#[test]
fn a_binary_that_refuses_the_configuration_is_survived() {
    let daemon = Daemon::start();
    daemon.limpet.configure(&format!("daemon on; nonsense on; {TWO_WORKERS}"));
    daemon.limpet.signal(libc::SIGUSR2);
    eventually("it says why", || daemon.limpet.log.text().contains("unknown directive"));
    daemon.check_old_serves();
    daemon.limpet.configure(&format!("daemon on; {TWO_WORKERS}"));
    daemon.upgrade();
}

#[test]
fn when_the_new_master_dies_the_old_one_takes_over() {
    let daemon = Daemon::start();
    let new = daemon.upgrade();
    let workers = new.children();
    new.signal(libc::SIGKILL);
    daemon.limpet.log.wait(&format!("new binary process {} exited on signal 9", new.0));
    if !drives_nginx() {
        for worker in workers {
            worker.wait_end();
        }
    }
    daemon.check_old_serves();
}

#[test]
fn workers_stopped_by_winch_come_back_when_the_new_master_dies() {
    let daemon = Daemon::start();
    let old_workers = daemon.limpet.wait_workers(2);
    let new = daemon.upgrade();
    daemon.limpet.signal(libc::SIGWINCH);
    wait_all(&old_workers);
    assert_eq!(daemon.limpet.get("/").text(), "served");
    new.signal(libc::SIGKILL);
    new.children().iter().for_each(|worker| worker.signal(libc::SIGKILL));
    eventually("workers again", || daemon.limpet.workers().len() == 2);
    daemon.check_old_serves();
}

#[test]
fn a_second_usr2_is_ignored_by_both_masters() {
    let daemon = Daemon::start();
    let new = daemon.upgrade();
    for master in [daemon.limpet.master(), new] {
        let count = daemon.limpet.log.count("start new binary process");
        master.signal(libc::SIGUSR2);
        let crit = "the changing binary signal is ignored: you should shutdown or terminate";
        eventually("a crit line", || {
            daemon.limpet.log.with(crit).iter().any(|line| line.pid == master.0)
        });
        assert_eq!(daemon.limpet.log.count("start new binary process"), count);
    }
    assert_eq!(daemon.limpet.get("/").text(), "served");
    if !drives_nginx() {
        let output = daemon.limpet.run(&["-s", "upgrade"]);
        assert_eq!(output.status.code(), Some(1));
        let why = format!("the old binary, process {}, is there yet", daemon.limpet.master().0);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(&why), "{text}");
    }
}

/// HUP to the old master beside a new one starts its workers again and reads no file.
#[test]
fn hup_brings_the_old_workers_back_without_reading_the_file() {
    let daemon = Daemon::start();
    let old_workers = daemon.limpet.wait_workers(2);
    let new = daemon.upgrade();
    daemon.limpet.signal(libc::SIGWINCH);
    wait_all(&old_workers);
    daemon.limpet.configure("broken");
    daemon.limpet.signal(libc::SIGHUP);
    eventually("workers again", || daemon.limpet.workers().len() == 2);
    assert_eq!(daemon.limpet.log.count("unknown directive"), 0);
    new.signal(libc::SIGQUIT);
    new.wait_end();
    daemon.check_old_serves();
}

/// The path executed is that of the start, even when it was found through PATH or was relative.
#[test]
fn a_relative_path_is_made_absolute_at_start() {
    kernel::become_subreaper();
    let place = Place::new();
    copy_program(&crate::common::binary(), &place.path(&name()));
    let mut limpet = Limpet::prepare(place, &format!("daemon on;{TWO_WORKERS}"));
    let mut command = Command::new(format!("./{}", name()));
    command.args(limpet.command().get_args());
    assert!(command.current_dir(limpet.place.dir()).status().unwrap().success());
    eventually("a pid file", || limpet.pid_file().is_some());
    limpet.adopt(Process(limpet.pid_file().unwrap()));
    limpet.wait_workers(2);
    let binary = limpet.place.path(&name());
    let daemon = Daemon { limpet, binary };
    let new = daemon.upgrade();
    assert_eq!(new.parent(), daemon.limpet.master().0);
}

/// What both masters and their workers say over the bridge.
#[test]
fn the_old_master_hears_of_the_new_one_and_tells_its_workers() {
    if drives_nginx() {
        return;
    }
    let daemon = Daemon::start();
    let old_workers = daemon.limpet.wait_workers(2);
    let new = daemon.upgrade();
    daemon.limpet.log.wait(&format!("the new binary process {} is ready", new.0));
    let new_workers = new.children();
    assert_eq!(new_workers.len(), 2);
    let told = |to: &Process, words: &str, about: Process| {
        let lines = daemon.limpet.log.with(words);
        let words = format!("pid:{} ", about.0);
        lines.iter().any(|line| line.pid == to.0 && line.text.contains(&words))
    };
    for old in &old_workers {
        for new in &new_workers {
            eventually("it is told of the new", || told(old, "get channel s:10", *new));
        }
    }
    // One that is replaced is told, too, and of one that ends everybody hears.
    old_workers[0].signal(libc::SIGKILL);
    eventually("it is replaced", || daemon.limpet.workers().len() == 2);
    let late = daemon.limpet.workers().into_iter().find(|it| !old_workers.contains(it)).unwrap();
    eventually("it is told", || told(&late, "get channel s:10", new_workers[0]));
    new_workers[0].signal(libc::SIGKILL);
    eventually("its end is told", || told(&old_workers[1], "close channel s:10", new_workers[0]));
    new.signal(libc::SIGKILL);
    eventually("all are closed", || told(&late, "close channel s:10", new_workers[1]));
    daemon.check_old_serves();
    daemon.limpet.log.has_none_of(&["emerg"]);
}

#[test]
fn a_binary_that_hangs_is_killed_with_what_it_has_started() {
    if drives_nginx() {
        return;
    }
    let daemon = Daemon::start_with("upgrade_timeout 300ms;", &[]);
    for hang in ["sleep 1000 & echo $! > @DIR@/sleep; wait", "kill -STOP $$"] {
        let script = daemon.limpet.place.fill(&format!("#!/bin/sh\n{hang}\n"));
        daemon.replace_binary(script.as_bytes(), 0o755);
        let count = daemon.limpet.log.count("is not ready after 300 ms, it is killed");
        daemon.limpet.signal(libc::SIGUSR2);
        daemon.limpet.log.wait_count("is not ready after 300 ms, it is killed", count + 1);
        daemon.check_old_serves();
    }
    let sleep = Process(daemon.limpet.place.read("sleep").trim().parse().unwrap());
    eventually("nothing of it is left", || !sleep.lives());
    daemon.restore_binary();
    let config = daemon.limpet.place.read("limpet.conf").replace("300ms", "1m");
    daemon.limpet.place.write("limpet.conf", config);
    daemon.limpet.signal(libc::SIGHUP);
    daemon.limpet.log.wait("generation 2: ");
    let new = daemon.upgrade();
    daemon.limpet.log.wait(&format!("the new binary process {} is ready", new.0));
}

#[test]
fn a_new_binary_whose_workers_cannot_start_ends_by_itself() {
    let daemon = Daemon::start();
    let config = daemon.limpet.place.read("limpet.conf");
    let broken =
        format!("working_directory {}/nowhere;{config}", daemon.limpet.place.dir().display());
    daemon.limpet.place.write("limpet.conf", broken);
    daemon.limpet.signal(libc::SIGUSR2);
    daemon.limpet.log.wait("exited with fatal code 2");
    if !drives_nginx() {
        daemon.check_old_serves();
    }
}

/// nginx knows no bridge: its pid file says that it is there.
#[test]
fn nginx_may_follow() {
    let Some(nginx) = program("nginx").filter(|_| !drives_nginx()) else {
        return skip("no nginx");
    };
    let mut daemon = Daemon::start_with("upgrade_timeout 3s;", &[]);
    let dir = daemon.limpet.place.dir().display().to_string();
    let script = format!(
        "#!/bin/sh\nsed s/upgrade_timeout.3s.// {dir}/limpet.conf > {dir}/nginx.conf\n\
         exec {} -p {dir} -c {dir}/nginx.conf -e {dir}/error.log\n",
        nginx.display()
    );
    daemon.replace_binary(script.as_bytes(), 0o755);
    let old = daemon.limpet.master();
    let new = daemon.upgrade();
    daemon.limpet.log.wait(&format!("the new binary process {} is ready", new.0));
    old.signal(libc::SIGQUIT);
    assert_eq!(old.wait_end(), Ended::Code(0));
    assert_eq!(daemon.limpet.get("/").text(), "served");
    daemon.limpet.adopt(new);
    daemon.limpet.wait_workers(2);
}

/// Idle connections go to the workers of the other master.
#[test]
fn idle_connections_live_through_upgrades() {
    if drives_nginx() {
        return;
    }
    let mut daemon = Daemon::start();
    let mut clients: Vec<Client> = (0..8).map(|_| daemon.limpet.client()).collect();
    for _ in 0..4 {
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "served"));
        let old = daemon.limpet.master();
        let new = daemon.upgrade();
        daemon.limpet.log.wait(&format!("the new binary process {} is ready", new.0));
        old.signal(libc::SIGQUIT);
        assert_eq!(old.wait_end(), Ended::Code(0));
        daemon.limpet.adopt(new);
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "served"));
}
