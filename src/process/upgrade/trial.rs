//! A new binary is tried before the master becomes it: a child runs it with `-t`.
//!
//! Not every program that likes the configuration can take over a running server, so a limpet that
//! is tried is given a copy of the state; it reads it, and tells, through a pipe, which version it
//! understands. A refusal, a crash, another version, or no answer within 10 s ends the upgrade
//! where it is.

use std::ffi::CString;
use std::ops::ControlFlow::{Break, Continue};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::state::{State, VERSION};
use super::{Executable, hand_over};
use crate::log::{Level, log};
use crate::process::master::{Due, Master};
use crate::process::spawn::{End, Step};
use crate::sys::process::{self, Fork, Pid, Status};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Result, env, fd, file, io};
use crate::time;

/// How long a new binary may take to test the configuration.
const WITHIN_MS: u64 = 10_000;

/// `PIPE;STATE`: tells a binary that is tried where to say which state it understands.
const VARIABLE: &str = "LIMPET_TRIAL";

/// A new binary that is being tried.
pub struct Trial {
    pid: Pid,
    /// Its word comes here.
    word: OwnedFd,
    late: bool,
    pub passed: bool,
}

/// In the child: the end that the new binary writes to, and what it is to understand.
pub struct Try {
    tell: OwnedFd,
    state: OwnedFd,
}

/// The tester, when all is well: another image of this binary may take a server over.
pub fn vouch() {
    let Some([Ok(pipe), Ok(state)]) = given().map(|numbers| numbers.map(fd::inherit)) else {
        return;
    };
    if hand_over::read_all(&state).is_ok_and(|bytes| State::unpack(&bytes).is_some()) {
        // Who does not read it does not want to know.
        let _ = io::write(&pipe, VERSION.to_string().as_bytes());
    }
}

fn given() -> Option<[RawFd; 2]> {
    let value = env::get(VARIABLE)?.into_string().ok()?;
    let (pipe, state) = value.split_once(';')?;
    Some([pipe.parse().ok()?, state.parse().ok()?])
}

impl Master {
    /// The first step of an upgrade in place.
    pub(super) fn try_binary(&mut self) -> Step {
        match self.fork_trial() {
            Ok(step) => step,
            Err(e) => {
                log!(Level::Alert, errno e, "the new binary cannot be tried");
                self.not_upgraded("the new binary cannot be tried");
                Continue(())
            }
        }
    }

    fn fork_trial(&mut self) -> Result<Step> {
        let (word, tell) = io::pipe()?;
        let state = hand_over::write_all(&self.state().pack())?;
        let Fork::Parent(pid) = process::fork()? else {
            return Ok(Break(End::Trial(Try { tell, state })));
        };
        log!(Level::Notice, "{pid} tests the configuration with {}", self.executable);
        self.upgrade.trial = Some(Trial { pid, word, late: false, passed: false });
        self.deadlines.add(time::now_ms() + WITHIN_MS, Due::Trial { pid });
        Ok(Continue(()))
    }

    /// A trial is late. What it has started goes with it: it leads a session.
    pub(in crate::process) fn end_trial(&mut self, late: Pid) {
        if let Some(trial) = self.upgrade.trial.as_mut().filter(|trial| trial.pid == late) {
            trial.late = true;
            if let Err(e) = process::kill_session(late) {
                log!(Level::Alert, errno e, "kill({late}, SIGKILL) failed");
            }
        }
    }

    /// Whether that was the trial.
    pub(in crate::process) fn trial_ended(&mut self, pid: Pid, status: Status) -> bool {
        let Some(trial) = self.upgrade.trial.as_mut().filter(|trial| trial.pid == pid) else {
            return false;
        };
        self.deadlines.retain(|due| *due != Due::Trial { pid });
        match trial.refusal(status) {
            None => trial.passed = true,
            Some(why) => {
                self.upgrade.trial = None;
                self.not_upgraded(&why);
            }
        }
        true
    }
}

impl Trial {
    fn refusal(&self, status: Status) -> Option<String> {
        match status {
            _ if self.late => {
                Some(format!("the new binary has not tested it within {} s", WITHIN_MS / 1000))
            }
            Status::Signaled { signo, .. } => Some(format!(
                "the new binary exited on signal {signo} when it tested the configuration"
            )),
            Status::Exited(0) if self.understands() => None,
            Status::Exited(0) => Some("the new binary cannot take over in place".into()),
            Status::Exited(code) => Some(format!(
                "the new binary refuses the configuration (code {code}): the error log says why"
            )),
        }
    }

    fn understands(&self) -> bool {
        let mut word = [0; 16];
        let len = io::read(&self.word, &mut word).unwrap_or(0);
        word[..len] == *VERSION.to_string().as_bytes()
    }
}

impl Executable {
    /// In the child: becomes the new binary that tests; the exit code if it cannot.
    pub fn exec_trial(&self, Try { tell, state }: &Try) -> i32 {
        let become_it = || -> Result<()> {
            process::setsid()?;
            fd::set_cloexec(tell, false)?;
            fd::set_cloexec(state, false)?;
            env::set(VARIABLE, format!("{};{}", tell.as_raw_fd(), state.as_raw_fd()));
            signal::set_mask(&SigSet::empty());
            let args: Vec<CString> =
                self.args.iter().cloned().chain([c"-t", c"-q"].map(CString::from)).collect();
            Err(process::execve(&file::path(&self.path)?, &args, &env::for_exec()))
        };
        if let Err(e) = become_it() {
            log!(
                Level::Alert,
                errno e,
                "execve() failed while executing new binary process \"{self}\""
            );
        }
        1
    }
}
