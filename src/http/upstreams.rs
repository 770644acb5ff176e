//! `upstream`: groups of servers that requests are passed to, by name.
//!
//! What a group is and how a peer of it is chosen is `net::upstream`'s; here are the
//! directives, and what choosing needs to know of a request.

mod block;
mod methods;
mod server;
pub mod sticky;
mod sticky_cookie;

pub use block::shapes;

use crate::conf::Template;
use crate::conf::{Args, Context, Cx, Directive, Error, Shown, UpstreamId, Word};
use crate::conf::{choice, put, settings};
use crate::net::resolver::Resolver;
use crate::net::upstream::{Group, Memory, Place, Target, unnamed};
use crate::sys::addr::BadAddr;
use std::rc::Rc;
use sticky::Sticky;

settings! {
    pub struct Main, MainRaw {
        pub blocks: Vec<(UpstreamId, Rc<Upstream>)> = Vec::new(),
        /// A name without an address is a reason not to start.
        pub strict: bool = false,
    }
}

/// A group, and how a request's part in choosing is made.
pub struct Upstream {
    pub group: Rc<Group>,
    /// It is a block, which requests may name.
    pub is_block: bool,
    /// `hash KEY`
    pub key: Option<Template>,
    pub sticky: Option<Sticky>,
}

pub static MAIN: &[Directive<MainRaw>] = &[
    Directive::block("upstream", Context::HTTP, Args::ONE, |raw, cx, node| {
        let id = cx.define_upstream(node.arg(0))?;
        if let Some(upstream) = block::read(cx, node)? {
            raw.blocks.get_or_insert_default().push((id, Rc::new(upstream)));
        }
        Ok(())
    }),
    Directive::call("upstream_resolve", Context::HTTP, Args::ONE, |raw, _, node| {
        put(&mut raw.strict, node, choice(node, 0, &[("strict", true), ("lazy", false)]))
    }),
];

/// Every group of the configuration.
#[derive(Default)]
pub struct Upstreams {
    all: Box<[Rc<Upstream>]>,
}

impl Upstreams {
    /// Once the `http` block has been read: the blocks, and an own group for each address.
    pub fn new(
        cx: &mut Cx,
        blocks: &[(UpstreamId, Rc<Upstream>)],
        resolver: &Resolver,
    ) -> Upstreams {
        let entries = std::mem::take(&mut cx.upstreams);
        let mut all = Vec::new();
        for (entry, id) in entries.iter().zip(0..) {
            let block = blocks.iter().find(|(block, _)| block.0 == id);
            all.push(match block {
                Some((_, upstream)) => Rc::clone(upstream),
                None => Rc::new(implicit(cx, entry)),
            });
        }
        all.iter().for_each(|it| it.group.set_outer_resolver(resolver));
        Upstreams { all: all.into() }
    }

    pub fn get(&self, id: UpstreamId) -> Option<&Rc<Upstream>> {
        self.all.get(id.0 as usize)
    }

    /// Every group, for who looks up their names.
    pub fn groups(&self) -> Vec<Rc<Group>> {
        self.all.iter().map(|upstream| Rc::clone(&upstream.group)).collect()
    }

    /// A worker's begin.
    pub fn start(&self) {
        self.all.iter().for_each(|upstream| upstream.group.start());
    }

    pub fn all(&self) -> &[Rc<Upstream>] {
        &self.all
    }
}

/// The group of one address that is not in a block.
fn implicit(cx: &mut Cx, entry: &crate::conf::Upstream) -> Upstream {
    if entry.port.is_none() && !entry.is_block && !is_unix(&entry.host) {
        let text = format!("no port in upstream \"{}\"", Shown(&entry.host));
        cx.errors.push(Error::new(entry.pos, text));
    }
    let port = entry.port.unwrap_or(0);
    let target = match (Place { host: &entry.host, port: entry.port }).address(port) {
        Ok(addr) => Target::Address(addr),
        Err(_) => Target::Name { host: entry.host.clone(), port, service: None },
    };
    let memory = cx.unnamed_zone(unnamed()).map_or(Memory::Hidden, Memory::Seen);
    Upstream {
        group: Rc::new(Group::of(&entry.host, target, memory)),
        is_block: false,
        key: None,
        sticky: None,
    }
}

fn is_unix(host: &[u8]) -> bool {
    host.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"unix:"))
}

/// The group that `HOST[:PORT]` means, for `proxy_pass` and the like: `word` or a part of it.
pub fn refer(cx: &mut Cx, word: Word, default_port: Option<u16>) -> Result<UpstreamId, Error> {
    let bad = |bad: BadAddr| Error::at(word, format!("{bad} in upstream \"{word}\""));
    let place = Place::parse(word.bytes()).map_err(bad)?;
    match place.address(default_port.unwrap_or(0)) {
        Ok(_) | Err(BadAddr::Name) => {}
        Err(other) => return Err(bad(other)),
    }
    cx.upstream(word, place.host, place.port, default_port)
}

#[cfg(test)]
mod tests;
