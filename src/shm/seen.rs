//! The zones of another master: their names, and how full they are.
//!
//! Found as the scoreboard is (see `snapshot`). The name says how large a zone is; the first
//! words of its memory, of which we take a copy, how much of it is free.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::slab::Slab;
use super::zone::{HEADS, MEMORY, SLAB, Spec, Zone, rebuilt};
use crate::mem::sort::sort_by;
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
    memories(pid).iter().filter_map(Memory::zone).collect()
}

/// Those whose owner and layout are those of `spec`, to look at: see [`Zone::peek`].
pub fn views(pid: Pid, spec: fn(&str, usize) -> Spec) -> Vec<Zone> {
    let view = |memory: Memory| {
        let spec = spec(&memory.name, memory.bytes);
        let is_known = *spec.owner == *memory.owner && spec.layout == memory.layout;
        is_known.then(|| Zone::view(spec, memory.file).ok())?
    };
    memories(pid).into_iter().filter_map(view).collect()
}

/// A zone's memory, and what its name says.
struct Memory {
    owner: String,
    name: String,
    bytes: usize,
    layout: u32,
    inode: u64,
    file: OwnedFd,
}

fn memories(pid: Pid) -> Vec<Memory> {
    let listed = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut found: Vec<Memory> = listed.filter_map(|entry| Memory::behind(&entry.path())).collect();
    // An upgrade in place holds descriptors twice for a moment.
    sort_by(&mut found, |a, b| (&a.name, a.inode).cmp(&(&b.name, b.inode)));
    found.dedup_by_key(|memory| memory.inode);
    found
}

impl Memory {
    fn behind(path: &Path) -> Option<Memory> {
        let target = fs::read_link(path).ok()?;
        let (owner, name, bytes, layout) = named(target.to_str()?)?;
        let file = file::open(&file::path(path).ok()?, file::RDONLY, 0).ok()?;
        let inode = fs::metadata(path).ok()?.ino();
        Some(Memory { owner: owner.into(), name: name.into(), bytes, layout, inode, file })
    }

    fn zone(&self) -> Option<Seen> {
        let mut heads = [0; HEADS];
        let len = io::pread(&self.file, &mut heads, 0).ok()?;
        seen(&self.name, self.bytes, heads.get(..len)?)
    }
}

/// `/memfd:limpet:zone:OWNER:NAME:SIZE:vLAYOUT (deleted)`
fn named(target: &str) -> Option<(&str, &str, usize, u32)> {
    let rest = target.strip_prefix("/memfd:")?.strip_prefix(MEMORY)?.strip_suffix(" (deleted)")?;
    let (owner, rest) = rest.split_once(':')?;
    let mut words = rest.rsplitn(3, ':');
    let (layout, size, name) = (words.next()?, words.next()?, words.next()?);
    Some((owner, name, size.parse().ok()?, layout.strip_prefix('v')?.parse().ok()?))
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
        let target = "/memfd:limpet:zone:test:a:b:4096:v1 (deleted)";
        assert_eq!(named(target), Some(("test", "a:b", 4096, 1)));
        for other in ["/memfd:limpet:scoreboard (deleted)", "/memfd:limpet:zone:x", "/dev/null"] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
