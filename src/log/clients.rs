//! `debug_connection`: clients whose connections are logged at debug level, whatever
//! the level of their log.

use crate::sys::addr::Ip;
use crate::text::network::Network;
use std::cell::{Cell, RefCell};

/// Makes these the clients that are debugged.
pub fn debug_clients(networks: &[Network]) {
    ANY.set(!networks.is_empty());
    NETWORKS.replace(networks.to_vec());
}

#[inline(always)]
pub fn is_debugged(client: Ip) -> bool {
    ANY.get() && NETWORKS.with_borrow(|networks| networks.iter().any(|net| net.contains(client)))
}

thread_local! {
    static ANY: Cell<bool> = const { Cell::new(false) };
    static NETWORKS: RefCell<Vec<Network>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_named_are_debugged() {
        let ip = Ip::V4([10, 1, 2, 3].into());
        assert!(!is_debugged(ip), "nobody is, by default");
        debug_clients(&[Network::Unix, Network::Ip([10, 0, 0, 0].into(), 8)]);
        assert!(is_debugged(ip) && is_debugged(Ip::Unix));
        assert!(!is_debugged(Ip::V4([11, 0, 0, 1].into())));
        debug_clients(&[]);
        assert!(!is_debugged(ip));
    }
}
