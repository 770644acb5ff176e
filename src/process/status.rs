//! `-s status`: what the scoreboard of a running master says, as a table or as JSON.
//!
//! Read from outside, without asking the master: a stopped or stuck one is shown too.

use std::fmt::{self, Write};

use super::signaller::Wanted;
use crate::log::{Level, log};
use crate::shm::scoreboard::{Asked, Board, Outcome, Slot};
use crate::shm::snapshot::{Missing, Snapshot};
use crate::sys::process::Pid;
use crate::sys::{clock, fd, io};
use crate::text::escape;
use crate::text::writer::Writer;

/// Prints it to stdout; the exit code.
pub fn print(wanted: &Wanted, json: bool) -> i32 {
    let Some(pid) = wanted.find() else { return 1 };
    let snapshot = match Snapshot::of(pid) {
        Ok(snapshot) => snapshot,
        Err(missing) => return refuse(pid, missing),
    };
    let Some(board) = snapshot.board() else { return refuse(pid, Missing::Unknown) };
    let text = if json { Json(board).to_string() } else { Table(board).to_string() };
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

struct Table<'a>(&'a Board);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let master = &self.0.master;
        let (pid, state, generation) = (master.pid(), master.state(), master.generation.get());
        let age = Age(wall_clock_ms().saturating_sub(master.started_ms.get()));
        writeln!(f, "master {pid}: {}, generation {generation}, up {age}", state.name())?;
        writeln!(f, "config {}", master.config.get())?;
        for asked in [Asked::Start, Asked::Reload, Asked::Reopen, Asked::Upgrade] {
            let Outcome { text, ended_ms, .. } = master.outcome(asked);
            if ended_ms > 0 {
                let ago = Age(wall_clock_ms().saturating_sub(ended_ms));
                writeln!(f, "last {}: {text}, {ago} ago", asked.name())?;
            }
        }
        writeln!(
            f,
            "\n{:>4}  {:<14} {:>8} {:>4}  {:<13} {:>8} {:>12} {:>12} {:>9} {:>12} {:>9}",
            "slot",
            "kind",
            "pid",
            "gen",
            "state",
            "age",
            "connections",
            "requests",
            "turned",
            "allocations",
            "log drops"
        )?;
        self.0.used().try_for_each(|(index, slot)| row(f, index, slot))
    }
}

fn row(f: &mut fmt::Formatter<'_>, index: usize, slot: &Slot) -> fmt::Result {
    let figures = Figures::of(slot);
    writeln!(
        f,
        "{index:>4}  {:<14} {:>8} {:>4}  {:<13} {:>8} {:>12} {:>12} {:>9} {:>12} {:>9}",
        slot.kind().name(),
        slot.pid(),
        slot.generation.get(),
        slot.state().name(),
        figures.age.to_string(),
        slot.active.get(),
        slot.requests.get(),
        figures.turned.to_string(),
        figures.allocations,
        slot.log_drops.get(),
    )
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

struct Json<'a>(&'a Board);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let master = &self.0.master;
        write!(
            f,
            "{{\"master\":{{\"pid\":{},\"state\":{},\"generation\":{},\"started_ms\":{},\
             \"workers\":{},\"reloads_refused\":{},\"config\":{}}},\"processes\":[",
            master.pid(),
            Quoted(master.state().name()),
            master.generation.get(),
            master.started_ms.get(),
            master.workers_wanted.get(),
            master.reloads_refused.get(),
            Quoted(&master.config.get()),
        )?;
        for (nth, (index, slot)) in self.0.used().enumerate() {
            f.write_str(if nth > 0 { "," } else { "" })?;
            object(f, index, slot)?;
        }
        f.write_str("]}\n")
    }
}

fn object(f: &mut fmt::Formatter<'_>, index: usize, slot: &Slot) -> fmt::Result {
    let figures = Figures::of(slot);
    let numbers = [
        ("slot", index as u64),
        ("pid", slot.pid().unsigned_abs().into()),
        ("generation", slot.generation.get()),
        ("age_ms", figures.age.0),
        ("turned_ms", figures.turned.0),
        ("accepted", slot.accepted.get()),
        ("handled", slot.handled.get()),
        ("connections", slot.active.get()),
        ("idle", slot.idle.get()),
        ("requests", slot.requests.get()),
        ("log_drops", slot.log_drops.get()),
        ("allocations", figures.allocations),
    ];
    write!(f, "{{\"kind\":{},", Quoted(slot.kind().name()))?;
    write!(f, "\"state\":{}", Quoted(slot.state().name()))?;
    numbers.iter().try_for_each(|(name, number)| write!(f, ",\"{name}\":{number}"))?;
    f.write_char('}')
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = vec![0; escape::json_len(self.0.as_bytes())];
        let mut out = Writer::new(&mut room);
        escape::json(self.0.as_bytes(), &mut out);
        write!(f, "\"{}\"", String::from_utf8_lossy(out.written()))
    }
}

fn wall_clock_ms() -> u64 {
    let (secs, nanos) = clock::realtime();
    secs.cast_unsigned() * 1000 + u64::from(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::zone::Record;
    use crate::shm::scoreboard::Kind;

    #[test]
    fn ages_have_two_units() {
        let cases = [
            (0, "0.000s"),
            (59_999, "59.999s"),
            (60_000, "1m 0s"),
            (3_599_999, "59m 59s"),
            (86_399_999, "23h 59m"),
            (90_000_000, "1d 1h"),
        ];
        for (ms, text) in cases {
            assert_eq!(Age(ms).to_string(), text);
        }
    }

    #[test]
    fn a_board_as_table_and_as_json() {
        let board = Box::leak(Box::new(Board::ZERO));
        board.prepare(2, Kind::Worker, 0, 3);
        board.slots[2].requests.add(77);
        board.master.config.set("/etc/\"x\".conf");
        let table = Table(board).to_string();
        let rows: Vec<&str> = table.lines().collect();
        assert_eq!(rows.len(), 5, "{table}");
        assert!(rows[4].starts_with("   2  worker ") && rows[4].contains(" 77 "), "{table}");
        let widths: Vec<usize> = rows[3..].iter().map(|row| row.len()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
        let json = Json(board).to_string();
        assert!(json.contains(r#""config":"/etc/\"x\".conf""#), "{json}");
        assert!(json.contains(r#"{"kind":"worker","state":"starting","slot":2,"pid":0"#), "{json}");
        assert!(json.ends_with("}]}\n"));
    }
}
