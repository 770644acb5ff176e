//! From the tree of an expression to its program.
//!
//! Code is made from the end: each node is compiled with the places where its
//! matches go on. There are two of them, for matches that are empty and for
//! those that are not, since PCRE leaves a loop after an empty turn and goes
//! round after any other. What can be either, in a loop that can be empty, is
//! compiled once for each case. So no way leads back without taking a byte.
use super::node::{Count, Node};
use super::parse::Result;
use super::program::{Inst, Pc, Program};
use super::region::{Look, Region};
use super::set::{Set, Sets};
use super::{CAPTURES, Error, rows, shape};

/// Instructions of a program, at most. It bounds a match's time for each byte
/// of text, and its memory.
const SIZE: usize = 16 * 1024;
/// Steps of the compiler, at most: nodes of the tree times their repetitions.
const STEPS: usize = 16 * SIZE;

/// Where matches of a node go on.
#[derive(Clone, Copy)]
pub struct Exits {
    /// Empty ones.
    pub empty: Pc,
    /// Those that took a byte.
    pub taken: Pc,
}

#[derive(Default)]
pub struct Compiler {
    pub code: Vec<Inst>,
    pub sets: Sets,
    steps: usize,
    pub slots: usize,
    pub looks: Vec<Look>,
    pub regions: Vec<Region>,
    /// How far from a place a row's answer may depend on the text, for each row;
    /// None: to the end.
    pub rows: Vec<Option<usize>>,
    pub back: usize,
    /// How many repetitions are around.
    pub repeats: usize,
}

pub fn compile(node: &Node, groups: usize) -> Result<Program> {
    let slots = 2 * (groups + 1).min(CAPTURES);
    let mut compiler = Compiler { slots, ..Compiler::default() };
    let end = compiler.emit(Inst::Match)?;
    let close = compiler.emit(Inst::Save(1, end))?;
    let body = compiler.node(node, Exits { empty: close, taken: close })?;
    let mut start = compiler.emit(Inst::Save(0, body))?;
    compiler.decide_whole(start);
    let Compiler { mut code, mut sets, looks, regions, rows, back, slots, .. } = compiler;
    let reach = rows.iter().try_fold(0, |most: usize, reach| Some(most.max((*reach)?)));
    let steps = regions.iter().map(|region| region.steps.len()).sum();
    if back > rows::WINDOW / 2 {
        return refuse("lookbehind assertion is too long");
    }
    let branches = looks.iter().flat_map(|look| look.branches.iter());
    let mut entries = vec![start];
    entries.extend(branches.map(|branch| branch.entry));
    let mut marks = shape::mark(&mut code, &entries);
    let hints = shape::choose(&mut code, &mut sets, &entries, node);
    shape::runs(&mut code, &mut sets);
    if hints.anchored && shape::unmark(&mut code, &mut start) {
        marks = 0;
    }
    let literals = shape::literals(&mut code);
    let sets = sets.into_list();
    Ok(Program {
        code: code.into(),
        stops: sets.iter().map(|set| set.not().single()).collect(),
        sets,
        literals,
        start,
        marks,
        slots,
        looks: looks.into(),
        regions: regions.into(),
        rows: rows.len(),
        steps,
        back,
        reach,
        hints,
    })
}

impl Compiler {
    pub fn emit(&mut self, inst: Inst) -> Result<Pc> {
        if self.code.len() >= SIZE {
            return too_large();
        }
        self.code.push(inst);
        Ok(self.code.len() as Pc - 1)
    }

    /// Compiles `node`: where it begins.
    pub fn node(&mut self, node: &Node, exits: Exits) -> Result<Pc> {
        self.steps += 1;
        if self.steps > STEPS {
            return too_large();
        }
        match node {
            Node::Byte(set) => self.byte(set, exits.taken),
            Node::Assert(assert) => self.emit(Inst::Assert(*assert, exits.empty)),
            Node::Keep => self.emit(Inst::Save(0, exits.empty)),
            Node::Concat(nodes) => self.concat(nodes, exits),
            Node::Alternate(nodes) => self.alternate(nodes, exits),
            Node::Capture(group, node) if *group < CAPTURES => self.capture(*group, node, exits),
            Node::Capture(_, node) => self.node(node, exits),
            Node::Repeat(node, count) => self.repeat(node, *count, exits),
            Node::Atomic(node) => self.atomic(node, exits),
            Node::Look(look, node) => self.look(*look, node, exits),
        }
    }

    fn byte(&mut self, set: &Set, next: Pc) -> Result<Pc> {
        match set.single() {
            Some(byte) => self.emit(Inst::Byte(byte, next)),
            None if *set == Set::NONE => self.emit(Inst::Fail),
            None => {
                let set = self.sets.number(*set);
                self.emit(Inst::Set(set, next))
            }
        }
    }

    fn concat(&mut self, nodes: &[Node], exits: Exits) -> Result<Pc> {
        // Nodes after the first that takes a byte need no code for "nothing taken".
        let empty_ones = nodes.iter().take_while(|node| node.can_be_empty()).count();
        let Exits { mut empty, mut taken } = exits;
        for (at, node) in nodes.iter().enumerate().rev() {
            let same = empty == taken;
            let after = Exits { empty: taken, taken };
            let before = Exits { empty, taken };
            if same {
                taken = self.node(node, after)?;
                empty = taken;
                continue;
            }
            let (needs_empty, needs_taken) = (at <= empty_ones, at > 0);
            if needs_empty {
                empty = self.node(node, before)?;
            }
            if needs_taken {
                taken = self.node(node, after)?;
            }
        }
        Ok(empty)
    }

    fn alternate(&mut self, nodes: &[Node], exits: Exits) -> Result<Pc> {
        let mut entry = None;
        for node in nodes.iter().rev() {
            let this = self.node(node, exits)?;
            entry = Some(match entry {
                None => this,
                Some(others) => self.emit(Inst::Split(this, others))?,
            });
        }
        entry.map_or_else(|| self.emit(Inst::Fail), Ok)
    }

    fn capture(&mut self, group: usize, node: &Node, exits: Exits) -> Result<Pc> {
        let slot = 2 * group as u8;
        let empty = self.emit(Inst::Save(slot + 1, exits.empty))?;
        let taken = match exits.empty == exits.taken {
            true => empty,
            false => self.emit(Inst::Save(slot + 1, exits.taken))?,
        };
        let body = self.node(node, Exits { empty, taken })?;
        self.emit(Inst::Save(slot, body))
    }

    /// `x{2,4}` is `xx(?:x(?:x)?)?`, and `x{2,}` is `xx+`.
    fn repeat(&mut self, node: &Node, count: Count, exits: Exits) -> Result<Pc> {
        if count.most == Some(0) {
            return Ok(exits.empty);
        }
        self.repeats += usize::from(count.most != Some(1));
        let entry = self.turns_and_copies(node, count, exits)?;
        self.repeats -= usize::from(count.most != Some(1));
        Ok(entry)
    }

    fn turns_and_copies(&mut self, node: &Node, count: Count, exits: Exits) -> Result<Pc> {
        let Exits { mut empty, mut taken } = exits;
        let mut once = count.least;
        match count.most {
            None => {
                // A byte comes once more: it is small, and `x*` makes a `Run`.
                let first_is_free = once == 0 || matches!(node, Node::Byte(_));
                if !first_is_free {
                    once -= 1;
                }
                Exits { empty, taken } = self.turns(node, count.lazy, exits, first_is_free)?;
            }
            Some(most) => {
                for _ in count.least..most {
                    let next = self.again(node, Exits { empty, taken })?;
                    let skip = |this, exit, lazy| match lazy {
                        true => Inst::Split(exit, this),
                        false => Inst::Split(this, exit),
                    };
                    let same = empty == taken;
                    taken = self.emit(skip(next.taken, exits.taken, count.lazy))?;
                    empty = match same {
                        true => taken,
                        false => self.emit(skip(next.empty, exits.empty, count.lazy))?,
                    };
                }
            }
        }
        for _ in 0..once {
            Exits { empty, taken } = self.again(node, Exits { empty, taken })?;
        }
        Ok(empty)
    }

    /// `node` once more, entered with nothing taken so far and otherwise.
    fn again(&mut self, node: &Node, exits: Exits) -> Result<Exits> {
        let taken = self.node(node, Exits { empty: exits.taken, taken: exits.taken })?;
        let empty = match exits.empty == exits.taken {
            true => taken,
            false => self.node(node, exits)?,
        };
        Ok(Exits { empty, taken })
    }

    /// Any number of turns. An empty one is the last.
    fn turns(&mut self, node: &Node, lazy: bool, exits: Exits, or_none: bool) -> Result<Exits> {
        let turn =
            |this, exit| if lazy { Inst::Split(exit, this) } else { Inst::Split(this, exit) };
        let around = self.emit(Inst::Fail)?;
        let next = self.node(node, Exits { empty: exits.taken, taken: around })?;
        if let Some(inst) = self.code.get_mut(around as usize) {
            *inst = turn(next, exits.taken);
        }
        let taken = if or_none { around } else { next };
        if exits.empty == exits.taken {
            return Ok(Exits { empty: taken, taken });
        }
        let first = match node.can_be_empty() {
            true => self.node(node, Exits { empty: exits.empty, taken: around })?,
            false => next,
        };
        let empty = match or_none {
            true => self.emit(turn(first, exits.empty))?,
            false => first,
        };
        Ok(Exits { empty, taken })
    }
}

pub fn too_large<T>() -> Result<T> {
    refuse("regular expression is too large")
}

pub fn refuse<T>(text: &str) -> Result<T> {
    Err(Error { at: 0, text: text.into() })
}
