//! Addresses that proxies tell of: which of them to believe.

use super::request::Request;
use crate::sys::addr::{Ip, Peer};
use crate::text::ascii;
use crate::text::network::Network;
use std::net::IpAddr;

/// Who is told to be behind `from`, if that is one of the `proxies`, by the addresses in
/// `lines`, in their order (ngx_http_get_forwarded_addr). The last address counts; if
/// proxies may stand behind each other (`recursive`), the last one that is none of them, or
/// whichever can be reached from the end.
pub fn behind<'l>(
    from: Peer,
    lines: impl Iterator<Item = &'l [u8]>,
    proxies: &[Network],
    recursive: bool,
) -> Option<Peer> {
    let is_proxy = |peer: Peer| proxies.iter().any(|network| network.contains(peer.ip));
    if !is_proxy(from) {
        return None;
    }
    let between = |byte: &u8| matches!(byte, b' ' | b',');
    // For each place: who would be found by one who comes as far, from the end.
    let mut found = None;
    for line in lines {
        let mut words = line.split(between).filter(|word| !word.is_empty());
        if !recursive {
            found = words.next_back().and_then(address);
            continue;
        }
        if line.first().is_none_or(between) {
            found = None;
        }
        for word in words {
            found = match address(word) {
                Some(peer) if is_proxy(peer) => found.or(Some(peer)),
                other => other,
            };
        }
    }
    found
}

/// `1.2.3.4`, `::1`, `1.2.3.4:80`, `[::1]:80` (ngx_parse_addr_port).
fn address(word: &[u8]) -> Option<Peer> {
    let text = std::str::from_utf8(word).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Peer { ip: Ip::from(ip), port: 0 });
    }
    let (ip, port) = text.rsplit_once(':')?;
    let ip = match ip.strip_prefix('[') {
        Some(ip) => IpAddr::V6(ip.strip_suffix(']')?.parse().ok()?),
        None => IpAddr::V4(ip.parse().ok()?),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port > 0)?;
    Some(Peer { ip: Ip::from(ip), port })
}

/// The values of the lines of this name, which is in lower case.
pub fn lines<'r>(request: &Request<'r>, name: &[u8]) -> impl Iterator<Item = &'r [u8]> {
    let fields = request.head.fields(request.bytes);
    fields.filter(move |field| ascii::eq_ignore_case(field.name, name)).map(|field| field.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies() {
        let networks: Vec<_> = ["10.0.0.0/8", "::1"]
            .iter()
            .map(|text| Network::parse(text.as_bytes()).unwrap().0)
            .collect();
        let found = |from: &str, lines: &[&str], recursive| {
            let from = address(from.as_bytes()).unwrap();
            let lines = lines.iter().map(|line| line.as_bytes());
            behind(from, lines, &networks, recursive).map(|peer| peer.to_string())
        };
        for (from, lines, last, recursive) in [
            ("1.2.3.4", &["5.6.7.8"][..], None, None),
            ("10.0.0.1", &[], None, None),
            ("10.0.0.1", &["5.6.7.8"], Some("5.6.7.8:0"), Some("5.6.7.8:0")),
            ("10.0.0.1", &["5.6.7.8:9"], Some("5.6.7.8:9"), Some("5.6.7.8:9")),
            ("::1", &["[::2]:9"], Some("[::2]:9"), Some("[::2]:9")),
            ("::1", &["::2"], Some("[::2]:0"), Some("[::2]:0")),
            ("::1", &["[::2]"], None, None),
            ("10.0.0.1", &["5.6.7.8, 10.0.0.2"], Some("10.0.0.2:0"), Some("5.6.7.8:0")),
            ("10.0.0.1", &["9.9.9.9,5.6.7.8,10.0.0.2 "], Some("10.0.0.2:0"), Some("5.6.7.8:0")),
            ("10.0.0.1", &["9.9.9.9", "10.0.0.2, 10.0.0.3"], Some("10.0.0.3:0"), Some("9.9.9.9:0")),
            ("10.0.0.1", &["10.0.0.4", "10.0.0.3"], Some("10.0.0.3:0"), Some("10.0.0.4:0")),
            ("10.0.0.1", &["9.9.9.9 x 10.0.0.3"], Some("10.0.0.3:0"), Some("10.0.0.3:0")),
            ("10.0.0.1", &["9.9.9.9", ""], None, None),
            ("10.0.0.1", &["9.9.9.9", ",10.0.0.3"], Some("10.0.0.3:0"), Some("10.0.0.3:0")),
            ("10.0.0.1", &["9.9.9.9", "x"], None, None),
            ("10.0.0.1", &["1.2.3.4:0"], None, None),
            ("10.0.0.1", &["1.2.3.4:+8"], None, None),
            ("10.0.0.1", &["::2:80:"], None, None),
        ] {
            assert_eq!(found(from, lines, false).as_deref(), last, "{from} {lines:?}");
            assert_eq!(found(from, lines, true).as_deref(), recursive, "{from} {lines:?}");
        }
    }
}
