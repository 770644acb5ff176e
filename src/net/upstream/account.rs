//! Where the record of a peer lies: in its group's zone, in one for all groups that have none,
//! or in memory of its own.
//!
//! In the zone of its group, all workers and those of the configuration before find it by group,
//! server and address, under the zone's lock; from then on it is read and changed without. It
//! stays when nobody has it open, and goes when its address does or the zone has no room.
//!
//! Groups without a zone have a record in each process, as in nginx. They lie in one zone, too,
//! by process and then as above, so that they can be seen from outside (`seen`); there a record
//! goes with its process.

use super::record::{self, Record};
use crate::log::{Level, log};
use crate::shm;
use crate::shm::directory::Handle;
use crate::shm::slab::Fault;
use crate::shm::table::{self, Found, Table};
use crate::shm::zone::{Spec, Zone};
use crate::sys::process::{self, Pid};
use std::borrow::Cow;
use std::cell::Cell;

pub struct Account {
    own: Box<Record>,
    memory: Memory,
    key: Box<[u8]>,
    /// Where in the zone; 0: in no zone.
    at: Cell<usize>,
    seat: Cell<usize>,
}

/// Where the records of a group are.
#[derive(Clone, Default)]
pub enum Memory {
    /// In memory that nobody else sees.
    #[default]
    Hidden,
    /// Those of each process in this zone.
    Seen(Handle),
    /// Those that all processes share.
    Shared(Handle),
}

/// The zone of all groups that have none: no directive can name it.
pub const UNNAMED: &str = "";
/// It takes memory as it is filled: for two thousand records, or half as many of long names.
const UNNAMED_SIZE: usize = 1 << 20;

pub fn unnamed() -> Spec {
    Spec { forget: Some(remove), ..spec(UNNAMED, UNNAMED_SIZE) }
}

/// Between the parts of a key.
pub const SEPARATOR: u8 = b'\0';

/// A zone of groups.
pub fn spec(name: &str, size: usize) -> Spec {
    Spec {
        name: name.into(),
        size,
        owner: "upstream",
        key: String::new(),
        layout: 4,
        noreuse: false,
        verify: table::table::<Record>,
        forget: Some(forget),
    }
}

impl Memory {
    pub fn handle(&self) -> Option<&Handle> {
        match self {
            Memory::Hidden => None,
            Memory::Seen(zone) | Memory::Shared(zone) => Some(zone),
        }
    }

    pub fn is_shared(&self) -> bool {
        matches!(self, Memory::Shared(_))
    }
}

impl Account {
    /// Of what the key names.
    pub fn new(memory: Memory, key: &[&[u8]]) -> Account {
        let (own, key) = (record::own(), key.join(&SEPARATOR).into());
        Account { own, memory, key, at: Cell::new(0), seat: Cell::new(0) }
    }

    #[inline(always)]
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
        Some(self.memory.handle()?.zone()?)
    }

    fn key(&self) -> Cow<'_, [u8]> {
        match self.memory {
            Memory::Seen(_) => {
                Cow::Owned([pid().to_string().as_bytes(), &self.key].join(&SEPARATOR))
            }
            _ => Cow::Borrowed(&self.key),
        }
    }

    /// Finds the record in the zone, or makes it, takes a seat, and lets it `begin`.
    pub fn open(&self, begin: impl Fn(&Record)) {
        let Some(zone) = self.zone() else { return };
        let key = self.key();
        let opened = table::with(zone, |table: &Table<'_, Record>| {
            let found = match table.find(&key, |_| true)? {
                Some(found) => found,
                None => insert(table, &key)?,
            };
            begin(found.value);
            table.touch(found)?;
            Ok((found.offset(), found.value.take_seat(pid())))
        });
        if opened.is_none() && self.memory.is_shared() {
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
            let Some(found) = table.find(&self.key(), |_| true)? else { return Ok(()) };
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

/// Nor does what it had alone interest anybody any more.
fn remove(zone: &Zone, dead: Pid) -> bool {
    let goes = |record: &Record| {
        record.leave(dead as u32);
        record.is_left()
    };
    table::with(zone, |table: &Table<'_, Record>| table.remove_all(goes)).is_some()
}

/// Which configuration this process serves.
pub fn generation() -> u64 {
    shm::own().generation.get().max(1)
}

fn pid() -> u32 {
    process::getpid() as u32
}
