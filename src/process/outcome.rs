//! What became of a signal: the signaller waits for the end of what it has asked for.
//!
//! The master writes on its scoreboard how often it has begun a reload, a reopening, an upgrade,
//! and how the last of them came out. We look there every 10 ms, at a copy, and at a pidfd for
//! the master's own end: it serves nobody who waits, and does not know of us.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::log::{Level, log};
use crate::shm::scoreboard::{Asked, Board, Kind, MasterState, Outcome, Slot, State};
use crate::shm::snapshot::{Missing, Snapshot};
use crate::sys::epoll::{self, Epoll, Event};
use crate::sys::process::{self, Pid};
use crate::sys::{Errno, clock, fd, io};

/// How often we look.
const STEP_MS: i32 = 10;
/// A master that is at nothing else takes a signal up at once.
const TAKEN_UP_MS: u64 = 10_000;
/// What is under way may have to wait: for addresses, for an older generation to go.
const DONE_MS: u64 = 120_000;
/// A fast stop takes 3.3 s at most.
const STOPPED_MS: u64 = 15_000;
/// Old workers close their listeners in their next turn.
const LET_GO_MS: u64 = 1_000;
/// Workers reopen their logs in theirs.
const REOPENED_MS: u64 = 5_000;

/// A master, before it gets the signal.
pub struct Watch {
    pid: Pid,
    /// Readable at its end; none before Linux 5.3.
    end: Option<(Epoll, OwnedFd)>,
    view: Result<Snapshot, Missing>,
}

/// The end of the wait, in words; none where it has been said already.
pub type Told = Result<String, String>;

impl Watch {
    pub fn of(pid: Pid) -> Watch {
        let end = process::pidfd_open(pid).and_then(|end| {
            let epoll = Epoll::new()?;
            epoll.add(&end, epoll::IN, 0)?;
            Ok((epoll, end))
        });
        Watch { pid, end: end.ok(), view: view(pid) }
    }

    /// It shows no scoreboard, though it would have to: a signal is not for it.
    pub fn is_no_limpet(&self) -> bool {
        matches!(self.view, Err(Missing::None))
    }

    fn board(&self) -> Option<&Board> {
        self.view.as_ref().ok()?.board()
    }

    pub fn state(&self) -> Option<MasterState> {
        Some(self.board()?.master.state())
    }

    /// The same after a new look: a state that was read with a verdict may be older than that.
    pub fn state_now(&self) -> Option<MasterState> {
        self.view.as_ref().ok()?.refresh_master().ok()?;
        self.state()
    }

    /// TERM would let it finish what it has begun (`term_action graceful`).
    pub fn is_term_graceful(&self) -> bool {
        self.board().is_some_and(|board| board.master.term_is_graceful.get() != 0)
    }

    /// How often this has been begun so far.
    pub fn begun(&self, asked: Asked) -> u64 {
        self.board().map_or(0, |board| board.master.begun(asked))
    }

    /// The result of what was asked for when `before` had begun.
    pub fn result(&self, asked: Asked, before: u64) -> Told {
        let (Some(board), Ok(snapshot)) = (self.board(), &self.view) else {
            log!(Level::Warn, "the signal is sent; {}", self.unseen());
            return Ok(String::new());
        };
        let since = clock::monotonic_ms();
        loop {
            let ended = self.has_ended_within(STEP_MS);
            snapshot.refresh_master().map_err(|e| format!("the scoreboard cannot be read: {e}"))?;
            let outcome = board.master.outcome(asked);
            if outcome.ended > before {
                return told(outcome);
            }
            if ended {
                return Err(format!("the master {} has ended", self.pid));
            }
            let state = board.master.state();
            if state.is_leaving() {
                return Err(format!("the master {} is {}", self.pid, state.name()));
            }
            let idle = outcome.begun == outcome.ended;
            let limit = if idle { TAKEN_UP_MS } else { DONE_MS };
            if clock::monotonic_ms() - since > limit {
                let (pid, secs, state) = (self.pid, limit / 1000, state.name());
                return Err(format!("no verdict of the master {pid} in {secs} s, it is {state}"));
            }
        }
    }

    /// The next generation serves, and the one before it accepts nobody any more; a worker
    /// that does not hear (stopped, at its limit of work) keeps nobody waiting.
    pub fn reloaded(&self, before: u64) -> Told {
        let text = self.result(Asked::Reload, before)?;
        self.late_after(LET_GO_MS, still_accepts)?;
        Ok(text)
    }

    /// Every process writes to the logs that are open since then.
    pub fn all_reopened(&self, before: u64) -> Told {
        let text = self.result(Asked::Reopen, before)?;
        let late = self.late_after(REOPENED_MS, |_, slot| {
            !matches!(slot.kind(), Kind::NewBinary) && slot.reopened.get() <= before
        })?;
        if late.is_empty() {
            return Ok(text);
        }
        let secs = REOPENED_MS / 1000;
        Err(format!("processes {late:?} have not reopened their logs in {secs} s"))
    }

    /// The processes of which this holds, and still holds after so many milliseconds.
    fn late_after(
        &self,
        ms: u64,
        is_late: impl Fn(&Board, &Slot) -> bool,
    ) -> Result<Vec<Pid>, String> {
        let (Some(board), Ok(snapshot)) = (self.board(), &self.view) else {
            return Ok(Vec::new());
        };
        let since = clock::monotonic_ms();
        loop {
            snapshot.refresh().map_err(|e| format!("the scoreboard cannot be read: {e}"))?;
            // Without a pid it is a fork just made, of the master as it is now.
            let slots = board.used().map(|(_, slot)| slot).filter(|slot| slot.pid() != 0);
            let late = slots.filter(|slot| is_late(board, slot)).map(Slot::pid);
            let late: Vec<Pid> = late.collect();
            let waited = clock::monotonic_ms() - since > ms;
            if late.is_empty() || waited || self.has_ended_within(STEP_MS) {
                return Ok(late);
            }
        }
    }

    /// The end of the process; a stop that is not fast takes as long as it takes.
    pub fn end(&self, is_fast: bool) -> Told {
        let since = clock::monotonic_ms();
        while !self.has_ended_within(if is_fast { STEP_MS } else { 1000 }) {
            if is_fast && clock::monotonic_ms() - since > STOPPED_MS {
                let secs = STOPPED_MS / 1000;
                return Err(format!("the master {} has not ended in {secs} s", self.pid));
            }
        }
        Ok(format!("the master {} has ended", self.pid))
    }

    fn has_ended_within(&self, ms: i32) -> bool {
        let Some((epoll, _)) = &self.end else {
            let _ = clock::sleep_ms(ms.unsigned_abs().into());
            return process::kill(self.pid, 0) == Err(Errno::ESRCH);
        };
        epoll.wait(&mut [Event::NONE], ms, None).is_ok_and(|ready| ready > 0)
    }

    /// Why the signal is on its way, and that is all we know.
    fn unseen(&self) -> String {
        let pid = self.pid;
        match &self.view {
            Err(Missing::Unknown) => {
                format!("process {pid} is another version of limpet, which tells us nothing")
            }
            _ => match std::fs::metadata(format!("/proc/{pid}")) {
                Ok(process) => format!(
                    "its verdict is for uid {} to see, or for root with CAP_SYS_PTRACE",
                    process.uid()
                ),
                Err(_) => "without /proc its verdict cannot be seen".into(),
            },
        }
    }
}

fn view(pid: Pid) -> Result<Snapshot, Missing> {
    Snapshot::of(pid).map_err(|missing| match missing {
        // Who is not there is told by kill(2); who has no /proc cannot look.
        Missing::None if process::kill(pid, 0) == Err(Errno::ESRCH) => {
            Missing::Refused(Errno::ESRCH)
        }
        Missing::None if !Path::new("/proc/self/fd").exists() => Missing::Refused(Errno::ENOENT),
        missing => missing,
    })
}

fn told(outcome: Outcome) -> Told {
    if outcome.good { Ok(outcome.text) } else { Err(outcome.text) }
}

/// A worker of an older generation with its listeners open.
fn still_accepts(board: &Board, slot: &Slot) -> bool {
    let is_old = slot.generation.get() < board.master.generation.get();
    is_old && slot.kind() == Kind::Worker && slot.state() == State::Ready
}

/// One line for who has asked, and the exit code.
pub fn tell(told: Told, quiet: bool) -> i32 {
    match told {
        Ok(text) if quiet || text.is_empty() => 0,
        Ok(text) => {
            i32::from(io::write_all(fd::STDOUT, format!("limpet: {text}\n").as_bytes()).is_err())
        }
        Err(text) => {
            log!(Level::Error, "{text}");
            1
        }
    }
}
