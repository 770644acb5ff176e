//! Another master's scoreboard, as it was a moment ago.
//!
//! Found among the descriptors that /proc lists for the process, and copied by
//! reading: nothing of ours appears in the other process, nothing is left to
//! clean up, and it works on a read-only root. The kernel lets in who may trace
//! the process: its user, or root with CAP_SYS_PTRACE.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::scoreboard::{Board, Master, NAME};
use crate::mem::zone::Region;
use crate::sys::process::Pid;
use crate::sys::{Errno, Result, file, io};

pub struct Snapshot {
    memory: OwnedFd,
    copy: Region,
}

/// Why a process shows no scoreboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The process has none, or there is no such process.
    None,
    /// It is not ours to see, or something else failed.
    Refused(Errno),
    /// It is another version's.
    Unknown,
}

impl Snapshot {
    /// Of the process `pid`: the master, or any of its children.
    pub fn of(pid: Pid) -> std::result::Result<Snapshot, Missing> {
        let memory = find(pid)?;
        let copy = Region::private(size_of::<Board>()).map_err(Missing::Refused)?;
        let snapshot = Snapshot { memory, copy };
        snapshot.refresh().map_err(Missing::Refused)?;
        if snapshot.board().is_some_and(|board| board.master.is_known()) {
            Ok(snapshot)
        } else {
            Err(Missing::Unknown)
        }
    }

    /// Looks again.
    pub fn refresh(&self) -> Result<()> {
        self.copy_first(self.copy.len())
    }

    /// Looks again at what the master says of itself.
    pub fn refresh_master(&self) -> Result<()> {
        self.copy_first(size_of::<Master>())
    }

    fn copy_first(&self, bytes: usize) -> Result<()> {
        let mut part = [0; 4096];
        for offset in (0..bytes).step_by(part.len()) {
            let len = part.len().min(self.copy.len() - offset);
            let len = io::pread(&self.memory, &mut part[..len], offset as u64)?;
            self.copy.write(offset, &part[..len]).ok_or(Errno::EFAULT)?;
        }
        Ok(())
    }

    pub fn board(&self) -> Option<&Board> {
        self.copy.record(0)
    }
}

fn find(pid: Pid) -> std::result::Result<OwnedFd, Missing> {
    let refused = |error: std::io::Error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) | None => Missing::None,
        Some(errno) => Missing::Refused(Errno(errno)),
    };
    let listed = fs::read_dir(format!("/proc/{pid}/fd")).map_err(refused)?;
    for entry in listed.flatten() {
        let target = match fs::read_link(entry.path()) {
            Ok(target) => target,
            // Who may list the descriptors may yet be refused what they are.
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => return Err(refused(error)),
            Err(_) => continue,
        };
        if is_scoreboard(&target) {
            let path = file::path(entry.path()).map_err(Missing::Refused)?;
            return file::open(&path, file::RDONLY, 0).map_err(Missing::Refused);
        }
    }
    Err(Missing::None)
}

fn is_scoreboard(target: &Path) -> bool {
    let shown = target.to_str().and_then(|text| text.strip_prefix("/memfd:"));
    shown.and_then(|text| text.strip_suffix(" (deleted)")).map(str::as_bytes)
        == Some(NAME.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::scoreboard::{Asked, Kind, MasterState, Outcome};
    use crate::shm::tests::{child, wait_until};
    use crate::sys::process;
    use crate::{shm, sys};

    #[test]
    fn a_master_is_seen_from_outside() {
        // What the "master" shall do next is told through a pipe.
        let (steps, tell) = io::pipe().unwrap();
        sys::fd::set_nonblocking(&steps, false).unwrap();
        let master = child(|| {
            shm::create().unwrap();
            let board = shm::board();
            board.master.set_state(MasterState::Running);
            board.master.config.set("/etc/limpet/limpet.conf");
            board.prepare(0, Kind::Worker, 0, 1);
            shm::enter(0);
            shm::own().requests.add(42);
            board.master.conclude(Asked::Start, true, "started");
            let _ = io::read(&steps, &mut [0]);
            board.master.take_up(Asked::Reload);
            board.master.conclude(Asked::Reload, false, "no such directive");
            let _ = io::read(&steps, &mut [0]);
        });
        wait_until(|| {
            Snapshot::of(master.pid).is_ok_and(|s| outcome(&s, Asked::Start).text == "started")
        });
        let snapshot = Snapshot::of(master.pid).unwrap();
        let board = snapshot.board().unwrap();
        assert_eq!((board.master.pid(), board.master.state()), (master.pid, MasterState::Running));
        assert_eq!(board.master.config.get(), "/etc/limpet/limpet.conf");
        assert_eq!(board.slots[0].requests.get(), 42);
        assert!(outcome(&snapshot, Asked::Start).good && board.used().count() == 1);

        io::write(&tell, b"x").unwrap();
        wait_until(|| {
            snapshot.refresh_master().is_ok() && outcome(&snapshot, Asked::Reload).ended == 1
        });
        let outcome = outcome(&snapshot, Asked::Reload);
        assert_eq!((outcome.good, outcome.text.as_str()), (false, "no such directive"));
        io::write(&tell, b"x").unwrap();
        master.assert_passed();
        assert!(snapshot.refresh().is_ok(), "memory outlives its process");
    }

    fn outcome(snapshot: &Snapshot, asked: Asked) -> Outcome {
        snapshot.board().unwrap().master.outcome(asked)
    }

    #[test]
    fn processes_without_one() {
        assert_eq!(Snapshot::of(process::getpid()).err(), Some(Missing::None));
        assert_eq!(Snapshot::of(1 << 30).err(), Some(Missing::None));
    }
}
