//! `server_name`: from a host to its server, exact names before wildcards, leading
//! ones before trailing ones, and the longer wildcard before the shorter one.

use super::Server;
use super::identity::ServerName;
use crate::conf::{Cx, Error, Pattern, Shown};
use crate::sys::addr::Addr;
use crate::text::hash::Build;
use std::collections::HashMap;
use std::rc::Rc;

type Table = HashMap<Box<[u8]>, Rc<Server>, Build>;

/// The names of one address:port.
#[derive(Default)]
pub struct Names {
    exact: Table,
    /// `*.example.com` as `example.com`.
    leading: Table,
    /// `www.example.*` as `www.example`.
    trailing: Table,
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
        match self.by_name(host) {
            Some(server) => Found::Name(server),
            None => Found::Pattern(&self.patterns),
        }
    }

    fn by_name(&self, host: &[u8]) -> Option<&Rc<Server>> {
        let after = dots(host).map(|dot| &host[dot + 1..]);
        let before = dots(host).rev().map(|dot| &host[..dot]);
        self.exact
            .get(host)
            .or_else(|| find_longest(&self.leading, after))
            .or_else(|| find_longest(&self.trailing, before))
    }

    /// Adds a name; the first server to have it keeps it.
    pub fn add(&mut self, cx: &mut Cx, addr: Addr, name: &ServerName, server: &Rc<Server>) {
        if let Some(pattern) = &name.pattern {
            self.patterns.push((Rc::clone(pattern), Rc::clone(server)));
            return;
        }
        let shown = || Shown(&name.name).to_string();
        let is_new = match &*name.name {
            wild if !is_valid(wild) => {
                let text = format!("invalid server name or wildcard \"{}\" on {addr}", shown());
                return cx.errors.push(Error { pos: name.pos, text, hint: None });
            }
            // Both `example.com` and `*.example.com`.
            [b'.', rest @ ..] if !rest.is_empty() => {
                insert(&mut self.exact, rest, server) & insert(&mut self.leading, rest, server)
            }
            [b'*', b'.', rest @ ..] => insert(&mut self.leading, rest, server),
            [rest @ .., b'.', b'*'] => insert(&mut self.trailing, rest, server),
            exact => insert(&mut self.exact, exact, server),
        };
        if !is_new {
            let text = format!("conflicting server name \"{}\" on {addr}, ignored", shown());
            cx.errors.warn(Error { pos: name.pos, text, hint: None });
        }
    }
}

fn insert(table: &mut Table, name: &[u8], server: &Rc<Server>) -> bool {
    if table.contains_key(name) {
        return false;
    }
    table.insert(name.into(), Rc::clone(server));
    true
}

/// At most one star, a whole label at one end; no empty label in between.
fn is_valid(name: &[u8]) -> bool {
    let stars = name.iter().filter(|byte| **byte == b'*').count();
    let wild = name.starts_with(b"*.") || name.ends_with(b".*");
    let empty_label = name.windows(2).any(|pair| pair == b"..");
    stars <= usize::from(wild) && !empty_label && !name.contains(&0)
}

fn dots(host: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    host.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at)
}

fn find_longest<'n, 'h>(
    table: &'n Table,
    mut parts: impl Iterator<Item = &'h [u8]>,
) -> Option<&'n Rc<Server>> {
    match table.is_empty() {
        true => None,
        false => parts.find_map(|part| table.get(part)),
    }
}
