//! Against a map, against nonsense, and against deaths.

use std::collections::HashMap;

use super::*;
use crate::shm::tests::{Random, child};
use crate::shm::zone::{Recovery, Spec};
use crate::sys::process::{kill, waitpid};

record! {
    struct Count {
        n: AtomicU64,
    }
}

fn zone(size: usize) -> Zone {
    let spec = Spec {
        name: "table".into(),
        size,
        owner: "test",
        key: String::new(),
        layout: 1,
        noreuse: false,
        verify: table::<Count>,
        forget: None,
    };
    Zone::create(spec).unwrap()
}

fn sound(zone: &Zone) -> bool {
    table::<Count>(&zone.lock().unwrap())
}

/// A key of its own for each number, of lengths on both sides of every limit.
fn key(number: usize) -> Vec<u8> {
    format!("{number}:").into_bytes().into_iter().chain(vec![b'x'; number % 150]).collect()
}

/// Counts a use of the key; the oldest go where there is no room.
fn count(table: &Table<Count>, key: &[u8]) -> Result<u64> {
    let found = match table.find(key, |_| true)? {
        Some(found) => {
            table.touch(found)?;
            found
        }
        None => loop {
            match table.insert(key) {
                Err(Fault::Full) => table.remove(table.oldest()?.ok_or(Fault::Full)?)?,
                inserted => break inserted?,
            }
        },
    };
    let n = found.value.n.load(Relaxed) + 1;
    found.value.n.store(n, Relaxed);
    Ok(n)
}

#[test]
fn another_size_takes_over_the_newest_in_their_order() {
    let (old, large, small) = (zone(1 << 17), zone(1 << 18), zone(1 << 15));
    let all = |zone: &Zone| {
        with(zone, |table: &Table<'_, Count>| {
            let newest = table.newest()?.into_iter();
            Ok(newest
                .rev()
                .map(|(key, found)| (key, found.value.n.load(Relaxed)))
                .collect::<Vec<_>>())
        })
        .unwrap()
    };
    for number in (0..500).chain(100..200) {
        with(&old, |table| count(table, &key(number)));
    }
    let before = all(&old);
    assert!(before.len() == 500 && before.iter().filter(|(_, n)| *n == 2).count() == 100);
    assert_eq!(refill::<Count>(&large, &old), 500);
    assert_eq!(all(&large), before);
    let fits = refill::<Count>(&small, &old);
    assert!((50..500).contains(&fits), "{fits}");
    assert_eq!(all(&small), before[500 - fits..]);
    assert!(sound(&old) && sound(&large) && sound(&small));
}

#[test]
fn counts_as_a_map_does() {
    let (zone, mut map, mut random) = (zone(1 << 20), HashMap::new(), Random(5));
    for round in 0..20_000 {
        let number = random.below(3000);
        let key = key(number);
        if random.below(4) == 0 {
            let gone = with(&zone, |table: &Table<Count>| {
                let found = table.find(&key, |_| true)?;
                found.map(|found| table.remove(found)).transpose()
            });
            assert_eq!(gone.unwrap().is_some(), map.remove(&number).is_some());
        } else {
            let n = map.entry(number).or_insert(0);
            *n += 1;
            assert_eq!(with(&zone, |table| count(table, &key)), Some(*n));
        }
        assert!(round % 1000 != 0 || sound(&zone));
    }
    assert_eq!(with(&zone, |table: &Table<Count>| Ok(table.len())), Some(map.len()));
    with(&zone, |table: &Table<Count>| table.remove_all(|count| count.n.load(Relaxed) > 1));
    let once = map.values().filter(|n| **n == 1).count();
    assert_eq!(with(&zone, |table: &Table<Count>| Ok(table.len())), Some(once));
    assert!(sound(&zone));
}

#[test]
fn the_oldest_goes_first() {
    let zone = zone(8 * PAGE);
    let used = |number| with(&zone, |table| count(table, &key(number))).unwrap();
    for n in 1..=2000 {
        assert_eq!((used(n * 150), used(0)), (1, n as u64));
    }
    let locked = zone.lock().unwrap();
    let table = Table::<Count>::open(&locked).unwrap();
    let room = table.len();
    assert!(room > 200, "{room} records in 32 KiB");
    assert!(table.find(&key(0), |_| true).unwrap().is_some());
    let kept = (1..=2000).filter(|n| table.find(&key(n * 150), |_| true).unwrap().is_some());
    assert!(kept.eq(2002 - room..=2000));
    let oldest = table.oldest().unwrap().unwrap();
    table.touch(oldest).unwrap();
    assert_ne!(table.oldest().unwrap().unwrap().at, oldest.at);
}

#[test]
fn one_key_may_have_several_records() {
    let zone = zone(8 * PAGE);
    let locked = zone.lock().unwrap();
    let table = Table::<Count>::open(&locked).unwrap();
    for n in 1..=3 {
        table.insert(b"key").unwrap().value.n.store(n, Relaxed);
    }
    let found = |n| table.find(b"key", |found| found.value.n.load(Relaxed) == n).unwrap();
    assert!((1..=3).all(|n| found(n).is_some()) && found(4).is_none());
    assert!(table.find(b"ke", |_| true).unwrap().is_none());
    assert!(table.find(b"", |_| true).unwrap().is_none());
}

#[test]
fn keys_have_a_longest() {
    let zone = zone(1 << 20);
    let locked = zone.lock().unwrap();
    let table = Table::<Count>::open(&locked).unwrap();
    let long = vec![b'k'; LONGEST_KEY + 1];
    assert_eq!(table.insert(&long).err(), Some(Fault::Full));
    table.insert(&long[1..]).unwrap();
    assert!(table.find(&long[1..], |_| true).unwrap().is_some());
    assert!(table.find(&long, |_| true).unwrap().is_none());
}

/// Whatever the memory says, calls end and do not crash; then the zone is usable.
#[test]
fn nonsense_is_survived() {
    let mut random = Random(11);
    for _ in 0..200 {
        let zone = zone(16 * PAGE);
        (0..200).for_each(|n| _ = with(&zone, |table| count(table, &key(n % 90))));
        let locked = zone.lock().unwrap();
        for _ in 0..1 + random.below(20) {
            let offset = 64 + 4 * random.below(4 * PAGE - 16);
            let value = [0, 1, 64, 100, 500, u32::MAX, random.next() as u32][random.below(7)];
            locked.record::<AtomicU32>(offset).unwrap().store(value, Relaxed);
        }
        drop(locked);
        sound(&zone);
        (0..300).for_each(|n| _ = with(&zone, |table| count(table, &key(n))));
        with(&zone, |table: &Table<Count>| table.remove_all(|_| true));
        zone.lock().unwrap().rebuild();
        assert_eq!(with(&zone, |table| count(table, b"key")), Some(1));
        assert!(sound(&zone));
    }
}

/// Killed at any moment, often in the middle of a change: the zone is sound again
/// as soon as the death is noticed.
#[test]
fn deaths_under_load() {
    let zone = zone(16 * PAGE);
    let mut random = Random(3);
    let (mut held, mut rebuilt) = (0, 0);
    for seed in 1..150 {
        let victim = child(|| {
            let mut random = Random(seed);
            loop {
                let _ = with(&zone, |table| count(table, &key(random.below(2000))));
            }
        });
        let pid = victim.pid;
        let _ = crate::sys::clock::sleep_ms(1 + random.below(4) as u64);
        kill(pid, libc::SIGKILL).unwrap();
        waitpid(pid).unwrap();
        let recovery = zone.recover(pid);
        held += u32::from(recovery.is_some());
        rebuilt += u32::from(recovery == Some(Recovery::Rebuilt));
        assert!(sound(&zone), "{recovery:?}");
        assert!(with(&zone, |table| count(table, b"key")).is_some());
    }
    assert!(held > 10 && rebuilt < held, "{held} held the lock, {rebuilt} left it half changed");
}
