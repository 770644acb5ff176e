//! Regular expressions as configurations write them: PCRE's syntax and PCRE's
//! choice of match, in time that is linear in the text.
//!
//! An expression becomes a program of a few kinds of instructions. Of all ways
//! to match, PCRE takes the one that its backtracking finds first; both machines
//! here follow the same order, but never look twice at the same instruction in
//! the same place. What cannot be had that way is refused by name: references to
//! what was captured, recursion, conditions.
//!
//! Matching allocates nothing and needs memory by the size of the program, not
//! of the text: it is in a [`Scratch`], which all expressions share.
mod around;
mod backtrack;
mod class;
mod compile;
mod escape;
mod group;
mod node;
mod parse;
mod pike;
mod program;
mod region;
mod rows;
mod set;
mod shape;
#[cfg(test)]
mod tests;

use pike::Threads;
use program::{Inst, Pc, Program};
use rows::Rows;
use std::ops::Range;

/// So many groups are recorded, the whole match among them. nginx knows `$0` to
/// `$9`; the rest are for groups with names.
pub const CAPTURES: usize = 32;

/// An expression, ready to match.
#[derive(Debug)]
pub struct Regex {
    program: Program,
    groups: usize,
    names: Box<[(Box<[u8]>, usize)]>,
}

/// Why an expression is refused, and where in it. The words are PCRE's, which
/// nginx prints, where PCRE refuses it as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub at: usize,
    pub text: String,
}

/// Where the groups of a match begin and end.
#[derive(Clone, Copy, Debug)]
pub struct Captures {
    /// Begin and end of each group in turn; `NOWHERE` if it is unset.
    slots: [usize; 2 * CAPTURES],
    /// How many of them are in use.
    length: usize,
}

const NOWHERE: usize = usize::MAX;

/// The memory of a match. It grows at configuration time only.
#[derive(Debug, Default)]
pub struct Scratch {
    memory: backtrack::Memory,
    threads: Threads,
    rows: Rows,
    slots: Vec<usize>,
}

impl Regex {
    pub fn new(pattern: &[u8], caseless: bool) -> Result<Regex, Error> {
        let parsed = parse::parse(pattern, caseless)?;
        if let Some((_, number)) = parsed.names.iter().find(|(_, number)| *number >= CAPTURES) {
            let text = format!("group {number} is named, and only {CAPTURES} are recorded");
            return Err(Error { at: 0, text });
        }
        let program = compile::compile(&parsed.node, parsed.groups)?;
        Ok(Regex { program, groups: parsed.groups, names: parsed.names.into() })
    }

    /// How many groups capture, without the whole match.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Name and number of each named group, in order of number.
    pub fn names(&self) -> &[(Box<[u8]>, usize)] {
        &self.names
    }

    /// Finds the first match and where its groups are. `scratch` has made room
    /// for this expression.
    pub fn exec(&self, scratch: &mut Scratch, text: &[u8], captures: &mut Captures) -> bool {
        let found = self.is_match(scratch, text);
        if found {
            self.record(scratch, text, captures);
        }
        found
    }

    /// Tells of the match that was found.
    fn record(&self, scratch: &mut Scratch, text: &[u8], captures: &mut Captures) {
        self.program.capture_looks(scratch, text);
        captures.length = 2 * (self.groups + 1).min(CAPTURES);
        let slots = scratch.slots.iter().take(captures.length);
        captures.slots.iter_mut().zip(slots).for_each(|(to, from)| *to = *from);
    }

    pub fn is_match(&self, scratch: &mut Scratch, text: &[u8]) -> bool {
        if !self.program.hints.allow(text) {
            return false;
        }
        if self.program.rows > 0 {
            // Without room the rows would answer wrongly; it was made before.
            scratch.rows.reserve_for(&self.program);
            scratch.rows.start();
        }
        backtrack::run(&self.program, scratch, text)
            .unwrap_or_else(|| pike::run(&self.program, scratch, text))
    }
}

impl Program {
    /// Fills the groups within looks that held.
    fn capture_looks(&self, scratch: &mut Scratch, text: &[u8]) {
        // Inner looks come first in the list, and their places are found last.
        for look in self.looks.iter().rev() {
            let place = look.place.and_then(|slot| scratch.slots.get(usize::from(slot)));
            let Some(place) = place.copied().filter(|place| *place != NOWHERE) else {
                continue;
            };
            for branch in &look.branches {
                let (Some(row), Some(at)) = (branch.row, place.checked_sub(branch.back)) else {
                    continue;
                };
                if scratch.rows.row(self, text, row, at) {
                    self.walk(scratch, text, branch.entry, at);
                    break;
                }
            }
        }
    }

    /// Goes a way that is known to lead to a match, and records it.
    fn walk(&self, scratch: &mut Scratch, text: &[u8], mut pc: Pc, mut at: usize) {
        loop {
            pc = match *self.inst(pc) {
                Inst::Byte(_, next) | Inst::Set(_, next) => {
                    at += 1;
                    next
                }
                Inst::Choose(set, first, second) => {
                    if self.set_is_next(set, text, at) {
                        first
                    } else {
                        second
                    }
                }
                Inst::Guard(row, first, second) => {
                    if scratch.rows.row(self, text, row, at) {
                        first
                    } else {
                        second
                    }
                }
                Inst::Run(set, _, next) => {
                    while self.set_is_next(set, text, at) {
                        at += 1;
                    }
                    next
                }
                Inst::Save(slot, next) => {
                    if let Some(place) = scratch.slots.get_mut(usize::from(slot)) {
                        *place = at;
                    }
                    next
                }
                Inst::Assert(_, next)
                | Inst::Look(_, next)
                | Inst::Mark(_, next)
                | Inst::Literal(_, next, _) => next,
                Inst::Split(..) | Inst::Match | Inst::Fail => return,
            }
        }
    }
}

impl Captures {
    /// Where group `index` is; 0 is the whole match.
    pub fn get(&self, index: usize) -> Option<Range<usize>> {
        match self.slots.get(..self.length)?.chunks_exact(2).nth(index)? {
            [start, end] if *end != NOWHERE => Some(*start..*end),
            _ => None,
        }
    }
}

impl Default for Captures {
    fn default() -> Captures {
        Captures { slots: [NOWHERE; 2 * CAPTURES], length: 0 }
    }
}

impl Scratch {
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Makes room for matching `regex`, so that matching never does.
    pub fn reserve_for(&mut self, regex: &Regex) {
        self.memory.reserve_for(&regex.program);
        self.threads.reserve_for(&regex.program);
        self.rows.reserve_for(&regex.program);
        self.slots.reserve(regex.program.slots.saturating_sub(self.slots.len()));
    }
}
