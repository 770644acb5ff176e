//! Networks that directives name: whose requests are trusted, refused, logged.

use super::{Cx, Error, Node, Word};
use crate::text::network::Network;
use std::net::ToSocketAddrs;

impl Cx {
    /// `ADDRESS` or `ADDRESS/BITS`, with nginx's warning where bits of it do not count.
    pub fn network(&mut self, word: Word) -> Option<Network> {
        let (network, is_odd) = Network::parse(&word)?;
        if is_odd {
            self.warn(word, format!("low address bits of {word} are meaningless"));
        }
        Some(network)
    }

    /// The first argument of `node`: a network, `unix:`, or a name with its addresses of now.
    pub fn networks(&mut self, node: Node) -> Result<Vec<Network>, Error> {
        let word = node.arg(0);
        if word.bytes() == b"unix:" {
            return Ok(vec![Network::Unix]);
        }
        if let Some(network) = self.network(word) {
            return Ok(vec![network]);
        }
        let text = std::str::from_utf8(word.bytes()).unwrap_or_default();
        let found = (text, 0).to_socket_addrs().map_err(|_| {
            Error::at(word, format!("host not found in {} \"{word}\"", node.name()))
        })?;
        Ok(found.map(|addr| Network::of(addr.ip())).collect())
    }
}
