//! One configuration made live: what the master, and each child after its fork, works with.
//!
//! A reload makes the next cycle beside the one that serves; what both want
//! (sockets, zones, the pid file) they share until one of them goes.

mod auto;
pub mod config;
pub mod core_conf;
mod folders;
mod pid_file;
pub mod source;
mod start_line;
pub mod user;

pub use auto::Auto;
pub use pid_file::PidFile;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::conf::{Cx, Errors, Texts, Tree, kept};
use crate::http::conf::Http;
use crate::http::limit_req;
use crate::log::{self, ErrorLog, Files, Level, log};
use crate::net::listen::{Kind, Listening, Opened};
use crate::shm;
use crate::shm::directory::{Before, Directory, Left};
use crate::sys::process::{self, Pid};
use crate::sys::{clock, env, fd, file, io, sched};
use crate::time;
use config::Config;
use core_conf::{Core, Events, Workers};
use source::Source;
use user::User;

/// How often busy addresses are tried, and how far apart (nginx's figures).
pub const BIND_TRIES: u32 = 5;
pub const BIND_PAUSE_MS: u64 = 500;

pub struct Cycle {
    pub source: Source,
    /// Counted from 1 by starts and reloads.
    pub generation: u32,
    pub core: Core,
    pub events: Events,
    http: Option<Rc<Http>>,
    /// How many; with `worker_processes auto` also why.
    pub workers: usize,
    pub auto: Option<Auto>,
    /// Whom a root master's workers become.
    pub worker_user: User,
    /// Workers bind addresses of other machines (`proxy_bind ... transparent`).
    pub transparent: bool,
    pub listening: Listening,
    pub pid_file: Option<PidFile>,
    /// What it was read from.
    pub texts: Texts,
    zones: Directory,
    /// What it was read from, for a binary that falls back to it. In memory that is not mapped.
    kept: Option<OwnedFd>,
    files: Files,
    log: ErrorLog,
    /// What it is to say of itself once it is in force.
    notice: Option<String>,
}

/// What is there already when a process starts.
pub struct Inherited<'a> {
    pub listening: &'a Listening,
    pub zones: &'a [Left],
    /// Of the cycle that is made.
    pub generation: u32,
}

/// The configuration is refused, and the log says why.
#[derive(Debug)]
pub struct Refused;

/// Reads a configuration and checks it; nothing is opened yet. All that is wrong is said at once.
pub fn read(source: &Source) -> Result<Config, Refused> {
    let config = Config::read(&source.conf, &source.prefix);
    complain(&config.cx.errors, &config.tree);
    if config.cx.errors.is_empty() {
        return Ok(config);
    }
    if log::is_console() && source.is_fallback() {
        let text = "limpet: this is nginx's configuration, limpet has none: \
                    \"limpet DIR\" serves a directory, -c names another\n";
        let _ = io::write(fd::STDERR, text.as_bytes());
    }
    Err(Refused)
}

/// At a start to the terminal, with the lines themselves; at a reload to the log.
fn complain(errors: &Errors, tree: &Tree) {
    if log::is_console() {
        let _ = io::write(fd::STDERR, errors.report(tree).as_bytes());
        return;
    }
    for (level, list) in [(Level::Warn, &errors.warnings), (Level::Emerg, &errors.errors)] {
        list.iter().for_each(|error| log!(level, "{}", error.line(tree)));
    }
}

impl Cycle {
    /// Makes a configuration that was read live, all but its sockets, which `open` does; those
    /// that are open already are taken over.
    pub fn new(
        mut source: Source,
        config: Config,
        before: &Inherited<'_>,
    ) -> Result<Self, Refused> {
        // The next reload reads the files.
        source.conf.kept = None;
        let zones = Before::Image(before.zones);
        Self::make(source, config, before.generation, before.listening, zones)
    }

    /// The same source again, for a reload.
    pub fn next(&self, generation: u32) -> Result<Self, Refused> {
        let mut config = read(&self.source)?;
        config.core.goes_on_as(self.core.master_process, self.core.daemon);
        let zones = Before::Directory(&self.zones);
        Self::make(self.source.clone(), config, generation, &self.listening, zones)
    }

    fn make(
        source: Source,
        config: Config,
        generation: u32,
        open: &Listening,
        before: Before<'_>,
    ) -> Result<Self, Refused> {
        let Config { core, events, http, tree, mut cx } = config;
        let (files, log) = open_logs(&source, &mut cx, &tree)?;
        let texts = tree.texts();
        let auto = (core.worker_processes == Workers::Auto).then(count_workers);
        let workers = match (auto, core.worker_processes) {
            (Some(auto), _) => auto.workers,
            (None, Workers::Count(count)) => count,
            (None, Workers::Auto) => 1,
        };
        let worker_user = core.user.clone().unwrap_or_else(user::nobody);
        let owner = (crate::sys::user::geteuid() == 0).then_some(worker_user.uid);
        folders::make(&cx.folders, owner)?;
        let zones = cx.zones.directory;
        zones.open(before, |zone, origin| limit_req::refill(zone, origin)).map_err(|refusal| {
            log!(Level::Emerg, "{refusal}");
            Refused
        })?;
        let mut listening = plan(http.as_deref(), if core.master_process { workers } else { 1 });
        listening.reuse(open);
        let kept = keeps_texts(&source, &core).then(|| keep(&kept::pack(&tree)));
        Ok(Self {
            source,
            generation,
            core,
            events,
            http,
            workers,
            auto,
            worker_user,
            transparent: cx.transparent,
            listening,
            pid_file: None,
            texts,
            zones,
            kept: kept.and_then(Result::ok),
            files,
            log,
            notice: cx.tls.notice(),
        })
    }

    /// What a configuration would be read from now.
    pub fn look(source: &Source) -> Texts {
        config::tree(&source.conf, &config::directives()).0.texts()
    }

    /// Opens the sockets of a start: tries, and sleeps in between. (A reload's master does not
    /// sleep: its tries are deadlines.)
    pub fn open(&mut self) -> Result<(), Refused> {
        for _ in 0..BIND_TRIES {
            match self.listening.open(self.source.test) {
                Opened::All => return Ok(()),
                Opened::Failed => return Err(Refused),
                Opened::Busy => {
                    log!(Level::Notice, "try again to bind() after {BIND_PAUSE_MS}ms");
                    let _ = clock::sleep_ms(BIND_PAUSE_MS);
                    time::update();
                }
            }
        }
        self.listening.give_up();
        Err(Refused)
    }

    /// Makes its error log the process's own. stderr follows once nobody reads it any more.
    pub fn make_current(&self) {
        log::set(self.log.clone());
        log::debug_clients(&self.events.debug_connection);
        if let Some(notice) = &self.notice {
            log!(Level::Notice, "{notice}");
        }
        if !log::is_console() {
            log::redirect_stderr();
        }
    }

    /// Whether there is anything for a cache manager to manage.
    pub fn has_caches(&self) -> bool {
        self.http.as_ref().is_some_and(|http| !http.conf.proxy_cache.paths.is_empty())
    }

    /// Whether there is anything for a health checker to check.
    pub fn has_checks(&self) -> bool {
        self.http.as_ref().is_some_and(|http| !http.checks.is_empty())
    }

    /// The master opens the logs anew for the workers' user, a worker for itself.
    pub fn reopen_logs(&self, owner: Option<&User>) {
        self.files.reopen(owner.map(|user| user.uid));
        log::redirect_stderr();
    }

    /// What there is to serve; without an `http` block nothing.
    pub fn http(&self) -> Rc<Http> {
        self.http.clone().unwrap_or_default()
    }

    /// A daemon has no stdout any more, and must not keep the one of its terminal.
    pub fn leave_terminal(&self) {
        self.files.follow_stdout();
    }

    /// `env`: what a worker, or a new binary, finds in its environment: TZ, and what is listed.
    pub fn set_environment(&self) {
        let name_of = |line: &[u8]| line.split(|b| *b == b'=').next().unwrap_or_default().to_vec();
        let kept: Vec<Vec<u8>> = self.core.env.iter().map(|line| name_of(line)).collect();
        env::retain(|name| name == "TZ" || kept.iter().any(|kept| **kept == *name.as_bytes()));
        for line in &self.core.env {
            if let Some(equals) = line.iter().position(|b| *b == b'=') {
                let (name, value) = (&line[..equals], &line[equals + 1..]);
                env::set(std::ffi::OsStr::from_bytes(name), std::ffi::OsStr::from_bytes(value));
            }
        }
    }

    /// Makes the pid file, if it is not there. A server that was not told where to put one goes
    /// without when it cannot be made (a read-only root), and process 1 is found without one.
    pub fn ensure_pid_file(&mut self) -> Result<(), Refused> {
        if self.pid_file.is_some() {
            return Ok(());
        }
        let path = self.pid_path();
        match PidFile::create(&path) {
            Ok(file) => self.pid_file = Some(file),
            Err(e) if self.core.pid.is_some() && process::getpid() != 1 => {
                log!(Level::Emerg, errno e, "open() \"{}\" failed", path.display());
                return Err(Refused);
            }
            Err(e) => {
                // A foreground is found without one.
                let named = self.core.daemon || self.core.pid.is_some();
                let level = if named { Level::Warn } else { Level::Notice };
                log!(level, errno e, "open() \"{}\" failed, no pid file", path.display());
            }
        }
        Ok(())
    }

    /// Goes on with the pid file of the image before this one, if it is still to be there.
    pub fn keep_pid_file(&mut self, path: &Path) {
        self.pid_file = (self.pid_path() == path).then(|| PidFile::kept(path));
    }

    /// The same beside a cycle whose file may be the one that is wanted.
    pub fn take_pid_file(&mut self, current: &Cycle) -> Result<(), Refused> {
        let path = self.pid_path();
        self.pid_file = current.pid_file.clone().filter(|file| file.path() == path);
        self.ensure_pid_file()
    }

    /// This cycle goes, old or refused: closes and removes what only it has. The names of its unix
    /// sockets are removed by the process that owns them.
    pub fn retire(&mut self, stays: &Cycle, owns_names: bool) {
        self.listening.retire(&stays.listening, owns_names);
        self.drop_pid_file(stays);
    }

    /// Removes the pid file that the other cycle does not have.
    pub fn drop_pid_file(&mut self, stays: &Cycle) {
        if let Some(file) = self.pid_file.take_if(|file| Some(&*file) != stays.pid_file.as_ref()) {
            file.remove();
        }
    }

    fn pid_path(&self) -> PathBuf {
        self.core.pid.clone().unwrap_or_else(|| source::PID.into())
    }

    /// The next image of this process takes it over: sockets are elsewhere.
    pub fn zones(&self) -> impl Iterator<Item = Left> {
        self.zones.zones().map(|zone| Left::of(zone))
    }

    pub fn kept_texts(&self) -> Option<BorrowedFd<'_>> {
        self.kept.as_ref().map(OwnedFd::as_fd)
    }

    /// A child needs no texts.
    pub fn forget_kept_texts(&mut self) {
        self.kept = None;
    }

    /// Opens what a dead child had locked.
    pub fn unlock(&self, dead: Pid) {
        // Its holder sleeps with it: a death with it is nothing special.
        if shm::board().accept_mutex.mutex.force_unlock(dead) {
            log!(Level::Debug, "shmtx forced unlock of the accept mutex");
        }
        for (zone, recovery) in self.zones.recover(dead) {
            log!(Level::Alert, "process {dead} died with zone \"{zone}\" locked: {recovery:?}");
        }
    }
}

/// Opens the logs that a configuration names; the first is the error log of its main level.
fn open_logs(source: &Source, cx: &mut Cx, tree: &Tree) -> Result<(Files, ErrorLog), Refused> {
    let files = Files::new(&source.prefix);
    cx.errors = Errors::default();
    cx.default_error_log(source.error_log.as_bytes());
    cx.open_logs(&files);
    complain(&cx.errors, tree);
    if cx.errors.is_empty() { Ok((files, cx.main_error_log.log())) } else { Err(Refused) }
}

/// Only the master of a foreground is replaced in its place.
fn keeps_texts(source: &Source, core: &Core) -> bool {
    core.master_process && !source.test && (!core.daemon || process::getpid() == 1)
}

fn keep(texts: &[u8]) -> crate::sys::Result<OwnedFd> {
    let memory = file::memfd(c"limpet:texts")?;
    io::write_all(&memory, texts)?;
    Ok(memory)
}

fn count_workers() -> Auto {
    let allowed = sched::getaffinity().map_or(1, |mask| mask.len());
    auto::workers(allowed)
}

/// The sockets that a configuration wants.
fn plan(http: Option<&Http>, workers: usize) -> Listening {
    let mut listening = Listening::new();
    for (index, wanted) in http.iter().flat_map(|http| http.listening.iter().enumerate()) {
        listening.want(index, wanted.addr, Kind::Stream, &wanted.options, workers);
    }
    listening
}
