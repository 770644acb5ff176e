//! The `http` block made into what requests read: listening addresses, servers,
//! locations. Immutable once built; a lookup allocates nothing.
//!
//! A block is read level by level: first its plain directives, which are resolved
//! against the level above, then the levels inside it.

mod except;
mod identity;
mod levels;
mod listen;
mod listens;
mod locations;
mod modules;
mod names;

pub use except::Except;
pub use identity::ServerName;
pub use levels::{directives, read};
pub use listens::{Listening, Site};
pub use locations::{Locations, head as location_head};
pub use modules::{LocConf, MainConf, SrvConf};
pub use names::Found;

use super::health_check::Check;
use super::upstreams::Upstreams;
use super::variables::Variables;
use crate::conf::Pattern;
use crate::conf::UpstreamRoom;
use crate::proto::regex;
use std::cell::RefCell;
use std::rc::Rc;

/// Everything under `http { }`.
#[derive(Default)]
pub struct Http {
    pub conf: MainConf,
    pub variables: Variables,
    pub upstreams: Upstreams,
    /// Of peers of upstreams, by a process of their own.
    pub checks: Vec<Rc<Check>>,
    /// The largest buffers for answers of upstreams.
    pub upstream_room: UpstreamRoom,
    /// Room to match regular expressions in.
    pub regex_room: RefCell<regex::Scratch>,
    /// The largest `client_body_buffer_size`, if any is set.
    pub largest_body: u64,
    /// One entry per listening socket.
    pub listening: Vec<Listening>,
    pub servers: Vec<Rc<Server>>,
}

/// A `server { }` block.
pub struct Server {
    /// The first `server_name`, what `$server_name` is; perhaps empty.
    pub name: Box<[u8]>,
    pub names: Rc<[ServerName]>,
    pub conf: SrvConf,
    /// The settings of the server level, for what runs before a location is found
    /// and for URIs that no location matches.
    pub location: Rc<Location>,
    pub(in crate::http) named: Box<[Rc<Location>]>,
}

impl Server {
    /// Whether the host, in lower case, is one of its own; `is_like` knows of patterns.
    pub fn has_name(&self, host: &[u8], is_like: impl Fn(&Rc<Pattern>) -> bool) -> bool {
        self.names.iter().any(|name| match &name.pattern {
            Some(pattern) => is_like(pattern),
            None => name.is_of(host),
        })
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
    /// `location ~ x` or `location ~* x`
    Regex,
    /// `location @x`
    Named,
    /// Not a location: `if` or `limit_except` in one.
    Inner,
}

/// A `location { }` block, or the server level.
pub struct Location {
    /// `/x` or `@x`; empty for the server level.
    pub name: Box<[u8]>,
    pub kind: Kind,
    /// The settings of every module at this level.
    pub conf: LocConf,
    /// What it matches, if it is a regular expression.
    pub pattern: Option<Rc<Pattern>>,
    /// The locations inside.
    pub locations: Locations,
    /// The `limit_except` block inside.
    pub except: Option<Except>,
    /// The `if` blocks inside, in the order of the text.
    pub inner: Box<[Rc<Location>]>,
}

#[cfg(test)]
pub(in crate::http) mod tests;
