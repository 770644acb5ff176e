//! What is done to code once it is whole: marks where ways meet, and choices
//! where the next byte tells which way cannot match.
use super::node::{Assert, Node};
use super::program::{First, Hints, Inst, NO_MARK, Pc};
use super::region;
use super::set::{NEWLINE, Set, Sets};

/// Puts a `Mark` where several ways meet. What it stood for goes to the end.
pub fn mark(code: &mut Vec<Inst>, entries: &[Pc]) -> usize {
    let mut ways = vec![0u32; code.len()];
    let edges = code.iter().flat_map(Inst::ways).chain(entries.iter().copied());
    for pc in edges {
        if let Some(ways) = ways.get_mut(pc as usize) {
            *ways += 1;
        }
    }
    let mut marks = 0;
    for (at, ways) in ways.into_iter().enumerate() {
        if ways > 1 && !matches!(code[at], Inst::Match | Inst::Fail) {
            code.push(code[at]);
            code[at] = Inst::Mark(marks, code.len() as Pc - 1);
            marks += 1;
        }
    }
    marks as usize
}

/// What may come next where a way still can match: a byte of the set, or the
/// end of the text.
#[derive(Clone, Copy)]
struct Next {
    bytes: Set,
    end: bool,
}

impl Next {
    const NONE: Next = Next { bytes: Set::NONE, end: false };
    const ANY: Next = Next { bytes: Set::ALL, end: true };

    fn or(self, other: Next) -> Next {
        Next { bytes: self.bytes.or(other.bytes), end: self.end || other.end }
    }

    fn only(self, bytes: Set) -> Next {
        Next { bytes: self.bytes.and(bytes), end: self.end }
    }
}

/// Looks one byte ahead at each split, and says where matches can begin.
pub fn choose(code: &mut Vec<Inst>, sets: &mut Sets, entries: &[Pc], node: &Node) -> Hints {
    let size = code.len();
    let mut nexts = vec![Next::NONE; size];
    for entry in entries {
        for pc in region::order(code, *entry, &(0..size as Pc)) {
            nexts[pc as usize] = next(code[pc as usize], &nexts, sets);
        }
    }
    for at in 0..size {
        let Inst::Split(first, second) = code[at] else {
            continue;
        };
        let (one, two) = (nexts[first as usize], nexts[second as usize]);
        let apart = !(one.bytes.meets(&two.bytes) || (one.end && two.end));
        code[at] = if apart && !one.end {
            Inst::Choose(sets.number(one.bytes), first, second)
        } else if apart {
            Inst::Choose(sets.number(two.bytes), second, first)
        } else {
            let split = code.len() as Pc;
            let choice = match (one, two) {
                _ if !one.end && one.bytes.count() <= two.bytes.count() => {
                    Inst::Choose(sets.number(one.bytes), split, second)
                }
                _ if !two.end => Inst::Choose(sets.number(two.bytes), split, first),
                _ if !one.end => Inst::Choose(sets.number(one.bytes), split, second),
                _ => continue,
            };
            code.push(code[at]);
            choice
        };
    }
    let (least, most) = node.lengths();
    let ends = node.ends_at_end();
    // The last newline may be left over.
    let most = most.filter(|_| ends).map(|most| most.saturating_add(1));
    let last = node.last().filter(|_| ends);
    let begin = entries.first().and_then(|start| nexts.get(*start as usize));
    let begin = begin.copied().unwrap_or(Next::ANY);
    let first = match begin.bytes.single() {
        _ if begin.end || begin.bytes == Set::ALL => None,
        Some(byte) => Some(First::Byte(byte)),
        None => Some(First::Set(begin.bytes)),
    };
    Hints { anchored: node.is_anchored(), lines: node.takes_line(), first, least, most, last }
}

/// What may come next at an instruction, given that for what it leads to.
fn next(inst: Inst, nexts: &[Next], sets: &Sets) -> Next {
    let of = |pc: Pc| nexts.get(pc as usize).copied().unwrap_or(Next::ANY);
    match inst {
        Inst::Byte(byte, _) => Next { bytes: Set::of(&[byte]), end: false },
        Inst::Set(set, _) => Next { bytes: sets.get(set), end: false },
        Inst::Split(first, second) | Inst::Guard(_, first, second) => of(first).or(of(second)),
        Inst::Choose(set, first, second) => {
            let (first, second) = (of(first), of(second));
            let taken = first.bytes.and(sets.get(set));
            second.only(sets.get(set).not()).or(Next { bytes: taken, end: false })
        }
        Inst::Assert(assert, then) => match assert {
            Assert::End => of(then).only(Set::NONE),
            Assert::EndOrNewline | Assert::LineEnd => of(then).only(NEWLINE),
            _ => of(then),
        },
        Inst::Look(_, then) | Inst::Save(_, then) | Inst::Mark(_, then) | Inst::Run(_, _, then) => {
            of(then)
        }
        Inst::Match => Next::ANY,
        // Literals are made later.
        Inst::Literal(..) | Inst::Fail => Next::NONE,
    }
}

/// Makes one instruction of what loops over a set take surely: bytes with which
/// no other way can match.
pub fn runs(code: &mut [Inst], sets: &mut Sets) {
    for head in 0..code.len() {
        let Inst::Mark(mark, choice) = code[head] else {
            continue;
        };
        let Inst::Choose(set, first, second) = code[choice as usize] else {
            continue;
        };
        let turn = |pc: Pc| match code[pc as usize] {
            Inst::Set(taken, next) if next as usize == head => Some(sets.get(taken)),
            Inst::Byte(byte, next) if next as usize == head => Some(Set::of(&[byte])),
            _ => None,
        };
        let deciding = sets.get(set);
        if turn(first) == Some(deciding) {
            code[head] = Inst::Run(set, mark, second);
        } else if let Some(taken) = turn(second) {
            let sure = sets.number(taken.and(deciding.not()));
            code[head] = Inst::Run(sure, mark, choice);
        }
    }
}

/// Takes the marks away if there is never anything left to try.
pub fn unmark(code: &mut [Inst], start: &mut Pc) -> bool {
    let order = region::order(code, *start, &(0..code.len() as Pc));
    if order.iter().any(|pc| matches!(code[*pc as usize], Inst::Split(..))) {
        return false;
    }
    let after: Vec<Pc> = (0..code.len() as Pc)
        .map(|pc| match code[pc as usize] {
            Inst::Mark(_, next) => next,
            _ => pc,
        })
        .collect();
    for inst in code {
        if let Inst::Run(_, mark, _) = inst {
            *mark = NO_MARK;
        }
        inst.redirect(|pc| after[pc as usize]);
    }
    *start = after[*start as usize];
    true
}

/// Makes one instruction of each row of bytes, which stays for who takes them
/// one by one.
pub fn literals(code: &mut Vec<Inst>) -> Box<[Box<[u8]>]> {
    const SHORT: usize = 2;
    let size = code.len();
    let mut inside = vec![false; size];
    for inst in &*code {
        if let Inst::Byte(_, next) = inst {
            inside[*next as usize] = true;
        }
    }
    let mut literals: Vec<Box<[u8]>> = Vec::new();
    for head in (0..size).filter(|head| !inside[*head]) {
        let (mut bytes, mut after) = (Vec::new(), head as Pc);
        while let Inst::Byte(byte, next) = code[after as usize] {
            bytes.push(byte);
            after = next;
        }
        if bytes.len() >= SHORT {
            code.push(code[head]);
            code[head] = Inst::Literal(literals.len() as u16, code.len() as Pc - 1, after);
            literals.push(bytes.into());
        }
    }
    literals.into()
}
