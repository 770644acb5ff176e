//! The instructions that an expression becomes.
use super::node::Assert;
use super::region::{Look, Region};
use super::set::{self, Set};

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
    Match,
    Fail,
}

/// An expression's code. No way leads from an instruction back to itself
/// without taking a byte; all that runs it rests on it.
#[derive(Debug)]
pub struct Program {
    pub code: Box<[Inst]>,
    pub sets: Box<[Set]>,
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
    /// The largest delay of a region.
    pub delay: usize,
    /// The furthest that a look goes back.
    pub back: usize,
    /// The furthest reach of a region; None: to the end of the text.
    pub reach: Option<usize>,
    pub hints: Hints,
}

/// Where a match can begin.
#[derive(Debug)]
pub struct Hints {
    /// At the start of the text only.
    pub anchored: bool,
    /// With one of these bytes.
    pub first: Option<First>,
    /// With so many bytes left, at least.
    pub least: usize,
    /// With so many bytes left, at most.
    pub most: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub enum First {
    Byte(u8),
    Set(Set),
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
            | Inst::Mark(_, next) => (Some(next), None),
            Inst::Split(first, second)
            | Inst::Choose(_, first, second)
            | Inst::Guard(_, first, second) => (Some(first), Some(second)),
            Inst::Match | Inst::Fail => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl Program {
    #[inline(always)]
    pub fn inst(&self, pc: Pc) -> Inst {
        self.code.get(pc as usize).copied().unwrap_or(Inst::Fail)
    }

    #[inline(always)]
    pub fn set_has(&self, set: u16, byte: u8) -> bool {
        self.sets.get(usize::from(set)).is_some_and(|set| set.has(byte))
    }

    /// Whether the next byte is one of the set.
    #[inline(always)]
    pub fn set_is_next(&self, set: u16, text: &[u8], at: usize) -> bool {
        text.get(at).is_some_and(|byte| self.set_has(set, *byte))
    }
}

impl Assert {
    /// Whether it holds at `at`.
    pub fn holds(self, text: &[u8], at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| text.get(at)).copied();
        let after = text.get(at).copied();
        let is_word = |byte: Option<u8>| byte.is_some_and(|byte| set::WORD.has(byte));
        match self {
            Assert::Start => at == 0,
            Assert::End => at == text.len(),
            Assert::EndOrNewline => {
                at == text.len() || (at + 1 == text.len() && after == Some(b'\n'))
            }
            Assert::LineStart => at == 0 || (before == Some(b'\n') && at < text.len()),
            Assert::LineEnd => at == text.len() || after == Some(b'\n'),
            Assert::WordBoundary => is_word(before) != is_word(after),
            Assert::NotWordBoundary => is_word(before) == is_word(after),
        }
    }
}
