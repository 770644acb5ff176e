//! All `listen` lines of a config: which sockets there are, which addresses each
//! serves, and which servers each address has.

use super::Server;
use super::identity::Identity;
use super::identity::ServerName;
use super::listen::ListenLine;
use super::names::{Found, Names};
use crate::conf::{Cx, Error, Node};
use crate::net::listen::ListenOptions;
use crate::sys::addr::Addr;
use std::collections::HashMap;
use std::rc::Rc;

/// A socket to listen on.
pub struct Listening {
    pub addr: Addr,
    pub options: ListenOptions,
    /// The addresses it serves. Several only for a wildcard, which then asks the
    /// kernel for the address a connection came to; the wildcard itself is the last.
    pub sites: Vec<Rc<Site>>,
}

impl Listening {
    /// The servers of the address that a connection was made to.
    pub fn site(&self, local: &Addr) -> &Rc<Site> {
        let last = self.sites.len() - 1;
        let found = self.sites[..last].iter().find(|site| site.addr == *local);
        found.unwrap_or(&self.sites[last])
    }
}

/// The servers of one address:port.
pub struct Site {
    pub addr: Addr,
    pub default_server: Rc<Server>,
    /// A header of the PROXY protocol comes before the first request.
    pub proxy_protocol: bool,
    /// Whoever is in front speaks TLS (`tls_offload`).
    pub ssl: bool,
    names: Names,
}

impl Site {
    /// The server for a host: lower case, without port or final dot.
    pub fn server(&self, host: &[u8]) -> Found<'_> {
        self.names.find(host)
    }
}

/// The lines so far, by address.
#[derive(Default)]
pub struct Listens {
    addrs: Vec<Address>,
    by_addr: HashMap<Addr, usize>,
}

struct Address {
    addr: Addr,
    options: ListenOptions,
    set: bool,
    proxy_protocol: bool,
    ssl: bool,
    /// The one that says `default_server`; else the first.
    default_server: Rc<Server>,
    has_default: bool,
    servers: Vec<Rc<Server>>,
}

impl Listens {
    /// Adds a server with its lines.
    pub fn add(&mut self, cx: &mut Cx, node: Node, server: &Rc<Server>, identity: Identity) {
        let mut lines = identity.listens;
        if lines.is_empty() {
            lines.push(ListenLine::fallback(node.name().pos()));
        }
        for line in lines {
            let pos = line.pos;
            if let Err(text) = self.line(line, server) {
                cx.errors.push(Error::new(pos, text));
            }
        }
    }

    fn line(&mut self, line: ListenLine, server: &Rc<Server>) -> Result<(), String> {
        let ListenLine { addr, options, set, default_server, proxy_protocol, ssl, .. } = line;
        let number = *self.by_addr.entry(addr).or_insert(self.addrs.len());
        if number == self.addrs.len() {
            let options = options.clone();
            self.addrs.push(Address {
                addr,
                options,
                set: false,
                proxy_protocol,
                ssl,
                default_server: Rc::clone(server),
                has_default: false,
                servers: Vec::new(),
            });
        }
        let address = &mut self.addrs[number];
        if address.servers.last().is_some_and(|last| Rc::ptr_eq(last, server)) {
            return Err(format!("a duplicate listen {addr}"));
        }
        address.servers.push(Rc::clone(server));
        if set {
            if address.set {
                return Err(format!("duplicate listen options for {addr}"));
            }
            address.options = options;
            address.set = true;
        }
        address.proxy_protocol |= proxy_protocol;
        address.ssl |= ssl;
        if default_server {
            if address.has_default {
                return Err(format!("a duplicate default server for {addr}"));
            }
            address.default_server = Rc::clone(server);
            address.has_default = true;
        }
        Ok(())
    }

    /// The sockets. With a wildcard on a port, its other addresses need sockets of
    /// their own only if their lines ask for it (`bind`).
    pub fn finish(self, cx: &mut Cx) -> Vec<Listening> {
        let mut ports: Vec<Vec<Address>> = Vec::new();
        let mut by_port: HashMap<(i32, u16), usize> = HashMap::new();
        for address in self.addrs {
            let key = (address.addr.family(), address.addr.port());
            let number = *by_port.entry(key).or_insert(ports.len());
            match ports.get_mut(number) {
                Some(port) => port.push(address),
                None => ports.push(vec![address]),
            }
        }
        ports.into_iter().flat_map(|port| sockets(cx, port)).collect()
    }
}

/// The sockets for the addresses of one port, those with options first.
fn sockets(cx: &mut Cx, addresses: Vec<Address>) -> Vec<Listening> {
    let has_wildcard = addresses.iter().any(|address| address.addr.is_wildcard());
    let mut listening = Vec::new();
    let mut shared = Vec::new();
    let (bound, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.options.bind);
    let mut wildcard = None;
    for address in bound.into_iter().chain(other) {
        let (addr, options) = (address.addr, address.options.clone());
        let site = Rc::new(site(cx, address));
        if addr.is_wildcard() {
            wildcard = Some((addr, options, site));
        } else if has_wildcard && !options.bind {
            shared.push(site);
        } else {
            listening.push(Listening { addr, options, sites: vec![site] });
        }
    }
    if let Some((addr, options, site)) = wildcard {
        shared.push(site);
        listening.push(Listening { addr, options, sites: shared });
    }
    listening
}

fn site(cx: &mut Cx, address: Address) -> Site {
    let Address { addr, default_server, proxy_protocol, ssl, servers, .. } = address;
    let mut names = Names::default();
    // Who is alone is the default, whatever its names; nginx does not even look at them,
    // unless one has groups to remember. Nor does it come so far after an error.
    let mut patterns = servers.iter().flat_map(|server| server.names.iter());
    let has_groups =
        |name: &ServerName| name.pattern.as_ref().is_some_and(|pattern| pattern.regex.groups() > 0);
    if (servers.len() > 1 || patterns.any(has_groups)) && cx.errors.is_empty() {
        for server in &servers {
            server.names.iter().for_each(|name| names.add(cx, addr, name, server));
        }
    }
    Site { addr, default_server, proxy_protocol, ssl, names }
}
