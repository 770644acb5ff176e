//! Who is asked for the names of a group.

use super::server::Server;
use crate::net::resolver::Resolver;
use std::cell::OnceCell;

pub struct Names {
    /// `resolver` in the block.
    own: Option<Resolver>,
    /// That of the configuration around it.
    outer: OnceCell<Resolver>,
    /// How long a look-up may take, in milliseconds.
    pub within_ms: u64,
}

/// That of nginx's `resolver_timeout`.
const WITHIN_MS: u64 = 30_000;

impl Names {
    pub fn new(own: Option<Resolver>, within_ms: Option<u64>) -> Names {
        let within_ms = within_ms.unwrap_or(WITHIN_MS);
        Names { own, outer: OnceCell::new(), within_ms }
    }

    pub fn set_outer(&self, resolver: &Resolver) {
        self.outer.get_or_init(|| resolver.clone());
    }

    /// Without `resolve`, nginx looks up a name at its start, as everything on a machine does.
    pub fn resolver_of(&self, server: &Server) -> Resolver {
        let outer = self.outer.get().filter(|_| server.resolve);
        self.own.as_ref().or(outer).cloned().unwrap_or_else(Resolver::of_machine)
    }
}
