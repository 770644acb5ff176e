//! `server_name`: from a host to its server, exact names before wildcards, and
//! the longer wildcard before the shorter one.

use super::Server;
use std::collections::HashMap;
use std::rc::Rc;

type Table = HashMap<Box<[u8]>, Rc<Server>>;

/// The names of one address:port.
#[derive(Default)]
pub struct Names {
    exact: Table,
    /// `*.example.com` as `example.com`.
    leading: Table,
    /// `www.example.*` as `www.example`.
    trailing: Table,
}

impl Names {
    pub fn find(&self, host: &[u8]) -> Option<&Rc<Server>> {
        self.exact
            .get(host)
            .or_else(|| find_longest(&self.leading, dots(host).map(|dot| &host[dot + 1..])))
            .or_else(|| find_longest(&self.trailing, dots(host).rev().map(|dot| &host[..dot])))
    }
}

fn dots(host: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    host.iter().enumerate().filter(|(_, c)| **c == b'.').map(|(at, _)| at)
}

fn find_longest<'n, 'h>(
    table: &'n Table,
    parts: impl Iterator<Item = &'h [u8]>,
) -> Option<&'n Rc<Server>> {
    if table.is_empty() {
        return None;
    }
    parts.into_iter().find_map(|part| table.get(part))
}
