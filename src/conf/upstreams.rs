//! The groups of servers that a configuration speaks of, by number.
//!
//! `proxy_pass http://NAME` may stand before or after `upstream NAME { }`, and is an address
//! if there is no such block. So whoever owns the block at hand (`http`, `stream`) makes the
//! groups once it has been read.

use super::tree::{Pos, Word};
use super::{Cx, Error};
use crate::text::escape::Shown;

/// A group of servers of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId(pub u32);

/// The largest buffers for answers that any location asks for, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpstreamRoom {
    /// For a head.
    pub head: u64,
    /// For what is kept of a body.
    pub kept: u64,
}

impl UpstreamRoom {
    pub fn head(&mut self, size: u64) {
        self.head = self.head.max(size);
    }

    pub fn kept(&mut self, size: u64) {
        self.kept = self.kept.max(size);
    }
}

/// A name or an address that something is passed to.
#[derive(Debug)]
pub struct Upstream {
    pub host: Box<[u8]>,
    /// What the text says, else the protocol's own; none for blocks.
    pub port: Option<u16>,
    /// The text says it.
    said_port: bool,
    /// It is a block.
    pub is_block: bool,
    /// Where it is spoken of first.
    pub pos: Pos,
}

impl Upstream {
    fn is(&self, host: &[u8]) -> bool {
        self.host.eq_ignore_ascii_case(host)
    }
}

impl Cx {
    /// What `host` and the port that stands behind it mean, a block or an address; without
    /// one, `default_port` is meant (ngx_http_upstream_add).
    pub fn upstream(
        &mut self,
        word: Word,
        host: &[u8],
        port: Option<u16>,
        default_port: Option<u16>,
    ) -> Result<UpstreamId, Error> {
        let meant = port.or(default_port);
        for (known, id) in self.upstreams.iter().zip(0..) {
            if !known.is(host) {
                continue;
            }
            if let (true, Some(port)) = (known.is_block, port) {
                return Err(no_port_here(word, host, port));
            }
            if known.is_block || known.port.is_none() || meant.is_none() || known.port == meant {
                return Ok(UpstreamId(id));
            }
        }
        Ok(self.add_upstream(word, host, meant, port.is_some()))
    }

    /// The block that is called so.
    pub fn define_upstream(&mut self, word: Word) -> Result<UpstreamId, Error> {
        let host = word.bytes();
        let Some(at) = self.upstreams.iter().position(|known| known.is(host)) else {
            let id = self.add_upstream(word, host, None, false);
            self.upstreams[id.0 as usize].is_block = true;
            return Ok(id);
        };
        let known = &mut self.upstreams[at];
        if known.is_block {
            return Err(Error::at(word, format!("duplicate upstream \"{word}\"")));
        }
        if let (true, Some(port)) = (known.said_port, known.port) {
            return Err(no_port_here(word, host, port));
        }
        (known.is_block, known.port) = (true, None);
        Ok(UpstreamId(at as u32))
    }

    fn add_upstream(
        &mut self,
        word: Word,
        host: &[u8],
        port: Option<u16>,
        said_port: bool,
    ) -> UpstreamId {
        let id = UpstreamId(self.upstreams.len() as u32);
        let (host, pos) = (host.into(), word.pos());
        self.upstreams.push(Upstream { host, port, said_port, is_block: false, pos });
        id
    }
}

fn no_port_here(word: Word, host: &[u8], port: u16) -> Error {
    Error::at(word, format!("upstream \"{}\" may not have port {port}", Shown(host)))
}
