//! Where the record of a peer lies: in its group's zone, or in memory of its own.
//!
//! In a zone, all workers and those of the configuration before find it by group, server and
//! address, under the zone's lock; from then on it is read and changed without. It stays
//! when nobody has it open, and goes when its address does or the zone has no room.

use super::record::{self, AtStart, Record};
use crate::log::{Level, log};
use crate::shm;
use crate::shm::directory::Handle;
use crate::shm::slab::Fault;
use crate::shm::table::{self, Found, Table};
use crate::shm::zone::{Spec, Zone};
use crate::sys::process::{self, Pid};
use std::cell::Cell;

pub struct Account {
    own: Box<Record>,
    zone: Option<Handle>,
    key: Box<[u8]>,
    /// Where in the zone; 0: in no zone.
    at: Cell<usize>,
    seat: Cell<usize>,
}

/// A zone of groups.
pub fn spec(name: &str, size: usize) -> Spec {
    Spec {
        name: name.into(),
        size,
        owner: "upstream",
        key: String::new(),
        layout: 3,
        noreuse: false,
        verify: table::table::<Record>,
        forget: Some(forget),
    }
}

impl Account {
    /// Of what the key names, in a zone or in none.
    pub fn new(zone: Option<Handle>, key: &[&[u8]]) -> Account {
        let (own, key) = (record::own(), key.join(&b'\0').into());
        Account { own, zone, key, at: Cell::new(0), seat: Cell::new(0) }
    }

    pub fn record(&self) -> &Record {
        let shared = match self.at.get() {
            0 => None,
            at => self.zone().and_then(|zone| zone.record(at)),
        };
        shared.unwrap_or(&self.own)
    }

    /// A request begins.
    pub fn begin(&self) {
        self.record().begin(self.seat.get(), pid());
    }

    pub fn end(&self) {
        self.record().end(self.seat.get(), pid());
    }

    #[cfg(test)]
    pub fn is_shared(&self) -> bool {
        self.at.get() != 0
    }

    fn zone(&self) -> Option<&Zone> {
        Some(self.zone.as_ref()?.zone()?)
    }

    /// Finds the record in the zone, or makes it, and takes a seat. `at_start`: if it is checked.
    pub fn open(&self, at_start: Option<AtStart>) {
        let Some(zone) = self.zone() else { return };
        let opened = table::with(zone, |table: &Table<'_, Record>| {
            let found = match table.find(&self.key, |_| true)? {
                Some(found) => found,
                None => insert(table, &self.key)?,
            };
            if let Some(at_start) = at_start {
                found.value.begin_health(generation(), at_start);
            }
            table.touch(found)?;
            Ok((found.offset(), found.value.take_seat(pid())))
        });
        if opened.is_none() {
            let name = &zone.spec.name;
            log!(Level::Alert, "no room in upstream zone \"{name}\": a worker counts for itself");
        }
        let (at, seat) = opened.unwrap_or((0, 0));
        self.at.set(at);
        self.seat.set(seat);
    }

    /// The peer has gone: so does its record, once no process has it.
    pub fn close(&self) {
        let Some(zone) = self.zone().filter(|_| self.at.get() != 0) else { return };
        self.at.set(0);
        self.seat.set(0);
        table::with(zone, |table: &Table<'_, Record>| {
            let Some(found) = table.find(&self.key, |_| true)? else { return Ok(()) };
            found.value.leave(pid());
            if found.value.is_left() { table.remove(found) } else { Ok(()) }
        });
    }
}

/// A new record, perhaps in place of the oldest that nobody has.
fn insert<'a>(table: &Table<'a, Record>, key: &[u8]) -> Result<Found<'a, Record>, Fault> {
    loop {
        match table.insert(key) {
            Err(Fault::Full) => {}
            done => return done,
        }
        let oldest = table.oldest_of(Record::is_left)?;
        table.remove(oldest.ok_or(Fault::Full)?)?;
    }
}

/// What a process that has ended had in progress is over.
fn forget(zone: &Zone, dead: Pid) -> bool {
    let stays = |record: &Record| {
        record.leave(dead as u32);
        false
    };
    table::with(zone, |table: &Table<'_, Record>| table.remove_all(stays)).is_some()
}

/// Which configuration this process serves.
pub fn generation() -> u64 {
    shm::own().generation.get().max(1)
}

fn pid() -> u32 {
    process::getpid() as u32
}
