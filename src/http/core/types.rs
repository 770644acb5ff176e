//! `types`: from the extension of a file to its content type.

use std::collections::HashMap;
use std::rc::Rc;

/// Extensions in lower case, and their types.
#[derive(Debug)]
pub struct Types {
    by_extension: HashMap<Box<[u8]>, Rc<[u8]>>,
}

impl Default for Types {
    fn default() -> Types {
        Types { by_extension: HashMap::new() }
    }
}

impl Types {
    /// The type of `extension`, which may be in any case.
    pub fn find(&self, extension: &[u8]) -> Option<&Rc<[u8]>> {
        self.by_extension.get(extension)
    }
}
