//! `host:port` and `unix:/path`, as `server`, `proxy_pass` and the like have them.

use crate::sys::addr::{Addr, BadAddr, UnixName};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

/// An address, and what DNS says of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    pub addr: Addr,
    /// 0: nothing.
    pub weight: u16,
    /// There are places of a better priority.
    pub is_second: bool,
}

impl From<Addr> for Spot {
    fn from(addr: Addr) -> Spot {
        Spot { addr, weight: 0, is_second: false }
    }
}

/// For the log.
impl fmt::Debug for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.addr)
    }
}

/// An address that may be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'t> {
    /// Brackets and all; for `unix:` the whole text.
    pub host: &'t [u8],
    /// None: the text does not say.
    pub port: Option<u16>,
}

impl<'t> Place<'t> {
    /// Reads `text` (ngx_parse_url); what is wrong with it in nginx's words.
    pub fn parse(text: &'t [u8]) -> Result<Place<'t>, BadAddr> {
        if let Some(path) = strip_unix(text) {
            UnixName::parse(path)?;
            return Ok(Place { host: text, port: None });
        }
        let (host, rest) = match text {
            [b'[', ..] => {
                let end = text.iter().position(|byte| *byte == b']').ok_or(BadAddr::Host)?;
                text.split_at(end + 1)
            }
            _ => {
                let end = text.iter().position(|byte| b":/?".contains(byte));
                text.split_at(end.unwrap_or(text.len()))
            }
        };
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return Err(BadAddr::Host),
        };
        if host.is_empty() {
            return Err(BadAddr::NoHost);
        }
        Ok(Place { host, port })
    }

    /// The address, if it is one; `Name`: only DNS can tell.
    pub fn address(&self, default_port: u16) -> Result<Addr, BadAddr> {
        if let Some(path) = strip_unix(self.host) {
            return UnixName::parse(path).map(Addr::Unix);
        }
        let port = self.port.unwrap_or(default_port);
        let text = str::from_utf8(self.host).map_err(|_| BadAddr::Host)?;
        if let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let ip: Ipv6Addr = inside.parse().map_err(|_| BadAddr::Ipv6)?;
            return Ok(Addr::V6(SocketAddrV6::new(ip, port, 0, 0)));
        }
        match text {
            "*" => Ok(Ipv4Addr::UNSPECIFIED),
            text => text.parse().map_err(|_| BadAddr::Name),
        }
        .map(|ip| Addr::V4(SocketAddrV4::new(ip, port)))
    }
}

fn strip_unix(text: &[u8]) -> Option<&[u8]> {
    let (scheme, path) = text.split_at_checked(5)?;
    scheme.eq_ignore_ascii_case(b"unix:").then_some(path)
}

fn port(digits: &[u8]) -> Result<u16, BadAddr> {
    let digits =
        str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let port = digits.and_then(|digits| digits.parse().ok());
    port.filter(|port| *port != 0).ok_or(BadAddr::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names() {
        let address = |text: &str| {
            Place::parse(text.as_bytes()).and_then(|it| it.address(80)).map(|it| it.to_string())
        };
        let cases = [
            ("127.0.0.1", Ok("127.0.0.1:80")),
            ("127.0.0.1:8080", Ok("127.0.0.1:8080")),
            ("[::1]", Ok("[::1]:80")),
            ("[::1]:81", Ok("[::1]:81")),
            ("*:81", Ok("0.0.0.0:81")),
            ("unix:/run/x:y", Ok("unix:/run/x:y")),
            ("UNIX:/run/x", Ok("unix:/run/x")),
            ("8080", Err(BadAddr::Name)),
            ("app", Err(BadAddr::Name)),
            ("app:3000", Err(BadAddr::Name)),
            ("app:", Err(BadAddr::Port)),
            ("app:0", Err(BadAddr::Port)),
            ("app:65536", Err(BadAddr::Port)),
            ("http://app", Err(BadAddr::Port)),
            (":80", Err(BadAddr::NoHost)),
            ("", Err(BadAddr::NoHost)),
            ("[::1", Err(BadAddr::Host)),
            ("[::1]80", Err(BadAddr::Host)),
            ("[x]", Err(BadAddr::Ipv6)),
            ("unix:", Err(BadAddr::NoPath)),
        ];
        for (text, expected) in cases {
            assert_eq!(address(text), expected.map(String::from), "{text}");
        }
    }
}
