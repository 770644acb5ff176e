//! What a zone of another size takes over from the one before.

use super::*;

/// The newest records are enough: the lock of a zone that serves is not held for long.
const RECORDS_MOST: usize = 64 * 1024;
const KEYS_MOST: usize = 16 << 20;

/// Fills the table of a new zone with what is in an old one, the newest records first where not
/// all of them fit. Returns how many.
pub fn refill<V: Record>(new: &Zone, old: &Zone) -> usize {
    let records = with(old, |table: &Table<'_, V>| table.copies()).unwrap_or_default();
    with(new, |table: &Table<'_, V>| {
        // From the oldest on: so their order stays.
        records.iter().rev().try_for_each(|record| table.put(record))?;
        Ok(table.len())
    })
    .unwrap_or(0)
}

/// A key and the bytes of its value.
pub(super) struct Copied {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

impl<'a, V: Record> Table<'a, V> {
    /// Records with their keys, from the newest on: as many as anybody should want.
    pub fn newest(&self) -> Result<Vec<(Vec<u8>, Found<'a, V>)>> {
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut next = self.get_some(self.head.newest.load(Relaxed))?;
        while let Some(found) = next
            && records.len() < RECORDS_MOST
        {
            if records.len() > self.most() {
                return Err(Fault::Corrupt);
            }
            let len = found.entry.len.load(Relaxed) as usize;
            bytes += len;
            if len > LONGEST_KEY {
                return Err(Fault::Corrupt);
            }
            if bytes > KEYS_MOST {
                break;
            }
            let mut key = vec![0; len];
            let at = found.at as usize * UNIT + key_at::<V>();
            self.locked.read(at, &mut key).ok_or(Fault::Corrupt)?;
            records.push((key, found));
            next = self.get_some(found.entry.older.load(Relaxed))?;
        }
        Ok(records)
    }

    fn copies(&self) -> Result<Vec<Copied>> {
        let copy = |(key, found): (Vec<u8>, Found<'_, V>)| {
            let mut value = vec![0; size_of::<V>()];
            self.locked.read(found.offset(), &mut value).ok_or(Fault::Corrupt)?;
            Ok(Copied { key, value })
        };
        self.newest()?.into_iter().map(copy).collect()
    }

    fn put(&self, record: &Copied) -> Result<()> {
        let found = loop {
            match self.insert(&record.key) {
                Err(Fault::Full) => self.remove(self.oldest()?.ok_or(Fault::Full)?)?,
                inserted => break inserted?,
            }
        };
        self.locked.write(found.offset(), &record.value).ok_or(Fault::Corrupt)
    }
}
