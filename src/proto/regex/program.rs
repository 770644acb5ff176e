//! The instructions that an expression becomes.
use super::node::Assert;
use super::region::{Look, Region};
use super::set::{self, Set};
use crate::text::scan;

/// Where an instruction is.
pub type Pc = u32;

#[derive(Clone, Copy, Debug)]
pub enum Inst {
    /// Takes this byte.
    Byte(u8, Pc),
    /// Takes a byte of the set of this number.
    Set(u16, Pc),
    /// Tries the first way, then the second.
    Split(Pc, Pc),
    /// Goes the first way if the next byte is of the set, otherwise the second.
    Choose(u16, Pc, Pc),
    /// Goes the first way if the row's bit is set, otherwise the second.
    Guard(u16, Pc, Pc),
    /// Goes on if this look around holds.
    Look(u16, Pc),
    /// Records the place.
    Save(u8, Pc),
    Assert(Assert, Pc),
    /// Several ways lead here: what failed from here once need not be tried
    /// again in the same place.
    Mark(u32, Pc),
    /// Takes all bytes of the set that come, and then goes on; there is a mark
    /// before each of them. It has no way out while such a byte comes.
    Run(u16, u32, Pc),
    /// Takes the bytes of the literal of this number and goes the second way.
    /// The first way takes them one by one.
    Literal(u16, Pc, Pc),
    Match,
    Fail,
}

/// An expression's code. No way leads from an instruction back to itself
/// without taking a byte; all that runs it rests on it.
#[derive(Debug)]
pub struct Program {
    pub code: Box<[Inst]>,
    pub sets: Box<[Set]>,
    /// The byte that a set has not, if it is one.
    pub stops: Box<[Option<u8>]>,
    pub literals: Box<[Box<[u8]>]>,
    pub start: Pc,
    /// How many `Mark`s there are.
    pub marks: usize,
    /// How many places are recorded: two for each group, and one for each look
    /// around that captures.
    pub slots: usize,
    pub looks: Box<[Look]>,
    /// Inner ones first.
    pub regions: Box<[Region]>,
    pub rows: usize,
    /// Steps of all regions.
    pub steps: usize,
    /// The furthest that a look goes back.
    pub back: usize,
    /// The furthest reach of a region; None: to the end of the text.
    pub reach: Option<usize>,
    pub hints: Hints,
}

/// The mark of a `Run` that has none.
pub const NO_MARK: u32 = u32::MAX;

/// Where a match can begin.
#[derive(Debug)]
pub struct Hints {
    /// At the start of the text only.
    pub anchored: bool,
    /// At the start of a line only: it begins with `.*`.
    pub lines: bool,
    /// With one of these bytes.
    pub first: Option<First>,
    /// With so many bytes left, at least.
    pub least: usize,
    /// With so many bytes left, at most.
    pub most: Option<usize>,
    /// If the text ends so, but for a newline.
    pub last: Option<Set>,
}

#[derive(Clone, Copy, Debug)]
pub enum First {
    Byte(u8),
    Set(Set),
}

impl Hints {
    /// Whether the end of the text leaves room for a match.
    #[inline]
    pub fn allow(&self, text: &[u8]) -> bool {
        match (&self.last, text.last()) {
            _ if text.len() < self.least => false,
            (Some(last), Some(byte)) => last.has(*byte) || *byte == b'\n',
            _ => true,
        }
    }

    /// The first place from `at` on where a match may begin.
    pub fn next_start(&self, text: &[u8], at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        match self.first {
            _ if self.anchored => (at == 0).then_some(0),
            _ if self.lines && at == 0 => Some(0),
            _ if self.lines => {
                let newline = scan::byte(text.get(at - 1..)?, b'\n')?;
                Some(at + newline)
            }
            None => Some(at),
            Some(First::Byte(byte)) => Some(at + scan::byte(rest, byte)?),
            Some(First::Set(set)) => Some(at + rest.iter().position(|byte| set.has(*byte))?),
        }
    }
}

impl Inst {
    /// Where it leads.
    pub fn ways(&self) -> impl Iterator<Item = Pc> + use<> {
        let (first, second) = match *self {
            Inst::Byte(_, next)
            | Inst::Set(_, next)
            | Inst::Look(_, next)
            | Inst::Save(_, next)
            | Inst::Assert(_, next)
            | Inst::Mark(_, next)
            | Inst::Run(_, _, next) => (Some(next), None),
            Inst::Split(first, second)
            | Inst::Choose(_, first, second)
            | Inst::Guard(_, first, second)
            | Inst::Literal(_, first, second) => (Some(first), Some(second)),
            Inst::Match | Inst::Fail => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// Lets it lead elsewhere.
    pub fn redirect(&mut self, to: impl Fn(Pc) -> Pc) {
        match self {
            Inst::Byte(_, next)
            | Inst::Set(_, next)
            | Inst::Look(_, next)
            | Inst::Save(_, next)
            | Inst::Assert(_, next)
            | Inst::Mark(_, next)
            | Inst::Run(_, _, next) => *next = to(*next),
            Inst::Split(first, second)
            | Inst::Choose(_, first, second)
            | Inst::Guard(_, first, second)
            | Inst::Literal(_, first, second) => {
                *first = to(*first);
                *second = to(*second);
            }
            Inst::Match | Inst::Fail => {}
        }
    }
}

impl Program {
    #[inline(always)]
    pub fn inst(&self, pc: Pc) -> &Inst {
        self.code.get(pc as usize).unwrap_or(&Inst::Fail)
    }

    #[inline(always)]
    pub fn set_has(&self, set: u16, byte: u8) -> bool {
        self.sets.get(usize::from(set)).is_some_and(|set| set.has(byte))
    }

    /// Where the literal ends that begins at `at`.
    #[inline(always)]
    pub fn literal_end(&self, literal: u16, text: &[u8], at: usize) -> Option<usize> {
        let literal = self.literals.get(usize::from(literal))?;
        let end = at + literal.len();
        scan::same(text.get(at..end)?, literal).then_some(end)
    }

    /// Whether the next byte is one of the set.
    #[inline(always)]
    pub fn set_is_next(&self, set: u16, text: &[u8], at: usize) -> bool {
        text.get(at).is_some_and(|byte| self.set_has(set, *byte))
    }

    /// Whether the part of an expression at `pc` matches at `at`. There are few
    /// ways through it ([`region::is_small`](super::region::is_small)).
    pub fn fits(&self, mut pc: Pc, text: &[u8], mut at: usize) -> bool {
        loop {
            pc = match *self.inst(pc) {
                Inst::Byte(byte, next) if text.get(at) == Some(&byte) => {
                    at += 1;
                    next
                }
                Inst::Set(set, next) if self.set_is_next(set, text, at) => {
                    at += 1;
                    next
                }
                Inst::Split(first, second) => {
                    if self.fits(first, text, at) {
                        return true;
                    }
                    second
                }
                Inst::Choose(set, first, second) => {
                    if self.set_is_next(set, text, at) {
                        first
                    } else {
                        second
                    }
                }
                Inst::Assert(assert, next) if assert.holds(text, at) => next,
                Inst::Save(_, next) | Inst::Mark(_, next) | Inst::Literal(_, next, _) => next,
                inst => return matches!(inst, Inst::Match),
            }
        }
    }
}

impl Assert {
    /// Whether it holds at `at`.
    #[inline]
    pub fn holds(self, text: &[u8], at: usize) -> bool {
        let left = text.len().saturating_sub(at);
        match self {
            Assert::Start => at == 0,
            Assert::End => left == 0,
            Assert::EndOrNewline => left == 0 || (left == 1 && text.last() == Some(&b'\n')),
            Assert::LineStart => at == 0 || (before(text, at) == Some(b'\n') && left > 0),
            Assert::LineEnd => left == 0 || text.get(at) == Some(&b'\n'),
            Assert::WordBoundary => is_boundary(text, at),
            Assert::NotWordBoundary => !is_boundary(text, at),
        }
    }
}

fn before(text: &[u8], at: usize) -> Option<u8> {
    text.get(at.checked_sub(1)?).copied()
}

fn is_boundary(text: &[u8], at: usize) -> bool {
    let is_word = |byte: Option<u8>| byte.is_some_and(|byte| set::WORD.has(byte));
    is_word(before(text, at)) != is_word(text.get(at).copied())
}
