//! Files as the worker last saw them: bytes of small ones, descriptors of others.
//!
//! Freshness is one stat by path per file and loop turn: it follows a swapped
//! symlink or directory, has no blind spot, and costs next to nothing under load.
//! A file that is not there is remembered the same way, from its second miss on.
//! Bytes are kept only when fstat before and after the read agree and the file is
//! at least [`SETTLED_MS`] old, since timestamps are as coarse as a clock tick.
//! Stores through mmap change no timestamp at once and are not seen (documented).
//!
//! INVARIANT: what `look_up` returns was true at some moment of this loop turn.

use super::ready::ReadyHead;
use crate::event;
use crate::mem::arena::reserve;
use crate::proto::conditional;
use crate::sys::errno::{Errno, Result};
use crate::sys::file::{self, Stat};
use crate::sys::io;
use crate::text::{hash, scan};
use crate::time;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Files up to this size are kept as bytes: below it a copy beats sendfile.
pub const SMALL: u64 = 32 * 1024;
/// Kernels before 6.13 stamp files once a tick, so a younger file may still change
/// without its stamp telling.
const SETTLED_MS: i64 = 20;
const SETS: usize = 1024;
const WAYS: usize = 4;
const SEEN: usize = 1024;
/// Bytes and descriptors kept by one worker.
const BYTES_MOST: usize = 16 << 20;
const DESCRIPTORS_MOST: usize = 256;
/// What has not been asked for in this long is let go.
const UNUSED_MS: u64 = 60_000;
const SWEEP_MS: u64 = 30_000;

/// A regular file that can be served.
pub struct File {
    pub stat: Stat,
    /// `"mtime-size"`
    pub etag: Box<[u8]>,
    pub contents: Contents,
    /// The head of the usual answer, once one has been made.
    pub ready: RefCell<Option<ReadyHead>>,
    /// Its compressed bytes, once somebody wanted them.
    pub variant: RefCell<Option<Rc<Variant>>>,
}

impl File {
    fn of(fd: OwnedFd, stat: Stat) -> File {
        let contents = match read_small(&fd, &stat) {
            Some(bytes) => Contents::Bytes(bytes),
            None => Contents::Descriptor(fd),
        };
        File {
            stat,
            etag: conditional::etag(stat.mtime, stat.size, &mut [0; conditional::ETAG]).into(),
            contents,
            ready: RefCell::new(None),
            variant: RefCell::new(None),
        }
    }
}

/// A file compressed.
pub struct Variant {
    pub level: u8,
    pub bytes: Box<[u8]>,
    pub ready: RefCell<Option<ReadyHead>>,
    charge: Rc<Cell<usize>>,
}

/// Compressed bytes kept by one worker.
const VARIANTS_MOST: usize = 16 << 20;

impl Variant {
    /// Counts the bytes in `charge`; `None` when there are too many already.
    pub fn new(level: u8, bytes: Box<[u8]>, charge: Rc<Cell<usize>>) -> Option<Variant> {
        let after = charge.get() + bytes.len();
        if after > VARIANTS_MOST {
            return None;
        }
        charge.set(after);
        Some(Variant { level, bytes, ready: RefCell::new(None), charge })
    }
}

impl Drop for Variant {
    fn drop(&mut self) {
        self.charge.set(self.charge.get() - self.bytes.len());
    }
}

pub enum Contents {
    Bytes(Box<[u8]>),
    Descriptor(OwnedFd),
}

/// What a path names.
#[derive(Clone)]
pub enum Found {
    File(Rc<File>),
    /// `closed`: why it cannot be opened, if so.
    Directory {
        closed: Option<Errno>,
    },
    /// Neither a file nor a directory.
    Special,
    /// A file that cannot be opened.
    Unreadable(Errno),
    Failed(Errno),
}

/// How long it will do to know what a path named, in ms (`open_file_cache`); 0, which is
/// the default, is until the next turn.
#[derive(Clone, Copy, Default)]
pub struct Trust {
    pub ms: u64,
    /// The same of a path that could not be opened.
    pub errors_ms: u64,
    /// What was not asked for in this long is as good as forgotten.
    pub inactive_ms: u64,
    /// How often a file must have been asked for.
    pub min_uses: u32,
}

struct Entry {
    hash: u64,
    path: CString,
    /// What stat said when `found` was made.
    seen: Result<Stat>,
    found: Found,
    turn: Cell<u32>,
    /// When it was last compared.
    checked_at: Cell<u64>,
    used_at: Cell<u64>,
    /// Since the path was first asked for, or was as good as forgotten.
    uses: Cell<u32>,
}

impl Entry {
    /// Counts a use; says whether what is known will do without a look at the file.
    fn is_trusted(&self, trust: Trust) -> bool {
        let now = time::now_ms();
        let idle = now.saturating_sub(self.used_at.replace(now));
        if self.turn.get() == event::turn() {
            return true;
        }
        let uses = if idle > trust.inactive_ms { 0 } else { self.uses.get() };
        self.uses.set(uses.saturating_add(1));
        let (valid, least) = match self.found {
            Found::Failed(_) | Found::Unreadable(_) => (trust.errors_ms, 1),
            Found::File(_) => (trust.ms, trust.min_uses),
            Found::Directory { .. } | Found::Special => (trust.ms, 1),
        };
        uses >= least && now.saturating_sub(self.checked_at.get()) < valid
    }
}

pub struct FileCache {
    /// Boxed, so that a cache with nothing in it is small.
    entries: RefCell<&'static mut [Option<Box<Entry>>]>,
    /// Hashes of paths that were missing once: a scan of random names is not kept.
    missed: RefCell<&'static mut [u64]>,
    bytes: Cell<usize>,
    descriptors: Cell<usize>,
    /// Bytes of compressed variants.
    variants: Rc<Cell<usize>>,
    /// The entry that goes next when the budget is spent.
    hand: Cell<usize>,
}

impl FileCache {
    /// For the life of the process; `None` when the address space cannot be had.
    pub fn new() -> Option<FileCache> {
        Some(FileCache {
            entries: RefCell::new(reserve(SETS * WAYS)?),
            missed: RefCell::new(reserve(SEEN)?),
            bytes: Cell::new(0),
            descriptors: Cell::new(0),
            variants: Rc::default(),
            hand: Cell::new(0),
        })
    }

    /// Where compressed bytes are counted.
    pub fn charge(&self) -> Rc<Cell<usize>> {
        Rc::clone(&self.variants)
    }

    /// What `path`, with its final NUL, names in this turn; or did a while ago, where
    /// that will do.
    pub fn look_up(&self, path: &[u8], trust: Trust) -> Found {
        let hash = hash::hash(path);
        let ways = set_of(hash);
        let mut entries = self.entries.borrow_mut();
        let at = ways.clone().find(|&way| {
            entries[way].as_ref().is_some_and(|entry| {
                entry.hash == hash && scan::same(entry.path.to_bytes_with_nul(), path)
            })
        });
        let Some(at) = at else {
            drop(entries);
            return match CStr::from_bytes_with_nul(path) {
                Ok(path) => self.load(hash, path, file::stat(path), (trust, 1)),
                Err(_) => Found::Failed(Errno::ENOENT),
            };
        };
        if let Some(entry) = &entries[at] {
            if entry.is_trusted(trust) {
                return entry.found.clone();
            }
            let seen = file::stat(&entry.path);
            if seen == entry.seen {
                entry.turn.set(event::turn());
                entry.checked_at.set(time::now_ms());
                return entry.found.clone();
            }
            let (path, uses) = (entry.path.clone(), entry.uses.get());
            self.forget(&mut entries[at]);
            drop(entries);
            return self.load(hash, &path, seen, (trust, uses));
        }
        Found::Failed(Errno::ENOENT)
    }

    /// The same for a path that was opened step by step: what is known of it is used only
    /// if it is about that very file.
    pub fn look_up_opened(&self, path: &[u8], opened: OwnedFd) -> Found {
        let stat = match file::fstat(&opened) {
            Err(errno) => return Found::Failed(errno),
            Ok(stat) if stat.is_dir() => return Found::Directory { closed: None },
            Ok(stat) if !stat.is_file() => return Found::Special,
            Ok(stat) => stat,
        };
        match self.look_up(path, Trust::default()) {
            Found::File(file) if file.stat == stat => Found::File(file),
            _ => Found::File(Rc::new(File::of(opened, stat))),
        }
    }

    /// Asks the file system, and keeps the answer where that pays.
    fn load(
        &self,
        hash: u64,
        path: &CStr,
        seen: Result<Stat>,
        (trust, uses): (Trust, u32),
    ) -> Found {
        let (seen, found) = open(path, seen);
        let keep = match &found {
            Found::Failed(_) | Found::Unreadable(_) => {
                trust.errors_ms > 0 || self.missed_before(hash)
            }
            Found::File(file) => settled(&file.stat),
            Found::Directory { .. } | Found::Special => true,
        };
        if keep {
            let now = time::now_ms();
            self.keep(Entry {
                hash,
                path: path.into(),
                seen,
                found: found.clone(),
                turn: Cell::new(event::turn()),
                checked_at: Cell::new(now),
                used_at: Cell::new(now),
                uses: Cell::new(uses),
            });
        }
        found
    }

    fn missed_before(&self, hash: u64) -> bool {
        let slot = &mut self.missed.borrow_mut()[hash as usize % SEEN];
        std::mem::replace(slot, hash) == hash
    }

    /// Stores an entry in its set, in place of the one used longest ago.
    fn keep(&self, entry: Entry) {
        let mut entries = self.entries.borrow_mut();
        let (bytes, descriptors) = cost(&entry);
        // Over budget, entries go round robin until there is room: each costs at
        // most SMALL bytes or one descriptor, so this ends.
        while self.bytes.get() + bytes > BYTES_MOST
            || self.descriptors.get() + descriptors > DESCRIPTORS_MOST
        {
            let victim = self.hand.replace((self.hand.get() + 1) % (SETS * WAYS));
            self.forget(&mut entries[victim]);
        }
        let unused_longest = set_of(entry.hash)
            .min_by_key(|&way| entries[way].as_ref().map_or(0, |entry| entry.used_at.get()));
        if let Some(way) = unused_longest {
            self.forget(&mut entries[way]);
            self.bytes.set(self.bytes.get() + bytes);
            self.descriptors.set(self.descriptors.get() + descriptors);
            entries[way] = Some(Box::new(entry));
        }
    }

    fn forget(&self, slot: &mut Option<Box<Entry>>) {
        if let Some(entry) = slot.take() {
            let (bytes, descriptors) = cost(&entry);
            self.bytes.set(self.bytes.get() - bytes);
            self.descriptors.set(self.descriptors.get() - descriptors);
        }
    }

    /// Lets go of what nobody has asked for lately: a deleted file must not keep
    /// its blocks for ever.
    pub async fn sweep(&self) {
        loop {
            event::sleep(event::after(SWEEP_MS)).await;
            let now = time::now_ms();
            for slot in self.entries.borrow_mut().iter_mut() {
                let asked_for = slot.as_ref().map_or(now, |entry| entry.used_at.get());
                if now.saturating_sub(asked_for) > UNUSED_MS {
                    self.forget(slot);
                }
            }
        }
    }
}

fn set_of(hash: u64) -> std::ops::Range<usize> {
    let start = (hash >> 32) as usize % SETS * WAYS;
    start..start + WAYS
}

/// Bytes and descriptors an entry holds on to.
fn cost(entry: &Entry) -> (usize, usize) {
    match &entry.found {
        Found::File(file) => match &file.contents {
            Contents::Bytes(bytes) => (bytes.len(), 0),
            Contents::Descriptor(_) => (0, 1),
        },
        _ => (0, 0),
    }
}

/// Old enough for its timestamp to tell of the next change.
fn settled(stat: &Stat) -> bool {
    let now = time::unix_ms() as i64;
    let age = |secs: i64, nanos: u32| now - (secs * 1000 + i64::from(nanos / 1_000_000));
    age(stat.mtime, stat.mtime_ns) >= SETTLED_MS && age(stat.ctime, stat.ctime_ns) >= SETTLED_MS
}

/// Opens what stat saw; the descriptor's own stat is the one that counts.
fn open(path: &CStr, seen: Result<Stat>) -> (Result<Stat>, Found) {
    let stat = match seen {
        Err(errno) => return (seen, Found::Failed(errno)),
        Ok(stat) if stat.is_dir() => {
            let opened = file::open(path, file::RDONLY | file::NONBLOCK, 0);
            return (seen, Found::Directory { closed: opened.err() });
        }
        Ok(stat) if !stat.is_file() => return (seen, Found::Special),
        Ok(stat) => stat,
    };
    let opened = file::open(path, file::RDONLY | file::NONBLOCK, 0)
        .and_then(|fd| file::fstat(&fd).map(|stat| (fd, stat)));
    let (fd, now) = match opened {
        Err(errno) => return (Ok(stat), Found::Unreadable(errno)),
        Ok(opened) => opened,
    };
    if !now.is_file() {
        return (Ok(now), Found::Special);
    }
    (Ok(now), Found::File(Rc::new(File::of(fd, now))))
}

/// The bytes of a small file, if they are those of the moment `stat` tells of.
fn read_small(fd: &OwnedFd, stat: &Stat) -> Option<Box<[u8]>> {
    if stat.size > SMALL {
        return None;
    }
    let mut bytes = vec![0; stat.size as usize].into_boxed_slice();
    let mut filled = 0;
    while filled < bytes.len() {
        match io::pread(fd, &mut bytes[filled..], filled as u64) {
            Ok(0) => return None,
            Ok(count) => filled += count,
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
    (file::fstat(fd) == Ok(*stat)).then_some(bytes)
}
