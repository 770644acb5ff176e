//! Networks: addresses of which only the leading bits count (CIDR).

use crate::sys::addr::Ip;
use crate::text::number;
use std::net::IpAddr;

/// Who may be meant by `10.0.0.0/8`, `::1` or `unix:`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    Unix,
    /// An address and how many of its leading bits count; the others are 0.
    Ip(IpAddr, u8),
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/BITS` (ngx_ptocidr); the flag says that bits were set
    /// which do not count.
    pub fn parse(text: &[u8]) -> Option<(Network, bool)> {
        let text = std::str::from_utf8(text).ok()?;
        let Some((ip, bits)) = text.split_once('/') else {
            return Some((Network::of(text.parse().ok()?), false));
        };
        let ip: IpAddr = ip.parse().ok()?;
        let bits = u8::try_from(number::parse_u64(bits.as_bytes())?).ok()?;
        let plain = match ip {
            IpAddr::V4(ip) => {
                let ignored = 32_u32.checked_sub(bits.into())?;
                IpAddr::V4((ip.to_bits() & u32::MAX.checked_shl(ignored).unwrap_or(0)).into())
            }
            IpAddr::V6(ip) => {
                let ignored = 128_u32.checked_sub(bits.into())?;
                IpAddr::V6((ip.to_bits() & u128::MAX.checked_shl(ignored).unwrap_or(0)).into())
            }
        };
        Some((Network::Ip(plain, bits), plain != ip))
    }

    /// One address.
    pub fn of(ip: IpAddr) -> Network {
        Network::Ip(ip, if ip.is_ipv4() { 32 } else { 128 })
    }

    /// Whether the client is in it. One that came by IPv6 with an address of IPv4 counts as
    /// the latter (ngx_cidr_match).
    pub fn contains(&self, ip: Ip) -> bool {
        self.contains_as_is(ip.canonical())
    }

    /// The same of the address as it stands.
    pub fn contains_as_is(&self, ip: Ip) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_addresses_with_bits() {
        let ip = |ip: &str, bits| Network::Ip(ip.parse().unwrap(), bits);
        for (text, network, odd) in [
            ("1.2.3.4", ip("1.2.3.4", 32), false),
            ("1.2.3.4/8", ip("1.0.0.0", 8), true),
            ("1.0.0.0/8", ip("1.0.0.0", 8), false),
            ("0.0.0.0/0", ip("0.0.0.0", 0), false),
            ("2001:db8::1/32", ip("2001:db8::", 32), true),
            ("::1", ip("::1", 128), false),
        ] {
            assert_eq!(Network::parse(text.as_bytes()), Some((network, odd)), "{text}");
        }
        for bad in ["1.2.3.4/33", "1.2.3.4/", "1.2.3.4/+8", "::1/129", "name", "", "/8", "1.2.3"] {
            assert_eq!(Network::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        let cases = [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
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
            let ip: IpAddr = ip.parse().unwrap();
            let (network, _) = Network::parse(net.as_bytes()).unwrap();
            assert_eq!(network.contains(ip.into()), expected, "{net} {ip}");
            assert!(!network.contains(Ip::Unix));
        }
        assert!(Network::Unix.contains(Ip::Unix));
    }
}
