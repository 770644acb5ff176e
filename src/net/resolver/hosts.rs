//! /etc/hosts: names that need no server.

use super::watched::{ip, words};
use crate::sys::addr::Ip;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Addresses that are kept of one name.
const MOST: usize = 64;

/// The addresses of `name` in the text of a hosts file, in its order. `localhost`, and what
/// is below it, is this machine, whatever the file says of others (RFC 6761 section 6.3).
pub fn find(text: &[u8], name: &[u8]) -> Vec<Ip> {
    let mut found = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut words = words(line, b"#");
        let Some(address) = words.next() else { continue };
        if words.any(|alias| alias.eq_ignore_ascii_case(name))
            && let Some(address) = ip(address).map(Ip::from)
            && !found.contains(&address)
            && found.len() < MOST
        {
            found.push(address);
        }
    }
    let is_local = name.eq_ignore_ascii_case(b"localhost")
        || name.len() > 10 && name[name.len() - 10..].eq_ignore_ascii_case(b".localhost");
    if found.is_empty() && is_local {
        found = vec![Ip::V4(Ipv4Addr::LOCALHOST), Ip::V6(Ipv6Addr::LOCALHOST)];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_libc_does() {
        let text = b"127.0.0.1\tlocalhost me # app\n\n# 9.9.9.9 app\n10.0.0.2 App app.local\r\n\
            ::2 app\n10.0.0.2 app\nnonsense app\n10.0.0.3\n10.0.0.4 last";
        for (name, expected) in [
            ("app", "[10.0.0.2, ::2]"),
            ("APP.local", "[10.0.0.2]"),
            ("me", "[127.0.0.1]"),
            ("localhost", "[127.0.0.1]"),
            ("x.localhost", "[127.0.0.1, ::1]"),
            ("last", "[10.0.0.4]"),
            ("10.0.0.3", "[]"),
            ("nobody", "[]"),
            ("#", "[]"),
            ("", "[]"),
        ] {
            assert_eq!(format!("{:?}", find(text, name.as_bytes())), expected, "{name}");
        }
    }
}
