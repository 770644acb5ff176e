//! The zones that a configuration declares: `zone=NAME:SIZE`.

use super::{Cx, Error, Pos, Word, parse_size};
use crate::shm::directory::{Directory, Handle};
use crate::shm::zone::{MIN_SIZE, Spec};

#[derive(Default)]
pub struct Zones {
    pub directory: Directory,
    /// Where each was spoken of first.
    first: Vec<(Handle, Pos)>,
}

impl Cx {
    /// The zone that `word` declares, or refers to if its size is 0. It may be declared later.
    pub fn zone(&mut self, word: Word, spec: Spec) -> Result<Handle, Error> {
        let declared = self.zones.directory.declare(spec);
        let handle = declared.map_err(|refusal| Error::at(word, refusal.to_string()))?;
        if self.zones.first.iter().all(|(known, _)| *known != handle) {
            self.zones.first.push((handle.clone(), word.pos()));
        }
        Ok(handle)
    }

    /// The zone without a name, which no directive declares.
    pub fn unnamed_zone(&mut self, spec: Spec) -> Option<Handle> {
        self.zones.directory.declare(spec).ok()
    }

    /// Complains of zones that are nowhere declared with a size.
    pub fn check_zones(&mut self) {
        for (handle, pos) in &self.zones.first {
            if let Some(spec) = self.zones.directory.spec(handle).filter(|spec| spec.size == 0) {
                let text = format!("zero size shared memory zone \"{}\"", spec.name);
                self.errors.push(Error::new(*pos, text));
            }
        }
    }
}

/// The parameter `zone=NAME:SIZE`, whose value is given, too.
pub fn name_and_size(word: Word, value: Word) -> Result<(String, usize), Error> {
    let invalid = || Error::at(word, format!("invalid zone size \"{word}\""));
    let colon = value.iter().position(|byte| *byte == b':').ok_or_else(invalid)?;
    let size = parse_size(&value.part(colon + 1)).and_then(|size| usize::try_from(size).ok());
    match (value.until(colon).to_string(), size.ok_or_else(invalid)?) {
        (_, ..MIN_SIZE) => Err(Error::at(word, format!("zone \"{word}\" is too small"))),
        (name, size) => Ok((name, size)),
    }
}
