//! The instructions that an expression becomes.
use super::node::Assert;
use super::set::Set;

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
/// without taking a byte; both machines rest on it.
#[derive(Debug)]
pub struct Program {
    pub code: Box<[Inst]>,
    pub sets: Box<[Set]>,
    pub start: Pc,
    /// How many `Mark`s there are.
    pub marks: usize,
    /// How many places are recorded: two for each group.
    pub slots: usize,
    /// It can match at the start of the text only.
    pub anchored: bool,
}

impl Program {
    #[inline]
    pub fn inst(&self, pc: Pc) -> Inst {
        self.code.get(pc as usize).copied().unwrap_or(Inst::Fail)
    }

    #[inline]
    pub fn set_has(&self, set: u16, byte: u8) -> bool {
        self.sets.get(usize::from(set)).is_some_and(|set| set.has(byte))
    }
}

impl Assert {
    /// Whether it holds at `at`.
    pub fn holds(self, text: &[u8], at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| text.get(at)).copied();
        let after = text.get(at).copied();
        let is_word = |byte: Option<u8>| byte.is_some_and(|byte| super::set::WORD.has(byte));
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
