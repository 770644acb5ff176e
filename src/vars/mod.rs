//! Variables, and texts made of them, for whatever they are about: a request, a session.
//!
//! Everything is evaluated once, into the scratch room of its subject, and handed on as
//! bytes. There is no pass that measures before one that copies: two evaluations can
//! disagree.

pub mod geo;
pub mod hostnames;
pub mod map;
mod ranges;
pub mod split;

use crate::conf::{Part, Pattern, Template, VarId};
use crate::mem::buffers::Scratch;
use crate::text::writer::Writer;

/// What a variable is at the moment; `None`: there is no such thing (nginx: not found).
pub type Value<'r> = Option<&'r [u8]>;

/// What variables are about.
pub trait Subject<'r> {
    fn scratch(&self) -> &'r Scratch;

    fn variable(&self, id: VarId) -> Value<'r>;

    /// `$1` to `$9`
    fn capture(&self, number: u8) -> Value<'r>;

    /// Whether `text` is what the pattern describes; then its groups are `$1` to `$9` and
    /// its names are variables.
    fn matches(&self, pattern: &'r Pattern, text: &'r [u8]) -> bool;

    /// One part of a text; what is not there is empty.
    #[inline(always)]
    fn part(&self, part: &'r Part) -> &'r [u8] {
        match part {
            Part::Text(text) => text,
            Part::Variable(id) => self.variable(*id).unwrap_or_default(),
            Part::Capture(number) => self.capture(*number).unwrap_or_default(),
        }
    }

    /// The text with the values of this moment; `None` when there is no room for them.
    fn render(&self, text: &'r Template) -> Option<&'r [u8]> {
        const AT_ONCE: usize = 16;
        let scratch = self.scratch();
        let parts = text.parts();
        let mut done: &[u8] = match parts.first() {
            Some(first) => self.part(first),
            None => b"",
        };
        for parts in parts.get(1..).unwrap_or_default().chunks(AT_ONCE - 1) {
            let mut pieces: [&[u8]; AT_ONCE] = [b""; AT_ONCE];
            pieces[0] = done;
            for (piece, part) in pieces[1..].iter_mut().zip(parts) {
                *piece = self.part(part);
            }
            done = scratch.concat(&pieces)?;
        }
        (!scratch.is_exhausted()).then_some(done)
    }

    /// Writes the text.
    fn put(&self, text: &'r Template, out: &mut Writer<'_>) {
        text.parts().iter().for_each(|part| out.put(self.part(part)));
    }

    /// Writes a value into the scratch room; at most `most` bytes.
    #[inline(always)]
    fn made(&self, most: usize, write: impl FnOnce(&mut Writer<'_>)) -> Value<'r>
    where
        Self: Sized,
    {
        self.scratch().write(most, |room| {
            let mut out = Writer::new(room);
            write(&mut out);
            out.len()
        })
    }
}
