//! From a loaded cycle to the loop of this process: the second half of nginx's main.
//!
//! The order: sockets, signals, daemonize, the pid file (only now: everything
//! listens), stderr to the log, the loop. What fails before the loop leaves
//! nothing behind and exits 1.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::daemon::{self, Herald, Side};
use super::master::Master;
use super::upgrade::{self, Executable};
use super::{signals, single};
use crate::cycle::source::Source;
use crate::cycle::{self, Cycle, Refused};
use crate::log::{self, ErrorLog, Files, Level, Target, log};
use crate::shm;
use crate::sys::limits::{self, Limit, Resource};
use crate::sys::process::{self, Pid};
use crate::sys::{fd, io};

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

/// Where a new binary speaks before it has its own log: on stderr, which is the old one's.
fn speak_as_successor() {
    let files = Files::new("/");
    if let Ok(file) = files.open(b"stderr") {
        log::set(ErrorLog::new([Target { file, level: Level::Notice }]));
        log::console(false);
    }
}

/// Starts the server; returns the exit code of this process, whichever of them it then is.
pub fn start(source: Source, args: &[OsString]) -> i32 {
    if upgrade::is_successor() {
        speak_as_successor();
    }
    let inherited = upgrade::inherited_sockets();
    let mut start = Start {
        args: args.to_vec(),
        executable: Executable::own(args, inherited.is_some()),
        herald: None,
        daemonized: inherited.is_some(),
        parent: process::getppid(),
        nofile: limits::getrlimit(Resource::Nofile).ok(),
    };
    let loaded =
        cycle::read(&source).and_then(|config| Cycle::new(source, config, inherited.as_ref()));
    drop(inherited);
    match loaded.and_then(|mut cycle| begin(&mut cycle, &mut start).map(|begun| (cycle, begun))) {
        Ok((cycle, Begun::Here)) if cycle.core.master_process => Master::new(cycle, start).run(),
        Ok((cycle, Begun::Here)) => single::run(cycle),
        Ok((_, Begun::InBackground(code))) => code,
        Err(Refused) => {
            log::finish();
            1
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
    cycle.open()?;
    signals::install().map_err(|e| failed("sigaction()", e))?;
    if must_daemonize(cycle, start) {
        match daemon::leave().map_err(|e| failed("daemonizing", e))? {
            Side::Foreground(verdict) => {
                let code = verdict.exit_code();
                if code != 0 {
                    log!(Level::Emerg, "{verdict}");
                }
                return Ok(Begun::InBackground(code));
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
    shm::create().map_err(|e| failed("the scoreboard", e))?;
    shm::board().master.config.set(&cycle.source.to_string());
    cycle.ensure_pid_file()?;
    raise_nofile(start.nofile);
    announce(cycle, start.daemonized);
    log::console(false);
    log::redirect_stderr();
    Ok(Begun::Here)
}

/// What is served, where, with which config, by how many and why, and how to stop it: to the
/// terminal too, if there is one.
fn announce(cycle: &Cycle, daemonized: bool) {
    let stop = if daemonized { "limpet -s quit" } else { "Ctrl-C" };
    let line = format!("serving {cycle}; {stop} stops it");
    log!(Level::Notice, "{line}");
    if !daemonized && !log::reaches_stderr(Level::Notice) {
        let _ = io::write(fd::STDERR, format!("limpet: {line}\n").as_bytes());
    }
}

/// Never as pid 1, whose end would be the container's, never with the configuration that came
/// with the binary, and not a second time for a new binary.
fn must_daemonize(cycle: &Cycle, start: &Start) -> bool {
    let core = &cycle.core;
    core.daemon
        && !start.executable.inherited
        && process::getpid() != 1
        && !cycle.source.is_embedded()
}

/// The master holds two descriptors for each child.
fn raise_nofile(limit: Option<Limit>) {
    let Some(limit) = limit.filter(|limit| limit.soft < limit.hard) else { return };
    let raised = limits::setrlimit(Resource::Nofile, Limit { soft: limit.hard, ..limit });
    if let Err(e) = raised {
        log!(Level::Alert, errno e, "setrlimit(RLIMIT_NOFILE, {}) failed", limit.hard);
    }
}

fn failed(call: &str, e: crate::sys::Errno) -> Refused {
    log!(Level::Emerg, errno e, "{call} failed");
    Refused
}
