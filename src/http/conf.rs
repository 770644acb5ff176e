//! The `http` block made into what requests read: listening addresses, servers,
//! locations. Immutable once built; a lookup allocates nothing.
//!
//! A block is read level by level: first its plain directives, which are resolved
//! against the level above, then the levels inside it.

mod identity;
mod levels;
mod listen;
mod listens;
mod locations;
mod modules;
mod names;

pub use levels::{directives, read};
pub use listens::{Listening, Site};
pub use locations::{Locations, head as location_head};
pub use modules::{LocConf, MainConf, SrvConf};

use std::rc::Rc;

/// Everything under `http { }`.
#[derive(Default)]
pub struct Http {
    pub conf: MainConf,
    /// One entry per listening socket.
    pub listening: Vec<Listening>,
    pub servers: Vec<Rc<Server>>,
}

/// A `server { }` block.
pub struct Server {
    /// The first `server_name`, what `$server_name` is; perhaps empty.
    pub name: Box<[u8]>,
    pub conf: SrvConf,
    /// The settings of the server level, for what runs before a location is found
    /// and for URIs that no location matches.
    pub location: Rc<Location>,
    pub(in crate::http) named: Box<[Rc<Location>]>,
}

impl Server {
    /// The location of a normalised URI (`location` itself if none matches).
    pub fn find_location(&self, uri: &[u8]) -> &Rc<Location> {
        let mut at = &self.location;
        while let Some(inner) = at.locations.find(uri) {
            at = inner;
        }
        at
    }

    /// The location `@name`.
    pub fn find_named(&self, name: &[u8]) -> Option<&Rc<Location>> {
        let found = self.named.binary_search_by(|location| (*location.name).cmp(name)).ok()?;
        self.named.get(found)
    }
}

/// How a location is matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Not a location: the server level.
    Server,
    /// `location /x`
    Prefix,
    /// `location ^~ /x`: a prefix that regular expressions do not overrule.
    NoRegex,
    /// `location = /x`
    Exact,
    /// `location @x`
    Named,
}

/// A `location { }` block, or the server level.
pub struct Location {
    /// `/x` or `@x`; empty for the server level.
    pub name: Box<[u8]>,
    pub kind: Kind,
    /// The settings of every module at this level.
    pub conf: LocConf,
    /// The locations inside.
    pub locations: Locations,
}

#[cfg(test)]
mod tests;
