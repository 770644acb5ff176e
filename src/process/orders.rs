//! What the master tells its children, and what it hears from them.
//!
//! Orders go by channel; by kill(2) where a channel is of no use any more, and
//! SIGKILL always. What a channel has no room for waits in the slot's outbox.
//!
//! The master believes a child only about itself: that it is ready, and that it
//! has closed its end. A child that says anything else is not listened to after
//! a few times, so none can keep the master busy.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::channel::{self, Channel, Command, Message, Read, Written};
use super::master::{Due, Master};
use super::signals;
use super::table::Process;
use crate::log::{Level, log};
use crate::sys::{Errno, fd, signal};
use crate::time;

/// When a full channel is tried again, if no SIGIO says so before.
const FLUSH_MS: u64 = 10;
/// Forged messages after which a child is not listened to any more.
const FORGED_MOST: u32 = 8;

impl Master {
    /// Tells every other child that a sibling lives, and gives it the ends to write to.
    pub(super) fn pass_open_channel(&mut self, slot: usize, pid: i32) {
        let generation = self.table.get(slot).map_or(0, Process::takes_generation);
        let message = Message { command: Command::OpenChannel, pid, slot, generation };
        for to in self.listeners_but(slot) {
            log!(Level::Debug, "pass channel s:{slot} pid:{pid} {}", Passed(self, slot, to));
            self.post(to, message);
        }
        self.tell_old_master(message);
        self.tell_of_foreigners(slot);
    }

    /// Tells every child about one that is not of this master.
    pub(super) fn tell_all(&mut self, message: Message) {
        for to in self.listeners_but(message.slot) {
            self.post(to, message);
        }
    }

    /// Tells every other child that a sibling is gone.
    pub(super) fn pass_close_channel(&mut self, slot: usize, pid: i32) {
        let message = Message { command: Command::CloseChannel, pid, slot, generation: 0 };
        for to in self.listeners_but(slot) {
            log!(Level::Debug, "pass close channel s:{slot} pid:{pid} to:{}", self.pid_of(to));
            self.post(to, message);
        }
        self.tell_old_master(message);
    }

    /// Gives an order to the children that `whom` names. As in nginx those that quit already
    /// are not told to again, and a detached one is not ours to order about.
    pub(super) fn order(&mut self, command: Command, whom: impl Fn(&Process) -> bool) {
        for slot in 0..self.table.last_process() {
            let Some(process) = self.table.get(slot) else { continue };
            log!(Level::Debug, "child: {slot} {}", Flags(process));
            let skipped = process.job.detached
                || process.exited
                || (process.exiting && command == Command::Quit)
                || !whom(process);
            if skipped {
                continue;
            }
            let unheard = process.ignored;
            let posted = self.post(slot, Message::order(command));
            // Of one that is not heard nobody knows whether its channel is broken.
            let told =
                if posted && !unheard { true } else { self.kill(slot, self.signal_for(command)) };
            if let Some(process) = self.table.get_mut(slot)
                && told
                && command != Command::Reopen
            {
                process.exiting = true;
            }
        }
    }

    /// Sends a signal; a process that is not there any more is reaped.
    pub(super) fn kill(&mut self, slot: usize, number: i32) -> bool {
        let Some(process) = self.table.get_mut(slot) else { return false };
        let Err(e) = signals::send(process.pid, number) else { return true };
        log!(Level::Alert, errno e, "kill({}, {number}) failed", process.pid);
        if e == Errno::ESRCH {
            process.exited = true;
            process.exiting = false;
            self.wanted.reap = true;
        }
        false
    }

    /// Sends SIGKILL to every child that `whom` names: never by channel.
    pub(super) fn kill_all(&mut self, whom: impl Fn(&Process) -> bool) {
        for slot in 0..self.table.last_process() {
            let named =
                |process: &&Process| !process.job.detached && !process.exited && whom(process);
            if self.table.get(slot).filter(named).is_some() {
                self.kill(slot, signal::KILL);
            }
        }
    }

    /// Sends what had to wait.
    pub(super) fn flush_channels(&mut self) {
        for slot in 0..self.table.last_process() {
            while let Some(message) =
                self.table.get(slot).and_then(|process| process.outbox.first())
            {
                match self.write(slot, message) {
                    Written::Whole => {
                        if let Some(process) = self.table.get_mut(slot) {
                            process.outbox.sent();
                        }
                    }
                    Written::Full => {
                        self.deadlines.add_once(time::now_ms() + FLUSH_MS, Due::Flush);
                        break;
                    }
                    Written::Failed => self.give_up_channel(slot),
                }
            }
        }
    }

    /// Reads what the children have to say. It ends: a child has two things to say, once each,
    /// and more than a few others are not heard.
    pub(super) fn hear(&mut self) {
        for slot in 0..self.table.last_process() {
            while let Some(end0) = self.heard(slot) {
                let right = match channel::read(end0) {
                    Read::Empty => break,
                    Read::Message(message, _) => self.heed(slot, message),
                    Read::Forged => false,
                    Read::Broken | Read::Closed => {
                        self.stop_hearing(slot);
                        false
                    }
                };
                if !right {
                    self.doubt(slot);
                }
            }
        }
    }

    fn heard(&self, slot: usize) -> Option<BorrowedFd<'_>> {
        let process = self.table.get(slot).filter(|process| !process.ignored)?;
        process.channel.as_ref().map(|channel| channel.end0.as_fd())
    }

    /// Whether a child may say this.
    fn heed(&mut self, slot: usize, message: Message) -> bool {
        let Some(process) = self.table.get_mut(slot) else { return false };
        if message.slot != slot || message.pid != process.pid {
            return false;
        }
        match message.command {
            Command::Ready if !process.ready => {
                process.ready = true;
                log!(Level::Debug, "{} {} is ready", process.job.work.name(), process.pid);
            }
            Command::CloseChannel if !process.deaf => self.give_up_channel(slot),
            _ => return false,
        }
        true
    }

    fn doubt(&mut self, slot: usize) {
        let Some(process) = self.table.get_mut(slot) else { return };
        process.forged += 1;
        let (name, pid) = (process.job.work.name(), process.pid);
        log!(Level::Alert, bounded, "{name} {pid} sent a message that is not its to send");
        if process.forged >= FORGED_MOST {
            self.stop_hearing(slot);
        }
    }

    /// Its writes wake nobody any more; it still gets its orders, by signal as well.
    fn stop_hearing(&mut self, slot: usize) {
        let Some(process) = self.table.get_mut(slot) else { return };
        process.ignored = true;
        let Some(channel) = &process.channel else { return };
        if let Err(e) = fd::set_async(&channel.end0, false) {
            log!(Level::Alert, errno e, "ioctl(FIOASYNC) failed");
        }
    }

    /// From now on this child hears signals only: also what waits for it.
    fn give_up_channel(&mut self, slot: usize) {
        let Some(process) = self.table.get_mut(slot) else { return };
        process.deaf = true;
        let (name, pid) = (process.job.work.name(), process.pid);
        log!(Level::Alert, "the channel of {name} {pid} is lost, it gets signals");
        for message in process.outbox.clear() {
            if matches!(message.command, Command::Quit | Command::Terminate | Command::Reopen) {
                self.kill(slot, self.signal_for(message.command));
            }
        }
    }

    /// Writes a message or queues it; false when the channel is of no use.
    pub(super) fn post(&mut self, to: usize, message: Message) -> bool {
        let Some(process) = self.table.get(to) else { return false };
        if process.deaf || process.channel.is_none() {
            return false;
        }
        let written =
            if process.outbox.is_empty() { self.write(to, message) } else { Written::Full };
        match written {
            Written::Whole => true,
            Written::Full => self.queue(to, message),
            Written::Failed => {
                self.give_up_channel(to);
                false
            }
        }
    }

    fn queue(&mut self, to: usize, message: Message) -> bool {
        let Some(process) = self.table.get_mut(to) else { return false };
        log!(
            Level::Debug,
            "channel of {} is full, command {} waits",
            process.pid,
            message.command as i32
        );
        let queued = process.outbox.push(message);
        self.deadlines.add_once(time::now_ms() + FLUSH_MS, Due::Flush);
        if !queued {
            self.give_up_channel(to);
        }
        queued
    }

    /// One message to a slot. An *open channel* of a process that has gone in the meantime
    /// counts as written: nobody has to know it any more.
    fn write(&self, to: usize, message: Message) -> Written {
        match self.table.get(to).and_then(|process| process.channel.as_ref()) {
            Some(Channel { end0, .. }) => self.write_to(end0, message),
            None => Written::Failed,
        }
    }

    pub(super) fn write_to(&self, end0: &OwnedFd, message: Message) -> Written {
        if message.command != Command::OpenChannel {
            return channel::write(end0, message, &[]);
        }
        let about = self.table.get(message.slot).filter(|about| about.pid == message.pid);
        let ends = about.and_then(|about| about.channel.as_ref()).map(Channel::writing_ends);
        match ends.or_else(|| self.foreign_ends(message)) {
            Some(ends) => channel::write(end0, message, &ends),
            None => Written::Whole,
        }
    }

    fn listeners_but(&self, slot: usize) -> Vec<usize> {
        let listens = |process: &Process| process.channel.is_some() && !process.exited;
        let others = self.table.iter().filter(|(to, process)| *to != slot && listens(process));
        others.map(|(to, _)| to).collect()
    }

    /// Of two that mean *terminate* the one that is always fast.
    fn signal_for(&self, command: Command) -> i32 {
        match command {
            Command::Quit => signal::QUIT,
            Command::Reopen => signal::USR1,
            _ if self.cycle.core.is_term_graceful(self.watch.pid) => signal::INT,
            _ => signal::TERM,
        }
    }

    fn pid_of(&self, slot: usize) -> i32 {
        self.table.get(slot).map_or(-1, |process| process.pid)
    }
}

/// nginx's debug line of a child: exiting, exited, detached, respawn, just spawned.
struct Flags<'a>(&'a Process);

impl std::fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Process { pid, job, exiting, exited, .. } = self.0;
        let [e, t, d, r, j] =
            [*exiting, *exited, job.detached, job.respawn, job.just_spawn].map(u8::from);
        write!(f, "{pid} e:{e} t:{t} d:{d} r:{r} j:{j}")
    }
}

/// The rest of nginx's line: `fd:9 to s:0 pid:16888 fd:3`.
struct Passed<'a>(&'a Master, usize, usize);

impl std::fmt::Display for Passed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Passed(master, slot, to) = *self;
        let number = |slot| {
            let channel = master.table.get(slot).and_then(|process| process.channel.as_ref());
            channel.map_or(-1, |channel| channel.end0.as_raw_fd())
        };
        write!(f, "fd:{} to s:{to} pid:{} fd:{}", number(slot), master.pid_of(to), number(to))
    }
}
