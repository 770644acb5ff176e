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
#![allow(dead_code, reason = "written before the directives that use it")]
mod class;
mod compile;
mod escape;
mod group;
mod node;
mod parse;
mod pike;
mod program;
mod set;
#[cfg(test)]
mod tests;

use pike::Threads;
use program::Program;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captures {
    /// Begin and end of each group in turn; `NOWHERE` if it is unset.
    slots: [usize; 2 * CAPTURES],
}

const NOWHERE: usize = usize::MAX;

/// The memory of a match. It grows at configuration time only.
#[derive(Debug, Default)]
pub struct Scratch {
    threads: Threads,
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
    /// for this expression; without, it does so now.
    pub fn exec(&self, scratch: &mut Scratch, text: &[u8], captures: &mut Captures) -> bool {
        scratch.reserve_for(self);
        pike::run(&self.program, &mut scratch.threads, text, &mut captures.slots)
    }

    pub fn is_match(&self, scratch: &mut Scratch, text: &[u8]) -> bool {
        self.exec(scratch, text, &mut Captures::default())
    }
}

impl Captures {
    /// Where group `index` is; 0 is the whole match.
    pub fn get(&self, index: usize) -> Option<Range<usize>> {
        match self.slots.chunks_exact(2).nth(index)? {
            [start, end] if *end != NOWHERE => Some(*start..*end),
            _ => None,
        }
    }
}

impl Default for Captures {
    fn default() -> Captures {
        Captures { slots: [NOWHERE; 2 * CAPTURES] }
    }
}

impl Scratch {
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Makes room for matching `regex`, so that matching never does.
    pub fn reserve_for(&mut self, regex: &Regex) {
        self.threads.reserve_for(&regex.program);
    }
}
