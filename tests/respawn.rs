//! Deaths and replacements (process model, sections 4 and 5).
use crate::common::*;
use std::time::{Duration, Instant};

const THREE_WORKERS: &str = "
    worker_processes 3;
    events { }
    http { server { listen 8080; location / { return 200 served; } } }
";

const WITH_CACHE: &str = "
    events { }
    http {
        proxy_cache_path @DIR@/cache keys_zone=one:1m;
        server { listen 8080; location / { return 200 served; } }
    }
";

#[test]
fn a_killed_worker_is_replaced_and_its_siblings_go_on() {
    let limpet = Limpet::start(THREE_WORKERS);
    let workers = limpet.wait_workers(3);
    let began = Instant::now();
    workers[1].signal(libc::SIGKILL);
    workers[1].wait_end();
    eventually("three workers", || limpet.workers().len() == 3);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let now = limpet.wait_workers(3);
    assert!(now.contains(&workers[0]) && now.contains(&workers[2]));
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn all_workers_killed_at_once_are_replaced_and_the_port_never_refuses() {
    let limpet = Limpet::start(THREE_WORKERS);
    let workers = limpet.wait_workers(3);
    let mut waiting: Vec<_> = (0..2).map(|_| limpet.client()).collect();
    workers.iter().for_each(|worker| worker.signal(libc::SIGKILL));
    for _ in 0..50 {
        assert!(accepts(limpet.port(8080)));
    }
    waiting.push(limpet.client());
    assert_eq!(waiting.pop().unwrap().get("/").text(), "served");
    wait_all(&workers);
    limpet.wait_workers(3);
}

#[test]
fn a_fatal_signal_is_named() {
    let limpet = Limpet::start(THREE_WORKERS);
    let worker = limpet.wait_workers(3)[0];
    worker.signal(libc::SIGSEGV);
    let line = limpet.log.wait(&format!("worker process {} exited on signal 11", worker.0));
    assert_eq!(line.level, "alert");
    limpet.wait_workers(3);
}

#[test]
fn workers_killed_in_a_loop_lose_only_what_they_hold() {
    let limpet = Limpet::start(THREE_WORKERS);
    let mut refused = 0;
    for _ in 0..10 {
        let worker = limpet.wait_workers(3)[0];
        worker.signal(libc::SIGKILL);
        for _ in 0..20 {
            match try_get(limpet.port(8080), "/") {
                Ok(response) => assert_eq!(response.text(), "served"),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => refused += 1,
                Err(_) => {}
            }
        }
        worker.wait_end();
    }
    assert_eq!(refused, 0);
    limpet.wait_workers(3);
    assert_eq!(limpet.log.count("exited on signal 9"), 10);
}

/// Beyond nginx, which starts a new one as fast as it can, for ever.
#[test]
fn a_worker_that_keeps_dying_is_started_ever_more_slowly() {
    let limpet = Limpet::start(&THREE_WORKERS.replace("processes 3", "processes 1"));
    let mut times = Vec::new();
    for _ in 0..6 {
        let worker = limpet.wait_workers(1)[0];
        worker.signal(libc::SIGKILL);
        let died = Instant::now();
        worker.wait_end();
        eventually("a new worker", || !limpet.workers().is_empty());
        times.push(died.elapsed());
    }
    assert!(times[0] < Duration::from_millis(500), "the first is replaced at once: {times:?}");
    assert!(times[5] >= Duration::from_millis(300), "the sixth has to wait: {times:?}");
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn helpers_run_with_a_cache_and_the_manager_is_replaced() {
    let limpet = Limpet::start(WITH_CACHE);
    let helper = |title: &str| limpet.master().children_titled(title).first().copied();
    eventually("a cache loader", || helper(": cache loader process").is_some());
    let manager = || helper(": cache manager process");
    eventually("a cache manager", || manager().is_some());
    limpet.log.wait("start cache manager process");
    limpet.log.wait("start cache loader process");
    let first = manager().unwrap();
    first.signal(libc::SIGKILL);
    limpet.log.wait(&format!("cache manager process {} exited on signal 9", first.0));
    eventually("a new manager", || manager().is_some_and(|process| process != first));
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn a_killed_cache_loader_is_not_replaced() {
    let limpet = Limpet::start(WITH_CACHE);
    let loader = || limpet.master().children_titled(": cache loader process");
    eventually("a cache loader", || !loader().is_empty());
    let first = loader()[0];
    first.signal(libc::SIGKILL);
    limpet.log.wait(&format!("cache loader process {} exited on signal 9", first.0));
    limpet.workers()[0].signal(libc::SIGKILL);
    limpet.log.wait_count("start worker process ", 2);
    assert!(loader().is_empty());
}

#[test]
fn helpers_end_with_the_master() {
    for signal in [libc::SIGTERM, libc::SIGQUIT] {
        let mut limpet = Limpet::start(WITH_CACHE);
        eventually("three children", || limpet.master().children().len() == 3);
        let children = limpet.master().children();
        limpet.signal(signal);
        assert_eq!(limpet.wait_end(), Ended::Code(0));
        assert!(children.iter().all(|child| !child.lives()));
    }
}

/// pid 1 of a container gets orphans: they are reaped, and no worker is counted for them.
#[test]
fn unknown_children_are_reaped() {
    let mut limpet = Limpet::prepare(Place::new(), THREE_WORKERS);
    let binary = binary().display().to_string();
    let (dir, config) = (limpet.place.dir().display(), limpet.place.path("limpet.conf"));
    let script =
        format!("sleep 0.2 & exec {binary} -p {dir} -c {config}", config = config.display());
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).current_dir(limpet.place.dir());
    if drives_nginx() {
        command.args(["-e", "stderr"]);
    }
    let master = limpet.launch_as(command);
    eventually("three workers", || limpet.workers().len() == 3);
    let zombies = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            pid.is_some_and(|pid| Process(pid).parent() == master.0 && Process(pid).state() == "Z")
        })
    };
    eventually("the orphan has ended", || limpet.master().children().len() == 3);
    eventually("no zombie is left", || !zombies());
    limpet.log.wait("unknown process");
    assert_eq!(limpet.get("/").text(), "served");
}

/// A worker that still owes something when its master is dead waits for that, and only waits.
#[test]
fn who_has_lost_its_master_sleeps_until_it_is_done() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    place.write("html/big", vec![b'x'; 16 << 20]);
    let config = "
        worker_processes 2;
        events { }
        http { server { listen 8080; root @DIR@/html; } }
    ";
    let limpet = Limpet::start_in(place, config);
    let workers = limpet.wait_workers(2);
    let mut client = limpet.client();
    let response = client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").try_response(true).unwrap();
    assert_eq!(response.status, 200);
    limpet.master().signal(libc::SIGKILL);
    eventually("one of them is left", || workers.iter().filter(|it| it.lives()).count() == 1);
    let left = workers.into_iter().find(|it| it.lives()).unwrap();
    eventually("it sleeps", || {
        (0..20).all(|_| {
            std::thread::sleep(Duration::from_millis(5));
            left.state() == "S"
        })
    });
    assert_eq!(limpet.log.count("came through the door"), 0);
    drop(client);
    eventually("it has ended", || !left.lives());
}
