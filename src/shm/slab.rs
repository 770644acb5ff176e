//! The allocator inside a zone: whole pages, and chunks of a power of two.
//!
//! As in nginx: a request of up to half a page gets a chunk of 64 to 2048 bytes
//! from a page cut into such chunks, a larger one a run of pages. Each page has
//! a record that says what it is; free runs are in one list, and the pages with
//! free chunks of each size in a list of that size. (nginx has smaller chunks
//! too; with 64 at least, which chunks are used is one word.)
//!
//! The records are shared memory: a process that was broken into, or that died
//! half-way, may leave anything in them. So no index is believed before it is
//! checked, no walk is longer than there are pages, a page leaves a list only
//! if its neighbours agree, and what does not add up is `Fault::Corrupt`.
//! The caller holds the zone's lock.

mod verify;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::mem::zone::{Region, record};

pub const PAGE: usize = 4096;

const SMALLEST: usize = 64;
/// 64, 128, 256, 512, 1024, 2048.
const SIZES: usize = 6;

/// No page.
const NONE: u32 = u32::MAX;

// What a page is. Numbers, since they come from shared memory.
/// The first of a free run; `span` is its length.
const FREE: u32 = 1;
/// The last of a free run of two or more; `span` as well.
const FREE_END: u32 = 2;
/// The first of an allocated run; `span` is its length.
const RUN: u32 = 3;
/// Any other page of a run.
const INNER: u32 = 4;
/// Cut into chunks of SMALLEST << (kind - CHUNKS); `used` has a bit for each.
const CHUNKS: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no room: the oldest must go, or the request be refused.
    Full,
    /// The zone contradicts itself: it must be rebuilt.
    Corrupt,
}

type Result<T> = std::result::Result<T, Fault>;

record! {
    /// The allocator's own words, at the start of its part of the zone.
    pub struct Heads {
        /// First free run.
        free: AtomicU32,
        free_pages: AtomicU32,
        /// For each size, the first page with a free chunk.
        partial: [AtomicU32; SIZES],
    }
}

record! {
    struct Page {
        kind: AtomicU32,
        span: AtomicU32,
        next: AtomicU32,
        prev: AtomicU32,
        used: AtomicU64,
    }
}

/// A view of the allocator in a zone; everything it knows lies there, except
/// where its parts are, which follows from the zone's length.
#[derive(Clone, Copy)]
pub struct Slab<'a> {
    heads: &'a Heads,
    pages: &'a [Page],
    /// Where the first page begins.
    first: usize,
}

impl<'a> Slab<'a> {
    /// The allocator that has the region from `offset` to its end. None if that
    /// is too small for a single page.
    pub fn in_region(region: &'a Region, offset: usize) -> Option<Slab<'a>> {
        let records = offset + size_of::<Heads>().next_multiple_of(8);
        let room = region.len().checked_sub(records)?;
        let most = room / (PAGE + size_of::<Page>());
        // Aligning the first page may cost one.
        let first = (records + most * size_of::<Page>()).next_multiple_of(PAGE);
        let count = most.min(region.len().checked_sub(first)? / PAGE).min(NONE as usize - 1);
        let pages = region.records(records, count).filter(|pages| !pages.is_empty())?;
        Some(Slab { heads: region.record(offset)?, pages, first })
    }

    /// Makes everything one free run.
    pub fn clear(&self) {
        for page in self.pages {
            page.kind.store(INNER, Relaxed);
            page.used.store(0, Relaxed);
        }
        for head in &self.heads.partial {
            head.store(NONE, Relaxed);
        }
        self.heads.free.store(NONE, Relaxed);
        self.heads.free_pages.store(self.pages.len() as u32, Relaxed);
        let _ = self.add_free(0, self.pages.len() as u32);
    }

    /// Pages that belong to no run and no chunks.
    pub fn free_pages(&self) -> usize {
        self.heads.free_pages.load(Relaxed) as usize
    }

    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The offset in the zone of `len` bytes, which hold what they held before;
    /// aligned to their size rounded up to a power of two, or to a page.
    pub fn alloc(&self, len: usize) -> Result<usize> {
        if len > SMALLEST << (SIZES - 1) {
            let span = u32::try_from(len.div_ceil(PAGE)).map_err(|_| Fault::Full)?;
            let index = self.alloc_run(span)?;
            return Ok(self.offset_of(index));
        }
        let class = len.max(SMALLEST).next_power_of_two().ilog2() - SMALLEST.ilog2();
        self.alloc_chunk(class)
    }

    /// Takes back what `alloc` gave. Corrupt: it did not, or it has it back already.
    pub fn free(&self, offset: usize) -> Result<()> {
        let at = offset.checked_sub(self.first).ok_or(Fault::Corrupt)?;
        let index = u32::try_from(at / PAGE).map_err(|_| Fault::Corrupt)?;
        match self.page(index)?.kind.load(Relaxed) {
            RUN if at.is_multiple_of(PAGE) => self.free_run(index),
            kind => self.free_chunk(index, class_of(kind)?, at % PAGE),
        }
    }

    fn alloc_chunk(&self, class: u32) -> Result<usize> {
        let head = self.partial(class)?.load(Relaxed);
        let index = if head == NONE { self.cut_page(class)? } else { head };
        let page = self.page(index)?;
        let used = page.used.load(Relaxed);
        let chunk = used.trailing_ones();
        if page.kind.load(Relaxed) != CHUNKS + class || chunk >= chunks(class) {
            return Err(Fault::Corrupt);
        }
        let used = used | 1 << chunk;
        page.used.store(used, Relaxed);
        if used == full(class) {
            self.unlink(index, self.partial(class)?, CHUNKS + class)?;
        }
        Ok(self.offset_of(index) + chunk as usize * (SMALLEST << class))
    }

    /// A page of free chunks, in its list.
    fn cut_page(&self, class: u32) -> Result<u32> {
        let index = self.alloc_run(1)?;
        let page = self.page(index)?;
        page.kind.store(CHUNKS + class, Relaxed);
        page.used.store(0, Relaxed);
        self.link(index, self.partial(class)?)?;
        Ok(index)
    }

    fn free_chunk(&self, index: u32, class: u32, at: usize) -> Result<()> {
        let page = self.page(index)?;
        let size = SMALLEST << class;
        let bit = 1 << (at / size);
        let used = page.used.load(Relaxed);
        if !at.is_multiple_of(size) || used & bit == 0 {
            return Err(Fault::Corrupt);
        }
        page.used.store(used & !bit, Relaxed);
        if used == full(class) {
            self.link(index, self.partial(class)?)?;
        }
        if used == bit {
            self.unlink(index, self.partial(class)?, CHUNKS + class)?;
            page.kind.store(RUN, Relaxed);
            page.span.store(1, Relaxed);
            self.free_run(index)?;
        }
        Ok(())
    }

    /// First fit, taken from the end of the free run: its head stays in the list.
    fn alloc_run(&self, span: u32) -> Result<u32> {
        let mut index = self.heads.free.load(Relaxed);
        for _ in 0..self.pages.len() {
            if index == NONE {
                return Err(Fault::Full);
            }
            let have = self.free_span(index)?;
            if have < span {
                index = self.page(index)?.next.load(Relaxed);
                continue;
            }
            if have == span {
                self.unlink(index, &self.heads.free, FREE)?;
            } else {
                self.set_free(index, have - span)?;
            }
            let start = index + have - span;
            self.set_kinds(start, span, RUN)?;
            self.count_free(|free| free.checked_sub(span))?;
            return Ok(start);
        }
        Err(Fault::Corrupt)
    }

    /// Gives a run back, joined with the free ones on both sides of it.
    fn free_run(&self, index: u32) -> Result<()> {
        let span = self.page(index)?.span.load(Relaxed);
        let end = index.checked_add(span).filter(|&end| span > 0 && end <= self.count());
        let end = end.ok_or(Fault::Corrupt)?;
        self.set_kinds(index, span, INNER)?;
        self.count_free(|free| free.checked_add(span))?;

        let mut joined = span;
        if end < self.count() && self.page(end)?.kind.load(Relaxed) == FREE {
            let behind = self.free_span(end)?;
            self.unlink(end, &self.heads.free, FREE)?;
            self.page(end)?.kind.store(INNER, Relaxed);
            joined += behind;
        }
        match self.free_run_before(index)? {
            Some((head, before)) => self.set_free(head, before + joined),
            None => self.add_free(index, joined),
        }
    }

    /// The free run that ends just before `index`: where it starts, how long it is.
    fn free_run_before(&self, index: u32) -> Result<Option<(u32, u32)>> {
        let Some(last) = index.checked_sub(1) else { return Ok(None) };
        let page = self.page(last)?;
        let head = match page.kind.load(Relaxed) {
            FREE => last,
            FREE_END => {
                let head = index.checked_sub(page.span.load(Relaxed)).ok_or(Fault::Corrupt)?;
                page.kind.store(INNER, Relaxed);
                head
            }
            _ => return Ok(None),
        };
        let span = self.free_span(head)?;
        if head + span == index { Ok(Some((head, span))) } else { Err(Fault::Corrupt) }
    }

    fn add_free(&self, index: u32, span: u32) -> Result<()> {
        self.link(index, &self.heads.free)?;
        self.set_free(index, span)
    }

    /// Marks both ends of a free run. It may have had another length before.
    fn set_free(&self, index: u32, span: u32) -> Result<()> {
        let end = self.page(index + span - 1)?;
        end.kind.store(FREE_END, Relaxed);
        end.span.store(span, Relaxed);
        let head = self.page(index)?;
        head.kind.store(FREE, Relaxed);
        head.span.store(span, Relaxed);
        Ok(())
    }

    /// The length of the free run at `index`, checked.
    fn free_span(&self, index: u32) -> Result<u32> {
        let page = self.page(index)?;
        let span = page.span.load(Relaxed);
        let fits = span > 0 && span <= self.count() - index;
        if page.kind.load(Relaxed) == FREE && fits { Ok(span) } else { Err(Fault::Corrupt) }
    }

    /// `first` for the first page of a run, INNER for the others.
    fn set_kinds(&self, index: u32, span: u32, first: u32) -> Result<()> {
        let run = self.pages.get(index as usize..).and_then(|run| run.get(..span as usize));
        let (head, inner) = run.and_then(<[Page]>::split_first).ok_or(Fault::Corrupt)?;
        head.kind.store(first, Relaxed);
        head.span.store(span, Relaxed);
        inner.iter().for_each(|page| page.kind.store(INNER, Relaxed));
        Ok(())
    }

    fn count_free(&self, change: impl FnOnce(u32) -> Option<u32>) -> Result<()> {
        let free = change(self.heads.free_pages.load(Relaxed)).ok_or(Fault::Corrupt)?;
        self.heads.free_pages.store(free, Relaxed);
        Ok(())
    }

    fn link(&self, index: u32, head: &AtomicU32) -> Result<()> {
        let page = self.page(index)?;
        let next = head.load(Relaxed);
        if next != NONE {
            self.page(next)?.prev.store(index, Relaxed);
        }
        page.next.store(next, Relaxed);
        page.prev.store(NONE, Relaxed);
        head.store(index, Relaxed);
        Ok(())
    }

    /// Takes a page of that kind out of its list, if list and neighbours know it.
    fn unlink(&self, index: u32, head: &AtomicU32, kind: u32) -> Result<()> {
        let page = self.page(index)?;
        let (next, prev) = (page.next.load(Relaxed), page.prev.load(Relaxed));
        let back = if prev == NONE { head } else { &self.page(prev)?.next };
        let forth = if next == NONE { None } else { Some(&self.page(next)?.prev) };
        let known = back.load(Relaxed) == index
            && forth.is_none_or(|forth| forth.load(Relaxed) == index)
            && page.kind.load(Relaxed) == kind;
        if !known {
            return Err(Fault::Corrupt);
        }
        back.store(next, Relaxed);
        if let Some(forth) = forth {
            forth.store(prev, Relaxed);
        }
        Ok(())
    }

    fn page(&self, index: u32) -> Result<&'a Page> {
        self.pages.get(index as usize).ok_or(Fault::Corrupt)
    }

    fn partial(&self, class: u32) -> Result<&'a AtomicU32> {
        self.heads.partial.get(class as usize).ok_or(Fault::Corrupt)
    }

    fn count(&self) -> u32 {
        self.pages.len() as u32
    }

    fn offset_of(&self, index: u32) -> usize {
        self.first + index as usize * PAGE
    }
}

/// Which size the chunks of such a page have.
fn class_of(kind: u32) -> Result<u32> {
    kind.checked_sub(CHUNKS).filter(|&class| (class as usize) < SIZES).ok_or(Fault::Corrupt)
}

fn chunks(class: u32) -> u32 {
    (PAGE / (SMALLEST << class)) as u32
}

/// `used` of a page without a free chunk.
fn full(class: u32) -> u64 {
    u64::MAX >> (64 - chunks(class))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::tests::Random;

    fn with_slab(len: usize, test: impl FnOnce(&Region, Slab)) {
        let region = Region::private(len).unwrap();
        let slab = Slab::in_region(&region, 64).unwrap();
        slab.clear();
        assert!(slab.verify());
        test(&region, slab);
    }

    #[test]
    fn sizes_and_their_places() {
        with_slab(1 << 16, |_, slab| {
            assert_eq!((slab.pages(), slab.free_pages()), (15, 15));
            let small = slab.alloc(1).unwrap();
            assert_eq!(slab.alloc(64), Ok(small + 64));
            assert!(slab.alloc(65).unwrap().is_multiple_of(128));
            assert!(slab.alloc(2048).unwrap().is_multiple_of(2048));
            assert_eq!(slab.free_pages(), 12);
            assert!(slab.alloc(2049).unwrap().is_multiple_of(PAGE));
            assert_eq!(slab.free_pages(), 11);
            assert_eq!(slab.alloc(12 * PAGE), Err(Fault::Full));
            assert_eq!(slab.alloc(usize::MAX), Err(Fault::Full));
            let large = slab.alloc(10 * PAGE + 1).unwrap();
            assert_eq!((slab.free_pages(), slab.alloc(PAGE)), (0, Err(Fault::Full)));
            assert!(slab.alloc(64).is_ok(), "there are chunks still");
            assert_eq!(slab.free(large), Ok(()));
            assert!(slab.verify());
        });
    }

    #[test]
    fn too_small_for_a_page() {
        for len in [64, 128, 4096] {
            assert!(Slab::in_region(&Region::private(len).unwrap(), 64).is_none());
        }
    }

    #[test]
    fn what_was_not_given_is_not_taken() {
        with_slab(1 << 16, |region, slab| {
            let chunk = slab.alloc(100).unwrap();
            let run = slab.alloc(3 * PAGE).unwrap();
            let wrong = [0, 64, chunk + 1, chunk + 64, chunk + 128, run + 64, run + PAGE];
            for offset in wrong.into_iter().chain([region.len(), usize::MAX]) {
                assert_eq!(slab.free(offset), Err(Fault::Corrupt), "{offset}");
            }
            assert!(slab.verify());
            assert_eq!(slab.free(run), Ok(()));
            assert_eq!(slab.free(run), Err(Fault::Corrupt), "twice");
            assert_eq!(slab.free(chunk), Ok(()));
            assert_eq!(slab.free(chunk), Err(Fault::Corrupt), "twice");
            assert!(slab.verify() && slab.free_pages() == slab.pages());
        });
    }

    #[test]
    fn pieces_never_overlap_and_all_come_back() {
        with_slab(1 << 20, |region, slab| {
            let mut random = Random(7);
            let mut held: Vec<(usize, usize, u8)> = Vec::new();
            for round in 0..20_000 {
                if random.below(5) < 3 {
                    let most = if random.below(4) == 0 { 40_000 } else { 2_500 };
                    let len = 1 + random.below(most);
                    match slab.alloc(len) {
                        Ok(offset) => {
                            let stamp = random.below(256) as u8;
                            region.write(offset, &vec![stamp; len]).unwrap();
                            held.push((offset, len, stamp));
                        }
                        Err(fault) => assert_eq!(fault, Fault::Full),
                    }
                } else if !held.is_empty() {
                    let (offset, len, stamp) = held.swap_remove(random.below(held.len()));
                    let mut bytes = vec![0; len];
                    region.read(offset, &mut bytes).unwrap();
                    assert!(bytes.iter().all(|&byte| byte == stamp), "another has written here");
                    assert_eq!(slab.free(offset), Ok(()));
                }
                assert!(round % 100 != 0 || slab.verify());
            }
            held.drain(..).for_each(|(offset, ..)| assert_eq!(slab.free(offset), Ok(())));
            assert!(slab.verify() && slab.free_pages() == slab.pages());
        });
    }

    /// Whatever the records say, calls end, give offsets inside, and never crash.
    #[test]
    fn nonsense_in_the_records_is_survived() {
        let mut random = Random(1);
        for _ in 0..300 {
            with_slab(1 << 18, |region, slab| {
                let held: Vec<_> = (0..50).filter_map(|i| slab.alloc(i * 97).ok()).collect();
                let records = slab.first / 4;
                for _ in 0..1 + random.below(8) {
                    let word = region.record::<AtomicU32>(64 + 4 * random.below(records - 16));
                    let value = [0, 1, 2, 5, 9, 60, NONE, random.next() as u32][random.below(8)];
                    word.unwrap().store(value, Relaxed);
                }
                slab.verify();
                for offset in held {
                    let _ = slab.free(offset);
                    if let Ok(offset) = slab.alloc(random.below(9000)) {
                        assert!((slab.first..region.len()).contains(&offset));
                    }
                }
                slab.clear();
                assert!(slab.verify());
            });
        }
    }
}
