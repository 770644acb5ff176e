//! The upgrade in place: the master executes the new binary and stays the process it is.
//!
//! For a server under a supervisor, or as pid 1: who started it sees nothing. First a child
//! tries the new binary (`trial`); then the master leaves what it has (`hand_over`) and
//! executes it; and the new image takes over (`adopted`), or gives everything back.

use std::ops::ControlFlow::Continue;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use super::hand_over;
use super::state::{Child, State};
use crate::cycle::PidFile;
use crate::log::{Level, log};
use crate::process::channel::{Channel, Command};
use crate::process::master::{Doomed, Due, Master};
use crate::process::spawn::Step;
use crate::process::table::Process;
use crate::shm;
use crate::shm::scoreboard::Asked;
use crate::sys::{env, file, process};

impl Master {
    /// The new binary has passed its trial: becomes it.
    pub(in crate::process) fn exec_in_place(&mut self) {
        if !self.upgrade.trial.as_ref().is_some_and(|trial| trial.passed) {
            return;
        }
        if self.is_draining() {
            self.upgrade.trial = None;
            return self.not_upgraded("the server is going to stop");
        }
        if !self.has_room_for_generation("upgrade") {
            return;
        }
        self.upgrade.trial = None;
        log!(Level::Notice, "executing {}, the process stays", self.executable);
        let state = self.state();
        let (Some(own), Ok(path)) = (&self.executable.image, file::path(&self.executable.path))
        else {
            return self
                .not_upgraded("this executable cannot be opened, so it could not come back");
        };
        let args = &self.executable.args;
        self.notifier.export();
        let e = hand_over::leave(&state, own, || process::execve(&path, args, &env::for_exec()));
        self.notifier.withdraw();
        log!(
            Level::Alert,
            errno e,
            "execve() failed while executing new binary process \"{}\"",
            self.executable
        );
        self.not_upgraded("the new binary cannot be executed");
    }

    /// All is as it was.
    pub(super) fn not_upgraded(&self, why: &str) {
        let generation = self.cycle.generation;
        let text = format!("upgrade failed: {why}; generation {generation} serves on");
        log!(Level::Error, "{text}");
        shm::board().master.conclude(Asked::Upgrade, false, &text);
    }

    /// What the next image has to know.
    pub(super) fn state(&self) -> State {
        State {
            generation: self.cycle.generation,
            last_generation: self.generation,
            noaccepting: self.noaccepting,
            executable: self.executable.path.as_os_str().as_bytes().to_vec(),
            args: self.executable.args.clone(),
            nofile: self.nofile,
            pid_file: self
                .cycle
                .pid_file
                .as_ref()
                .map(|file| file.path().as_os_str().as_bytes().into()),
            scoreboard: shm::memory().map(|memory| memory.as_raw_fd()),
            texts: self.cycle.kept_texts().map(|texts| texts.as_raw_fd()),
            listeners: self
                .cycle
                .listening
                .lent()
                .map(|(fd, lent)| (fd.as_raw_fd(), lent))
                .collect(),
            zones: self.cycle.zones().collect(),
            children: self.table.iter().map(|(slot, process)| child(slot, process)).collect(),
            kills: self.deadlines.iter().filter_map(kill).collect(),
        }
    }

    /// The first of a new image: the workers that were left are the generation before.
    pub(in crate::process) fn take_children(&mut self) {
        let Some(adopted) = &self.upgrade.adopted else { return };
        self.table = adopted.table();
        for (at, doomed) in &adopted.state.kills {
            self.deadlines.add(*at, Due::Kill(*doomed));
        }
        // Who has ended meanwhile has told the image before.
        self.wanted.reap = true;
    }

    /// The first workers are ready. If this is a new image the old ones may go, and what only
    /// they had. Says what has come to its end.
    pub(in crate::process) fn complete_upgrade(&mut self) -> Asked {
        if self.upgrade.adopted.is_none() {
            return Asked::Start;
        }
        self.order(Command::Quit, |process| !process.job.just_spawn);
        for (_, process) in self.table.iter_mut() {
            process.job.just_spawn = false;
        }
        self.drop_what_was_left();
        self.cycle.listening.configure();
        Asked::Upgrade
    }

    /// Closes and removes what only the image before this one wanted; it does not come back.
    pub(in crate::process) fn drop_what_was_left(&mut self) {
        let Some(mut adopted) = self.upgrade.adopted.take() else { return };
        adopted.listening.retire(&self.cycle.listening, self.owns_names());
        let stays = self.cycle.pid_file.as_ref().map(PidFile::path);
        if let Some(old) = adopted.pid_file().filter(|old| Some(*old) != stays) {
            PidFile::kept(old).remove();
        }
    }

    /// No worker of the new image is ready: the image before takes everything back. Returns only
    /// if it cannot; then the old workers serve without anybody who could replace them.
    pub(in crate::process) fn fall_back(&mut self, reason: &str) {
        let generation = self.cycle.generation;
        self.kill_all(|process| process.job.generation == generation);
        let Some(mut adopted) = self.upgrade.adopted.take() else { return };
        for (slot, process) in self.table.iter() {
            if process.job.generation == generation {
                shm::board().retire(slot);
            }
        }
        let table = &self.table;
        let lives = |child: &Child| table.find(child.pid) == Some(child.slot);
        adopted.state.children.retain(lives);
        adopted.state.last_generation = self.generation;
        if let Some(file) =
            self.cycle.pid_file.take_if(|file| Some(file.path()) != adopted.pid_file())
        {
            file.remove();
        }
        log!(Level::Error, "{reason}: the binary before comes back");
        let e = adopted.give_back(reason, &self.notifier);
        self.notifier.withdraw();
        log!(Level::Emerg, errno e, "the old binary cannot be executed");
        self.not_upgraded(reason);
    }

    /// The image that has got everything back goes on as if nothing had been.
    pub(in crate::process) fn go_on(&mut self, reason: &str) -> Step {
        let adopted = self.upgrade.adopted.take();
        // The image in between may have had no time to clear up.
        for (slot, _) in shm::board().used().filter(|(slot, _)| self.table.get(*slot).is_none()) {
            shm::board().retire(slot);
        }
        self.generation = adopted.as_ref().map_or(self.generation, |a| a.state.last_generation);
        self.noaccepting = adopted.is_some_and(|adopted| adopted.state.noaccepting);
        self.watch_config();
        self.not_upgraded(reason);
        self.notifier.ready(reason);
        if self.noaccepting { Continue(()) } else { self.start_missing() }
    }
}

fn child(slot: usize, process: &Process) -> Child {
    let ends = process.channel.as_ref().map(Channel::ends);
    Child {
        slot,
        pid: process.pid,
        work: process.job.work,
        generation: process.job.generation,
        born_ms: process.born_ms,
        respawn: process.job.respawn,
        ready: process.ready,
        deaf: process.deaf,
        ignored: process.ignored,
        exiting: process.exiting,
        ends: ends.iter().flatten().map(|end| end.as_raw_fd()).collect(),
        waiting: process.outbox.iter().collect(),
    }
}

fn kill((at, due): (u64, &Due)) -> Option<(u64, Doomed)> {
    match due {
        Due::Kill(doomed) => Some((at, *doomed)),
        _ => None,
    }
}
