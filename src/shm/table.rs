//! A table in a zone: records found by a key, and in the order of their last use.
//!
//! What a limit knows of each client, say. The zone's root is the head: ends of the
//! list by age, a number of chains, and a secret. Which chain a key belongs to is
//! SipHash of secret and key: clients choose keys, and must not be able to choose
//! that they all meet in one chain. (nginx has a balanced tree of CRC-32s.)
//!
//! A reference is an offset divided by 64, since the allocator gives no smaller
//! pieces; 0 is none. None is believed: each is checked when it is followed, no
//! walk is longer than the zone has room for records, and what does not add up is
//! `Fault::Corrupt`. Who gets that makes the zone empty: see [`with`].

mod refill;
mod verify;

pub use refill::refill;
pub use verify::table;

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::slab::{Fault, PAGE};
use super::zone::{Locked, Zone};
use crate::log::{Level, log};
use crate::mem::zone::{Record, record};

type Result<T> = std::result::Result<T, Fault>;

/// What a reference counts in.
const UNIT: usize = 64;
/// No record.
const NONE: u32 = 0;
/// As in nginx, where a length has 16 bits.
pub const LONGEST_KEY: usize = 65535;

record! {
    struct Head {
        secret: [AtomicU64; 2],
        /// How many records there are.
        count: AtomicU64,
        newest: AtomicU32,
        oldest: AtomicU32,
    }
}

/// Where the chains begin, after the head.
const CHAINS: usize = 64;
const _: () = assert!(size_of::<Head>() <= CHAINS);

record! {
    /// The value follows, then the key.
    struct Entry {
        /// The next in its chain.
        next: AtomicU32,
        newer: AtomicU32,
        older: AtomicU32,
        hash: AtomicU32,
        len: AtomicU32,
        /// So that the value begins at a multiple of 8.
        unused: AtomicU32,
    }
}

const VALUE: usize = size_of::<Entry>();

/// A record of the table.
pub struct Found<'a, V> {
    /// What `get` and `remove` take. It stands for this record only under this lock.
    pub at: u32,
    pub value: &'a V,
    entry: &'a Entry,
}

impl<V> Clone for Found<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Found<'_, V> {}

impl<V> Found<'_, V> {
    /// Where in the zone the value lies, for [`Zone::record`].
    pub fn offset(&self) -> usize {
        self.at as usize * UNIT + VALUE
    }
}

/// The table of a zone that is locked.
pub struct Table<'a, V> {
    locked: &'a Locked<'a>,
    head: &'a Head,
    chains: &'a [AtomicU32],
    value: PhantomData<V>,
}

/// Does `work` with the zone's table. A zone that contradicts itself is made empty,
/// with an alert, and `work` begins again. None: the zone has no room or cannot be
/// locked in time, so that nothing is known.
pub fn with<V: Record, T>(
    zone: &Zone,
    mut work: impl FnMut(&Table<'_, V>) -> Result<T>,
) -> Option<T> {
    let locked = zone.lock()?;
    for _ in 0..2 {
        match Table::open(&locked).and_then(|table| work(&table)) {
            Ok(done) => return Some(done),
            Err(Fault::Full) => return None,
            Err(Fault::Corrupt) => {
                log!(Level::Alert, "zone \"{}\" does not add up and is made empty", zone.spec.name);
                locked.rebuild();
            }
        }
    }
    None
}

/// Looks at the table of a view, which others may be changing: what does not add up for a
/// moment is looked at again. None: it never does, or there is none.
pub fn look<V: Record, T>(
    zone: &Zone,
    mut work: impl FnMut(&Table<'_, V>) -> Result<T>,
) -> Option<T> {
    const LOOKS: u32 = 8;
    let mut one = |locked: &Locked<'_>| match locked.root() {
        0 => None,
        root => Table::at(locked, root).and_then(|table| work(&table)).ok(),
    };
    (0..LOOKS).find_map(|_| zone.peek(&mut one)?)
}

impl<'a, V: Record> Table<'a, V> {
    /// The zone's table, made if there is none.
    pub fn open(locked: &'a Locked<'a>) -> Result<Table<'a, V>> {
        match locked.root() {
            0 => Table::create(locked),
            root => Table::at(locked, root),
        }
    }

    fn create(locked: &'a Locked<'a>) -> Result<Table<'a, V>> {
        let root = locked.alloc(CHAINS + chain_count(locked) * size_of::<AtomicU32>())?;
        let table = Table::at(locked, root)?;
        table.head.clear();
        table.chains.iter().for_each(Record::clear);
        for half in &table.head.secret {
            half.store(RandomState::new().hash_one(()), Relaxed);
        }
        locked.set_root(root);
        Ok(table)
    }

    fn at(locked: &'a Locked<'a>, root: usize) -> Result<Table<'a, V>> {
        let head = locked.record(root).ok_or(Fault::Corrupt)?;
        let chains = locked.records(root + CHAINS, chain_count(locked)).ok_or(Fault::Corrupt)?;
        Ok(Table { locked, head, chains, value: PhantomData })
    }

    /// How often the zone has been made empty: a reference from before means nothing.
    pub fn era(&self) -> u64 {
        self.locked.rebuilt()
    }

    pub fn len(&self) -> usize {
        self.head.count.load(Relaxed) as usize
    }

    /// The first record of that key that suits. Of one key there may be several.
    pub fn find(
        &self,
        key: &[u8],
        mut suits: impl FnMut(Found<'a, V>) -> bool,
    ) -> Result<Option<Found<'a, V>>> {
        let hash = self.hash(key);
        let mut at = self.chain(hash)?.load(Relaxed);
        for _ in 0..=self.most() {
            if at == NONE {
                return Ok(None);
            }
            let found = self.get(at)?;
            if found.entry.hash.load(Relaxed) == hash && self.has_key(found, key) && suits(found) {
                return Ok(Some(found));
            }
            at = found.entry.next.load(Relaxed);
        }
        Err(Fault::Corrupt)
    }

    /// A new record, the newest, with a value of zeros. Full: let one go and try again.
    pub fn insert(&self, key: &[u8]) -> Result<Found<'a, V>> {
        if key.len() > LONGEST_KEY {
            return Err(Fault::Full);
        }
        let hash = self.hash(key);
        let offset = self.locked.alloc(key_at::<V>() + key.len())?;
        let at = u32::try_from(offset / UNIT).map_err(|_| Fault::Corrupt)?;
        let found = self.get(at)?;
        found.value.clear();
        found.entry.hash.store(hash, Relaxed);
        found.entry.len.store(key.len() as u32, Relaxed);
        self.locked.write(offset + key_at::<V>(), key).ok_or(Fault::Corrupt)?;
        let chain = self.chain(hash)?;
        found.entry.next.store(chain.load(Relaxed), Relaxed);
        chain.store(at, Relaxed);
        self.link(found)?;
        self.head.count.store(self.head.count.load(Relaxed).wrapping_add(1), Relaxed);
        Ok(found)
    }

    /// Takes a record out and gives its memory back.
    pub fn remove(&self, found: Found<'a, V>) -> Result<()> {
        self.unchain(found)?;
        self.unlink(found)?;
        let count = self.head.count.load(Relaxed).checked_sub(1).ok_or(Fault::Corrupt)?;
        self.head.count.store(count, Relaxed);
        self.locked.free(found.at as usize * UNIT)
    }

    /// Makes it the newest.
    pub fn touch(&self, found: Found<'a, V>) -> Result<()> {
        if self.head.newest.load(Relaxed) == found.at {
            return Ok(());
        }
        self.unlink(found)?;
        self.link(found)
    }

    pub fn oldest(&self) -> Result<Option<Found<'a, V>>> {
        self.get_some(self.head.oldest.load(Relaxed))
    }

    /// The one that was used next after it.
    pub fn newer(&self, found: Found<'a, V>) -> Result<Option<Found<'a, V>>> {
        self.get_some(found.entry.newer.load(Relaxed))
    }

    /// The oldest record that `suits`.
    pub fn oldest_of(&self, suits: impl Fn(&V) -> bool) -> Result<Option<Found<'a, V>>> {
        let mut next = self.oldest()?;
        for _ in 0..=self.most() {
            match next {
                Some(found) if !suits(found.value) => next = self.newer(found)?,
                other => return Ok(other),
            }
        }
        Err(Fault::Corrupt)
    }

    /// Takes out every record that `goes`.
    pub fn remove_all(&self, goes: impl Fn(&V) -> bool) -> Result<()> {
        let mut next = self.oldest()?;
        for _ in 0..=self.most() {
            let Some(found) = next else { return Ok(()) };
            next = self.newer(found)?;
            if goes(found.value) {
                self.remove(found)?;
            }
        }
        Err(Fault::Corrupt)
    }

    /// The record at a reference that was read from the zone.
    pub fn get(&self, at: u32) -> Result<Found<'a, V>> {
        let offset = at as usize * UNIT;
        let entry = self.locked.record(offset).filter(|_| at != NONE).ok_or(Fault::Corrupt)?;
        let value = self.locked.record(offset + VALUE).ok_or(Fault::Corrupt)?;
        Ok(Found { at, value, entry })
    }

    fn get_some(&self, at: u32) -> Result<Option<Found<'a, V>>> {
        if at == NONE { Ok(None) } else { self.get(at).map(Some) }
    }

    fn has_key(&self, found: Found<'a, V>, key: &[u8]) -> bool {
        let start = found.at as usize * UNIT + key_at::<V>();
        found.entry.len.load(Relaxed) as usize == key.len()
            && key.chunks(UNIT).zip(0..).all(|(part, index)| {
                let mut there = [0; UNIT];
                let there = &mut there[..part.len()];
                self.locked.read(start + index * UNIT, there).is_some() && there == part
            })
    }

    fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = DefaultHasher::new();
        self.head.secret.iter().for_each(|half| hasher.write_u64(half.load(Relaxed)));
        hasher.write(key);
        hasher.finish() as u32
    }

    fn chain(&self, hash: u32) -> Result<&'a AtomicU32> {
        self.chains.get(self.chain_index(hash)).ok_or(Fault::Corrupt)
    }

    fn chain_index(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.chains.len() as u64) >> 32) as usize
    }

    /// No walk that makes sense is longer: a record takes a unit at least.
    fn most(&self) -> usize {
        self.locked.free_pages().1 * (PAGE / UNIT)
    }

    /// Puts it at the newest end.
    fn link(&self, found: Found<'a, V>) -> Result<()> {
        let before = self.head.newest.load(Relaxed);
        found.entry.older.store(before, Relaxed);
        found.entry.newer.store(NONE, Relaxed);
        let newer = match self.get_some(before)? {
            Some(before) => &before.entry.newer,
            None => &self.head.oldest,
        };
        newer.store(found.at, Relaxed);
        self.head.newest.store(found.at, Relaxed);
        Ok(())
    }

    /// Takes it out of the list, if its neighbours know it.
    fn unlink(&self, found: Found<'a, V>) -> Result<()> {
        let (newer, older) = (found.entry.newer.load(Relaxed), found.entry.older.load(Relaxed));
        let back = self.get_some(newer)?.map_or(&self.head.newest, |newer| &newer.entry.older);
        let forth = self.get_some(older)?.map_or(&self.head.oldest, |older| &older.entry.newer);
        if back.load(Relaxed) != found.at || forth.load(Relaxed) != found.at {
            return Err(Fault::Corrupt);
        }
        back.store(older, Relaxed);
        forth.store(newer, Relaxed);
        Ok(())
    }

    /// Takes it out of its chain.
    fn unchain(&self, found: Found<'a, V>) -> Result<()> {
        let mut link = self.chain(found.entry.hash.load(Relaxed))?;
        for _ in 0..=self.most() {
            let at = link.load(Relaxed);
            if at == found.at {
                link.store(found.entry.next.load(Relaxed), Relaxed);
                return Ok(());
            }
            link = &self.get(at)?.entry.next;
        }
        Err(Fault::Corrupt)
    }
}

/// Where in a record the key begins.
const fn key_at<V>() -> usize {
    VALUE + size_of::<V>()
}

/// One chain for each 128 bytes of the zone, less the head; so that is known without
/// asking the zone, and fills the piece that it is allocated in.
fn chain_count(locked: &Locked<'_>) -> usize {
    let bytes = locked.free_pages().1 * PAGE / (128 / size_of::<AtomicU32>());
    let piece = if bytes < PAGE { bytes.next_power_of_two() / 2 } else { bytes / PAGE * PAGE };
    (piece.max(512) - CHAINS) / size_of::<AtomicU32>()
}

#[cfg(test)]
mod tests;
