//! Which server and which location a request is for; what regular expressions have to say
//! of it.

use super::Request;
use crate::conf::Pattern;
use crate::http::conf::{Found, Kind, Location, Server};
use crate::proto::regex::Captures;
use crate::text::ascii;
use crate::vars::Subject;
use std::rc::Rc;

/// What a regular expression matched, and where.
pub(super) struct Captured<'r> {
    pub text: &'r [u8],
    pub groups: Captures,
}

impl<'r> Request<'r> {
    /// Chooses the server whose name the request asks for.
    pub fn find_server(&mut self) {
        let host = self.head.host.of(self.bytes);
        match self.head.host_has_upper {
            true => self.find_server_lowered(host),
            false => self.find_server_of(host),
        }
    }

    #[cold]
    fn find_server_lowered(&mut self, host: &[u8]) {
        // Longer than any name can be: the default server.
        if let Some(lower) = ascii::lower(host, &mut [0; 255]) {
            self.find_server_of(lower);
        }
    }

    #[inline(always)]
    fn find_server_of(&mut self, host: &[u8]) {
        self.server = match self.site.server(host) {
            Found::Name(server) => server,
            Found::Pattern([]) => &self.site.default_server,
            Found::Pattern(patterns) => self.server_by_pattern(patterns, host),
        };
        self.location = &self.server.location;
    }

    /// The first server whose regular expression the host matches.
    #[cold]
    fn server_by_pattern(
        &mut self,
        patterns: &'r [(Rc<Pattern>, Rc<Server>)],
        host: &[u8],
    ) -> &'r Server {
        let Some(host) = self.scratch.concat(&[host]) else { return self.server };
        let found = patterns.iter().find(|(pattern, _)| self.matches(pattern, host));
        found.map_or(&self.site.default_server, |(_, server)| server)
    }

    /// Chooses the location of the path (ngx_http_core_find_location).
    pub fn find_location(&mut self) {
        let (location, _) = self.locate(&self.server.location);
        self.enter(location);
    }

    /// Takes the settings of a location, those of its `limit_except` if they are for this
    /// method.
    #[inline]
    pub fn enter(&mut self, location: &'r Rc<Location>) {
        let except = location.except.as_ref().filter(|except| except.limits(self.method));
        self.location = except.map_or(location, |except| &except.location);
    }

    /// The location of the path at the level of `outer` and below, and whether regular
    /// expressions further out have no say any more. Levels are bounded, so is the depth.
    fn locate(&self, outer: &'r Rc<Location>) -> (&'r Rc<Location>, bool) {
        let (mut found, mut settled, mut by_pattern) = (outer, false, true);
        if let Some(inner) = outer.locations.find(self.uri) {
            if inner.kind == Kind::Exact {
                return (inner, true);
            }
            by_pattern = inner.kind != Kind::NoRegex;
            (found, settled) = self.locate(inner);
        }
        if settled || !by_pattern || outer.locations.patterns.is_empty() {
            return (found, settled);
        }
        for location in &outer.locations.patterns {
            if let Some(pattern) = &location.pattern
                && self.matches(pattern, self.uri)
            {
                return (self.locate(location).0, true);
            }
        }
        (found, settled)
    }

    /// Whether `text` is like that; nothing comes of its groups.
    pub fn is_like(&self, pattern: &Pattern, text: &[u8]) -> bool {
        pattern.regex.is_match(&mut self.http.regex_room.borrow_mut(), text)
    }
}
