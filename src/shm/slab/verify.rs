//! Whether a slab adds up: asked when a process has died while it changed one.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{CHUNKS, FREE, FREE_END, INNER, NONE, Page, RUN, SIZES, Slab, class_of, full};

/// What there is of each kind, counted page by page.
#[derive(Default)]
struct Count {
    free_pages: u32,
    free_runs: u32,
    partial: [u32; SIZES],
}

impl Slab<'_> {
    /// Runs lie end to end, free ones are joined and marked at both ends, and the
    /// lists hold exactly what the pages say.
    pub fn verify(&self) -> bool {
        self.count_pages().is_some_and(|count| {
            count.free_pages as usize == self.free_pages()
                && self.list_holds(&self.heads.free, count.free_runs, |page| is(page, FREE))
                && (0..).zip(&self.heads.partial).zip(count.partial).all(
                    |((class, head), pages)| {
                        self.list_holds(head, pages, |page| {
                            is(page, CHUNKS + class) && page.used.load(Relaxed) != full(class)
                        })
                    },
                )
        })
    }

    /// Runs and chunks that are allocated.
    pub fn pieces(&self) -> usize {
        let of = |page: &Page| match page.kind.load(Relaxed) {
            RUN => 1,
            kind => class_of(kind).map_or(0, |_| page.used.load(Relaxed).count_ones()),
        };
        self.pages.iter().map(|page| of(page) as usize).sum()
    }

    fn count_pages(&self) -> Option<Count> {
        let mut count = Count::default();
        let (mut index, mut behind_free) = (0, false);
        while index < self.count() {
            let page = self.page(index).ok()?;
            let kind = page.kind.load(Relaxed);
            let span = match kind {
                FREE if !behind_free => {
                    count.free_runs += 1;
                    let span = self.whole_run(index, FREE_END)?;
                    count.free_pages += span;
                    span
                }
                RUN => self.whole_run(index, INNER)?,
                kind => {
                    let (class, used) = (class_of(kind).ok()?, page.used.load(Relaxed));
                    if used == 0 || used & !full(class) != 0 {
                        return None;
                    }
                    count.partial[class as usize] += u32::from(used != full(class));
                    1
                }
            };
            behind_free = kind == FREE;
            index += span;
        }
        Some(count)
    }

    /// The length of the run at `index`, if it lies inside, its last page is of
    /// the kind `last`, and those between are INNER.
    fn whole_run(&self, index: u32, last: u32) -> Option<u32> {
        let span = self.page(index).ok()?.span.load(Relaxed);
        let run = self.pages.get(index as usize..)?.get(..span as usize)?;
        let (_, rest) = run.split_first()?;
        let ended = rest.split_last().is_none_or(|(end, inner)| {
            let says_span = last != FREE_END || end.span.load(Relaxed) == span;
            is(end, last) && says_span && inner.iter().all(|page| is(page, INNER))
        });
        ended.then_some(span)
    }

    /// `count` pages, each as it should be, each knowing the one before it. That
    /// also means that none is there twice.
    fn list_holds(&self, head: &AtomicU32, count: u32, fits: impl Fn(&Page) -> bool) -> bool {
        let (mut index, mut before) = (head.load(Relaxed), NONE);
        for _ in 0..count {
            let Ok(page) = self.page(index) else { return false };
            if !fits(page) || page.prev.load(Relaxed) != before {
                return false;
            }
            (index, before) = (page.next.load(Relaxed), index);
        }
        index == NONE
    }
}

fn is(page: &Page, kind: u32) -> bool {
    page.kind.load(Relaxed) == kind
}
