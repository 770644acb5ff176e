//! Answers that are the same for every request but for their date: written down once,
//! copied from then on.

use super::conf::Location;
use crate::text::date;
use crate::text::writer::Writer;
use crate::time;
use std::cell::RefCell;
use std::rc::Rc;

/// The head of an answer on a connection that lives on, perhaps with its body.
pub struct ReadyHead {
    pub location: Rc<Location>,
    pub head: Box<[u8]>,
    /// Where the 29 bytes of the date are.
    date_at: usize,
}

impl ReadyHead {
    /// Keeps a head that has a date.
    pub fn of(location: &Rc<Location>, head: &[u8]) -> Option<ReadyHead> {
        const BEFORE: &[u8] = b"\r\nDate: ";
        let date = head.windows(BEFORE.len()).position(|window| window == BEFORE)?;
        let date_at = date + BEFORE.len();
        Some(ReadyHead { location: Rc::clone(location), head: head.into(), date_at })
    }

    /// Writes it with the date of now.
    pub fn put(&self, out: &mut Writer<'_>) {
        let (before, rest) = self.head.split_at(self.date_at);
        out.put(before);
        out.put(&time::http_date());
        out.put(rest.get(date::HTTP..).unwrap_or_default());
    }
}

/// A built-in page with its head.
pub struct ReadyPage {
    key: (u16, bool),
    pub answer: ReadyHead,
    pub body_len: usize,
}

const PAGES: usize = 64;

/// The built-in pages of a worker. A place that is taken stays so: then the others are made
/// anew each time.
pub struct ReadyPages {
    pages: RefCell<Box<[Option<ReadyPage>]>>,
}

impl ReadyPages {
    pub fn new() -> ReadyPages {
        ReadyPages { pages: RefCell::new((0..PAGES).map(|_| None).collect()) }
    }

    /// Writes the page of a status and a location, if it is there: its bytes in all, and of
    /// its body.
    pub fn put(
        &self,
        location: &Rc<Location>,
        key: (u16, bool),
        out: &mut Writer<'_>,
    ) -> Option<(usize, usize)> {
        let pages = self.pages.borrow();
        let page = pages.get(place(location, key))?.as_ref()?;
        if page.key != key || !Rc::ptr_eq(&page.answer.location, location) {
            return None;
        }
        page.answer.put(out);
        Some((page.answer.head.len(), page.body_len))
    }

    pub fn keep(&self, location: &Rc<Location>, key: (u16, bool), answer: &[u8], body_len: usize) {
        if let Some(place @ None) = self.pages.borrow_mut().get_mut(place(location, key)) {
            let answer = ReadyHead::of(location, answer);
            *place = answer.map(|answer| ReadyPage { key, answer, body_len });
        }
    }

    /// The configuration is another.
    pub fn clear(&self) {
        self.pages.borrow_mut().fill_with(|| None);
    }
}

fn place(location: &Rc<Location>, key: (u16, bool)) -> usize {
    let address = Rc::as_ptr(location).addr();
    (address / 64 + usize::from(key.0) * 2 + usize::from(key.1)) % PAGES
}
