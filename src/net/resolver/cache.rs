//! What is known of names, how long it is good, and what is on its way.

use super::failure::Failure;
use super::flight::{Asking, Flight, Outcome};
use crate::time;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// Names that are kept; clients may choose them.
const MOST: usize = 1024;

/// Its hashes are secret: clients cannot fill one chain.
pub struct Cache<T> {
    entries: RefCell<HashMap<Box<[u8]>, Entry<T>>>,
}

struct Entry<T> {
    /// The last word about the name, and until when it counts.
    outcome: Option<Outcome<T>>,
    known_ms: u64,
    until_ms: u64,
    /// The last good one, however old.
    last: Option<Rc<T>>,
    flight: Weak<Flight<T>>,
    used_ms: Cell<u64>,
}

impl<T> Cache<T> {
    pub fn new() -> Cache<T> {
        Cache { entries: RefCell::default() }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// What is known of the name, if it still counts.
    pub fn fresh(&self, name: &[u8]) -> Option<Outcome<T>> {
        let entries = self.entries.borrow();
        let entry = entries.get(name)?;
        let now = time::now_ms();
        entry.used_ms.set(now);
        entry.outcome.clone().filter(|_| now < entry.until_ms)
    }

    /// What has been found out in the last `ms` milliseconds.
    pub fn newest(&self, name: &[u8], ms: u64) -> Option<Outcome<T>> {
        let entries = self.entries.borrow();
        let entry = entries.get(name)?;
        entry.outcome.clone().filter(|_| time::now_ms() < entry.known_ms.saturating_add(ms))
    }

    /// The last good word about the name.
    pub fn last(&self, name: &[u8]) -> Option<Rc<T>> {
        self.entries.borrow().get(name)?.last.clone()
    }

    /// The look-up of this name that is on its way, or a new one.
    pub fn flight(&self, name: &[u8], make: impl FnOnce() -> Asking<T>) -> Rc<Flight<T>> {
        let mut entries = self.entries.borrow_mut();
        let entry = entry_of(&mut entries, name);
        if let Some(flight) = entry.flight.upgrade() {
            return flight;
        }
        let flight = Rc::new(Flight::new(make()));
        entry.flight = Rc::downgrade(&flight);
        flight
    }

    pub fn put(&self, name: &[u8], outcome: Result<Rc<T>, Failure>, until_ms: u64) {
        let mut entries = self.entries.borrow_mut();
        let entry = entry_of(&mut entries, name);
        if let Ok(good) = &outcome {
            entry.last = Some(Rc::clone(good));
        }
        entry.outcome = Some(outcome);
        entry.known_ms = time::now_ms();
        entry.until_ms = until_ms;
        entry.flight = Weak::new();
    }
}

/// The entry of a name; if there are too many, the one that was not used for longest goes.
fn entry_of<'e, T>(entries: &'e mut HashMap<Box<[u8]>, Entry<T>>, name: &[u8]) -> &'e mut Entry<T> {
    if entries.len() >= MOST && !entries.contains_key(name) {
        let idle = entries.iter().filter(|(_, entry)| entry.flight.strong_count() == 0);
        let oldest = idle.min_by_key(|(_, entry)| entry.used_ms.get());
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            entries.remove(&name);
        }
    }
    entries.entry(name.into()).or_insert_with(|| Entry {
        outcome: None,
        known_ms: 0,
        until_ms: 0,
        last: None,
        flight: Weak::new(),
        used_ms: Cell::new(time::now_ms()),
    })
}
