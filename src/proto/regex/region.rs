//! A part of an expression of which it must be known, at any place of the text,
//! whether it can match from there: what looks around, and what is atomic.
//!
//! "Can" asks for no order and no captures, so it is found for all places in
//! one pass over the text from its end: from an instruction one can reach the
//! end of the region if one can from what follows it, here or a byte further.
//! [`rows`](super::rows) does that, and keeps the answers as rows of bits.
use super::node::Assert;
use super::program::{Inst, Pc};
use std::ops::Range;

#[derive(Debug)]
pub struct Region {
    /// Each refers only to earlier ones for the same place.
    pub steps: Box<[Step]>,
    /// Which steps' answers are kept, and in which rows.
    pub kept: Vec<(u32, u16)>,
}

/// An instruction as the pass sees it; numbers are those of steps.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The end of the region.
    Yes,
    No,
    Byte(u8, u32),
    Set(u16, u32),
    Either(u32, u32),
    Choose(u16, u32, u32),
    Guard(u16, u32, u32),
    Assert(Assert, u32),
    Look(u16, u32),
}

/// `(?=…)` and its kind.
#[derive(Debug)]
pub struct Look {
    pub branches: Box<[Branch]>,
    pub negative: bool,
    /// The slot that records where it held, if it captures.
    pub place: Option<u8>,
}

/// One way to match; only what looks behind has several.
#[derive(Clone, Copy, Debug)]
pub struct Branch {
    /// Its row; None: it is small, and tried when it is asked for.
    pub row: Option<u16>,
    /// So many bytes before the place.
    pub back: usize,
    pub entry: Pc,
}

/// The instructions of `inside` that `entry` leads to, each after those that it
/// leads to without taking a byte.
pub fn order(code: &[Inst], entry: Pc, inside: &Range<Pc>) -> Vec<Pc> {
    let mut seen = vec![false; code.len()];
    let (mut order, mut roots, mut stack) = (Vec::new(), vec![entry], Vec::new());
    while let Some(root) = roots.pop() {
        stack.push((root, false));
        while let Some((pc, done)) = stack.pop() {
            if done {
                order.push(pc);
                continue;
            }
            let Some(inst) = code.get(pc as usize).filter(|_| inside.contains(&pc)) else {
                continue;
            };
            if std::mem::replace(&mut seen[pc as usize], true) {
                continue;
            }
            stack.push((pc, true));
            let next = inst.ways();
            match inst {
                Inst::Byte(..) | Inst::Set(..) => roots.extend(next),
                _ => stack.extend(next.map(|pc| (pc, false))),
            }
        }
    }
    order
}

/// The steps of the code that `order` lists, and the number of each
/// instruction's; whatever is elsewhere is step 0, the end.
pub fn steps(code: &[Inst], order: &[Pc]) -> (Vec<Step>, Vec<u32>) {
    let mut numbers = vec![0; code.len()];
    let mut steps = vec![Step::Yes];
    let of = |numbers: &[u32], pc: Pc| numbers.get(pc as usize).copied().unwrap_or(0);
    // What is led to by a byte may come later, so numbers are given first.
    let mut count = 0;
    for pc in order {
        numbers[*pc as usize] = match code[*pc as usize] {
            Inst::Save(_, next) => of(&numbers, next),
            _ => {
                count += 1;
                count
            }
        };
    }
    let number = |pc: Pc| of(&numbers, pc);
    steps.extend(order.iter().filter_map(|pc| {
        Some(match code[*pc as usize] {
            Inst::Byte(byte, next) => Step::Byte(byte, number(next)),
            Inst::Set(set, next) => Step::Set(set, number(next)),
            Inst::Split(first, second) => Step::Either(number(first), number(second)),
            Inst::Choose(set, first, second) => Step::Choose(set, number(first), number(second)),
            Inst::Guard(row, first, second) => Step::Guard(row, number(first), number(second)),
            Inst::Assert(assert, next) => Step::Assert(assert, number(next)),
            Inst::Look(look, next) => Step::Look(look, number(next)),
            Inst::Save(..) => return None,
            Inst::Match => Step::Yes,
            // Marks, runs and literals are made later than regions.
            Inst::Mark(..) | Inst::Run(..) | Inst::Literal(..) | Inst::Fail => Step::No,
        })
    }));
    (steps, numbers)
}

/// The instruction that decides alone whether `pc` can reach the end of the
/// region `inside`, if there is one.
pub fn deciding(code: &[Inst], mut pc: Pc, inside: &Range<Pc>) -> Option<Inst> {
    loop {
        let inst = code.get(pc as usize).filter(|_| inside.contains(&pc))?;
        match inst {
            Inst::Save(_, next) => pc = *next,
            Inst::Byte(_, next) | Inst::Set(_, next) => {
                return is_sure(code, *next, inside).then_some(*inst);
            }
            _ => return None,
        }
    }
}

/// Whether the end of the region is reached from `pc` whatever comes.
pub fn is_sure(code: &[Inst], pc: Pc, inside: &Range<Pc>) -> bool {
    let (mut stack, mut steps) = (vec![pc], 0);
    while let Some(pc) = stack.pop() {
        let Some(inst) = code.get(pc as usize).filter(|_| inside.contains(&pc)) else {
            return true;
        };
        // Long ways are looked at when matching.
        steps += 1;
        match inst {
            _ if steps > 100 => return false,
            Inst::Save(..) | Inst::Split(..) => stack.extend(inst.ways()),
            Inst::Match => return true,
            _ => {}
        }
    }
    false
}

/// Instructions that are tried at most to see whether what is small matches,
/// and so bytes that it looks at.
pub const SMALL: usize = 256;

/// Whether all ways from `pc` to a match come to few instructions, none of
/// which asks for rows.
pub fn is_small(code: &[Inst], pc: Pc) -> bool {
    let (mut stack, mut tried) = (vec![pc], 0);
    while let Some(pc) = stack.pop() {
        tried += 1;
        match code.get(pc as usize) {
            _ if tried > SMALL => return false,
            None | Some(Inst::Look(..) | Inst::Guard(..)) => return false,
            Some(inst) => stack.extend(inst.ways()),
        }
    }
    true
}
