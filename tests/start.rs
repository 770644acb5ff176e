//! Starts: into the background, with nothing around, and with the verdict (process model,
//! sections 1, 5 and 6).
use crate::common::*;
use std::process::{Command, Stdio};

const SERVED: &str = "
    worker_processes 2;
    events { }
    http { access_log off; server { listen 8080; location / { return 200 served; } } }
";

#[test]
fn a_daemon_leaves_its_terminal_and_writes_its_pid() {
    let limpet = Limpet::daemonize(Place::new(), SERVED);
    limpet.wait_workers(2);
    let master = limpet.master();
    assert_eq!(limpet.place.read("limpet.pid"), format!("{}\n", master.0));
    assert_eq!(master.parent(), std::process::id() as i32, "adopted by the subreaper");
    assert_eq!(master.session(), master.0, "leads a session");
    let fds = master.fds();
    assert_eq!((&*fds[&0], &*fds[&1]), ("/dev/null", "/dev/null"));
    assert!(fds[&2].ends_with("error.log"), "stderr is the log: {}", fds[&2]);
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn a_daemon_that_cannot_listen_says_so_before_it_leaves() {
    let place = Place::new();
    let _busy = std::net::TcpListener::bind(("0.0.0.0", place.port(8080))).unwrap();
    let limpet = Limpet::prepare(place, &format!("daemon on;{SERVED}"));
    let output = limpet.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("98: Address already in use"), "{text}");
    assert_eq!(limpet.pid_file(), None);
}

/// Beyond nginx, whose foreground has left before a worker runs.
#[test]
fn a_daemon_whose_workers_cannot_start_fails_in_the_foreground() {
    kernel::become_subreaper();
    let config = format!("daemon on; working_directory @DIR@/missing; {SERVED}");
    let limpet = Limpet::prepare(Place::new(), &config);
    let output = limpet.run(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!output.stderr.is_empty());
    limpet.log.wait("chdir(");
    assert_eq!(limpet.pid_file(), None, "who starts it again finds nothing left");
}

#[test]
fn the_foreground_prints_where_it_serves() {
    let limpet = Limpet::start(&format!("error_log stderr notice; {SERVED}"));
    limpet.wait_workers(2);
    let port = limpet.port(8080).to_string();
    eventually("a start line", || limpet.stderr().contains(&port));
    let stderr = limpet.stderr();
    assert!(stderr.contains("limpet.conf") && stderr.contains("Ctrl-C"), "{stderr}");
}

/// Whichever of 0, 1 and 2 are missing, no socket or log may take their place.
#[test]
fn any_standard_descriptor_may_be_closed() {
    for closed in [vec![0], vec![1], vec![2], vec![0, 1, 2]] {
        let mut limpet = Limpet::prepare(Place::new(), SERVED);
        let mut command = limpet.command();
        Birth { close: closed.clone(), ..Birth::default() }.apply(&mut command);
        limpet.launch_as(command);
        let mut processes = limpet.wait_workers(2);
        assert_eq!(limpet.get("/").text(), "served");
        processes.push(limpet.master());
        for process in processes {
            for fd in 0..=2 {
                let target = process.fds().get(&fd).cloned().unwrap_or_default();
                assert!(!target.contains("socket:"), "{closed:?} closed, {fd} is {target}");
            }
        }
        limpet.signal(libc::SIGHUP);
        limpet.log.wait("gracefully shutting down");
        limpet.wait_workers(2);
        assert_eq!(limpet.get("/").text(), "served");
    }
}

/// No config, /tmp, /etc/passwd, /proc, /dev, run directory or standard descriptors, and
/// neither root nor a right to write anywhere: the built-in configuration serves.
#[test]
fn an_empty_read_only_root_serves_as_nobody_with_nothing_open() {
    if !kernel::is_root() {
        return skip("needs root for chroot");
    }
    if drives_nginx() {
        return;
    }
    for close in [vec![], vec![0, 1, 2]] {
        let place = Place::new();
        let root = empty_root(&place, &[("index.html", "<p>hello")]);
        let user = Some((65532, 65532));
        let mut limpet = Limpet::prepare(place, "");
        limpet.launch_as(in_root(root, &[], Birth { user, close, ..Birth::default() }));
        eventually("it listens", || accepts(8080));
        let response = get(8080, "/");
        assert_eq!((response.status, &*response.text()), (200, "<p>hello"));
        assert_eq!(response.header("content-type"), "text/html");
        assert_eq!(get(8080, "/missing").status, 404);
        limpet.signal(libc::SIGTERM);
        assert_eq!(limpet.wait_end(), Ended::Code(0));
    }
}

/// The same as root: there is no user to become, so workers become 65534.
#[test]
fn an_empty_root_without_passwd_never_serves_as_root() {
    if !kernel::is_root() {
        return skip("needs root for chroot");
    }
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let root = empty_root(&place, &[("index.html", "hello")]);
    let mut limpet = Limpet::prepare(place, "");
    limpet.launch_as(in_root(root, &[], Birth::default()));
    eventually("it listens", || accepts(8080));
    assert_eq!(get(8080, "/").text(), "hello");
    for worker in limpet.master().children() {
        // One that has not served yet may not have come so far.
        eventually("a worker that is nobody", || worker.user() == 65534);
    }
}

#[test]
fn a_directory_is_served_by_name() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    place.write("site/index.html", "the site");
    let mut limpet = Limpet::prepare(place, "");
    if limpet.place.network().is_none() {
        return skip("needs port 8080");
    }
    let mut command = Command::new(binary());
    command.arg(limpet.place.path("site")).stdout(Stdio::null());
    limpet.launch_as(command);
    eventually("it listens", || accepts(8080));
    assert_eq!(get(8080, "/").text(), "the site");
    assert!(limpet.stderr().contains("8080"), "{}", limpet.stderr());
}

#[test]
fn a_fragment_is_wrapped_in_the_built_in_configuration() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let fragment = place.write("site.conf", "server { listen 8080; return 200 wrapped; }");
    let mut limpet = Limpet::prepare(place, "");
    if limpet.place.network().is_none() {
        return skip("needs port 8080");
    }
    let mut command = Command::new(binary());
    command.arg("-c").arg(fragment);
    limpet.launch_as(command);
    eventually("it listens", || accepts(8080));
    assert_eq!(get(8080, "/").text(), "wrapped");
}

#[test]
fn a_missing_configuration_is_named() {
    let place = Place::new();
    let missing = place.path("missing.conf").display().to_string();
    let output = run(&place, &["-c", &missing]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    let expected = format!("open() \"{missing}\" failed (2: No such file or directory)");
    assert!(text.contains(&expected), "{text}");
}

/// Beyond nginx, which counts the CPUs of the machine.
#[test]
fn automatic_workers_are_as_many_as_cpus_may_be_used() {
    let config = SERVED.replace("worker_processes 2", "worker_processes auto");
    let mut limpet = Limpet::prepare(Place::new(), &config);
    let mut command = limpet.command();
    Birth { cpus: vec![0], ..Birth::default() }.apply(&mut command);
    limpet.launch_as(command);
    limpet.wait_workers(1);
    assert_eq!(limpet.get("/").text(), "served");
    eventually("it says why", || limpet.stderr().contains("affinity"));
}

#[test]
fn without_ipv6_its_listeners_are_a_warning() {
    if drives_nginx() {
        return;
    }
    let config = SERVED.replace("listen 8080;", "listen 8080; listen [::]:8080;");
    let mut limpet = Limpet::prepare(Place::new(), &config);
    let mut command = limpet.command();
    Birth { no_ipv6: true, ..Birth::default() }.apply(&mut command);
    limpet.launch_as(command);
    limpet.wait_workers(2);
    assert_eq!(limpet.get("/").text(), "served");
    let line = limpet.log.wait("[::]:");
    assert_eq!(line.level, "warn");
}

/// Beyond nginx (416 B a slot, dirtied at start): what is not used costs nothing.
#[test]
fn unused_connections_cost_nothing() {
    let rss = |connections: &str| {
        let events = format!("events {{ worker_connections {connections}; }}");
        // One worker: with two, which of them serves would be left to chance, and what has
        // served has more of the code in its memory.
        let config = SERVED.replace("events { }", &events).replace("processes 2", "processes 1");
        let limpet = Limpet::start(&config);
        let worker = limpet.wait_workers(1)[0];
        for _ in 0..4 {
            limpet.get("/");
        }
        worker.resident_kib()
    };
    let (few, many) = (rss("512"), rss("65535"));
    assert!(many <= few + few / 20 + 64, "{few} KiB with 512, {many} KiB with 65535");
}

#[test]
fn with_little_address_space_fewer_connections_are_reserved() {
    if drives_nginx() {
        return;
    }
    let config = SERVED.replace("events { }", "events { worker_connections 1000000; }");
    let mut limpet = Limpet::prepare(Place::new(), &config);
    let mut command = limpet.command();
    let limits = vec![(libc::RLIMIT_AS, 64 << 20, 64 << 20)];
    Birth { limits, ..Birth::default() }.apply(&mut command);
    limpet.launch_as(command);
    limpet.wait_workers(2);
    assert_eq!(limpet.get("/").text(), "served");
    assert_eq!(limpet.log.wait("worker_connections").level, "warn");
}

/// An unwritable place for the pid file is no reason not to serve in the foreground.
#[test]
fn a_pid_file_that_cannot_be_written_is_fatal_only_when_it_was_asked_for() {
    let config = format!("pid @DIR@/missing/limpet.pid; {SERVED}");
    let mut limpet = Limpet::prepare(Place::new(), &config);
    limpet.launch();
    assert_eq!(limpet.wait_end(), Ended::Code(1));
    limpet.log.wait("missing/limpet.pid\" failed (2: No such file or directory)");
}

#[test]
fn global_directives_come_from_the_command_line_too() {
    let mut limpet = Limpet::prepare(Place::new(), &SERVED.replace("worker_processes 2;", ""));
    let mut command = limpet.command();
    command.args(["-g", "worker_processes 3; worker_priority 3;"]);
    limpet.launch_as(command);
    for worker in limpet.wait_workers(3) {
        eventually("the priority", || worker.nice() == 3);
    }
}
