//! The variables that a configuration speaks of, by number.
//!
//! A name may be used before the directive that makes it is read. So whoever owns the
//! block (`http`, `stream`) looks at all names once it has been read, and tells of those
//! that nobody makes.

use super::tree::{Pos, Word};
use super::{Cx, Error};
use crate::text::hash::Build;
use std::collections::HashMap;

/// A variable of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(pub u32);

/// The variables of one block, `http` or `stream`.
#[derive(Default)]
pub struct Registry {
    by_name: HashMap<Box<[u8]>, VarId, Build>,
    pub entries: Vec<Entry>,
}

/// A name of a variable, in lower case: nginx does not tell them apart by case.
pub struct Entry {
    pub name: Box<[u8]>,
    /// Where it is used first.
    pub used: Option<Pos>,
    /// Where a directive makes it.
    pub defined: Option<Pos>,
    /// Before it has run, the variable is an empty text (`set`), else nothing.
    pub empty: bool,
}

impl Registry {
    pub(super) fn id(&mut self, name: &[u8]) -> VarId {
        let name = name.to_ascii_lowercase();
        if let Some(id) = self.by_name.get(&*name) {
            return *id;
        }
        let id = VarId(self.entries.len() as u32);
        let name: Box<[u8]> = name.into();
        self.by_name.insert(name.clone(), id);
        self.entries.push(Entry { name, used: None, defined: None, empty: false });
        id
    }

    /// See [`Entry::empty`].
    pub fn begins_empty(&mut self, id: VarId) {
        self.entry(id).empty = true;
    }

    fn entry(&mut self, id: VarId) -> &mut Entry {
        &mut self.entries[id.0 as usize]
    }
}

impl Cx {
    /// The variable `name`, which `word` uses.
    pub fn variable(&mut self, name: &[u8], word: Word) -> VarId {
        let id = self.variables.id(name);
        self.variables.entry(id).used.get_or_insert(word.pos());
        id
    }

    /// The variable that a directive makes, its name as the argument has it: `$name`.
    pub fn define(&mut self, word: Word) -> Result<VarId, Error> {
        match word.bytes() {
            [b'$', name @ ..] if !name.is_empty() => Ok(self.define_name(name, word)),
            _ => Err(Error::at(word, format!("invalid variable name \"{word}\""))),
        }
    }

    /// The same for a name alone.
    pub fn define_name(&mut self, name: &[u8], word: Word) -> VarId {
        let id = self.variables.id(name);
        self.variables.entry(id).defined.get_or_insert(word.pos());
        id
    }
}
