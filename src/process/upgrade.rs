//! Changing the binary on the fly: in place, or, with `daemon on`, as nginx does it.
//!
//! In place the master becomes the new binary and stays the process it is: `in_place`, `trial`,
//! `hand_over`, `state`, `adopted`. As in nginx there is a second master beside the old one for
//! a while: the old one renames its pid file to `.oldbin` and executes the path it was started
//! by, so that a replaced file is picked up, with the same arguments; the listening sockets are
//! named in the environment. QUIT to the old master completes it; if the new one dies, the pid
//! file is renamed back. What the two have to say to each other goes over a `bridge`.
//!
//! Both LIMPET and NGINX are set: either server may follow the other.

mod adopted;
mod bridge;
mod hand_over;
mod in_place;
mod state;
mod trial;

pub use adopted::{Adopted, adopt};
pub use bridge::Bridge;
pub use trial::{Try, vouch};

use std::ffi::{CString, OsString};
use std::ops::ControlFlow::Continue;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::master::{Due, Master};
use super::notify::Notifier;
use super::spawn::Step;
use super::table::{Spawn, Work};
use crate::cycle::Cycle;
use crate::log::{Level, log};
use crate::net::listen::Listening;
use crate::shm;
use crate::shm::scoreboard::Asked;
use crate::sys::{env, fd, file, process};
use trial::Trial;

/// Names of the variable, ours first.
pub const VARIABLES: [&str; 2] = ["LIMPET", "NGINX"];

/// What to execute, and how we were executed.
pub struct Executable {
    pub path: PathBuf,
    pub args: Vec<CString>,
    /// What to come back to when a new image cannot start: its name may be another's by then.
    pub image: Option<OwnedFd>,
    /// Our listening sockets came from an older binary.
    pub inherited: bool,
}

impl Executable {
    /// Of this process: its path is made absolute now, since the file may be replaced and the
    /// working directory may change.
    pub fn own(args: &[OsString], inherited: bool) -> Self {
        let name = process::executable().unwrap_or_default();
        let path = PathBuf::from(OsString::from_vec(name.to_bytes().to_vec()));
        Self {
            path: std::path::absolute(&path).unwrap_or(path),
            args: args.iter().filter_map(|arg| CString::new(arg.as_bytes()).ok()).collect(),
            image: None,
            inherited,
        }
    }

    /// As the image before was executed: one that comes back has no name, only a descriptor.
    pub fn is_as_before(&mut self, adopted: &Adopted) {
        self.path = adopted.executable().into();
        self.args.clone_from(&adopted.state.args);
    }

    /// Opens what runs now.
    pub fn hold_image(&mut self) {
        let own = file::open(c"/proc/self/exe", file::PATH, 0);
        let open = || file::open(&file::path(&self.path)?, file::PATH, 0);
        self.image = own.or_else(|_| open()).ok();
    }

    /// Becomes the new binary; returns the exit code of a child that could not.
    pub fn exec(&self, cycle: &Cycle, notifier: &Notifier, upgrade: &Upgrade) -> i32 {
        let mut list = OsString::new();
        for listening in cycle.listening.descriptors() {
            if let Err(e) = fd::set_cloexec(listening, false) {
                log!(Level::Alert, errno e, "fcntl(FD_CLOEXEC) failed");
                return 1;
            }
            list.push(format!("{};", listening.as_raw_fd()));
        }
        cycle.set_environment();
        notifier.export();
        for variable in VARIABLES {
            env::set(variable, &list);
        }
        upgrade.leave_bridge();
        // What it starts can be ended with it.
        let _ = process::setsid();
        let Ok(path) = file::path(&self.path) else { return 1 };
        let e = process::execve(&path, &self.args, &env::for_exec());
        log!(
            Level::Alert,
            errno e,
            "execve() failed while executing new binary process \"{self}\""
        );
        1
    }
}

/// What a master knows of upgrades.
pub struct Upgrade {
    /// A binary is being tried.
    trial: Option<Trial>,
    /// What the image before this one has left, until this one's workers are ready.
    pub adopted: Option<Adopted>,
    /// To the other of two masters.
    bridge: Option<Bridge>,
    /// The end of it that a new binary is born with.
    their_end: Option<OwnedFd>,
}

impl Upgrade {
    /// This image was executed again: why the one in between could not start.
    pub fn fell_back(&self) -> Option<String> {
        self.adopted.as_ref()?.reason.clone()
    }

    pub fn new(adopted: Option<Adopted>, bridge: Option<Bridge>) -> Self {
        Self { trial: None, adopted, bridge, their_end: None }
    }

    /// In the child that becomes the new binary.
    pub fn leave_bridge(&self) {
        bridge::leave(self.their_end.as_ref());
    }

    pub fn is_on(&self) -> bool {
        self.trial.is_some() || self.adopted.is_some()
    }
}

/// Whether an older binary has started us, or we have been one.
pub fn is_successor() -> bool {
    variable().is_some() || hand_over::announced().is_some()
}

/// The sockets that it left us. The variables go: our children do not inherit them.
pub fn inherited_sockets() -> Option<Listening> {
    let (variable, value) = variable()?;
    VARIABLES.iter().for_each(env::remove);
    Some(Listening::inherited(variable, &value))
}

/// The variable that is set, to a list of numbers: somebody may use the name for something else.
fn variable() -> Option<(&'static str, String)> {
    VARIABLES.iter().find_map(|name| {
        let value = env::get(name)?.into_string().ok()?;
        value.starts_with(|first: char| first.is_ascii_digit()).then_some((*name, value))
    })
}

impl Master {
    /// ngx_exec_new_binary.
    pub(super) fn change_binary(&mut self) -> Step {
        log!(Level::Notice, "changing binary");
        shm::board().master.take_up(Asked::Upgrade);
        if self.is_draining() {
            self.not_upgraded("the server is going to stop");
            return Continue(());
        }
        if !self.daemonized {
            return self.try_binary();
        }
        if let Some(file) = &self.cycle.pid_file
            && let Err(e) = file.move_to_oldbin()
        {
            let (from, to) = (file.path().display(), file.oldbin());
            let (to, name) = (to.display(), &self.executable);
            log!(
                Level::Alert,
                errno e,
                "rename() {from} to {to} failed before executing new binary process \"{name}\""
            );
            let text = format!("upgrade failed: rename() {from} to {to} failed ({e})");
            shm::board().master.conclude(Asked::Upgrade, false, &text);
            return Continue(());
        }
        self.build_bridge();
        self.spawn(Spawn::Detached, Work::NewBinary)?;
        let new = self.table.iter().find(|(_, process)| process.job.work == Work::NewBinary);
        self.new_binary = new.map(|(_, process)| process.pid);
        self.await_new_binary();
        if self.new_binary.is_none() {
            self.take_pid_file_back("an attempt to execute new binary process");
            let text = "upgrade failed: the new binary cannot be started";
            shm::board().master.conclude(Asked::Upgrade, false, text);
        }
        Continue(())
    }

    /// USR2 beside another binary. Of one that we have started ourselves the verdict is to come.
    pub(super) fn refuse_upgrade(&self) {
        if self.new_binary.is_none() && !self.upgrade.is_on() {
            let text =
                format!("upgrade failed: the old binary, process {}, is there yet", self.parent);
            shm::board().master.refuse(Asked::Upgrade, &text);
        }
    }

    /// It has ended, and we have not: what had been given up for it comes back.
    pub(super) fn new_binary_gone(&mut self, pid: i32) {
        if self.new_binary != Some(pid) {
            return;
        }
        self.new_binary = None;
        self.leave_bridge();
        self.deadlines.retain(|due| *due != Due::NewBinary { pid });
        self.take_pid_file_back("the end of the new binary process");
        let text = format!("the new binary process {pid} has ended, this one serves on");
        shm::board().master.conclude(Asked::Upgrade, false, &text);
        if std::mem::take(&mut self.noaccepting) {
            self.restart = true;
        }
    }

    fn take_pid_file_back(&self, after: &str) {
        let Some(file) = &self.cycle.pid_file else { return };
        if let Err(e) = file.take_back() {
            let (from, to) = (file.oldbin(), file.path().display());
            let (from, name) = (from.display(), &self.executable);
            log!(
                Level::Alert,
                errno e,
                "rename() {from} back to {to} failed after {after} \"{name}\""
            );
        }
    }
}

impl std::fmt::Display for Executable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.display().fmt(f)
    }
}
