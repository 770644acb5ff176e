//! A zone: a named piece of shared memory with a lock and an allocator inside.
//!
//! Its owner keeps what it likes in it, as records that refer to each other by
//! offset, found again from the `root`. Everything happens under the lock. A
//! zone whose lock-holder dies is checked when the death is noticed, and made
//! empty if it does not add up: then its root is 0 again, and its owner begins
//! anew as in a fresh one.

use std::cell::RefCell;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::mutex::Mutex;
use super::slab::{self, Fault, Slab};
use crate::mem::zone::{Record, Region, record};
#[cfg(debug_assertions)]
use crate::sys::process;
use crate::sys::process::Pid;
use crate::sys::{Errno, Result, file};

/// nginx's least size: eight pages.
pub const MIN_SIZE: usize = 8 * slab::PAGE;

/// What a zone is declared as.
#[derive(Clone, Debug)]
pub struct Spec {
    pub name: String,
    pub size: usize,
    /// Which module's it is, as nginx's tag.
    pub owner: &'static str,
    /// What its contents depend on: they are kept over a reload only if it is
    /// the same (the key of a limit).
    pub key: String,
    /// The version of the owner's records.
    pub layout: u32,
    /// Made anew on every reload.
    pub noreuse: bool,
    /// Whether the owner's records add up, after somebody died while changing
    /// them. Every offset it follows, it checks; and its walk must end.
    pub verify: fn(&Locked<'_>) -> bool,
    /// Takes out what belonged to a process that has ended. False: the zone could not
    /// be locked, so this is asked again when the next one has.
    pub forget: Option<fn(&Zone, Pid) -> bool>,
}

/// The version of lock, allocator and tables, above the owner's: raise it with every change.
const FORMAT: u64 = 1 << 32;

record! {
    struct Header {
        mutex: Mutex,
        /// Offset of the owner's first record; 0 while there is none.
        root: AtomicU64,
        size: AtomicU64,
        layout: AtomicU64,
        /// How often it had to be made empty.
        rebuilt: AtomicU64,
    }
}

/// Where the allocator's part begins.
pub(super) const SLAB: usize = 64;
/// As much of the beginning as tells how full it is.
pub(super) const HEADS: usize = SLAB + size_of::<slab::Heads>();
/// As /proc shows the memory: this and the name.
pub(super) const MEMORY: &str = "limpet:zone:";
const _: () = assert!(size_of::<Header>() <= SLAB);

pub struct Zone {
    pub spec: Spec,
    memory: OwnedFd,
    region: Region,
    /// The ended whose things are still in it.
    ended: RefCell<Vec<Pid>>,
    #[cfg(debug_assertions)]
    fatal: FatalLock,
}

impl Zone {
    /// A new, empty one.
    pub fn create(spec: Spec) -> Result<Zone> {
        let memory = file::memfd(&memory_name(&spec))?;
        file::ftruncate(&memory, spec.size as u64)?;
        file::seal_size(&memory)?;
        let region = Region::shared(&memory, spec.size)?;
        let zone = Zone::of(spec, memory, region);
        let header = zone.header().ok_or(Errno::EINVAL)?;
        header.size.store(zone.spec.size as u64, Relaxed);
        header.layout.store(FORMAT | u64::from(zone.spec.layout), Relaxed);
        zone.slab().ok_or(Errno::EINVAL)?.clear();
        Ok(zone)
    }

    /// With the contents that the image before this one has left, if they are what `spec` says.
    pub fn adopt(spec: Spec, memory: OwnedFd) -> Result<Zone> {
        let region = Region::shared(sealed(&memory, &spec)?, spec.size)?;
        Zone::known(spec, memory, region)
    }

    /// Another master's, to look at: see [`Zone::peek`].
    pub fn view(spec: Spec, memory: OwnedFd) -> Result<Zone> {
        let region = Region::view(sealed(&memory, &spec)?, spec.size)?;
        Zone::known(spec, memory, region)
    }

    fn known(spec: Spec, memory: OwnedFd, region: Region) -> Result<Zone> {
        let zone = Zone::of(spec, memory, region);
        let header = zone.header().ok_or(Errno::EINVAL)?;
        let (size, layout) = (header.size.load(Relaxed), header.layout.load(Relaxed));
        let same = (size, layout) == (zone.spec.size as u64, FORMAT | u64::from(zone.spec.layout));
        same.then_some(zone).ok_or(Errno::EINVAL)
    }

    fn of(spec: Spec, memory: OwnedFd, region: Region) -> Zone {
        #[cfg(debug_assertions)]
        let fatal = FatalLock::of(&spec.name);
        Zone {
            spec,
            memory,
            region,
            ended: RefCell::default(),
            #[cfg(debug_assertions)]
            fatal,
        }
    }

    /// None when the lock cannot be had in time: answer as if the zone were full.
    pub fn lock(&self) -> Option<Locked<'_>> {
        let (header, slab) = (self.header()?, self.slab()?);
        if !header.mutex.lock() {
            return None;
        }
        header.mutex.set_dirty(true);
        #[cfg(debug_assertions)]
        self.fatal.count();
        Some(Locked { zone: self, header, slab })
    }

    /// A look without the lock, at what others may be changing: of a view, since a look must
    /// not leave anything behind.
    pub fn peek<T>(&self, look: impl FnOnce(&Locked<'_>) -> T) -> Option<T> {
        let (header, slab) = (self.header()?, self.slab()?);
        // It has no lock that its drop could open.
        Some(look(&std::mem::ManuallyDrop::new(Locked { zone: self, header, slab })))
    }

    /// The record at an offset, for what is changed without the lock.
    pub fn record<T: Record>(&self, offset: usize) -> Option<&T> {
        self.region.record(offset)
    }

    /// How often it had to be made empty.
    pub fn era(&self) -> u64 {
        self.header().map_or(0, |header| header.rebuilt.load(Relaxed))
    }

    /// If `dead` died with the lock: checks the zone, makes it empty if it must,
    /// and opens the lock. The master calls it for each child that it reaps.
    pub fn recover(&self, dead: Pid) -> Option<Recovery> {
        let (header, slab) = (self.header()?, self.slab()?);
        if !header.mutex.is_held_by(dead) {
            return None;
        }
        // The dead one's lock is ours now; its drop would open it for us alone.
        let locked = std::mem::ManuallyDrop::new(Locked { zone: self, header, slab });
        let sound = !header.mutex.is_dirty() || slab.verify() && (self.spec.verify)(&locked);
        if !sound {
            locked.rebuild();
        }
        header.mutex.set_dirty(false);
        header.mutex.force_unlock(dead);
        Some(if sound { Recovery::Intact } else { Recovery::Rebuilt })
    }

    /// Lets go what belonged to `dead`, and to those before it.
    pub fn forget(&self, dead: Pid) {
        if let Some(forget) = self.spec.forget {
            let mut ended = self.ended.borrow_mut();
            ended.push(dead);
            ended.retain(|dead| !forget(self, *dead));
        }
    }

    /// For the exec that hands it to the next image.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    fn header(&self) -> Option<&Header> {
        self.region.record(0)
    }

    fn slab(&self) -> Option<Slab<'_>> {
        Slab::in_region(&self.region, SLAB)
    }
}

/// What became of a zone whose lock-holder died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    Intact,
    /// It did not add up and is empty now.
    Rebuilt,
}

/// The zone, ours until this is dropped.
pub struct Locked<'a> {
    zone: &'a Zone,
    header: &'a Header,
    slab: Slab<'a>,
}

impl Locked<'_> {
    /// Offset of the first record; 0 in a new or rebuilt zone.
    pub fn root(&self) -> usize {
        self.header.root.load(Relaxed) as usize
    }

    pub fn set_root(&self, offset: usize) {
        self.header.root.store(offset as u64, Relaxed);
    }

    /// As `Slab::alloc`. Full: let the oldest go and try again.
    pub fn alloc(&self, len: usize) -> std::result::Result<usize, Fault> {
        self.slab.alloc(len)
    }

    pub fn free(&self, offset: usize) -> std::result::Result<(), Fault> {
        self.slab.free(offset)
    }

    /// The record at an offset that was read from the zone, or none.
    pub fn record<T: Record>(&self, offset: usize) -> Option<&T> {
        self.zone.region.record(offset)
    }

    pub fn records<T: Record>(&self, offset: usize, count: usize) -> Option<&[T]> {
        self.zone.region.records(offset, count)
    }

    pub fn read(&self, offset: usize, to: &mut [u8]) -> Option<()> {
        self.zone.region.read(offset, to)
    }

    pub fn write(&self, offset: usize, from: &[u8]) -> Option<()> {
        self.zone.region.write(offset, from)
    }

    /// Pages still free, of how many.
    pub fn free_pages(&self) -> (usize, usize) {
        (self.slab.free_pages(), self.slab.pages())
    }

    /// How many pieces are allocated.
    pub fn pieces(&self) -> usize {
        self.slab.pieces()
    }

    /// How often it had to be made empty.
    pub fn rebuilt(&self) -> u64 {
        self.header.rebuilt.load(Relaxed)
    }

    /// Makes the zone empty, for who finds that it does not add up.
    pub fn rebuild(&self) {
        self.slab.clear();
        self.header.root.store(0, Relaxed);
        self.header.rebuilt.store(self.header.rebuilt.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.header.mutex.set_dirty(false);
        self.header.mutex.unlock();
    }
}

/// A fault to test with, in debug builds: LIMPET_DIE_IN_LOCK=NAME:N kills each
/// process in its Nth lock of that zone. The master reads it, since workers get
/// another environment.
#[cfg(debug_assertions)]
struct FatalLock(std::cell::Cell<u32>);

#[cfg(debug_assertions)]
impl FatalLock {
    fn of(name: &str) -> FatalLock {
        let wanted = crate::sys::env::get("LIMPET_DIE_IN_LOCK");
        let wanted = wanted.as_ref().and_then(|value| value.to_str()?.rsplit_once(':'));
        let locks = wanted.filter(|(zone, _)| *zone == name).and_then(|(_, n)| n.parse().ok());
        FatalLock(std::cell::Cell::new(locks.unwrap_or(0)))
    }

    fn count(&self) {
        if self.0.get() == 1 {
            let _ = process::kill(process::getpid(), libc::SIGKILL);
        }
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// What can be mapped: its size is what the spec says, and stays so.
fn sealed<'a>(memory: &'a OwnedFd, spec: &Spec) -> Result<&'a OwnedFd> {
    if file::is_sealed(memory, spec.size) { Ok(memory) } else { Err(Errno::EINVAL) }
}

/// How often the zone of which this is a copy had to be made empty.
pub(super) fn rebuilt(copy: &Region) -> u64 {
    copy.record::<Header>(0).map_or(0, |header| header.rebuilt.load(Relaxed))
}

/// What /proc shows: enough for others to know what it holds. The kernel takes 249 bytes.
fn memory_name(spec: &Spec) -> CString {
    let name: String = spec.name.chars().filter(|&c| c != '\0').take(40).collect();
    let text = format!("{MEMORY}{}:{name}:{}:v{}", spec.owner, spec.size, spec.layout);
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::tests::{Random, child};
    use crate::sys::process::{self, Status};

    fn spec(name: &str) -> Spec {
        Spec {
            name: name.into(),
            size: 256 * 1024,
            owner: "test",
            key: String::new(),
            layout: 1,
            noreuse: false,
            verify: |_| true,
            forget: None,
        }
    }

    #[test]
    fn two_processes_hammer_one_zone() {
        let zone = Zone::create(spec("hammered")).unwrap();
        let work = |seed| {
            let mut random = Random(seed);
            let mut held: Vec<(usize, u8)> = Vec::new();
            for _ in 0..5_000 {
                let Some(locked) = zone.lock() else { continue };
                if random.below(2) == 0 || held.is_empty() {
                    let stamp = random.below(256) as u8;
                    let Ok(offset) = locked.alloc(1 + random.below(5000)) else { continue };
                    locked.write(offset, &[stamp]).unwrap();
                    held.push((offset, stamp));
                } else {
                    let (offset, stamp) = held.swap_remove(random.below(held.len()));
                    let mut byte = [0];
                    locked.read(offset, &mut byte).unwrap();
                    assert_eq!(byte, [stamp]);
                    locked.free(offset).unwrap();
                }
            }
            let locked = zone.lock().unwrap();
            held.into_iter().for_each(|(offset, _)| locked.free(offset).unwrap());
        };
        let children = [child(|| work(1)), child(|| work(2))];
        work(3);
        children.into_iter().for_each(|child| child.assert_passed());
        let locked = zone.lock().unwrap();
        let (free, all) = locked.free_pages();
        assert!(locked.slab.verify() && free == all);
    }

    #[test]
    fn a_death_within_the_lock_leaves_a_usable_zone() {
        let zone = Zone::create(spec("bereaved")).unwrap();
        zone.lock().unwrap().set_root(4096);
        let die = || {
            let dead = child(|| {
                let locked = zone.lock().unwrap();
                locked.alloc(100).unwrap();
                process::exit(0)
            });
            let pid = dead.pid;
            dead.wait();
            assert!(zone.lock().is_none(), "held by the dead");
            pid
        };
        let pid = die();
        assert_eq!(zone.recover(pid + 1), None);
        assert_eq!(zone.recover(pid), Some(Recovery::Intact));
        assert_eq!(zone.recover(pid), None, "once");
        assert_eq!(zone.lock().unwrap().root(), 4096);

        let pid = die();
        // What a death between two steps of the allocator would leave.
        zone.region.record::<AtomicU64>(SLAB).unwrap().store(3, Relaxed);
        assert_eq!(zone.recover(pid), Some(Recovery::Rebuilt));
        let locked = zone.lock().unwrap();
        assert_eq!((locked.root(), locked.header.rebuilt.load(Relaxed)), (0, 1));
        assert!(locked.alloc(64).is_ok());
    }

    #[test]
    fn the_owners_records_are_asked_too() {
        let zone = Zone::create(Spec { verify: |_| false, ..spec("doubted") }).unwrap();
        let dead = child(|| {
            std::mem::forget(zone.lock());
        });
        let pid = dead.pid;
        dead.wait();
        assert_eq!(zone.recover(pid), Some(Recovery::Rebuilt));
    }

    #[test]
    fn what_the_dead_held_goes_when_the_lock_can_be_had() {
        fn forget(zone: &Zone, dead: Pid) -> bool {
            let Some(locked) = zone.lock() else { return false };
            locked.set_root(locked.root() + dead as usize);
            true
        }
        let zone = Zone::create(Spec { forget: Some(forget), ..spec("forgetful") }).unwrap();
        zone.forget(1);
        let locked = zone.lock().unwrap();
        zone.forget(10);
        assert_eq!(locked.root(), 1, "a holder that has stopped");
        drop(locked);
        zone.forget(100);
        assert_eq!(zone.lock().unwrap().root(), 111);
    }

    #[test]
    fn a_fault_can_be_asked_for() {
        child(|| {
            crate::sys::env::set("LIMPET_DIE_IN_LOCK", "doomed:3");
            let zone = Zone::create(spec("doomed")).unwrap();
            let victim = child(|| {
                (0..3).for_each(|_| drop(zone.lock()));
            });
            let pid = victim.pid;
            assert_eq!(victim.wait(), Status::Signaled { signo: libc::SIGKILL, core: false });
            assert_eq!(zone.recover(pid), Some(Recovery::Intact));
        })
        .assert_passed();
    }

    #[test]
    fn a_zone_shows_its_name() {
        let zone = Zone::create(Spec { name: "one\0".repeat(100), ..spec("") }).unwrap();
        let mut buf = [0; 256];
        let shown = file::readlink(&file::proc_path(zone.memory()), &mut buf).unwrap();
        let shown = std::str::from_utf8(shown).unwrap();
        assert!(shown.starts_with("/memfd:limpet:zone:test:oneone"), "{shown}");
        assert!(shown.ends_with(":262144:v1 (deleted)"), "{shown}");
        assert!(Zone::create(Spec { size: 4096, ..spec("small") }).is_err());
    }
}
