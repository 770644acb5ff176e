//! The locations of one level: the longest prefix of a URI in O(log n).
//!
//! Names stand sorted. Let q be the greatest name not above the URI. Every prefix
//! of the URI that is a name stands at or before q, and since all strings between a
//! prefix of the URI and the URI begin with that prefix, it is a prefix of q too:
//! q itself or a name on q's chain of ever shorter prefixes, which is stored.

use super::Location;
use std::rc::Rc;

/// No such name.
const NONE: u32 = u32::MAX;

#[derive(Default)]
pub struct Locations {
    names: Box<[Name]>,
}

struct Name {
    name: Box<[u8]>,
    /// The longest other name that is a prefix of this one.
    shorter: u32,
    exact: Option<Rc<Location>>,
    prefix: Option<Rc<Location>>,
}

impl Locations {
    /// The location at this level that `uri` belongs to.
    pub fn find(&self, uri: &[u8]) -> Option<&Rc<Location>> {
        let above = self.names.partition_point(|name| *name.name <= *uri);
        let mut name = self.names.get(above.checked_sub(1)?)?;
        if *name.name == *uri && name.exact.is_some() {
            return name.exact.as_ref();
        }
        loop {
            if let Some(location) = &name.prefix
                && uri.starts_with(&name.name)
            {
                return Some(location);
            }
            name = self.names.get(name.shorter as usize)?;
        }
    }
}
