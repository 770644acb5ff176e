//! `debug_connection`: clients whose connections are logged at debug level, whatever
//! the level of their log.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use crate::sys::addr::Ip;

/// The clients of one `debug_connection` line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    Unix,
    /// An address and how many of its leading bits count.
    Ip(IpAddr, u8),
}

impl Network {
    pub fn contains(&self, ip: Ip) -> bool {
        match (self, ip) {
            (Network::Unix, Ip::Unix) => true,
            (Network::Ip(IpAddr::V4(net), bits), Ip::V4(ip)) => {
                same(net.to_bits().into(), ip.to_bits().into(), 32 - bits)
            }
            (Network::Ip(IpAddr::V6(net), bits), Ip::V6(ip)) => {
                same(net.to_bits(), ip.to_bits(), 128 - bits)
            }
            _ => false,
        }
    }
}

/// The two agree above the lowest `ignored` bits.
fn same(a: u128, b: u128, ignored: u8) -> bool {
    (a ^ b).checked_shr(ignored.into()).unwrap_or(0) == 0
}

/// Makes these the clients that are debugged.
pub fn debug_clients(networks: &[Network]) {
    ANY.set(!networks.is_empty());
    NETWORKS.replace(networks.to_vec());
}

#[inline]
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
    fn networks_hold_their_addresses() {
        let cases = [
            ("10.0.0.0", 8, "10.1.2.3", true),
            ("10.0.0.0", 8, "11.1.2.3", false),
            ("0.0.0.0", 0, "11.1.2.3", true),
            ("127.0.0.1", 32, "127.0.0.1", true),
            ("127.0.0.1", 32, "127.0.0.2", false),
            ("::1", 128, "::1", true),
            ("2001:db8::", 32, "2001:db8:1::1", true),
            ("2001:db8::", 32, "2001:db9::1", false),
            ("::", 0, "::1", true),
            ("::", 0, "127.0.0.1", false),
        ];
        for (net, bits, ip, expected) in cases {
            let ip = match ip.parse().unwrap() {
                IpAddr::V4(ip) => Ip::V4(ip),
                IpAddr::V6(ip) => Ip::V6(ip),
            };
            assert!(!is_debugged(ip), "nobody is, by default");
            debug_clients(&[Network::Unix, Network::Ip(net.parse().unwrap(), bits)]);
            assert_eq!(is_debugged(ip), expected, "{net}/{bits}");
            assert!(is_debugged(Ip::Unix));
            debug_clients(&[]);
        }
    }
}
