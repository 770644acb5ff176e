//! `debug_connection`: whose connections are logged at debug level.

use crate::conf::{Cx, Error, Node, parse_number};
use crate::log::Network;
use std::net::{IpAddr, ToSocketAddrs};

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
    fn networks_are_addresses_with_bits() {
        let of = |text| network(text).map(cleared);
        let ip = |ip: &str, bits| Some(Network::Ip(ip.parse().unwrap(), bits));
        assert_eq!(of("1.2.3.4"), ip("1.2.3.4", 32));
        assert_eq!(of("1.2.3.4/8"), ip("1.0.0.0", 8));
        assert_eq!(of("0.0.0.0/0"), ip("0.0.0.0", 0));
        assert_eq!(of("2001:db8::1/32"), ip("2001:db8::", 32));
        for bad in ["1.2.3.4/33", "1.2.3.4/", "::1/129", "name"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
