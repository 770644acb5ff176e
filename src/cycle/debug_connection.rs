//! `debug_connection`: whose connections are logged at debug level.

use crate::conf::{Cx, Error, Node, parse_number};
use crate::sys::addr::Ip;
use std::net::{IpAddr, ToSocketAddrs};

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

/// An address, a network `ADDRESS/BITS`, `unix:`, or a name.
pub fn debug_connection(cx: &mut Cx, node: Node) -> Result<Vec<Network>, Error> {
    let word = node.arg(0);
    let text = std::str::from_utf8(word.bytes()).unwrap_or_default();
    if text == "unix:" {
        return Ok(vec![Network::Unix]);
    }
    if let Some(network) = network(text) {
        let plain = cleared(network);
        if plain != network {
            cx.warn(word, format!("low address bits of {word} are meaningless"));
        }
        return Ok(vec![plain]);
    }
    let unknown = || Error::at(word, format!("host not found in debug_connection \"{word}\""));
    let found = (text, 0).to_socket_addrs().map_err(|_| unknown())?;
    Ok(found.map(|addr| single(addr.ip())).collect())
}

fn network(text: &str) -> Option<Network> {
    let Some((ip, bits)) = text.split_once('/') else {
        return text.parse().ok().map(single);
    };
    let Network::Ip(ip, width) = single(ip.parse().ok()?) else { return None };
    let bits = u8::try_from(parse_number(bits.as_bytes())?).ok()?;
    (bits <= width).then_some(Network::Ip(ip, bits))
}

fn single(ip: IpAddr) -> Network {
    Network::Ip(ip, if ip.is_ipv4() { 32 } else { 128 })
}

/// The network with the bits that do not count set to 0.
fn cleared(network: Network) -> Network {
    match network {
        Network::Ip(IpAddr::V4(ip), bits) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Network::Ip(IpAddr::V4((ip.to_bits() & mask).into()), bits)
        }
        Network::Ip(IpAddr::V6(ip), bits) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Network::Ip(IpAddr::V6((ip.to_bits() & mask).into()), bits)
        }
        Network::Unix => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let cases = [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("::1", "::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "::1", true),
            ("::/0", "127.0.0.1", false),
        ];
        for (net, ip, expected) in cases {
            let ip = match ip.parse().unwrap() {
                IpAddr::V4(ip) => Ip::V4(ip),
                IpAddr::V6(ip) => Ip::V6(ip),
            };
            assert_eq!(network(net).unwrap().contains(ip), expected, "{net}");
        }
        assert_eq!(network("1.2.3.4/33"), None);
        assert_eq!(network("1.2.3.4/"), None);
        assert_eq!(network("::1/129"), None);
        assert_eq!(cleared(network("1.2.3.4/8").unwrap()), network("1.0.0.0/8").unwrap());
    }
}
