//! The upgrade in place, as the next image sees it: what it is left, and how it gives it back.
//!
//! It takes the old workers over as the generation before its own first one, starts its own,
//! and when they are ready quits the old. Until then all that it was left is kept as it came;
//! what it works with are duplicates. An image that cannot start executes the one before it
//! again, with the same descriptors, and that one goes on as if nothing had been. One that crashes
//! or hangs meanwhile does so, too (`sys::guard`).

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::hand_over::{self, FELL_BACK, IN_PLACE};
use super::state::{Child, State, VERSION};
use crate::conf::kept::Kept;
use crate::cycle::Inherited;
use crate::log::{Level, log};
use crate::net::listen::Listening;
use crate::process::channel::Channel;
use crate::process::notify::Notifier;
use crate::process::signals;
use crate::process::table::{Job, Process, Spawn, Table};
use crate::shm;
use crate::sys::guard::{Guard, Way};
use crate::sys::{self, Errno, Result, env, fd};

/// How long an image may take until its workers are ready.
const WITHIN_MS: u64 = 30_000;

/// What the image before this one has left.
pub struct Adopted {
    pub state: State,
    /// All that it names, as it came.
    _kept: Vec<OwnedFd>,
    /// Against crashes, until this is dropped.
    _guard: Option<Guard>,
    /// The executable of the image before this one.
    before: OwnedFd,
    /// Its sockets, until it is known which of them are to go.
    pub listening: Listening,
    /// We are that image again: why the one in between could not start.
    pub reason: Option<String>,
}

/// The state was left by a version that we do not know, and could not be given back.
pub struct Lost;

/// Takes what the image before this one has left, if there was one. If we cannot make sense of
/// it, that one comes back.
pub fn adopt(args: &[CString]) -> std::result::Result<Option<Adopted>, Lost> {
    let Some((version, state, before)) = hand_over::announced() else { return Ok(None) };
    // They are, unless a script came in between: its shell may let them through.
    signals::block();
    let reason = env::get(FELL_BACK).map(|text| text.to_string_lossy().into_owned());
    [IN_PLACE, FELL_BACK].iter().for_each(env::remove);
    // What comes back is our own.
    if (version == VERSION || reason.is_some())
        && let Ok(adopted) = Adopted::read(state, before, reason.clone())
    {
        return Ok(Some(adopted));
    }
    let text = format!("what the old binary has left (version {version}) is not understood");
    log!(Level::Emerg, "{text}");
    if reason.is_none() {
        let e = hand_over::refuse((version, state, before), &text, args);
        log!(Level::Emerg, errno e, "the old binary cannot be executed");
    }
    Err(Lost)
}

impl Adopted {
    fn read(state: RawFd, before: RawFd, reason: Option<String>) -> Result<Self> {
        let (memory, before) = (fd::inherit(state)?, fd::inherit(before)?);
        let state = State::unpack(&hand_over::read_all(&memory)?).ok_or(Errno::EINVAL)?;
        let guard = || guard(&state, &memory, &before);
        let _guard = if reason.is_none() { guard() } else { None };
        // What cannot be had is missed by who needs it.
        let kept = state.descriptors().filter_map(|number| fd::inherit(number).ok());
        let _kept = kept.chain([memory]).collect();
        let copy =
            |(number, lent): &(RawFd, bool)| Some((fd::duplicate_number(*number).ok()?, *lent));
        let copies = state.listeners.iter().filter_map(copy);
        let listening = Listening::taken_over(copies);
        Ok(Self { state, _kept, _guard, before, listening, reason })
    }

    /// What the first cycle of this image finds.
    pub fn inherited(&self) -> Inherited<'_> {
        let generation = match self.reason {
            Some(_) => self.state.generation,
            None => self.state.last_generation + 1,
        };
        Inherited { listening: &self.listening, zones: &self.state.zones, generation }
    }

    /// The texts of the configuration that was in force, for the image that goes on with it.
    pub fn texts(&self) -> Option<Kept> {
        self.reason.as_ref()?;
        let memory = fd::duplicate_number(self.state.texts?).ok()?;
        Kept::unpack(&hand_over::read_all(&memory).ok()?)
    }

    /// Goes on with the scoreboard, if it has our shape.
    pub fn take_scoreboard(&self) -> bool {
        let memory = self.state.scoreboard.map(fd::duplicate_number);
        memory.is_some_and(|memory| memory.and_then(shm::adopt).is_ok())
    }

    pub fn executable(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.state.executable))
    }

    pub fn pid_file(&self) -> Option<&Path> {
        self.state.pid_file.as_deref().map(|path| Path::new(OsStr::from_bytes(path)))
    }

    /// The old children, in the slots that they had. An image that has crashed may have seen the
    /// end of some.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        for child in &self.state.children {
            if table.get(child.slot).is_none() && sys::process::is_child(child.pid) {
                table.put(child.slot, process(child));
            }
        }
        table
    }

    /// Becomes the image before this one again. Returns what went wrong.
    pub fn give_back(&self, reason: &str, notifier: &Notifier) -> Errno {
        notifier.export();
        env::set(FELL_BACK, reason);
        let resume = || hand_over::resume(&self.before, &self.state.args);
        let e = hand_over::leave(&self.state, &self.before, resume);
        env::remove(FELL_BACK);
        e
    }
}

/// From here on a crash, or no end of the start, is a reason to give everything back as it came.
fn guard(state: &State, memory: &OwnedFd, before: &OwnedFd) -> Option<Guard> {
    let own = [memory.as_raw_fd(), before.as_raw_fd()];
    let for_exec = |reason: &str| {
        hand_over::announce(own);
        env::set(FELL_BACK, reason);
        let lines = env::for_exec();
        [IN_PLACE, FELL_BACK].iter().for_each(env::remove);
        lines
    };
    let way = Way {
        executable: before.as_raw_fd(),
        descriptors: state.descriptors().chain(own).collect(),
        args: state.args.clone(),
        crashed: for_exec("the new binary has crashed"),
        late: for_exec(&format!("the new binary has not started within {} s", WITHIN_MS / 1000)),
    };
    let armed = Guard::arm(way, WITHIN_MS);
    armed.inspect_err(|e| log!(Level::Alert, errno * e, "no way back after a crash")).ok()
}

fn process(child: &Child) -> Process {
    let job =
        Job { respawn: child.respawn, ..Job::new(child.work, child.generation, Spawn::NoRespawn) };
    let ends = child.ends.iter().filter_map(|number| fd::duplicate_number(*number).ok());
    let mut process = Process::new(child.pid, job, Channel::of_ends(ends), child.born_ms);
    process.ready = child.ready;
    process.deaf = child.deaf || process.channel.is_none();
    process.ignored = child.ignored;
    process.exiting = child.exiting;
    for message in &child.waiting {
        process.outbox.push(*message);
    }
    process
}
