//! The status for people.

use std::fmt;

use super::{Age, Drained, Figures, Shown, upstreams};
use crate::shm::scoreboard::{Slot, Totals};

pub struct Table<'a>(pub &'a Shown<'a>);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let board = self.0.board;
        let master = &board.master;
        let (pid, state, generation) = (master.pid(), master.state(), master.generation.get());
        let age = Age::since(master.started_ms.get());
        writeln!(f, "master {pid}: {}, generation {generation}, up {age}", state.name())?;
        writeln!(f, "config {}", master.config.get())?;
        for (asked, outcome) in self.0.outcomes() {
            let ago = Age::since(outcome.ended_ms);
            writeln!(f, "last {}: {}, {ago} ago", asked.name(), outcome.text)?;
        }
        if let refused @ 1.. = master.reloads_refused.get() {
            writeln!(f, "reloads refused: {refused}")?;
        }
        self.listeners(f)?;
        self.zones(f)?;
        for drained in self.0.drained() {
            let Drained { generation, workers, connections } = drained;
            write!(f, "draining: generation {generation}: ")?;
            writeln!(f, "{workers} workers, {connections} connections")?;
        }
        totals(f, &board.totals())?;
        if let kept @ 1.. = self.0.kept() {
            writeln!(f, "connections to upstreams that rest: {kept}")?;
        }
        head(f)?;
        board.used().try_for_each(|(index, slot)| row(f, index, slot))?;
        self.0.upstreams().iter().try_for_each(|peers| upstreams::put(f, peers))
    }
}

impl Table<'_> {
    fn listeners(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listeners = self.0.listeners();
        for (nth, (addr, sockets)) in listeners.iter().enumerate() {
            f.write_str(if nth == 0 { "listening on " } else { ", " })?;
            f.write_str(addr)?;
            if *sockets > 1 {
                write!(f, " ({sockets} sockets)")?;
            }
        }
        f.write_str(if listeners.is_empty() { "" } else { "\n" })
    }

    fn zones(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for zone in self.0.zones() {
            let (size, used) = (zone.bytes / 1024, zone.pages - zone.free_pages);
            let percent = used * 100 / zone.pages.max(1);
            write!(f, "zone {}: {size} KiB, {percent} % used", zone.name)?;
            if zone.rebuilt > 0 {
                write!(f, ", made empty {} times", zone.rebuilt)?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

fn totals(f: &mut fmt::Formatter<'_>, totals: &Totals) -> fmt::Result {
    let Totals { accepted, handled, requests, active, reading, writing, waiting } = totals;
    writeln!(
        f,
        "connections: {active} ({reading} reading, {writing} writing, {waiting} waiting), \
         {accepted} accepted, {handled} handled; {requests} requests"
    )
}

fn head(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "\n{:>4}  {:<14} {:>8} {:>4}  {:<13} {:>8} {:>11} {:>12} {:>8} {:>8} {:>9} {:>11} {:>9}",
        "slot",
        "kind",
        "pid",
        "gen",
        "state",
        "age",
        "connections",
        "requests",
        "in",
        "out",
        "turned",
        "allocations",
        "log drops"
    )
}

fn row(f: &mut fmt::Formatter<'_>, index: usize, slot: &Slot) -> fmt::Result {
    let figures = Figures::of(slot);
    writeln!(
        f,
        "{index:>4}  {:<14} {:>8} {:>4}  {:<13} {:>8} {:>11} {:>12} {:>8} {:>8} {:>9} {:>11} {:>9}",
        slot.kind().name(),
        slot.pid(),
        slot.generation.get(),
        slot.state().name(),
        figures.age.to_string(),
        slot.active.get(),
        slot.requests.get(),
        slot.handed_in.get(),
        slot.handed_out.get(),
        figures.turned.to_string(),
        figures.allocations,
        slot.log_drops.get(),
    )
}
