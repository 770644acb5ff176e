//! What stands in `upstream NAME { }`.

use super::sticky::{self, Sticky};
use super::{Upstream, methods, server};
use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Shape, Template, apply, parse_number, parse_size,
    put,
};
use crate::http::resolver;
use crate::net::resolver::Resolver;
use crate::net::upstream::{Group, Keepalive, Memory, Method, Parts, Server, spec, unnamed};
use crate::shm::directory::Handle;
use crate::shm::zone::MIN_SIZE;
use std::rc::Rc;

const UPSTREAM: Context = Context::UPSTREAM;

/// What the block has said so far.
#[derive(Default)]
pub struct Block {
    pub servers: Vec<Server>,
    pub method: Option<Method>,
    /// `hash KEY`
    pub key: Option<Template>,
    pub sticky: Option<Sticky>,
    zone: Option<Handle>,
    resolver: Option<Resolver>,
    resolver_timeout: Option<u64>,
    keepalive: Option<u32>,
    keepalive_requests: Option<u64>,
    keepalive_time: Option<u64>,
    keepalive_timeout: Option<u64>,
}

static TABLE: &[Directive<Block>] = &[
    Directive::call("server", UPSTREAM, Args::ONE_MORE, server::server),
    Directive::call("zone", UPSTREAM, Args::ONE_TWO, zone),
    Directive::call("resolver", UPSTREAM, Args::ONE_MORE, |block, _, node| {
        put(&mut block.resolver, node, Resolver::configured(node))
    }),
    Directive::call("resolver_timeout", UPSTREAM, Args::ONE, |block, _, node| {
        put(&mut block.resolver_timeout, node, resolver::timeout(node))
    }),
    Directive::call("hash", UPSTREAM, Args::ONE_TWO, methods::hash),
    Directive::call("ip_hash", UPSTREAM, Args::NONE, methods::ip_hash),
    Directive::call("least_conn", UPSTREAM, Args::NONE, methods::least_conn),
    Directive::call("least_time", UPSTREAM, Args::ONE_TWO, methods::least_time),
    Directive::call("random", UPSTREAM, Args::UP_TO_TWO, methods::random),
    Directive::call("sticky", UPSTREAM, Args::TWO_MORE, sticky::sticky),
    Directive::call("keepalive", UPSTREAM, Args::ONE_TWO, keepalive),
    Directive::number("keepalive_requests", UPSTREAM, |block| &mut block.keepalive_requests),
    Directive::msec("keepalive_time", UPSTREAM, |block| &mut block.keepalive_time),
    Directive::msec("keepalive_timeout", UPSTREAM, |block| &mut block.keepalive_timeout),
];

/// The directives of the block.
pub fn shapes() -> impl Iterator<Item = &'static Shape> {
    TABLE.iter().map(|directive| &directive.shape)
}

/// Reads a block. None: what is wrong has been told.
pub fn read(cx: &mut Cx, node: Node) -> Result<Option<Upstream>, Error> {
    let mut block = Block::default();
    let inside = node.block().unwrap_or(node.nothing());
    apply(TABLE, UPSTREAM, &mut block, cx, inside);
    if block.servers.is_empty() {
        if inside.into_iter().any(|line| line.name().bytes() == b"server") {
            return Ok(None);
        }
        return Err(Error::at(node.name(), "no servers are inside upstream"));
    }
    let name = node.arg(0);
    if block.servers.iter().all(|server| server.backup) {
        return Err(Error::at(node.name(), format!("no servers in upstream \"{name}\"")));
    }
    let memory = match block.zone.take() {
        Some(zone) => Memory::Shared(zone),
        None => cx.unnamed_zone(unnamed()).map_or(Memory::Hidden, Memory::Seen),
    };
    Ok(Some(made(name.bytes(), block, memory)))
}

fn made(name: &[u8], block: Block, memory: Memory) -> Upstream {
    let usual = Keepalive::default();
    let keepalive = Keepalive {
        connections: block.keepalive.unwrap_or(usual.connections),
        requests: block.keepalive_requests.unwrap_or(usual.requests),
        time_ms: block.keepalive_time.unwrap_or(usual.time_ms),
        timeout_ms: block.keepalive_timeout.unwrap_or(usual.timeout_ms),
    };
    let parts = Parts {
        name: name.into(),
        servers: block.servers,
        method: block.method.unwrap_or_default(),
        keepalive,
        memory,
        resolver: block.resolver,
        resolver_timeout: block.resolver_timeout,
    };
    Upstream {
        group: Rc::new(Group::new(parts)),
        is_block: true,
        key: block.key,
        sticky: block.sticky,
    }
}

/// `zone NAME [SIZE];`
fn zone(block: &mut Block, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let (name, word) = (node.arg(0), node.arg(1));
    if name.is_empty() {
        return Err(Error::at(name, format!("invalid zone name \"{name}\"")));
    }
    let mut size = 0;
    if node.args_len() == 2 {
        let bytes = parse_size(&word).and_then(|size| usize::try_from(size).ok());
        size = bytes.ok_or_else(|| Error::at(word, format!("invalid zone size \"{word}\"")))?;
        if size < MIN_SIZE {
            return Err(Error::at(name, format!("zone \"{name}\" is too small")));
        }
    }
    block.zone = Some(cx.zone(name, spec(&name.to_string(), size))?);
    Ok(())
}

/// `keepalive CONNECTIONS [local];`
fn keepalive(block: &mut Block, _: &mut Cx, node: Node) -> Result<(), Error> {
    if node.args_len() == 2 && node.arg(1).bytes() != b"local" {
        return Err(Error::invalid_parameter(node.arg(1)));
    }
    let word = node.arg(0);
    let number = parse_number(&word).and_then(|number| u32::try_from(number).ok());
    let number = number.ok_or_else(|| {
        Error::at(word, format!("invalid value \"{word}\" in \"keepalive\" directive"))
    });
    put(&mut block.keepalive, node, number)
}
