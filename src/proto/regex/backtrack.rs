//! One way of matching after the other, as PCRE tries them, but none twice from
//! the same mark in the same place.
//!
//! It is the quicker machine, and for texts that its memory suffices for: a bit
//! for each mark and place, and a stack of what is left to try. Other texts are
//! for [`pike`](super::pike).
use super::program::{Inst, NO_MARK, Pc, Program};
use super::rows::{Rows, WINDOW};
use super::{NOWHERE, Scratch};
use crate::text::scan;

/// Bits for marks passed.
const BITS: usize = 256 * 1024;
/// What is left to try, at most.
const LEFT: usize = 4096;

#[derive(Debug, Default)]
pub struct Memory {
    passed: Vec<u64>,
    left: Vec<Left>,
}

#[derive(Clone, Copy, Debug)]
enum Left {
    /// The other way of a split, and its place.
    Try(Pc, u32),
    /// What a slot had.
    Restore(u8, usize),
}

/// What a run came to; `None` if the memory did not suffice.
pub type Outcome = Option<bool>;

impl Memory {
    pub fn reserve_for(&mut self, program: &Program) {
        if program.marks > 0 {
            let words = BITS / 64;
            self.passed.reserve(words.saturating_sub(self.passed.len()));
        }
        self.left.reserve(LEFT.saturating_sub(self.left.len()));
    }
}

/// Looks for the first match; its slots are in `scratch`.
pub fn run(program: &Program, scratch: &mut Scratch, text: &[u8]) -> Outcome {
    let bits = program.marks.checked_mul(text.len() + 1)?;
    // Rows are for one window, since places are not asked for in their order.
    if bits > BITS || (program.rows > 0 && text.len() >= WINDOW / 2) {
        return None;
    }
    let Scratch { memory, rows, slots, .. } = scratch;
    let Memory { passed, left } = memory;
    let words = bits.div_ceil(64);
    if passed.len() < words {
        passed.resize(words, 0);
    }
    passed[..words].fill(0);
    let mut run = Run { program, text, rows, passed, left, slots };
    let hints = &program.hints;
    let last = text.len().checked_sub(hints.least);
    let Some(last) = last else {
        return Some(false);
    };
    let mut at = hints.most.map_or(0, |most| text.len().saturating_sub(most));
    while let Some(start) = hints.next_start(text, at).filter(|start| *start <= last) {
        if run.attempt(start)? {
            return Some(true);
        }
        at = start + 1;
    }
    Some(false)
}

struct Run<'a> {
    program: &'a Program,
    text: &'a [u8],
    rows: &'a mut Rows,
    passed: &'a mut Vec<u64>,
    left: &'a mut Vec<Left>,
    slots: &'a mut Vec<usize>,
}

impl Run<'_> {
    /// Whether there is a match that begins at `at`.
    fn attempt(&mut self, at: usize) -> Outcome {
        self.left.clear();
        self.slots.clear();
        self.slots.resize(self.program.slots, NOWHERE);
        if self.go(self.program.start, at)? {
            return Some(true);
        }
        while let Some(left) = self.left.pop() {
            match left {
                Left::Try(pc, at) => {
                    if self.go(pc, at as usize)? {
                        return Some(true);
                    }
                }
                Left::Restore(slot, place) => self.set(slot, place),
            }
        }
        Some(false)
    }

    /// Follows one way to its end.
    #[inline]
    fn go(&mut self, mut pc: Pc, mut at: usize) -> Outcome {
        let (program, text) = (self.program, self.text);
        loop {
            pc = match *program.inst(pc) {
                Inst::Byte(wanted, next) if text.get(at) == Some(&wanted) => {
                    at += 1;
                    next
                }
                Inst::Set(set, next) if program.set_is_next(set, text, at) => {
                    at += 1;
                    next
                }
                Inst::Literal(literal, _, next) => {
                    at = match program.literal_end(literal, text, at) {
                        Some(end) => end,
                        None => return Some(false),
                    };
                    next
                }
                Inst::Choose(set, first, second) => {
                    if program.set_is_next(set, text, at) {
                        first
                    } else {
                        second
                    }
                }
                Inst::Run(set, mark, next) => {
                    at = match self.run(set, mark, at) {
                        Some(at) => at,
                        None => return Some(false),
                    };
                    next
                }
                Inst::Mark(mark, next) if self.pass(mark, at) => next,
                Inst::Split(first, second) => {
                    self.leave(Left::Try(second, at as u32))?;
                    first
                }
                Inst::Save(slot, next) => {
                    if !self.left.is_empty() {
                        let old = self.slots.get(usize::from(slot)).copied();
                        self.leave(Left::Restore(slot, old.unwrap_or(NOWHERE)))?;
                    }
                    self.set(slot, at);
                    next
                }
                Inst::Assert(assert, next) if assert.holds(text, at) => next,
                Inst::Guard(row, first, second) => {
                    if self.rows.row(program, text, row, at) {
                        first
                    } else {
                        second
                    }
                }
                Inst::Look(look, next) if self.rows.look(program, text, look, at) => next,
                Inst::Match => return Some(true),
                _ => return Some(false),
            }
        }
    }

    /// Where a `Run` ends; `None` if it comes to a mark that was passed.
    #[inline]
    fn run(&mut self, set: u16, mark: u32, mut at: usize) -> Option<usize> {
        let number = usize::from(set);
        let set = self.program.sets.get(number)?;
        let rest = self.text.get(at..)?;
        if mark == NO_MARK {
            let length = match self.program.stops.get(number)? {
                Some(stop) => scan::byte(rest, *stop),
                None => rest.iter().position(|byte| !set.has(*byte)),
            };
            return Some(at + length.unwrap_or(rest.len()));
        }
        for byte in rest {
            if !self.pass(mark, at) {
                return None;
            }
            if !set.has(*byte) {
                return Some(at);
            }
            at += 1;
        }
        self.pass(mark, at).then_some(at)
    }

    /// Passes a mark, the first time only.
    #[inline(always)]
    fn pass(&mut self, mark: u32, at: usize) -> bool {
        let bit = mark as usize * (self.text.len() + 1) + at;
        let Some(word) = self.passed.get_mut(bit / 64) else {
            return false;
        };
        let first = *word >> (bit % 64) & 1 == 0;
        *word |= 1 << (bit % 64);
        first
    }

    #[inline(always)]
    fn leave(&mut self, left: Left) -> Option<()> {
        if self.left.len() >= LEFT {
            return None;
        }
        self.left.push(left);
        Some(())
    }

    #[inline(always)]
    fn set(&mut self, slot: u8, place: usize) {
        if let Some(slot) = self.slots.get_mut(usize::from(slot)) {
            *slot = place;
        }
    }
}
