//! All ways of matching at once, a byte at a time.
//!
//! A thread is one way that still may match: where it is in the program, and
//! what it recorded. Threads are in the order in which PCRE would try them, and
//! two never stand at the same mark: the later one could only do what the
//! earlier does.
use super::program::{Inst, NO_MARK, Pc, Program};
use super::rows::Rows;
use super::{NOWHERE, Scratch};

#[derive(Debug, Default)]
pub struct Threads {
    now: List,
    next: List,
    /// The place in which each mark was last passed, plus one.
    marks: Vec<usize>,
    stack: Vec<Task>,
    slots: Vec<usize>,
}

#[derive(Debug, Default)]
struct List {
    pcs: Vec<Pc>,
    slots: Vec<usize>,
}

#[derive(Debug)]
enum Task {
    Follow(Pc),
    Restore(u8, usize),
}

impl Threads {
    pub fn reserve_for(&mut self, program: &Program) {
        let size = program.code.len();
        for list in [&mut self.now, &mut self.next] {
            reserve(&mut list.pcs, size);
            reserve(&mut list.slots, size * program.slots);
        }
        reserve(&mut self.marks, program.marks);
        reserve(&mut self.stack, 2 * size);
        reserve(&mut self.slots, program.slots);
    }
}

fn reserve<T>(vec: &mut Vec<T>, size: usize) {
    vec.reserve(size.saturating_sub(vec.len()));
}

/// Looks for the first match; its slots are in `scratch`.
pub fn run(program: &Program, scratch: &mut Scratch, text: &[u8]) -> bool {
    let Scratch { threads, rows, slots: best, .. } = scratch;
    let Threads { now, next, marks, stack, slots } = threads;
    let mut walk = Walk { program, text, rows, marks, stack, slots };
    now.clear();
    walk.marks.clear();
    walk.marks.resize(program.marks, 0);
    let first = program.hints.most.map_or(0, |most| text.len().saturating_sub(most));
    let Some(mut start) = program.hints.next_start(text, first) else {
        return false;
    };
    let (mut found, mut at) = (false, start);
    loop {
        if !found && at == start {
            walk.slots.clear();
            walk.slots.resize(program.slots, NOWHERE);
            walk.follow(now, program.start, at);
        }
        next.clear();
        for (index, pc) in now.pcs.iter().enumerate() {
            let own = now.slots.get(index * program.slots..).unwrap_or_default();
            let own = own.get(..program.slots).unwrap_or_default();
            if matches!(program.inst(*pc), Inst::Match) {
                // The threads behind would have been tried later.
                best.clear();
                best.extend_from_slice(own);
                found = true;
                break;
            }
            if let Some(then) = walk.take(*pc, at) {
                walk.slots.clear();
                walk.slots.extend_from_slice(own);
                walk.follow(next, then, at + 1);
            }
        }
        std::mem::swap(now, next);
        at += 1;
        if at > start && !found {
            start = program.hints.next_start(text, at).unwrap_or(usize::MAX);
        }
        if now.pcs.is_empty() {
            // No thread is left, so nothing happens before the next one begins.
            if found || start > text.len() {
                return found;
            }
            at = start;
        }
    }
}

struct Walk<'a> {
    program: &'a Program,
    text: &'a [u8],
    rows: &'a mut Rows,
    marks: &'a mut Vec<usize>,
    stack: &'a mut Vec<Task>,
    slots: &'a mut Vec<usize>,
}

impl Walk<'_> {
    /// Where the instruction leads that takes the byte at `at`.
    fn take(&self, pc: Pc, at: usize) -> Option<Pc> {
        let byte = *self.text.get(at)?;
        match *self.program.inst(pc) {
            Inst::Byte(wanted, next) if byte == wanted => Some(next),
            Inst::Set(set, next) if self.program.set_has(set, byte) => Some(next),
            Inst::Run(..) => Some(pc),
            _ => None,
        }
    }

    /// Adds the threads that `pc` leads to without taking a byte, in order.
    fn follow(&mut self, list: &mut List, pc: Pc, at: usize) {
        self.stack.clear();
        self.stack.push(Task::Follow(pc));
        while let Some(task) = self.stack.pop() {
            match task {
                Task::Follow(pc) => self.follow_one(list, pc, at),
                Task::Restore(slot, place) => self.set(slot, place),
            }
        }
    }

    fn follow_one(&mut self, list: &mut List, mut pc: Pc, at: usize) {
        loop {
            pc = match *self.program.inst(pc) {
                Inst::Mark(mark, next) if self.pass(mark, at) => next,
                Inst::Run(set, mark, next) if mark == NO_MARK || self.pass(mark, at) => {
                    if self.program.set_is_next(set, self.text, at) {
                        self.wait(list, pc);
                        return;
                    }
                    next
                }
                Inst::Split(first, second) => {
                    self.stack.push(Task::Follow(second));
                    first
                }
                Inst::Literal(_, first, _) => first,
                Inst::Choose(set, first, second) => {
                    if self.program.set_is_next(set, self.text, at) { first } else { second }
                }
                Inst::Guard(row, first, second) => {
                    if self.rows.row(self.program, self.text, row, at) { first } else { second }
                }
                Inst::Look(look, next) if self.rows.look(self.program, self.text, look, at) => next,
                Inst::Save(slot, next) => {
                    let old = self.slots.get(usize::from(slot)).copied();
                    self.stack.push(Task::Restore(slot, old.unwrap_or(NOWHERE)));
                    self.set(slot, at);
                    next
                }
                Inst::Assert(assert, next) if assert.holds(self.text, at) => next,
                Inst::Byte(..) | Inst::Set(..) | Inst::Match => {
                    self.wait(list, pc);
                    return;
                }
                _ => return,
            }
        }
    }

    /// A thread that the next byte will tell about.
    fn wait(&self, list: &mut List, pc: Pc) {
        list.pcs.push(pc);
        list.slots.extend_from_slice(self.slots);
    }

    fn pass(&mut self, mark: u32, at: usize) -> bool {
        match self.marks.get_mut(mark as usize) {
            Some(passed) if *passed <= at => {
                *passed = at + 1;
                true
            }
            _ => false,
        }
    }

    fn set(&mut self, slot: u8, place: usize) {
        if let Some(slot) = self.slots.get_mut(usize::from(slot)) {
            *slot = place;
        }
    }
}

impl List {
    fn clear(&mut self) {
        self.pcs.clear();
        self.slots.clear();
    }
}
