//! A real limpet for a test: started, asked, signalled, watched, and gone at the end.
//!
//! A test writes its configuration inline, asks, and says what it expects. `@DIR@` in a
//! configuration is the test's own directory. Unless the configuration says otherwise,
//! the master stays in the foreground, as a child of the test, and logs at level debug
//! to `error.log`: debug lines in nginx's words are the interface to what cannot be
//! seen from outside.
//!
//! With LIMPET_TEST_BINARY=/usr/sbin/nginx the same tests drive nginx (a debug build, as
//! Debian's is): they are meant to pass there too, except where limpet goes beyond it.
pub mod client;
pub mod inflate;
#[expect(unsafe_code, reason = "namespaces, pidfds and inotify are not in std")]
pub mod kernel;
mod log;
mod place;
pub mod process;
mod random;
mod root;
pub mod upstream;

pub use client::{Client, Response, accepts, exchange, get, try_get};
pub use kernel::{Birth, Ended};
pub use log::Log;
pub use place::Place;
pub use process::Process;
pub use random::Random;
pub use root::{copy_program, empty_root, in_root};
pub use upstream::Upstream;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything that is going to happen takes, on a busy machine too.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits for what only /proc can tell, in fine steps.
pub fn eventually(what: &str, happened: impl FnMut() -> bool) {
    assert!(within(LIMIT, happened), "not within {LIMIT:?}: {what}");
}

pub fn within(limit: Duration, mut happened: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !happened() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

pub fn binary() -> PathBuf {
    std::env::var_os("LIMPET_TEST_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_limpet").into(), PathBuf::from)
}

/// "limpet", or "nginx" when that is what is being driven.
pub fn name() -> String {
    binary().file_name().unwrap().to_string_lossy().into_owned()
}

pub fn drives_nginx() -> bool {
    name() == "nginx"
}

/// A server of one configuration. Dropping it ends everything it started.
pub struct Limpet {
    binary: PathBuf,
    pub log: Log,
    pub access: Log,
    child: Option<Child>,
    pid: Option<kernel::Pid>,
    /// Pids come again soon: of a master that has been reaped, the number may be another test's.
    born: Option<String>,
    pub place: Place,
}

impl Limpet {
    /// Starts it and returns when it listens and the workers run.
    pub fn start(config: &str) -> Self {
        Self::start_in(Place::new(), config)
    }

    /// The same in a place that the test has prepared.
    pub fn start_in(place: Place, config: &str) -> Self {
        let mut limpet = Self::prepare(place, config);
        limpet.launch();
        limpet.wait_started();
        limpet
    }

    /// Everything but the start.
    pub fn prepare(place: Place, config: &str) -> Self {
        Self::prepare_binary(binary(), place, config)
    }

    /// The same for another server that takes the same command line: nginx.
    pub fn prepare_binary(binary: impl Into<PathBuf>, place: Place, config: &str) -> Self {
        let log = Log::new(&place, "error.log");
        let access = Log::new(&place, "access.log");
        let binary = binary.into();
        let limpet = Self { binary, log, access, child: None, pid: None, born: None, place };
        limpet.configure(config);
        limpet
    }

    /// Lets another program serve the same configuration, files and ports after this one.
    pub fn hand_to(&mut self, binary: impl Into<PathBuf>) {
        self.binary = binary.into();
    }

    /// Writes the configuration; a running master reads it at the next HUP.
    pub fn configure(&self, config: &str) {
        self.place.write("limpet.conf", complete(&self.place, config));
    }

    /// The command of a start, for tests that change something about it.
    pub fn command(&self) -> Command {
        command(&self.binary, &self.place)
    }

    /// Starts it in the foreground, waiting for nothing.
    pub fn launch(&mut self) -> Process {
        self.launch_as(self.command())
    }

    pub fn launch_as(&mut self, mut command: Command) -> Process {
        let stderr = File::create(self.place.path("stderr")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        self.own(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
        self.master()
    }

    /// Takes a process that the test has spawned as its master.
    pub fn own(&mut self, child: Child) {
        self.adopt(Process(child.id() as kernel::Pid));
        self.child = Some(child);
    }

    /// Starts a configuration with `daemon on`: the master is what the pid file names.
    pub fn daemonize(place: Place, config: &str) -> Self {
        kernel::become_subreaper();
        let mut limpet = Self::prepare(place, &format!("daemon on;{config}"));
        let output = limpet.run(&[]);
        assert!(output.status.success(), "{output:?}");
        limpet.wait_for("a pid file", |limpet| limpet.pid_file().is_some());
        let master = limpet.pid_file().expect("the pid file stays");
        limpet.adopt(Process(master));
        limpet.wait_started();
        limpet
    }

    fn wait_started(&self) {
        self.wait_for("start", |limpet| limpet.pid_file().is_some() && limpet.has_children());
    }

    fn has_children(&self) -> bool {
        self.place.read("limpet.conf").contains("master_process off")
            || !self.master().children().is_empty()
    }

    fn wait_for(&self, what: &str, happened: impl Fn(&Self) -> bool) {
        let ended = || self.pid.is_some_and(|pid| !Process(pid).lives());
        let came = within(LIMIT, || ended() || happened(self)) && happened(self);
        assert!(came, "no {what}");
    }

    pub fn master(&self) -> Process {
        Process(self.pid.expect("a started master"))
    }

    /// Makes another process the master of this test: the new one of an upgrade.
    pub fn adopt(&mut self, master: Process) {
        self.pid = Some(master.0);
        self.born = master.born();
    }

    pub fn pid_file(&self) -> Option<kernel::Pid> {
        self.place.read("limpet.pid").trim().parse().ok()
    }

    /// Living workers that are not shutting down.
    pub fn workers(&self) -> Vec<Process> {
        self.master().children_titled(": worker process")
    }

    /// Waits until exactly `count` workers run, and none is shutting down.
    pub fn wait_workers(&self, count: usize) -> Vec<Process> {
        let settled = || self.workers().len() == count && self.master().children().len() == count;
        assert!(within(LIMIT, settled), "no {count} workers");
        self.workers()
    }

    pub fn port(&self, written: u16) -> u16 {
        self.place.port(written)
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port(8080))
    }

    pub fn get(&self, target: &str) -> Response {
        get(self.port(8080), target)
    }

    pub fn signal(&self, signal: i32) {
        self.master().signal(signal);
    }

    /// Reconfigures and waits until the old workers are gone.
    pub fn reload(&self, config: &str) {
        self.configure(config);
        let old = self.workers();
        self.signal(libc::SIGHUP);
        for worker in old {
            worker.wait_end();
        }
    }

    /// Waits for the end of the master.
    pub fn wait_end(&mut self) -> Ended {
        let ended = self.master().wait_end_within(LIMIT);
        ended.expect("the master ends")
    }

    pub fn stderr(&self) -> String {
        self.place.read("stderr")
    }

    /// Runs the binary with this configuration and more arguments: `-t`, `-s reload` ….
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments);
        output(&self.place, command)
    }
}

impl Drop for Limpet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\nstderr: {}", self.log.tail(), self.stderr());
        }
        let Some(pid) = self.pid.filter(|pid| Process(*pid).born() == self.born) else { return };
        let family = Process(pid).children();
        if self.child.is_some() || self.place.network().is_some() {
            let _ = kernel::kill(pid, libc::SIGKILL);
        }
        for process in family {
            let _ = kernel::kill(process.0, libc::SIGKILL);
        }
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

/// Runs the binary by itself: `-v`, `-?`, a broken configuration.
pub fn run(place: &Place, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(place.dir());
    output(place, command)
}

/// What a command says, which has to end in time. Into files: a pipe would stay open as
/// long as a daemon that it has started.
pub fn output(place: &Place, command: Command) -> Output {
    output_within(place, command, LIMIT)
}

pub fn output_within(place: &Place, mut command: Command, limit: Duration) -> Output {
    let (stdout, stderr) = (place.path("run.stdout"), place.path("run.stderr"));
    command.stdin(Stdio::null());
    command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let fd = kernel::pidfd(child.id() as kernel::Pid).unwrap();
    if !kernel::wait_readable(fd.as_raw_fd(), Instant::now() + limit) {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    let read = |path| std::fs::read(path).unwrap();
    Output { status, stdout: read(stdout), stderr: read(stderr) }
}

/// Waits for the end of each.
pub fn wait_all(processes: &[Process]) {
    for process in processes {
        process.wait_end();
    }
}

/// The command that serves the place's `limpet.conf`.
pub fn command(binary: &Path, place: &Place) -> Command {
    let mut command = Command::new(binary);
    let config = place.path("limpet.conf");
    command.arg("-p").arg(place.dir()).arg("-c").arg(config).current_dir(place.dir());
    if binary.ends_with("nginx") {
        command.arg("-e").arg(place.path("error.log"));
    }
    Birth::default().apply(&mut command);
    command
}

/// Adds what the harness relies on, unless the test sets it.
fn complete(place: &Place, config: &str) -> String {
    let mut head = String::new();
    let lines = [
        ("daemon", "daemon off;"),
        ("pid", "pid @DIR@/limpet.pid;"),
        ("error_log", "error_log @DIR@/error.log debug;"),
    ];
    for (directive, line) in lines {
        let set = config.split([';', '{', '}', '\n']).any(|statement| {
            statement.trim_start().strip_prefix(directive).is_some_and(|rest| rest.starts_with(' '))
        });
        if !set {
            head.push_str(line);
            head.push('\n');
        }
    }
    place.fill(&format!("{head}{config}"))
}

/// Says loudly that a test did not run, and why.
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    eprintln!("\n*** SKIPPED {test}: {why}\n");
}

/// The path of a program, looked for where root's are too.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.map(|dir| dir.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
