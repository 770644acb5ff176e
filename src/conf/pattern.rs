//! Regular expressions of a configuration, and the variables that their groups name.

use super::registry::VarId;
use super::tree::Word;
use super::{Cx, Error};
use crate::proto::regex::Regex;
use std::rc::Rc;

/// A regular expression.
#[derive(Debug)]
pub struct Pattern {
    pub regex: Regex,
    /// As it is written, for messages.
    pub text: Box<[u8]>,
    /// The variables that its groups are, and the groups.
    pub names: Box<[(VarId, usize)]>,
}

impl Cx {
    /// Reads one; its named groups become variables.
    pub fn pattern(&mut self, word: Word, caseless: bool) -> Result<Rc<Pattern>, Error> {
        let regex = Regex::new(&word, caseless).map_err(|error| {
            let text = format!("regular expression \"{word}\": {}", error.text);
            Error::at(word.part(error.at), text)
        })?;
        let names: Vec<_> = regex.names().to_vec();
        let names = names.iter().map(|(name, group)| (self.define_name(name, word), *group));
        let names = names.collect();
        self.regex_room.reserve_for(&regex);
        Ok(Rc::new(Pattern { regex, text: word.bytes().into(), names }))
    }
}
