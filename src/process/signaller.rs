//! The signaller: `-s WORD` finds the master and tells it.
//!
//! By `--pid`, by the pid file, and beyond nginx, where there is no pid file (a
//! read-only root), by looking: process 1 if it is a master of ours, else the only
//! one that there is. None or several is an error that names them; a signal never
//! goes to a process that was only guessed, nor to one that shows no scoreboard.

use std::io;
use std::path::PathBuf;

use super::outcome::{self, Told, Watch};
use super::signals;
use crate::log::{Level, log};
use crate::shm::scoreboard::{Asked, MasterState};
use crate::shm::snapshot::Snapshot;
use crate::sys::process::{self, Pid};
use crate::sys::{Errno, signal};
use crate::text::escape::Shown;

/// What is known of the master that is meant.
pub struct Wanted {
    /// `--pid`
    pub pid: Option<Pid>,
    pub pid_file: PathBuf,
    /// `-c`: a master of another config is not meant.
    pub config: Option<String>,
}

/// How a word of the command line is meant.
#[derive(Clone, Copy)]
pub struct Manner {
    /// For the end of what is asked for; otherwise only the signal is sent, as nginx does.
    pub wait: bool,
    /// Nothing is said but errors.
    pub quiet: bool,
}

/// Sends the signal for a word of the command line, and tells what became of it; the exit code.
pub fn send(word: &str, wanted: &Wanted, manner: Manner) -> i32 {
    log!(Level::Notice, "signal process started");
    let Some(pid) = wanted.find() else { return 1 };
    let watch = Watch::of(pid);
    if watch.is_no_limpet() {
        log!(Level::Error, "process {pid} is no limpet: nothing is sent");
        return 1;
    }
    if word == "upgrade" && watch.state() == Some(MasterState::Upgrading) {
        log!(Level::Error, "a new binary of the master {pid} runs already");
        return 1;
    }
    let asked = match word {
        "reload" => Some(Asked::Reload),
        "reopen" => Some(Asked::Reopen),
        "upgrade" => Some(Asked::Upgrade),
        _ => None,
    };
    let before = asked.map_or(0, |asked| watch.begun(asked));
    if transmit(word, pid, &watch).is_none() {
        return 1;
    }
    if !manner.wait {
        return 0;
    }
    let told = match asked {
        Some(Asked::Reopen) => watch.all_reopened(before),
        Some(Asked::Upgrade) => upgraded(pid, before, &watch),
        Some(_) => watch.reloaded(before),
        None => watch.end(word == "stop"),
    };
    outcome::tell(told, manner.quiet)
}

/// *Stop* is fast, whatever the master makes of a TERM.
fn transmit(word: &str, pid: Pid, watch: &Watch) -> Option<()> {
    let number = match word {
        "stop" if watch.is_term_graceful() => signal::INT,
        "drain" => signal::QUIT,
        word => signals::of_word(word)?.number,
    };
    let sent = match word {
        "drain" => process::sigqueue(pid, number, signals::DRAIN),
        _ => process::kill(pid, number),
    };
    sent.map_err(|e| log!(Level::Alert, errno e, "kill({pid}, {number}) failed")).ok()
}

/// A new master beside the old one is the end of the old one; in place there is but one.
fn upgraded(pid: Pid, before: u64, watch: &Watch) -> Told {
    let text = watch.result(Asked::Upgrade, before)?;
    if watch.state_now() == Some(MasterState::Upgrading) {
        process::kill(pid, signal::QUIT).map_err(|e| format!("kill({pid}, QUIT) failed ({e})"))?;
    }
    Ok(text)
}

impl Wanted {
    /// The master; if there is none, it has been said why.
    pub fn find(&self) -> Option<Pid> {
        if self.pid.is_some() {
            return self.pid;
        }
        match std::fs::read(&self.pid_file) {
            Ok(text) => self.parse(&text),
            Err(error) => self.only_one().map_err(|why| self.no_pid_file(&error, &why)).ok(),
        }
    }

    fn parse(&self, text: &[u8]) -> Option<Pid> {
        let line = text.trim_ascii_end();
        let pid = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
        // Not 0 and not negative: kill(2) would take those for groups of processes.
        let pid = pid.filter(|pid| *pid > 0);
        if pid.is_none() {
            let path = self.pid_file.display();
            log!(Level::Error, "invalid PID number \"{}\" in \"{path}\"", Shown(line));
        }
        pid
    }

    fn no_pid_file(&self, error: &io::Error, why: &str) {
        let errno = Errno(error.raw_os_error().unwrap_or(0));
        log!(Level::Error, errno errno, "open() \"{}\" failed", self.pid_file.display());
        log!(Level::Error, "{why}");
    }

    /// Without a pid file.
    fn only_one(&self) -> Result<Pid, String> {
        if is_master(1, None) {
            return Ok(1);
        }
        let masters: Vec<Pid> =
            processes().filter(|pid| is_master(*pid, self.config.as_deref())).collect();
        match (&masters[..], &self.config) {
            ([pid], _) => Ok(*pid),
            ([], Some(config)) => Err(format!("no limpet runs with {config}")),
            ([], None) => Err("no limpet runs here".into()),
            _ => Err(format!("several masters run: {masters:?}, name one with --pid")),
        }
    }
}

/// Whether the process shows a scoreboard that it is itself the master of.
fn is_master(pid: Pid, config: Option<&str>) -> bool {
    let Ok(snapshot) = Snapshot::of(pid) else { return false };
    snapshot.board().is_some_and(|board| {
        board.master.pid() == pid && config.is_none_or(|config| board.master.config.get() == config)
    })
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_processes() {
        let wanted = Wanted { pid: None, pid_file: "/run/x.pid".into(), config: None };
        assert_eq!(wanted.parse(b"123\n"), Some(123));
        assert_eq!(wanted.parse(b"123\r\n"), Some(123));
        for text in [&b""[..], b"\n", b"0", b"-1", b"12 34", b"abc", b"99999999999", b"\xff"] {
            assert_eq!(wanted.parse(text), None, "{}", Shown(text));
        }
    }
}
