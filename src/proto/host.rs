//! The authority of a request: `Host` and the host of an absolute target.
//!
//! As nginx (port and trailing dot cut off, `..` refused), with the grammar of
//! RFC 3986 3.2.2 held to: no userinfo, no bytes that no host can have, a port
//! that is a number, brackets only around an IPv6 address. A comma is refused
//! although the grammar has it: it is two `Host` lines joined by somebody.
use crate::text::ascii;
use std::net::Ipv6Addr;

/// What an authority says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Length of the name, which begins the authority: without trailing dot
    /// and port, with the brackets of an IPv6 address.
    pub len: u32,
    /// Given and not empty.
    pub port: Option<u16>,
    /// The name has upper-case letters, and has to be lowered for comparison.
    pub has_upper: bool,
}

/// Takes an authority apart; `None` is 400.
pub fn parse(text: &[u8]) -> Option<Host> {
    let Name { len, has_upper } =
        if let [b'[', ..] = text { literal(text) } else { reg_name(text) }?;
    let (name, rest) = text.split_at_checked(len)?;
    let port = match rest {
        [] => None,
        [b':', digits @ ..] => port(digits)?,
        _ => return None,
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() {
        return None;
    }
    Some(Host { len: name.len() as u32, port, has_upper })
}

struct Name {
    len: usize,
    has_upper: bool,
}

/// `[` IPv6 address `]`
#[cold]
fn literal(text: &[u8]) -> Option<Name> {
    let end = text.iter().position(|&b| b == b']')?;
    let inner = std::str::from_utf8(text.get(1..end)?).ok()?;
    inner.parse::<Ipv6Addr>().ok()?;
    Some(Name { len: end + 1, has_upper: inner.bytes().any(|b| b.is_ascii_uppercase()) })
}

/// Everything in front of the port, each byte of it allowed.
#[inline]
fn reg_name(text: &[u8]) -> Option<Name> {
    let mut has_upper = false;
    let mut at = 0;
    while let Some(&b) = text.get(at) {
        if !ascii::is(b, ascii::HOST) {
            match b {
                b'.' if text.get(at + 1) != Some(&b'.') => {}
                b':' => break,
                b'A'..=b'Z' => has_upper = true,
                b'%' if text.get(at + 1..at + 3)?.iter().all(u8::is_ascii_hexdigit) => {}
                _ => return None,
            }
        }
        at += 1;
    }
    Some(Name { len: at, has_upper })
}

/// At most five digits up to 65535, or nothing.
fn port(digits: &[u8]) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    if digits.len() > 5 {
        return None;
    }
    let mut port = 0;
    for &b in digits {
        if !b.is_ascii_digit() {
            return None;
        }
        port = port * 10 + u32::from(b - b'0');
    }
    u16::try_from(port).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_apart() {
        for (text, name, port, has_upper) in [
            ("example.com", "example.com", None, false),
            ("Example.COM:8080", "Example.COM", Some(8080), true),
            ("example.com.", "example.com", None, false),
            ("example.com.:80", "example.com", Some(80), false),
            ("example.com:", "example.com", None, false),
            ("localhost:65535", "localhost", Some(65535), false),
            ("127.0.0.1:0080", "127.0.0.1", Some(80), false),
            ("[::1]", "[::1]", None, false),
            ("[2001:DB8::1]:443", "[2001:DB8::1]", Some(443), true),
            ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", None, false),
            ("my_host", "my_host", None, false),
            (".example.com", ".example.com", None, false),
            ("a%2Fb", "a%2Fb", None, true),
            ("*.x", "*.x", None, false),
        ] {
            let host = parse(text.as_bytes()).expect(text);
            assert_eq!(host, Host { len: name.len() as u32, port, has_upper }, "{text}");
            assert!(text.starts_with(name));
        }
    }

    #[test]
    fn refuses() {
        for text in [
            "",
            ".",
            ":80",
            ".:80",
            "a..b",
            "a b",
            "a,b",
            "a, a",
            "user@host",
            "user:pw@host",
            "host/path",
            "host?x",
            "host#x",
            "host\\x",
            "host:80:80",
            "host:8o",
            "host:-1",
            "host:65536",
            "host:99999999999999999999",
            "host: 80",
            "[::1",
            "[]",
            "[::1]x",
            "[::1]]",
            "[example.com]",
            "[v1.x]",
            "[::1%25eth0]",
            "::1",
            "a]b",
            "a%2",
            "a%zz",
            "ex\u{e4}mple",
            "a\0b",
            "a\tb",
            "a\x7fb",
            "a\"b",
            "a<b>",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
