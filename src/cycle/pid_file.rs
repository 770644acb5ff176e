//! The pid file: made when everything listens, moved aside for a new binary, removed by the
//! master that made it.

use std::path::{Path, PathBuf};

use crate::log::{Level, log};
use crate::sys::process::{self, Pid};
use crate::sys::{Result, file, io};

#[derive(Clone, PartialEq, Eq)]
pub struct PidFile(PathBuf);

impl PidFile {
    pub fn create(path: &Path) -> Result<Self> {
        // No symlink is followed: the folder may be writable for others.
        let flags = file::WRONLY | file::CREAT | file::TRUNC | file::NOFOLLOW;
        let open = file::open(&file::path(path)?, flags, 0o644)?;
        io::write(&open, format!("{}\n", process::getpid()).as_bytes())?;
        Ok(Self(path.into()))
    }

    /// One that this process has made before an exec.
    pub fn kept(path: &Path) -> Self {
        Self(path.into())
    }

    /// Whether it says that this process is the master.
    pub fn names(&self, pid: Pid) -> bool {
        self.pid() == Some(pid)
    }

    fn pid(&self) -> Option<Pid> {
        std::fs::read_to_string(&self.0).ok()?.trim_end().parse().ok()
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the old binary keeps it while a new one runs.
    pub fn oldbin(&self) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(".oldbin");
        name.into()
    }

    /// Another master's stays: it may have been started when this one had closed its listeners.
    pub fn remove(&self) {
        if !self.is_anothers() {
            unlink(&self.0);
        }
    }

    fn is_anothers(&self) -> bool {
        self.pid().is_some_and(|pid| pid != process::getpid())
    }

    pub fn remove_oldbin(&self) {
        unlink(&self.oldbin());
    }

    /// Gives the name up for a new binary.
    pub fn move_to_oldbin(&self) -> Result<()> {
        file::rename(&file::path(&self.0)?, &file::path(self.oldbin())?)
    }

    /// Takes it back.
    pub fn take_back(&self) -> Result<()> {
        file::rename(&file::path(self.oldbin())?, &file::path(&self.0)?)
    }
}

fn unlink(path: &Path) {
    if let Err(e) = file::path(path).and_then(|name| file::unlink(&name)) {
        log!(Level::Alert, errno e, "unlink() \"{}\" failed", path.display());
    }
}
