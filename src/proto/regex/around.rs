//! Compiles what depends on more of the text than a way through it sees: what
//! looks around, and what is atomic.
use super::compile::{Compiler, Exits, refuse, too_large};
use super::node::{self, Node};
use super::parse::Result;
use super::program::{Inst, Pc};
use super::region::{self, Branch, Look, Region, SMALL, Step};
use super::set::Set;

/// Rows of bits, at most.
const ROWS: usize = 256;

/// What a region is made for.
#[derive(Clone, Copy)]
struct Purpose {
    /// Whether the whole of it can match is asked.
    whole: bool,
    /// Its splits become choices of the first way that comes to the end.
    first_only: bool,
}

impl Compiler {
    /// The first way through `node` is the only one.
    pub fn atomic(&mut self, node: &Node, exits: Exits) -> Result<Pc> {
        let from = self.code.len();
        let entry = self.node(node, exits)?;
        self.region(entry, from, node, Purpose { whole: false, first_only: true })?;
        Ok(entry)
    }

    pub fn look(&mut self, look: node::Look, node: &Node, exits: Exits) -> Result<Pc> {
        let captures = !look.negative && node.captures();
        if captures && self.repeats > 0 {
            return refuse("capturing groups in a repeated lookaround are not supported");
        }
        let nodes = match node {
            Node::Alternate(nodes) if look.behind => nodes,
            _ => std::slice::from_ref(node),
        };
        let mut branches = Vec::new();
        for node in nodes {
            let (from, looks) = (self.code.len(), self.looks.len());
            let end = self.emit(Inst::Match)?;
            let mut entry = self.node(node, Exits { empty: end, taken: end })?;
            let row = if !captures && region::is_small(&self.code, entry) {
                None
            } else {
                let purpose = Purpose { whole: true, first_only: captures };
                Some(self.region(entry, from, node, purpose)?)
            };
            // The region has what it needs of the code; but looks in it may have code.
            if !captures && row.is_some() && self.looks.len() == looks {
                self.code.truncate(from);
                entry = 0;
            }
            let back = if look.behind { node.lengths().0 } else { 0 };
            self.back = self.back.max(back);
            branches.push(Branch { row, back, entry });
        }
        let place = if captures { Some(self.place()?) } else { None };
        let number = self.looks.len() as u16;
        self.looks.push(Look { branches: branches.into(), negative: look.negative, place });
        let look = self.emit(Inst::Look(number, exits.empty))?;
        match place {
            Some(place) => self.emit(Inst::Save(place, look)),
            None => Ok(look),
        }
    }

    /// A slot for where a look is done.
    fn place(&mut self) -> Result<u8> {
        self.slots += 1;
        u8::try_from(self.slots - 1).or_else(|_| too_large())
    }

    /// Makes a region of the code from `from` on, which `node` became: the row
    /// that tells where the whole can match, if that is asked.
    fn region(&mut self, entry: Pc, from: usize, node: &Node, purpose: Purpose) -> Result<u16> {
        let inside = from as Pc..self.code.len() as Pc;
        let order = region::order(&self.code, entry, &inside);
        let (steps, numbers) = region::steps(&self.code, &order);
        let mut further = Some(0);
        for step in &steps {
            further = further.zip(self.reach(step)?).map(|(one, other)| one.max(other));
        }
        let own = node.lengths().1;
        let reach = own.zip(further).and_then(|(own, further)| own.checked_add(further));
        let mut kept = Vec::new();
        let number = |pc: Pc| numbers.get(pc as usize).copied().unwrap_or(0);
        let row = self.rows.len() as u16;
        if purpose.whole {
            kept.push((number(entry), row));
            self.rows.push(reach);
        }
        if purpose.first_only {
            for (pc, choice) in self.choices(&order, &inside) {
                let choice = choice.unwrap_or_else(|(first, second)| {
                    kept.push((number(first), self.rows.len() as u16));
                    self.rows.push(reach);
                    Inst::Guard(self.rows.len() as u16 - 1, first, second)
                });
                if let Some(inst) = self.code.get_mut(pc as usize) {
                    *inst = choice;
                }
            }
        }
        if self.rows.len() > ROWS {
            return too_large();
        }
        if !kept.is_empty() {
            self.regions.push(Region { steps: steps.into(), kept });
        }
        Ok(row)
    }

    /// The first match is the only one: a split becomes a choice where the next
    /// byte tells that its first way matches.
    pub fn decide_whole(&mut self, start: Pc) {
        let inside = 0..self.code.len() as Pc;
        let order = region::order(&self.code, start, &inside);
        for (pc, choice) in self.choices(&order, &inside) {
            if let (Ok(choice), Some(inst)) = (choice, self.code.get_mut(pc as usize)) {
                *inst = choice;
            }
        }
    }

    /// The splits of a region and what becomes of each: a choice that the next
    /// byte decides, or its two ways, of which a row must tell.
    fn choices(&mut self, order: &[Pc], inside: &std::ops::Range<Pc>) -> Vec<(Pc, Choice)> {
        let mut choices = Vec::new();
        for pc in order {
            let Some(Inst::Split(first, second)) = self.code.get(*pc as usize).copied() else {
                continue;
            };
            let set = match region::deciding(&self.code, first, inside) {
                Some(Inst::Byte(byte, _)) => Some(self.sets.number(Set::of(&[byte]))),
                Some(Inst::Set(set, _)) => Some(set),
                _ => None,
            };
            choices.push((
                *pc,
                match set {
                    _ if region::is_sure(&self.code, first, inside) => {
                        Ok(Inst::Choose(0, first, first))
                    }
                    Some(set) => Ok(Inst::Choose(set, first, second)),
                    None => Err((first, second)),
                },
            ));
        }
        choices
    }

    /// The reach of what a step asks for. A pass knows rows of its own place
    /// and further on, not of places before.
    fn reach(&self, step: &Step) -> Result<Option<usize>> {
        let row = |row: u16| self.rows.get(usize::from(row)).copied().unwrap_or(None);
        let look = match *step {
            Step::Guard(number, ..) => return Ok(row(number)),
            Step::Look(look, _) => self.looks.get(usize::from(look)),
            _ => return Ok(Some(0)),
        };
        let mut reach = Some(0);
        for branch in look.map_or(&[][..], |look| &look.branches) {
            let further = match branch.row {
                Some(_) if branch.back > 0 => {
                    return refuse("this lookbehind in a lookaround is not supported");
                }
                Some(number) => row(number),
                None => Some(SMALL),
            };
            reach = reach.zip(further).map(|(one, other): (usize, usize)| one.max(other));
        }
        Ok(reach)
    }
}

type Choice = std::result::Result<Inst, (Pc, Pc)>;
