//! `geo`: variables that depend on the client's address.

use super::forwarded;
use crate::conf::{Args, Context, Cx, Directive, Error, Node, VarId, settings};
use crate::http::request::Request;
use crate::http::variables::{Computed, Computes};
use crate::sys::addr::{Ip, Peer};
use crate::vars::geo::Geo;
use crate::vars::{Subject, Value};
use std::net::IpAddr;
use std::rc::Rc;

settings! {
    pub struct Main, MainRaw {
        pub variables: Computes = Computes::new(),
    }
}

pub static MAIN: &[Directive<MainRaw>] =
    &[Directive::block("geo", Context::HTTP, Args::ONE_TWO, geo)];

/// A `geo` block, and where its address comes from.
struct OfAddress {
    /// `None`: from the connection.
    source: Option<VarId>,
    geo: Geo,
}

/// `geo [$ADDRESS] $NAME { ... }`
fn geo(raw: &mut MainRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let (source, name) = match node.args_len() {
        1 => (None, node.arg(0)),
        _ => (Some(node.arg(0)), node.arg(1)),
    };
    let source = match source.map(|word| (word, word.bytes())) {
        None => None,
        Some((word, [b'$', name @ ..])) if !name.is_empty() => Some(cx.variable(name, word)),
        Some((word, _)) => {
            return Err(Error::at(word, format!("invalid variable name \"{word}\"")));
        }
    };
    let id = cx.define(name)?;
    let geo = Geo::read(cx, node);
    let variables = raw.variables.get_or_insert_default();
    variables.push((id, Rc::new(OfAddress { source, geo })));
    Ok(())
}

impl OfAddress {
    fn address(&self, request: &Request<'_>) -> Option<Ip> {
        let from = match self.source {
            None => request.client,
            Some(id) => {
                let text = std::str::from_utf8(request.variable(id)?).ok()?;
                Peer { ip: text.parse::<IpAddr>().ok()?.into(), port: 0 }
            }
        };
        if self.geo.proxies.is_empty() {
            return Some(from.ip);
        }
        let lines = forwarded::lines(request, b"x-forwarded-for");
        let behind = forwarded::behind(from, lines, &self.geo.proxies, self.geo.recursive);
        Some(behind.unwrap_or(from).ip)
    }
}

impl Computed for OfAddress {
    fn value<'r>(&'r self, request: &Request<'r>) -> Value<'r> {
        self.geo.find(self.address(request))
    }
}
