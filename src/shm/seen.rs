//! The zones of another master: their names, and how full they are.
//!
//! Found as the scoreboard is (see `snapshot`). The name says how large a zone is; the first
//! words of its memory, of which we take a copy, how much of it is free.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::slab::Slab;
use super::zone::{HEADS, MEMORY, SLAB, rebuilt};
use crate::mem::zone::Region;
use crate::sys::process::Pid;
use crate::sys::{file, io};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub name: String,
    pub bytes: usize,
    pub pages: usize,
    pub free_pages: usize,
    /// How often it had to be made empty.
    pub rebuilt: u64,
}

/// In the order of their names. What cannot be seen is left out.
pub fn zones(pid: Pid) -> Vec<Seen> {
    let listed = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut found: Vec<(u64, Seen)> = listed.filter_map(|entry| zone(&entry.path())).collect();
    // An upgrade in place holds descriptors twice for a moment.
    found.sort_by(|a, b| (&a.1.name, a.0).cmp(&(&b.1.name, b.0)));
    found.dedup_by_key(|(memory, _)| *memory);
    found.into_iter().map(|(_, seen)| seen).collect()
}

fn zone(path: &Path) -> Option<(u64, Seen)> {
    let target = fs::read_link(path).ok()?;
    let (name, bytes) = named(target.to_str()?)?;
    let memory = file::open(&file::path(path).ok()?, file::RDONLY, 0).ok()?;
    let mut heads = [0; HEADS];
    let len = io::pread(&memory, &mut heads, 0).ok()?;
    let seen = seen(name, bytes, heads.get(..len)?)?;
    Some((fs::metadata(path).ok()?.ino(), seen))
}

/// `/memfd:limpet:zone:NAME:SIZE:vLAYOUT (deleted)`
fn named(target: &str) -> Option<(&str, usize)> {
    let rest = target.strip_prefix("/memfd:")?.strip_prefix(MEMORY)?;
    let mut words = rest.rsplitn(3, ':');
    let (_layout, size, name) = (words.next()?, words.next()?, words.next()?);
    Some((name, size.parse().ok()?))
}

fn seen(name: &str, bytes: usize, heads: &[u8]) -> Option<Seen> {
    // As long as the zone, for where its parts are; only the first page is touched.
    let copy = Region::private(bytes).ok()?;
    copy.write(0, heads)?;
    let slab = Slab::in_region(&copy, SLAB)?;
    Some(Seen {
        name: name.into(),
        bytes,
        pages: slab.pages(),
        free_pages: slab.free_pages().min(slab.pages()),
        rebuilt: rebuilt(&copy),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::zone::{Spec, Zone};
    use crate::sys::process;

    #[test]
    fn a_zone_is_seen_from_outside() {
        let spec = Spec {
            name: "with:colons".into(),
            size: 256 * 1024,
            owner: "test",
            key: String::new(),
            layout: 3,
            noreuse: false,
            verify: |_| true,
            forget: None,
        };
        let zone = Zone::create(spec).unwrap();
        let look = || zones(process::getpid()).into_iter().find(|it| it.name == "with:colons");
        let fresh = look().unwrap();
        assert_eq!((fresh.bytes, fresh.free_pages, fresh.rebuilt), (256 * 1024, fresh.pages, 0));
        zone.lock().unwrap().alloc(3 * 4096).unwrap();
        assert_eq!(look().unwrap().free_pages, fresh.pages - 3);
        zone.lock().unwrap().rebuild();
        let rebuilt = look().unwrap();
        assert_eq!((rebuilt.free_pages, rebuilt.rebuilt), (fresh.pages, 1));
    }

    #[test]
    fn other_memory_is_no_zone() {
        assert_eq!(named("/memfd:limpet:zone:a:b:4096:v1 (deleted)"), Some(("a:b", 4096)));
        for other in ["/memfd:limpet:scoreboard (deleted)", "/memfd:limpet:zone:x", "/dev/null"] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
