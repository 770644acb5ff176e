//! `-s status`: what the scoreboard of a running master says, as a table or as JSON.
//!
//! Read from outside, without asking the master: a stopped or stuck one is shown too.

mod json;
mod table;
mod upstreams;

use std::collections::BTreeMap;
use std::fmt;

use super::signaller::Wanted;
use crate::log::{Level, log};
use crate::mem::sort::sort_by;
use crate::net::upstream::seen::{self as upstream, Now, Peer, Place};
use crate::shm::scoreboard::{Asked, Board, Kind, Outcome, Slot, State};
use crate::shm::seen::{self, Seen};
use crate::shm::snapshot::{Missing, Snapshot};
use crate::sys::process::Pid;
use crate::sys::{clock, fd, io};

/// Prints it to stdout; the exit code.
pub fn print(wanted: &Wanted, json: bool) -> i32 {
    let Some(pid) = wanted.find() else { return 1 };
    let snapshot = match Snapshot::of(pid) {
        Ok(snapshot) => snapshot,
        Err(missing) => return refuse(pid, missing),
    };
    let Some(board) = snapshot.board() else { return refuse(pid, Missing::Unknown) };
    let now = Now { ms: clock::monotonic_ms(), generation: board.master.generation.get() };
    let shown = Shown { board, zones: seen::zones(pid), peers: upstream::peers(pid, now) };
    let text = if json { json::Json(&shown).to_string() } else { table::Table(&shown).to_string() };
    i32::from(io::write_all(fd::STDOUT, text.as_bytes()).is_err())
}

fn refuse(pid: Pid, missing: Missing) -> i32 {
    match missing {
        Missing::None => log!(Level::Error, "process {pid} is no limpet"),
        Missing::Unknown => log!(Level::Error, "process {pid} is another version of limpet"),
        Missing::Refused(e) => log!(
            Level::Error, errno e,
            "the status of process {pid} is for its user, or for root with CAP_SYS_PTRACE"
        ),
    }
    1
}

/// What there is to show.
struct Shown<'a> {
    board: &'a Board,
    zones: Vec<Seen>,
    peers: BTreeMap<Place, Peer>,
}

impl Shown<'_> {
    /// What has come out of what was asked for, as far as it ever was.
    fn outcomes(&self) -> impl Iterator<Item = (Asked, Outcome)> {
        let all = Asked::ALL.iter().map(|asked| (*asked, self.board.master.outcome(*asked)));
        all.filter(|(_, outcome)| outcome.ended_ms > 0)
    }

    /// Those that a configuration has named.
    fn zones(&self) -> impl Iterator<Item = &Seen> {
        self.zones.iter().filter(|zone| !zone.name.is_empty())
    }

    /// The peers of each group, the group's place first.
    fn upstreams(&self) -> Vec<Vec<(&Place, &Peer)>> {
        let all: Vec<_> = self.peers.iter().collect();
        let group = |place: &Place| (place.group.clone(), place.zone.clone());
        all.chunk_by(|one, next| group(one.0) == group(next.0)).map(<[_]>::to_vec).collect()
    }

    /// Connections to upstreams that rest, of all workers.
    fn kept(&self) -> u64 {
        self.board.used().map(|(_, slot)| slot.kept.get()).sum()
    }

    /// Addresses, and how many sockets each has.
    fn listeners(&self) -> Vec<(String, u64)> {
        let text = self.board.master.listeners.get();
        let line = |line: &str| {
            let (addr, sockets) = line.rsplit_once(' ')?;
            Some((addr.to_string(), sockets.parse().ok()?))
        };
        text.lines().filter_map(line).collect()
    }

    /// Generations whose workers have been told to end, the oldest first.
    fn drained(&self) -> Vec<Drained> {
        let mut all: Vec<Drained> = Vec::new();
        let leaves = |slot: &Slot| {
            let told = matches!(slot.state(), State::ShuttingDown | State::Terminating);
            told && slot.kind() == Kind::Worker
        };
        for (_, slot) in self.board.used().filter(|(_, slot)| leaves(slot)) {
            let generation = slot.generation.get();
            let at = all.iter().position(|drained| drained.generation == generation);
            let at = at.unwrap_or_else(|| {
                all.push(Drained { generation, ..Drained::default() });
                all.len() - 1
            });
            if let Some(drained) = all.get_mut(at) {
                drained.workers += 1;
                drained.connections += slot.active.get();
            }
        }
        sort_by(&mut all, |a, b| a.generation.cmp(&b.generation));
        all
    }
}

/// A generation that goes as soon as its connections have ended.
#[derive(Default)]
struct Drained {
    generation: u64,
    workers: u64,
    connections: u64,
}

/// What is worked out from a slot.
struct Figures {
    age: Age,
    /// Since its loop last turned.
    turned: Age,
    /// Since it was ready.
    allocations: u64,
}

impl Figures {
    fn of(slot: &Slot) -> Figures {
        let since = |ms: u64| Age(clock::monotonic_ms().saturating_sub(ms));
        Figures {
            age: since(slot.started_ms.get()),
            turned: since(slot.heartbeat_ms.get()),
            allocations: slot.allocations.get().saturating_sub(slot.allocations_at_ready.get()),
        }
    }
}

/// Two units, as in the config: `1d 2h`, `3m 4s`, `5.678s`.
struct Age(u64);

impl Age {
    /// Since a point of the wall clock, in milliseconds.
    fn since(unix_ms: u64) -> Age {
        let (secs, nanos) = clock::realtime();
        let now = secs.cast_unsigned() * 1000 + u64::from(nanos / 1_000_000);
        Age(now.saturating_sub(unix_ms))
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0 / 1000;
        match secs {
            0..60 => write!(f, "{secs}.{:03}s", self.0 % 1000),
            60..3_600 => write!(f, "{}m {}s", secs / 60, secs % 60),
            3_600..86_400 => write!(f, "{}h {}m", secs / 3_600, secs / 60 % 60),
            _ => write!(f, "{}d {}h", secs / 86_400, secs / 3_600 % 24),
        }
    }
}

#[cfg(test)]
mod tests;
