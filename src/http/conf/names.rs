//! `server_name`: from a host to its server, regular expressions last.

use super::Server;
use super::identity::ServerName;
use crate::conf::{Cx, Error, Pattern, Shown};
use crate::sys::addr::Addr;
use crate::vars::hostnames::{Hostnames, Refused};
use std::rc::Rc;

/// The names of one address:port.
#[derive(Default)]
pub struct Names {
    names: Hostnames<Rc<Server>>,
    /// `~^www\d+\.example\.com$`, in the order of the text.
    patterns: Vec<(Rc<Pattern>, Rc<Server>)>,
}

/// What is known of a host.
pub enum Found<'n> {
    Name(&'n Rc<Server>),
    /// No name is its: one of these may be.
    Pattern(&'n [(Rc<Pattern>, Rc<Server>)]),
}

impl Names {
    pub fn find(&self, host: &[u8]) -> Found<'_> {
        match self.names.find(host) {
            Some(server) => Found::Name(server),
            None => Found::Pattern(&self.patterns),
        }
    }

    /// Adds a name; the first server to have it keeps it.
    pub fn add(&mut self, cx: &mut Cx, addr: Addr, name: &ServerName, server: &Rc<Server>) {
        if let Some(pattern) = &name.pattern {
            self.patterns.push((Rc::clone(pattern), Rc::clone(server)));
            return;
        }
        let name_of = |text: &str| format!("{text} \"{}\" on {addr}", Shown(&name.name));
        match self.names.add(&name.name, Rc::clone(server)) {
            Ok(()) => {}
            Err(Refused::Invalid) => {
                let text = name_of("invalid server name or wildcard");
                cx.errors.push(Error { pos: name.pos, text, hint: None });
            }
            Err(Refused::Taken) => {
                let text = format!("{}, ignored", name_of("conflicting server name"));
                cx.errors.warn(Error { pos: name.pos, text, hint: None });
            }
        }
    }
}
