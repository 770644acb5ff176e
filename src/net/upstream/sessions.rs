//! `sticky learn`: which peer a session belongs to, known to all workers.
//!
//! A session is forgotten when it has not been used for a time, or when there is no room for
//! a new one and it is the oldest.

use crate::mem::zone::record;
use crate::shm::directory::Handle;
use crate::shm::slab::Fault;
use crate::shm::table::{self, Found, Table};
use crate::shm::zone::Spec;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

const WORDS: usize = 8;
/// The longest name of a peer, in bytes: a digest has 32.
pub const LONGEST_ID: usize = WORDS * 8;

record! {
    struct Session {
        used_ms: AtomicU64,
        id: [AtomicU64; WORDS],
        len: AtomicU32,
        unused: AtomicU32,
    }
}

/// The sessions of a group.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub zone: Handle,
    pub timeout_ms: u64,
}

/// A peer's name, copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Id {
    words: [u64; WORDS],
    len: usize,
}

impl Id {
    pub fn copy_to(&self, room: &mut [u8]) -> usize {
        let bytes = self.words.iter().flat_map(|word| word.to_ne_bytes()).take(self.len);
        room.iter_mut().zip(bytes).map(|(to, byte)| *to = byte).count()
    }
}

/// A zone of sessions.
pub fn spec(name: &str, size: usize) -> Spec {
    Spec {
        name: name.into(),
        size,
        owner: "sticky",
        key: String::new(),
        layout: 1,
        noreuse: false,
        verify: table::table::<Session>,
        forget: None,
    }
}

impl Sessions {
    /// The peer that the session belongs to; it is used now.
    pub fn find(&self, session: &[u8], now_ms: u64) -> Option<Id> {
        table::with(self.zone.zone()?, |table: &Table<'_, Session>| {
            let Some(found) = table.find(session, |_| true)? else { return Ok(None) };
            if self.is_old(found.value, now_ms) {
                table.remove(found)?;
                return Ok(None);
            }
            found.value.used_ms.store(now_ms, Relaxed);
            table.touch(found)?;
            let words = found.value.id.each_ref().map(|word| word.load(Relaxed));
            let len = (found.value.len.load(Relaxed) as usize).min(LONGEST_ID);
            Ok(Some(Id { words, len }))
        })?
    }

    /// From now on it belongs to this peer. False: there is no room to remember it.
    pub fn learn(&self, session: &[u8], id: &[u8], now_ms: u64) -> bool {
        let Some(zone) = self.zone.zone().filter(|_| id.len() <= LONGEST_ID) else { return false };
        let learned = table::with(zone, |table: &Table<'_, Session>| {
            self.drop_old(table, now_ms)?;
            let found = match table.find(session, |_| true)? {
                Some(found) => found,
                None => insert(table, session)?,
            };
            for (word, part) in found.value.id.iter().zip(id.chunks(8)) {
                let mut whole = [0; 8];
                whole[..part.len()].copy_from_slice(part);
                word.store(u64::from_ne_bytes(whole), Relaxed);
            }
            found.value.len.store(id.len() as u32, Relaxed);
            found.value.used_ms.store(now_ms, Relaxed);
            table.touch(found)
        });
        learned.is_some()
    }

    fn is_old(&self, session: &Session, now_ms: u64) -> bool {
        now_ms.saturating_sub(session.used_ms.load(Relaxed)) > self.timeout_ms
    }

    /// A few at a time.
    fn drop_old(&self, table: &Table<'_, Session>, now_ms: u64) -> Result<(), Fault> {
        for _ in 0..3 {
            match table.oldest()? {
                Some(oldest) if self.is_old(oldest.value, now_ms) => table.remove(oldest)?,
                _ => break,
            }
        }
        Ok(())
    }
}

/// A new session, perhaps in place of the oldest.
fn insert<'a>(table: &Table<'a, Session>, key: &[u8]) -> Result<Found<'a, Session>, Fault> {
    const MOST: usize = 16;
    for _ in 0..MOST {
        match table.insert(key) {
            Err(Fault::Full) => table.remove(table.oldest()?.ok_or(Fault::Full)?)?,
            done => return done,
        }
    }
    Err(Fault::Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::directory::{Before, Directory};

    fn sessions(size: usize) -> Sessions {
        let mut directory = Directory::default();
        let zone = directory.declare(spec("sessions", size)).unwrap();
        directory.open(Before::Nothing, |_, _| {}).unwrap();
        Sessions { zone, timeout_ms: 1000 }
    }

    fn found(sessions: &Sessions, session: &str, now_ms: u64) -> String {
        let mut room = [0; LONGEST_ID];
        let len = sessions.find(session.as_bytes(), now_ms).map(|id| id.copy_to(&mut room));
        len.map_or("-".into(), |len| String::from_utf8(room[..len].to_vec()).unwrap())
    }

    #[test]
    fn a_session_is_known_while_it_is_used() {
        let sessions = sessions(65536);
        let long = "x".repeat(LONGEST_ID);
        assert!(sessions.learn(b"s", b"first", 0) && sessions.learn(b"t", long.as_bytes(), 0));
        assert!(!sessions.learn(b"u", "x".repeat(LONGEST_ID + 1).as_bytes(), 0));
        assert_eq!(found(&sessions, "s", 900), "first");
        assert_eq!(found(&sessions, "t", 900), long);
        assert_eq!(found(&sessions, "s", 1800), "first");
        assert_eq!(found(&sessions, "t", 1901), "-");
        assert!(sessions.learn(b"s", b"other", 2000));
        assert_eq!(found(&sessions, "s", 2000), "other");
        assert_eq!(found(&sessions, "u", 2000), "-");
    }

    #[test]
    fn the_oldest_make_room() {
        let sessions = sessions(32768);
        for number in 0..1000 {
            assert!(sessions.learn(format!("s{number}").as_bytes(), b"p", 0), "{number}");
        }
        assert_eq!(
            (found(&sessions, "s0", 0), found(&sessions, "s999", 0)),
            ("-".into(), "p".into())
        );
    }
}
