//! A line `server ADDRESS …;` of a group: where its peers are, and what it says of them.

use crate::sys::addr::Addr;
use crate::text::md5::md5;
use std::cell::Cell;

/// The line. Its peers are the addresses that it stands for: one, or those of a name.
#[derive(Debug)]
pub struct Server {
    /// The address as the configuration has it.
    pub text: Box<[u8]>,
    pub target: Target,
    /// Which line of its group it is.
    pub(super) line: u32,
    pub weight: u32,
    /// 0: any number.
    pub max_conns: u32,
    /// 0: failures do not count.
    pub max_fails: u32,
    pub fail_timeout_s: u64,
    pub slow_start_ms: u64,
    /// What `sticky` calls it; empty: nothing.
    pub route: Box<[u8]>,
    pub backup: bool,
    pub down: bool,
    pub drain: bool,
    /// `resolve`: its name is looked up by the configured resolver.
    pub resolve: bool,
    /// Somebody could not connect: its name is to be looked up at once.
    pub(super) doubted: Cell<bool>,
}

/// Where the addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Address(Addr),
    /// A name that DNS knows, and the port; with a service, SRV records tell ports.
    Name {
        host: Box<[u8]>,
        port: u16,
        service: Option<Box<[u8]>>,
    },
}

impl Server {
    /// As nginx has it if the line says nothing more.
    pub fn new(text: &[u8], target: Target) -> Server {
        Server {
            text: text.into(),
            target,
            line: 0,
            weight: 1,
            max_conns: 0,
            max_fails: 1,
            fail_timeout_s: 10,
            slow_start_ms: 0,
            route: Box::default(),
            backup: false,
            down: false,
            drain: false,
            resolve: false,
            doubted: Cell::new(false),
        }
    }

    /// Whether its addresses have to be looked up.
    pub fn is_named(&self) -> bool {
        matches!(self.target, Target::Name { .. })
    }

    /// Whether it has been doubted since this was asked last: see `Group::connect_refused`.
    pub fn take_doubt(&self) -> bool {
        self.doubted.take()
    }

    /// What a cookie says of the peer of this name: the route, or a digest of the name.
    pub(super) fn id(&self, name: &[u8]) -> Box<[u8]> {
        if !self.route.is_empty() {
            return self.route.clone();
        }
        let digits = |byte: u8| [byte >> 4, byte & 15].map(|it| b"0123456789abcdef"[it as usize]);
        md5(&[name]).into_iter().flat_map(digits).collect()
    }
}
