//! What can match from where: a row of bits for each question, made by passes
//! over the text from its end (see [`region`](super::region)).
//!
//! Rows are as long as a window. In a longer text places are asked for in their
//! order, and there is a pass for each window. It need not begin at the end: the
//! first one leaves checkpoints.
use super::program::Program;
use super::region::{Region, Step};

/// Places in a row.
pub const WINDOW: usize = 16 * 1024;
const WORDS: usize = WINDOW / 64;
/// So many, wherever the text ends: up to a megabyte there is one for each
/// window.
const CHECKPOINTS: usize = 64;

#[derive(Debug, Default)]
pub struct Rows {
    /// `WORDS` for each row; place `at` is at `at % WINDOW`.
    bits: Vec<u64>,
    /// The answers of all steps for the place of the pass, and for the one
    /// after it, by the place's parity.
    steps: [Vec<bool>; 2],
    /// The answers at each multiple of `spacing`.
    saved: Vec<bool>,
    /// Zero before the first pass.
    spacing: usize,
    /// What the rows tell about.
    from: usize,
    to: usize,
    /// How many places to find out about next.
    width: usize,
}

impl Rows {
    pub fn reserve_for(&mut self, program: &Program) {
        let steps = program.steps;
        for plane in &mut self.steps {
            plane.resize(plane.len().max(steps), false);
        }
        if program.reach.is_none() {
            self.saved.resize(self.saved.len().max(steps * CHECKPOINTS), false);
        }
        self.bits.resize(self.bits.len().max(program.rows * WORDS), 0);
    }

    /// Forgets the text before.
    pub fn start(&mut self) {
        (self.from, self.to, self.width, self.spacing) = (0, 0, 1, 0);
    }

    /// Whether `look` holds at `at`.
    pub fn look(&mut self, program: &Program, text: &[u8], look: u16, at: usize) -> bool {
        let Some(look) = program.looks.get(usize::from(look)) else {
            return false;
        };
        let mut branches = look.branches.iter();
        let holds = branches.any(|branch| match (branch.row, at.checked_sub(branch.back)) {
            (_, None) => false,
            (Some(row), Some(at)) => self.row(program, text, row, at),
            (None, Some(at)) => program.fits(branch.entry, text, at),
        });
        holds != look.negative
    }

    /// What `row` tells about `at`.
    #[inline]
    pub fn row(&mut self, program: &Program, text: &[u8], row: u16, at: usize) -> bool {
        if !(self.from..self.to).contains(&at) {
            self.find_out(program, text, at);
        }
        bit(&self.bits, row, at)
    }

    /// Makes a window with `at` in it: a small one at first, if that saves
    /// looking at all the text.
    fn find_out(&mut self, program: &Program, text: &[u8], at: usize) {
        let width = if program.reach.is_some() { self.width + program.back } else { WINDOW };
        let width = width.min(WINDOW);
        self.width = width.saturating_mul(4);
        self.from = if text.len() < width { 0 } else { at.saturating_sub(program.back) };
        self.to = self.from + width;
        let reached = program.reach.map_or(text.len(), |reach| self.to.saturating_add(reach));
        let top = text.len().min(reached);
        match self.spacing {
            0 => {
                if program.reach.is_none() {
                    self.spacing = WINDOW.max(text.len() / CHECKPOINTS + 1);
                }
                self.find_out_from(program, text, top);
            }
            spacing => match self.restore(program, self.to.div_ceil(spacing)) {
                Some(at) if at <= top => self.passes(program, text, at),
                _ => self.find_out_from(program, text, top),
            },
        }
    }

    /// Passes over the text from `top`, beyond which nothing matters.
    fn find_out_from(&mut self, program: &Program, text: &[u8], top: usize) {
        for plane in &mut self.steps {
            plane.iter_mut().take(program.steps).for_each(|answer| *answer = false);
        }
        self.passes(program, text, top + 1);
    }

    /// Passes over the window and what is between it and `to`, where the
    /// answers are known.
    fn passes(&mut self, program: &Program, text: &[u8], to: usize) {
        for at in (self.from..to).rev() {
            let mut offset = 0;
            for region in &program.regions {
                self.pass(program, text, region, offset, at);
                offset += region.steps.len();
            }
            if self.spacing > 0 && at.is_multiple_of(self.spacing) {
                self.save(program, at / self.spacing);
            }
        }
    }

    fn save(&mut self, program: &Program, number: usize) {
        let [even, odd] = &self.steps;
        let plane = if (number * self.spacing).is_multiple_of(2) { even } else { odd };
        let saved = self.saved.get_mut(number * program.steps..).unwrap_or_default();
        saved.iter_mut().zip(plane).take(program.steps).for_each(|(to, from)| *to = *from);
    }

    /// Takes the answers of a checkpoint: its place.
    fn restore(&mut self, program: &Program, number: usize) -> Option<usize> {
        let [even, odd] = &mut self.steps;
        let plane = if (number * self.spacing).is_multiple_of(2) { even } else { odd };
        let saved = self.saved.get(number * program.steps..(number + 1) * program.steps)?;
        plane.iter_mut().zip(saved).for_each(|(to, from)| *to = *from);
        Some(number * self.spacing)
    }

    /// The answers of a region at `at`; those for the next place are there.
    fn pass(&mut self, program: &Program, text: &[u8], region: &Region, offset: usize, at: usize) {
        let byte = text.get(at).copied();
        let takes = |set: u16| byte.is_some_and(|byte| program.set_has(set, byte));
        let Rows { bits, steps: [even, odd], .. } = self;
        let (here, next) = if at.is_multiple_of(2) { (even, odd) } else { (odd, even) };
        let range = offset..offset + region.steps.len();
        let (Some(here), Some(next)) = (here.get_mut(range.clone()), next.get(range)) else {
            return;
        };
        let of = |steps: &[bool], step: u32| steps.get(step as usize).is_some_and(|answer| *answer);
        for (index, step) in region.steps.iter().enumerate() {
            let answer = match *step {
                Step::Yes => true,
                Step::No => false,
                Step::Byte(wanted, then) => byte == Some(wanted) && of(next, then),
                Step::Set(set, then) => takes(set) && of(next, then),
                Step::Either(first, second) => of(here, first) || of(here, second),
                Step::Choose(set, first, second) => {
                    of(here, if takes(set) { first } else { second })
                }
                Step::Guard(row, first, second) => {
                    of(here, if bit(bits, row, at) { first } else { second })
                }
                Step::Assert(assert, then) => of(here, then) && assert.holds(text, at),
                Step::Look(look, then) => of(here, then) && known(program, bits, text, look, at),
            };
            if let Some(place) = here.get_mut(index) {
                *place = answer;
            }
        }
        for (step, row) in &region.kept {
            keep(bits, *row, at, of(here, *step));
        }
    }
}

fn bit(bits: &[u64], row: u16, at: usize) -> bool {
    let word = bits.get(usize::from(row) * WORDS + at % WINDOW / 64);
    word.is_some_and(|word| word >> (at % 64) & 1 != 0)
}

fn keep(bits: &mut [u64], row: u16, at: usize, answer: bool) {
    if let Some(word) = bits.get_mut(usize::from(row) * WORDS + at % WINDOW / 64) {
        *word = *word & !(1 << (at % 64)) | u64::from(answer) << (at % 64);
    }
}

/// `look` within a pass: its rows are ahead of it.
fn known(program: &Program, bits: &[u64], text: &[u8], look: u16, at: usize) -> bool {
    let Some(look) = program.looks.get(usize::from(look)) else {
        return false;
    };
    let mut branches = look.branches.iter();
    let holds = branches.any(|branch| match (branch.row, at.checked_sub(branch.back)) {
        (_, None) => false,
        (Some(row), Some(at)) => bit(bits, row, at),
        (None, Some(at)) => program.fits(branch.entry, text, at),
    });
    holds != look.negative
}
