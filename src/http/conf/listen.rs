//! `listen`: addresses, their servers, and the sockets that serve them.

use super::{Names, Server};
use crate::sys::addr::Addr;
use std::rc::Rc;

/// What a `listen` line says of its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    pub backlog: i32,
    pub rcvbuf: Option<i32>,
    pub sndbuf: Option<i32>,
    pub fastopen: Option<i32>,
    pub deferred: bool,
    pub reuseport: bool,
    pub ipv6only: bool,
    /// A socket of its own, even beside a wildcard of the same port.
    pub bind: bool,
    pub so_keepalive: Option<bool>,
    /// Seconds, seconds, probes; 0 leaves the system's.
    pub tcp_keepidle: i32,
    pub tcp_keepintvl: i32,
    pub tcp_keepcnt: i32,
}

/// A socket to listen on.
pub struct Listening {
    pub addr: Addr,
    pub options: ListenOptions,
    /// The addresses it serves, most specific first; several only for a wildcard,
    /// which then asks the kernel for the address a connection came to.
    pub sites: Vec<Rc<Site>>,
}

impl Listening {
    /// The servers of the address that a connection was made to.
    pub fn site(&self, local: &Addr) -> &Rc<Site> {
        let last = self.sites.len().saturating_sub(1);
        let found = self.sites.iter().find(|site| site.addr == *local);
        found.unwrap_or(&self.sites[last])
    }
}

/// The servers of one address:port.
pub struct Site {
    pub addr: Addr,
    pub proxy_protocol: bool,
    pub default_server: Rc<Server>,
    pub(super) names: Names,
}

impl Site {
    /// The server for a host: lower case, without port or final dot.
    pub fn server(&self, host: &[u8]) -> &Rc<Server> {
        self.names.find(host).unwrap_or(&self.default_server)
    }
}
