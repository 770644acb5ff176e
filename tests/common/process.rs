//! A process as /proc shows it.
use super::kernel::{self, Ended, Pid};
use super::{LIMIT, eventually};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub Pid);

impl Process {
    fn file(self, name: &str) -> Option<String> {
        let bytes = fs::read(format!("/proc/{}/{name}", self.0)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What ps(1) shows; empty for a zombie.
    pub fn title(self) -> String {
        let line = self.file("cmdline").unwrap_or_default();
        line.trim_end_matches('\0').replace('\0', " ").trim_end().to_string()
    }

    /// Runs, sleeps or is stopped; a zombie does not live.
    pub fn lives(self) -> bool {
        !matches!(self.stat(0).as_deref(), None | Some("Z" | "X"))
    }

    /// Field of /proc/PID/stat, 0 being the state (the third in proc_pid_stat(5)).
    fn stat(self, index: usize) -> Option<String> {
        let line = self.file("stat")?;
        let after_name = &line[line.rfind(')')? + 2..];
        after_name.split(' ').nth(index).map(str::to_string)
    }

    pub fn state(self) -> String {
        self.stat(0).unwrap_or_default()
    }

    pub fn parent(self) -> Pid {
        self.stat(1).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub fn session(self) -> Pid {
        self.stat(3).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// When it was started, in ticks since boot: tells it from a later process with its pid.
    pub fn born(self) -> Option<String> {
        self.stat(19)
    }

    pub fn nice(self) -> i32 {
        self.stat(16).and_then(|text| text.parse().ok()).unwrap_or(99)
    }

    /// User and system time used, in clock ticks of 10 ms.
    pub fn ticks(self) -> u64 {
        let field = |index| self.stat(index).and_then(|text| text.parse().ok()).unwrap_or(0);
        let (user, system): (u64, u64) = (field(11), field(12));
        user + system
    }

    /// A line of /proc/PID/status.
    pub fn status(self, name: &str) -> String {
        let text = self.file("status").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or("").trim().to_string()
    }

    /// The effective user.
    pub fn user(self) -> u32 {
        let ids = self.status("Uid");
        ids.split_whitespace().nth(1).and_then(|id| id.parse().ok()).unwrap_or(u32::MAX)
    }

    /// One of SigBlk, SigIgn, SigCgt as a mask.
    pub fn signals(self, name: &str) -> u64 {
        u64::from_str_radix(&self.status(name), 16).unwrap_or(0)
    }

    /// Soft and hard limit of a line of /proc/PID/limits.
    pub fn limit(self, name: &str) -> (String, String) {
        let text = self.file("limits").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
        let mut words = line.split_whitespace().map(str::to_string);
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    /// Open descriptors and what they point to.
    pub fn fds(self) -> BTreeMap<i32, String> {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.0)) else {
            return BTreeMap::new();
        };
        let fd = |entry: fs::DirEntry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((number, target.to_string_lossy().into_owned()))
        };
        entries.filter_map(|entry| fd(entry.ok()?)).collect()
    }

    /// The flags of an open descriptor (proc_pid_fdinfo(5)), O_CLOEXEC among them.
    pub fn flags(self, fd: i32) -> i32 {
        let text = self.file(&format!("fdinfo/{fd}")).unwrap_or_default();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("0");
        i32::from_str_radix(flags.trim(), 8).unwrap_or(0)
    }

    /// Whether exec would close the descriptor.
    pub fn is_cloexec(self, fd: i32) -> bool {
        self.flags(fd) & libc::O_CLOEXEC != 0
    }

    pub fn directory(self) -> String {
        let path = fs::read_link(format!("/proc/{}/cwd", self.0)).unwrap_or_default();
        path.to_string_lossy().into_owned()
    }

    /// Living children, in the order of their pids.
    pub fn children(self) -> Vec<Process> {
        let mut children: Vec<_> = all().filter(|child| child.parent() == self.0).collect();
        children.retain(|child| child.lives());
        children.sort();
        children
    }

    /// Living children whose title ends so: "worker process", "cache manager process" ….
    pub fn children_titled(self, end: &str) -> Vec<Process> {
        self.children().into_iter().filter(|child| child.title().ends_with(end)).collect()
    }

    pub fn signal(self, signal: i32) {
        kernel::kill(self.0, signal).unwrap_or_else(|error| panic!("kill {self:?}: {error}"));
    }

    /// Stops it, and returns when it has stopped.
    pub fn stop(self) {
        self.signal(libc::SIGSTOP);
        eventually("the process is stopped", || self.state() == "T");
    }

    /// Sets a limit of a running process with prlimit(1), `--nofile=10:20`, as its own user:
    /// root in a container may not reach across users.
    pub fn set_limit(self, limit: &str) {
        let ids = |name| self.status(name).split_whitespace().nth(1).unwrap().parse().unwrap();
        let mut command = std::process::Command::new("prlimit");
        command.arg("--pid").arg(self.0.to_string()).arg(limit);
        if kernel::is_root() {
            let user = Some((ids("Uid"), ids("Gid")));
            kernel::Birth { user, ..Default::default() }.apply(&mut command);
        }
        assert!(command.status().expect("prlimit").success(), "{command:?}");
    }

    pub fn wait_end(self) -> Ended {
        self.wait_end_within(LIMIT).unwrap_or_else(|| panic!("{self:?} does not end"))
    }

    pub fn wait_end_within(self, limit: Duration) -> Option<Ended> {
        kernel::wait_end(self.0, limit)
    }

    /// Memory that is in use, in KiB.
    pub fn resident_kib(self) -> u64 {
        self.status("VmRSS").trim_end_matches(" kB").parse().unwrap_or(0)
    }
}

fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Process))
}

/// The network namespace of a process, given as in /proc.
pub fn network_of(process: &str) -> u64 {
    fs::metadata(format!("/proc/{process}/ns/net")).map(|meta| meta.ino()).unwrap_or(0)
}

/// Ends, by pid, what a test has left in its own network namespace.
pub fn end_all_of_network(network: u64) {
    let own = std::process::id() as Pid;
    let left = || all().filter(move |process| process.0 != own && in_network(*process, network));
    for _ in 0..3 {
        left().for_each(|process| drop(kernel::kill(process.0, libc::SIGKILL)));
        left().for_each(|process| {
            process.wait_end_within(Duration::from_secs(5));
        });
    }
}

fn in_network(process: Process, network: u64) -> bool {
    process.lives() && network_of(&process.0.to_string()) == network
}
