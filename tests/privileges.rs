//! What a worker makes of itself before it serves (process model, section 5b): user,
//! priority, limits, CPUs, directory, environment.
use crate::common::*;
use std::os::unix::fs::MetadataExt;

fn with(main: &str) -> String {
    format!(
        "{main} worker_processes 2; events {{ }}
         http {{ access_log off; server {{ listen 8080; location / {{ return 200 served; }} }} }}"
    )
}

/// Starts it and returns the workers once they serve.
fn workers(limpet: &Limpet) -> Vec<Process> {
    let workers = limpet.wait_workers(2);
    limpet.get("/");
    workers
}

#[test]
fn workers_run_as_the_user_and_the_master_as_root() {
    if !kernel::is_root() {
        return skip("needs root");
    }
    let limpet = Limpet::start(&with("user daemon;"));
    let ids = |process: Process, name| {
        process.status(name).split_whitespace().map(str::to_string).collect::<Vec<_>>()
    };
    for worker in workers(&limpet) {
        eventually("every uid and gid has changed", || {
            ids(worker, "Uid").iter().chain(&ids(worker, "Gid")).all(|id| id != "0")
        });
        assert_eq!(worker.signals("CapEff"), 0);
        // a process that cannot be dumped belongs to root in /proc
        let owner = || std::fs::metadata(format!("/proc/{}/status", worker.0)).unwrap().uid();
        eventually("it can be dumped", || owner() == worker.user());
    }
    assert_eq!(limpet.master().user(), 0);
}

#[test]
fn the_group_can_be_named_apart() {
    if !kernel::is_root() {
        return skip("needs root");
    }
    let limpet = Limpet::start(&with("user daemon tty;"));
    let gid = |worker: &Process| worker.status("Gid").split_whitespace().nth(1).map(str::to_string);
    let tty = std::fs::read_to_string("/etc/group").unwrap();
    let tty = tty.lines().find_map(|line| line.strip_prefix("tty:x:")).unwrap();
    let tty = tty.split(':').next().map(str::to_string);
    for worker in workers(&limpet) {
        eventually("the group has changed", || gid(&worker) == tty);
    }
}

/// An unknown user is never served by root.
#[test]
fn an_unknown_user_is_an_error() {
    if !kernel::is_root() {
        return skip("needs root");
    }
    let mut limpet = Limpet::prepare(Place::new(), &with("user no_such_user;"));
    limpet.launch();
    assert_eq!(limpet.wait_end(), Ended::Code(1));
    assert!(limpet.stderr().contains("\"no_such_user\") failed"), "{}", limpet.stderr());
}

#[test]
fn without_root_the_user_directive_is_only_a_warning() {
    if !kernel::is_root() {
        return skip("needs root to become someone else");
    }
    let place = Place::new();
    std::os::unix::fs::chown(place.dir(), Some(65532), Some(65532)).unwrap();
    let mut limpet = Limpet::prepare(place, &with("user daemon;"));
    let mut command = limpet.command();
    Birth { user: Some((65532, 65532)), ..Birth::default() }.apply(&mut command);
    limpet.launch_as(command);
    for worker in workers(&limpet) {
        assert_eq!(worker.user(), 65532);
    }
    assert!(limpet.stderr().contains("the \"user\" directive"), "{}", limpet.stderr());
}

#[test]
fn workers_take_their_priority() {
    if !kernel::is_root() {
        return skip("needs root");
    }
    let limpet = Limpet::start(&with("worker_priority -5;"));
    for worker in workers(&limpet) {
        eventually("nice -5", || worker.nice() == -5);
    }
    assert_eq!(limpet.master().nice(), 0);
}

#[test]
fn workers_take_their_limits() {
    let limpet = Limpet::start(&with("worker_rlimit_nofile 1234; worker_rlimit_core 1m;"));
    for worker in workers(&limpet) {
        let limits = |name| worker.limit(name);
        let both = |limit: &str| (limit.to_string(), limit.to_string());
        eventually("open files", || limits("Max open files") == both("1234"));
        eventually("core files", || limits("Max core file size") == both("1048576"));
    }
}

/// Beyond nginx: the master takes what it may, the workers get back what was set.
#[test]
fn the_master_raises_its_soft_limit_and_workers_keep_theirs() {
    let mut limpet = Limpet::prepare(Place::new(), &with(""));
    let mut command = limpet.command();
    let limits = vec![(libc::RLIMIT_NOFILE, 600, 5000)];
    Birth { limits, ..Birth::default() }.apply(&mut command);
    limpet.launch_as(command);
    for worker in workers(&limpet) {
        eventually("the original limit", || worker.limit("Max open files").0 == "600");
    }
    assert_eq!(limpet.master().limit("Max open files").0, "5000");
}

#[test]
fn workers_are_bound_to_the_cpus_of_their_masks() {
    let limpet = Limpet::start(&with("worker_cpu_affinity 01 10;"));
    let workers = workers(&limpet);
    let cpus = |worker: &Process| worker.status("Cpus_allowed_list");
    eventually("one CPU each", || cpus(&workers[0]) == "0" && cpus(&workers[1]) == "1");
}

#[test]
fn the_last_mask_serves_for_the_rest() {
    let limpet = Limpet::start(&with("worker_cpu_affinity 10;"));
    for worker in workers(&limpet) {
        eventually("CPU 1", || worker.status("Cpus_allowed_list") == "1");
    }
}

#[test]
fn automatic_affinity_deals_the_cpus_out() {
    let limpet = Limpet::start(&with("worker_cpu_affinity auto;"));
    let workers = workers(&limpet);
    let cpus = |worker: &Process| worker.status("Cpus_allowed_list");
    eventually("a CPU each", || {
        workers.iter().all(|worker| cpus(worker).len() == 1)
            && cpus(&workers[0]) != cpus(&workers[1])
    });
}

#[test]
fn workers_change_to_the_working_directory() {
    let place = Place::new();
    place.write("work/file", "");
    let dir = place.path("work").display().to_string();
    let limpet = Limpet::start_in(place, &with("working_directory @DIR@/work;"));
    for worker in workers(&limpet) {
        eventually("the directory", || worker.directory() == dir);
    }
    assert_ne!(limpet.master().directory(), dir);
}

#[test]
fn a_missing_working_directory_is_fatal_and_not_tried_again() {
    let mut limpet = Limpet::prepare(Place::new(), &with("working_directory @DIR@/missing;"));
    limpet.launch();
    let told = limpet.log.wait_count("chdir(", 2);
    assert_eq!(told[0].level, "alert");
    limpet.log.wait("exited with fatal code 2 and cannot be respawned");
    if !drives_nginx() {
        assert_eq!(limpet.wait_end(), Ended::Code(1));
    }
    assert_eq!(limpet.log.count("start worker process "), 2);
}

#[test]
fn titles_name_the_command_line() {
    let limpet = Limpet::start(&with(""));
    workers(&limpet);
    let title = limpet.master().title();
    let arguments = limpet.command();
    let arguments: Vec<_> =
        arguments.get_args().map(|argument| argument.to_str().unwrap()).collect();
    let expected =
        format!("{}: master process {} {}", name(), binary().display(), arguments.join(" "));
    assert_eq!(title, expected);
    for worker in limpet.workers() {
        assert_eq!(worker.title(), format!("{}: worker process", name()));
    }
}

/// Listeners too: they are opened for the exec of an upgrade alone. (nginx leaves some open.)
#[test]
fn nothing_but_the_standard_descriptors_would_survive_an_exec() {
    let limpet = Limpet::start(&with(""));
    let mut processes = workers(&limpet);
    processes.push(limpet.master());
    for process in processes {
        for (fd, target) in process.fds() {
            assert!(fd <= 2 || process.is_cloexec(fd), "{process:?}: {fd} {target}");
        }
    }
}

/// Beyond nginx, whose orphans keep the port.
#[test]
fn workers_leave_when_their_master_is_gone() {
    let limpet = Limpet::start(&with(""));
    let workers = workers(&limpet);
    limpet.master().signal(libc::SIGKILL);
    for worker in workers {
        worker.wait_end();
    }
    assert!(!accepts(limpet.port(8080)));
}
