//! The process table (process model, section 2): 1024 slots, and what a slot keeps.
use crate::common::*;
use std::time::Duration;

fn workers(count: usize) -> String {
    format!(
        "worker_processes {count}; events {{ worker_connections 16; }}
         http {{ server {{ listen 8080; location / {{ return 200 served; }} }} }}"
    )
}

/// Starts a table's worth of processes: alone, since it takes memory and descriptors.
#[test]
fn the_1025th_process_is_refused_and_nothing_else_breaks() {
    let mut limpet =
        Limpet::prepare(Place::new(), &workers(1025).replace("8080", "8080 reuseport"));
    limpet.configure(&format!("error_log @DIR@/error.log notice; {}", workers(1025)));
    let limits = vec![(libc::RLIMIT_NOFILE, 8192, 8192)];
    let mut command = limpet.command();
    Birth { limits, ..Birth::default() }.apply(&mut command);
    limpet.launch_as(command);
    // A million messages between them, whatever else the machine does.
    let long = Duration::from_secs(240);
    let refused = limpet.log.wait_within("no more than 1024 processes can be spawned", 1, long);
    assert_eq!(refused.expect("an alert")[0].level, "alert");
    assert!(within(long, || limpet.workers().len() == 1024));
    assert_eq!(limpet.get("/").text(), "served");
    let worker = limpet.workers()[500];
    worker.signal(libc::SIGKILL);
    worker.wait_end();
    assert!(within(long, || limpet.workers().len() == 1024));
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.master().wait_end_within(long), Some(Ended::Code(0)));
}

/// Beyond nginx: a table that cannot be had, or whose workers could accept nothing.
#[test]
fn a_table_that_does_not_fit_is_refused_with_the_figure() {
    for (soft, hard, whose) in [(64, 64, "the master"), (64, 4096, "each worker")] {
        let mut limpet = Limpet::prepare(Place::new(), &workers(100));
        let mut command = limpet.command();
        let limits = vec![(libc::RLIMIT_NOFILE, soft, hard)];
        Birth { limits, ..Birth::default() }.apply(&mut command);
        limpet.launch_as(command);
        assert_eq!(limpet.wait_end(), Ended::Code(1));
        let line = limpet.log.wait(&format!("open files in {whose}, RLIMIT_NOFILE allows 64"));
        assert_eq!(line.level, "emerg");
        assert_eq!(limpet.pid_file(), None);
    }
}

/// Else the spawns that fail take every descriptor, and no reload mends it.
#[test]
fn a_reload_to_a_table_that_does_not_fit_is_refused_with_the_figure() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::prepare(Place::new(), &workers(2));
    let mut command = limpet.command();
    Birth { limits: vec![(libc::RLIMIT_NOFILE, 100, 100)], ..Birth::default() }.apply(&mut command);
    limpet.launch_as(command);
    let before = limpet.wait_workers(2);
    limpet.configure(&workers(40));
    let output = limpet.run(&["-s", "reload"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("open files in the master, RLIMIT_NOFILE allows 100"), "{text}");
    assert_eq!(limpet.wait_workers(2), before);
    // As many as fit, if not beside the old ones.
    limpet.reload(&workers(20));
    limpet.wait_workers(20);
    limpet.reload(&workers(10));
    let first = limpet.wait_workers(10);
    assert_eq!(limpet.run(&["-s", "upgrade"]).status.code(), Some(0));
    wait_all(&first);
    limpet.wait_workers(10);
    assert_eq!(limpet.get("/").text(), "served");
}

#[test]
fn a_respawned_worker_keeps_its_slot_and_its_cpu() {
    let limpet = Limpet::start(&format!("worker_cpu_affinity 01 10; {}", workers(2)));
    let cpus = |limpet: &Limpet| {
        let workers = limpet.wait_workers(2);
        let mut cpus: Vec<_> =
            workers.iter().map(|worker| worker.status("Cpus_allowed_list")).collect();
        cpus.sort();
        cpus
    };
    limpet.wait_workers(2);
    limpet.log.wait_count("sched_setaffinity", 2);
    assert_eq!(cpus(&limpet), ["0", "1"]);
    for round in 0..2 {
        let worker = limpet.wait_workers(2)[round];
        let cpu = worker.status("Cpus_allowed_list");
        worker.signal(libc::SIGKILL);
        worker.wait_end();
        limpet.log.wait_count("sched_setaffinity", 3 + round);
        let new = limpet.wait_workers(2);
        let new = new.iter().max().unwrap();
        assert_eq!(new.status("Cpus_allowed_list"), cpu);
    }
}

/// Slots are reused: after many deaths the siblings hold no more descriptors than before.
#[test]
fn slots_and_their_descriptors_are_reused() {
    let limpet = Limpet::start(&workers(3));
    let counts = || -> Vec<usize> {
        let mut processes = limpet.wait_workers(3);
        processes.push(limpet.master());
        processes.iter().map(|process| process.fds().len()).collect()
    };
    limpet.wait_workers(3);
    let settled = settled(counts);
    for _ in 0..6 {
        let worker = limpet.wait_workers(3)[1];
        worker.signal(libc::SIGKILL);
        worker.wait_end();
        limpet.wait_workers(3);
    }
    eventually("as many descriptors as before", || counts() == settled);
}

/// The value once it has not changed for a while: the workers have told each other.
fn settled<T: PartialEq>(value: impl Fn() -> T) -> T {
    loop {
        let first = value();
        if !within(Duration::from_millis(200), || value() != first) {
            return first;
        }
    }
}
