//! Answers that are the same for every request but for their date: written down once,
//! copied from then on.

use super::conf::Location;
use super::response;
use crate::text::date;
use crate::text::writer::Writer;
use crate::time;
use std::cell::RefCell;
use std::rc::Rc;

/// The head of an answer, perhaps with its body, but for its date and for what becomes of the
/// connection.
pub struct ReadyHead {
    pub location: Rc<Location>,
    rest: Box<[u8]>,
    /// Where in the rest these two belong.
    date_at: usize,
    connection_at: usize,
}

impl ReadyHead {
    /// Keeps a head that has a date.
    pub fn of(location: &Rc<Location>, keep_alive: bool, head: &[u8]) -> Option<ReadyHead> {
        let (before, rest) = cut(head, b"\r\nDate: ", date::HTTP)?;
        let mut room = [0; 64];
        let mut connection = Writer::new(&mut room);
        response::put_connection(location, keep_alive, &mut connection);
        let (between, behind) = cut(rest, connection.written(), 0)?;
        let between = &between[..between.len() - connection.len()];
        let (date_at, connection_at) = (before.len(), before.len() + between.len());
        let rest = [before, between, behind].concat().into();
        Some(ReadyHead { location: Rc::clone(location), rest, date_at, connection_at })
    }

    /// Writes it with the date of now.
    pub fn put(&self, keep_alive: bool, out: &mut Writer<'_>) {
        let (rest, behind) = self.rest.split_at(self.connection_at);
        let (before, between) = rest.split_at(self.date_at);
        out.put(before);
        out.put(&time::http_date());
        out.put(between);
        response::put_connection(&self.location, keep_alive, out);
        out.put(behind);
    }
}

/// What there is up to the end of `of`, and behind the `len` bytes that follow it.
fn cut<'a>(head: &'a [u8], of: &[u8], len: usize) -> Option<(&'a [u8], &'a [u8])> {
    let at = head.windows(of.len()).position(|window| window == of)? + of.len();
    Some((&head[..at], head.get(at + len..)?))
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
        keep_alive: bool,
        out: &mut Writer<'_>,
    ) -> Option<(usize, usize)> {
        let pages = self.pages.borrow();
        let page = pages.get(place(location, key))?.as_ref()?;
        if page.key != key || !Rc::ptr_eq(&page.answer.location, location) {
            return None;
        }
        let before = out.len();
        page.answer.put(keep_alive, out);
        Some((out.len() - before, page.body_len))
    }

    /// Keeps a page with its head.
    pub fn keep(
        &self,
        location: &Rc<Location>,
        key: (u16, bool),
        answer: Option<ReadyHead>,
        body_len: usize,
    ) {
        if let Some(place @ None) = self.pages.borrow_mut().get_mut(place(location, key)) {
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
