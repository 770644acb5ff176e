//! From a loaded cycle to the loop of this process: the second half of nginx's main.
//!
//! The order: sockets, signals, daemonize, the pid file (only now: everything
//! listens), stderr to the log, the loop. What fails before the loop leaves
//! nothing behind and exits 1.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use super::daemon::{self, Herald, Side};
use super::master::Master;
use super::notify::Notifier;
use super::table::MAX_PROCESSES;
use super::upgrade::{self, Adopted, Bridge, Executable};
use super::{activation, signals, single};
use crate::cycle::source::Source;
use crate::cycle::{self, Cycle, Inherited, Refused};
use crate::log::{self, ErrorLog, Files, Form, Level, Target, log};
use crate::net::listen::Listening;
use crate::shm;
use crate::sys::limits::{self, Limit, Resource};
use crate::sys::process::{self, Pid};
use crate::sys::{fd, io};

/// Descriptors for all else that a master opens: configs, logs, a scoreboard.
const RESERVE: u64 = 16;
/// A master holds both ends of a child's channel and the one of its door that is written to, a
/// sibling the two that are written to.
const OF_CHILD: u64 = 3;
const OF_SIBLING: u64 = 2;

/// What the loops know of how they were started.
pub struct Start {
    pub args: Vec<OsString>,
    pub executable: Executable,
    pub herald: Option<Herald>,
    pub daemonized: bool,
    /// Who started us: for a daemon, the foreground process it came from.
    pub parent: Pid,
    /// The limit of descriptors before the master raised its own.
    pub nofile: Option<Limit>,
    /// What the image before this one has left.
    pub adopted: Option<Adopted>,
    pub notifier: Notifier,
    /// To the master that has started us.
    pub bridge: Option<Bridge>,
}

impl Start {
    /// `limpet: master process ARGV…`
    pub fn title(&self) -> Vec<u8> {
        let mut title = b"limpet: master process".to_vec();
        for arg in &self.args {
            title.push(b' ');
            title.extend(arg.as_bytes());
        }
        title
    }
}

/// Starts the server; returns the exit code of this process, whichever of them it then is.
pub fn start(source: Source, args: &[OsString]) -> i32 {
    if upgrade::is_successor() {
        speak_as_successor();
    }
    let sockets = upgrade::inherited_sockets();
    let mut executable = Executable::own(args, sockets.is_some());
    let Ok(adopted) = upgrade::adopt(&executable.args) else { return 1 };
    let notifier = Notifier::from_environment();
    let mut nofile = limits::getrlimit(Resource::Nofile).ok();
    if let Some(adopted) = &adopted {
        executable.is_as_before(adopted);
        nofile = adopted.state.nofile;
    }
    let mut start = Start {
        args: args.to_vec(),
        executable,
        herald: None,
        daemonized: sockets.is_some(),
        parent: process::getppid(),
        nofile,
        adopted,
        notifier,
        bridge: Bridge::found(),
    };
    let code = match load(source, &start, sockets.or_else(activation::sockets)) {
        Ok(cycle) => {
            // Who has opened sockets for a foreground is no older binary of ours.
            start.daemonized &= cycle.core.daemon;
            let is_first = !start.executable.inherited && start.adopted.is_none();
            if let Some(number) = cycle.core.notify_fd.filter(|_| is_first) {
                start.notifier.take_fd(number);
            }
            run(cycle, start)
        }
        Err(Refused) => refused(&start),
    };
    // Logs are complete when a process has ended; each of our forks ends here too.
    log::finish();
    code
}

/// The first cycle, with what is open already.
fn load(mut source: Source, start: &Start, sockets: Option<Listening>) -> Result<Cycle, Refused> {
    let sockets = sockets.unwrap_or(Listening::new());
    let nothing = Inherited { listening: &sockets, zones: &[], generation: 1 };
    let before = start.adopted.as_ref().map_or(nothing, Adopted::inherited);
    source.conf.kept = start.adopted.as_ref().and_then(Adopted::texts).map(Rc::new);
    let mut config = cycle::read(&source)?;
    if let Some(adopted) = &start.adopted {
        if adopted.reason.is_none() && !config.core.master_process {
            log!(Level::Emerg, "\"master_process off\" cannot take a running server over");
            return Err(Refused);
        }
        config.core.goes_on_as(true, false);
    }
    let cycle = Cycle::new(source, config, &before)?;
    sockets.tell_unused();
    Ok(cycle)
}

/// The exit code; but an image that has been left a server gives it back.
fn refused(start: &Start) -> i32 {
    if let Some(adopted) = start.adopted.as_ref().filter(|adopted| adopted.reason.is_none()) {
        let reason = "the new binary cannot start: the error log says why";
        let e = adopted.give_back(reason, &start.notifier);
        log!(Level::Emerg, errno e, "the old binary cannot be executed");
    }
    1
}

fn run(mut cycle: Cycle, mut start: Start) -> i32 {
    match begin(&mut cycle, &mut start) {
        Ok(Begun::Here) if cycle.core.master_process => Master::new(cycle, start).run(),
        Ok(Begun::Here) => single::run(cycle, start),
        Ok(Begun::InBackground(code)) => code,
        Err(Refused) => {
            cycle.listening.close(!start.executable.inherited && start.adopted.is_none());
            refused(&start)
        }
    }
}

enum Begun {
    Here,
    /// This is the foreground process of a daemonizing start.
    InBackground(i32),
}

fn begin(cycle: &mut Cycle, start: &mut Start) -> Result<Begun, Refused> {
    cycle.make_current();
    say_what_runs(start.nofile);
    cycle.open()?;
    if start.adopted.is_none() {
        cycle.listening.configure();
    }
    signals::install().map_err(|e| failed("sigaction()", e))?;
    if must_daemonize(cycle, start) {
        match daemon::leave().map_err(|e| failed("daemonizing", e))? {
            Side::Foreground(verdict) => {
                match verdict {
                    daemon::Verdict::Started => say(&in_background(cycle)),
                    _ => log!(Level::Emerg, "{verdict}"),
                }
                return Ok(Begun::InBackground(verdict.exit_code()));
            }
            Side::Background(herald) => {
                log::forked();
                cycle.leave_terminal();
                start.herald = Some(herald);
                start.parent = process::getppid();
                start.daemonized = true;
            }
        }
    }
    if !start.adopted.as_ref().is_some_and(Adopted::take_scoreboard) {
        shm::create().map_err(|e| failed("the scoreboard", e))?;
    }
    shm::board().master.config.set(&cycle.source.to_string());
    raise_nofile(start.nofile);
    let older = start.adopted.as_ref().map_or(0, |adopted| adopted.state.children.len());
    check_table(cycle, start.nofile, older)?;
    if let Some(path) = start.adopted.as_ref().and_then(Adopted::pid_file) {
        cycle.keep_pid_file(path);
    }
    cycle.ensure_pid_file()?;
    announce(cycle, start);
    if start.adopted.is_none() && !start.daemonized && !log::reaches_stderr(Level::Emerg) {
        start.herald = Herald::terminal();
    }
    log::console(false);
    log::redirect_stderr();
    Ok(Begun::Here)
}

/// Where a new binary speaks before it has its own log: on stderr, which is the old one's.
fn speak_as_successor() {
    let files = Files::new("/");
    if let Ok(file) = files.open(b"stderr") {
        log::set(ErrorLog::new([Target { file, level: Level::Notice, form: Form::Plain }]));
        log::console(false);
    }
}

/// What is served, where, with which config, by how many and why, and how to stop it: to the
/// terminal too, which of a daemon the foreground tells, when it serves.
fn announce(cycle: &Cycle, start: &Start) {
    let line = match start.daemonized {
        true => in_background(cycle),
        false => format!("serving {cycle}; Ctrl-C stops it"),
    };
    log!(Level::Notice, "{line}");
    let waits = !start.daemonized && start.adopted.is_none();
    if waits && !log::reaches_stderr(Level::Notice) {
        say(&line);
    }
}

fn in_background(cycle: &Cycle) -> String {
    format!("serving {cycle}; limpet {}-s quit stops it", cycle.source.options())
}

fn say(line: &str) {
    let _ = io::write(fd::STDERR, format!("limpet: {line}\n").as_bytes());
}

/// nginx's lines about itself and the system.
fn say_what_runs(nofile: Option<Limit>) {
    log!(Level::Notice, "using the \"epoll\" event method");
    log!(Level::Notice, "limpet/{}", env!("CARGO_PKG_VERSION"));
    if let Ok(kernel) = process::kernel() {
        log!(Level::Notice, "OS: {kernel}");
    }
    if let Some(Limit { soft, hard }) = nofile {
        log!(Level::Notice, "getrlimit(RLIMIT_NOFILE): {soft}:{hard}");
    }
}

/// Never as pid 1, whose end would be the container's, and not a second time for a new binary.
fn must_daemonize(cycle: &Cycle, start: &Start) -> bool {
    let goes_on = start.executable.inherited || start.adopted.is_some();
    cycle.core.daemon && !goes_on && process::getpid() != 1
}

/// The master holds some descriptors for each child.
fn raise_nofile(limit: Option<Limit>) {
    let Some(limit) = limit.filter(|limit| limit.soft < limit.hard) else { return };
    let raised = limits::setrlimit(Resource::Nofile, Limit { soft: limit.hard, ..limit });
    if let Err(e) = raised {
        log!(Level::Alert, errno e, "setrlimit(RLIMIT_NOFILE, {}) failed", limit.hard);
    }
}

/// Each child takes three of our descriptors, and two of each sibling: a limit may be too low for
/// all of them, or leave a worker none for a connection. Those of an older generation go.
pub(super) fn check_table(
    cycle: &Cycle,
    started_with: Option<Limit>,
    older: usize,
) -> Result<(), Refused> {
    // The lowest number that is free now tells how many are in use.
    let (Ok(limit), Ok(free)) = (limits::getrlimit(Resource::Nofile), fd::duplicate(fd::STDERR))
    else {
        return Ok(());
    };
    let used = u64::try_from(free.as_raw_fd()).unwrap_or(0).saturating_sub(OF_CHILD * older as u64);
    let children = cycle.workers.min(MAX_PROCESSES) as u64;
    let of_worker = cycle.core.worker_rlimit_nofile.or(started_with.map(|limit| limit.soft));
    let of_worker = of_worker.unwrap_or(limit.soft);
    let (whose, needed, allowed) = match OF_CHILD * children + used + RESERVE {
        needed if needed > limit.soft => ("the master", needed, limit.soft),
        _ => ("each worker", OF_SIBLING * children + used + 1, of_worker),
    };
    if !cycle.core.master_process || needed <= allowed {
        return Ok(());
    }
    log!(
        Level::Emerg,
        "{} worker_processes need {needed} open files in {whose}, RLIMIT_NOFILE allows {allowed}",
        cycle.workers
    );
    Err(Refused)
}

fn failed(call: &str, e: crate::sys::Errno) -> Refused {
    log!(Level::Emerg, errno e, "{call} failed");
    Refused
}
