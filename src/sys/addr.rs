//! Addresses of sockets: IPv4, IPv6 and AF_UNIX (path, abstract, unnamed).
//!
//! `Addr` is a whole address, for configuration and system calls; `Peer` is the
//! small one that every connection carries. Both print in nginx's form:
//! `127.0.0.1:80`, `[::1]:80`, `unix:/run/x`. Names are not resolved here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use libc::{c_int, socklen_t};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addr {
    V4(SocketAddrV4),
    V6(SocketAddrV6),
    Unix(UnixName),
}

impl Addr {
    /// Reads what a configuration may say: `1.2.3.4:80`, `1.2.3.4`, `[::1]:80`,
    /// `[::1]`, `*:80`, `*`, `80`, `unix:/path`, `unix:@abstract`.
    /// A bare host gets the default port; `Name` means that only DNS can tell.
    pub fn parse(text: &str, default_port: u16) -> Result<Addr, BadAddr> {
        if let Some(path) = text.strip_prefix("unix:") {
            return UnixName::parse(path.as_bytes()).map(Addr::Unix);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or(BadAddr::Host)?;
            let host: Ipv6Addr = host.parse().map_err(|_| BadAddr::Ipv6)?;
            let port = match port {
                "" => default_port,
                port => parse_port(port.strip_prefix(':').ok_or(BadAddr::Host)?)?,
            };
            return Ok(Addr::V6(SocketAddrV6::new(host, port, 0, 0)));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => match parse_port(text) {
                Ok(port) => ("*", port),
                Err(_) if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() => {
                    return Err(BadAddr::Port);
                }
                Err(_) => (text, default_port),
            },
        };
        let host = match host {
            "" => return Err(BadAddr::NoHost),
            "*" => Ipv4Addr::UNSPECIFIED,
            host => host.parse().map_err(|_| BadAddr::Name)?,
        };
        Ok(Addr::V4(SocketAddrV4::new(host, port)))
    }

    /// AF_INET, AF_INET6 or AF_UNIX.
    pub fn family(&self) -> c_int {
        match self {
            Addr::V4(_) => libc::AF_INET,
            Addr::V6(_) => libc::AF_INET6,
            Addr::Unix(_) => libc::AF_UNIX,
        }
    }

    /// 0 for AF_UNIX.
    pub fn port(&self) -> u16 {
        match self {
            Addr::V4(addr) => addr.port(),
            Addr::V6(addr) => addr.port(),
            Addr::Unix(_) => 0,
        }
    }

    pub fn is_wildcard(&self) -> bool {
        match self {
            Addr::V4(addr) => addr.ip().is_unspecified(),
            Addr::V6(addr) => addr.ip().is_unspecified(),
            Addr::Unix(_) => false,
        }
    }

    pub fn is_unix(&self) -> bool {
        matches!(self, Addr::Unix(_))
    }

    pub fn peer(&self) -> Peer {
        match self {
            Addr::V4(addr) => Peer { ip: Ip::V4(*addr.ip()), port: addr.port() },
            Addr::V6(addr) => Peer { ip: Ip::V6(*addr.ip()), port: addr.port() },
            Addr::Unix(_) => Peer { ip: Ip::Unix, port: 0 },
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::V4(addr) => addr.fmt(f),
            Addr::V6(addr) => write!(f, "[{}]:{}", addr.ip(), addr.port()),
            Addr::Unix(name) => name.fmt(f),
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no address, in nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAddr {
    /// Not numeric: ask DNS.
    Name,
    NoHost,
    Host,
    Ipv6,
    Port,
    NoPath,
    LongPath,
}

impl fmt::Display for BadAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadAddr::Name => "host not found",
            BadAddr::NoHost => "no host",
            BadAddr::Host => "invalid host",
            BadAddr::Ipv6 => "invalid IPv6 address",
            BadAddr::Port => "invalid port",
            BadAddr::NoPath => "no path in the unix domain socket",
            BadAddr::LongPath => "too long path in the unix domain socket",
        })
    }
}

/// 1 to 65535, digits only (Rust would take a sign).
fn parse_port(text: &str) -> Result<u16, BadAddr> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { text.parse().unwrap_or(0) } else { 0 };
    if port == 0 { Err(BadAddr::Port) } else { Ok(port) }
}

const SUN_PATH: usize = 108;
const SUN_PATH_OFFSET: usize = std::mem::offset_of!(libc::sockaddr_un, sun_path);

/// The name of an AF_UNIX socket, as its bytes in `sun_path`: a path without
/// its final NUL, an abstract name with its first, or nothing (unnamed).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnixName {
    len: u8,
    bytes: [u8; SUN_PATH],
}

impl UnixName {
    pub const UNNAMED: UnixName = UnixName { len: 0, bytes: [0; SUN_PATH] };

    /// `@name` is abstract, as everybody writes it.
    pub fn parse(text: &[u8]) -> Result<UnixName, BadAddr> {
        // A path keeps one byte for its NUL.
        if text.len() >= SUN_PATH {
            return Err(BadAddr::LongPath);
        }
        let mut name = UnixName::from_bytes(text).ok_or(BadAddr::NoPath)?;
        match text.first() {
            None | Some(0) => return Err(BadAddr::NoPath),
            Some(b'@') => name.bytes[0] = 0,
            Some(_) if text.contains(&0) => return Err(BadAddr::NoPath),
            Some(_) => {}
        }
        Ok(name)
    }

    /// The path, if the name is one.
    pub fn path(&self) -> Option<&[u8]> {
        self.as_bytes().first().filter(|&&b| b != 0).map(|_| self.as_bytes())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// `None`: too long for any.
    pub fn from_bytes(bytes: &[u8]) -> Option<UnixName> {
        let len = u8::try_from(bytes.len()).ok()?;
        let mut name = UnixName { len, bytes: [0; SUN_PATH] };
        name.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(name)
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unix:")?;
        for chunk in self.as_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who is at the other end, small enough to keep for each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    pub ip: Ip,
    /// 0 for AF_UNIX.
    pub port: u16,
}

const _: () = assert!(size_of::<Peer>() <= 24);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ip {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Unix,
}

impl Ip {
    /// A socket's address there; none for AF_UNIX.
    pub fn at(self, port: u16) -> Option<Addr> {
        match self {
            Ip::V4(ip) => Some(Addr::V4(SocketAddrV4::new(ip, port))),
            Ip::V6(ip) => Some(Addr::V6(SocketAddrV6::new(ip, port, 0, 0))),
            Ip::Unix => None,
        }
    }

    /// An address of IPv4 in the clothes of IPv6 (`::ffff:1.2.3.4`) as what it is.
    pub fn canonical(self) -> Ip {
        match self {
            Ip::V6(ip) => ip.to_ipv4_mapped().map_or(self, Ip::V4),
            other => other,
        }
    }
}

impl From<IpAddr> for Ip {
    fn from(ip: IpAddr) -> Ip {
        match ip {
            IpAddr::V4(ip) => Ip::V4(ip),
            IpAddr::V6(ip) => Ip::V6(ip),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Ip::V4(ip) => write!(f, "{ip}:{}", self.port),
            Ip::V6(ip) => write!(f, "[{ip}]:{}", self.port),
            Ip::Unix => f.write_str("unix:"),
        }
    }
}

/// The address without a port, as in `$remote_addr`.
impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ip::V4(ip) => ip.fmt(f),
            Ip::V6(ip) => ip.fmt(f),
            Ip::Unix => f.write_str("unix:"),
        }
    }
}

impl fmt::Debug for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address as the kernel has it.
#[derive(Clone, Copy)]
pub(super) struct RawAddr {
    storage: libc::sockaddr_storage,
    len: socklen_t,
}

impl RawAddr {
    /// Room for an answer.
    pub(super) fn room() -> RawAddr {
        // SAFETY: all zeroes is a valid sockaddr_storage (family AF_UNSPEC).
        let storage = unsafe { std::mem::zeroed() };
        RawAddr { storage, len: size_of::<libc::sockaddr_storage>() as socklen_t }
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }

    pub(super) fn len(&self) -> socklen_t {
        self.len
    }

    pub(super) fn len_mut(&mut self) -> &mut socklen_t {
        &mut self.len
    }

    /// `T` is one of the sockaddr kinds: plain integers, not larger than the storage.
    fn holding<T: Copy>(addr: T, len: usize) -> RawAddr {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        let mut raw = RawAddr::room();
        // SAFETY: the storage is at least as large and as aligned as any sockaddr kind.
        unsafe { (&raw mut raw.storage).cast::<T>().write(addr) };
        raw.len = len as socklen_t;
        raw
    }

    /// None for a family that is not ours.
    pub(super) fn decode(&self) -> Option<Addr> {
        match c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                let sin: libc::sockaddr_in = self.view();
                let ip = Ipv4Addr::from(u32::from_be(sin.sin_addr.s_addr));
                Some(Addr::V4(SocketAddrV4::new(ip, u16::from_be(sin.sin_port))))
            }
            libc::AF_INET6 => {
                let sin: libc::sockaddr_in6 = self.view();
                let ip = Ipv6Addr::from(sin.sin6_addr.s6_addr);
                let port = u16::from_be(sin.sin6_port);
                Some(Addr::V6(SocketAddrV6::new(ip, port, 0, sin.sin6_scope_id)))
            }
            libc::AF_UNIX => {
                let sun: libc::sockaddr_un = self.view();
                let bytes = sun.sun_path.map(|b| u8::from_ne_bytes(b.to_ne_bytes()));
                let len = (self.len as usize).saturating_sub(SUN_PATH_OFFSET).min(SUN_PATH);
                let name = &bytes[..len];
                // A path comes back with its NUL, an abstract name without.
                let end = match name.first() {
                    Some(0) | None => len,
                    Some(_) => name.iter().position(|&b| b == 0).unwrap_or(len),
                };
                UnixName::from_bytes(&name[..end]).map(Addr::Unix)
            }
            _ => None,
        }
    }

    fn view<T: Copy>(&self) -> T {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: `T` is a sockaddr kind, for which any bytes are valid; the
        // storage is as large and as aligned, and was zeroed before it was filled.
        unsafe { (&raw const self.storage).cast::<T>().read() }
    }
}

impl From<&Addr> for RawAddr {
    fn from(addr: &Addr) -> RawAddr {
        match addr {
            Addr::V4(addr) => {
                let sin = libc::sockaddr_in {
                    sin_family: libc::AF_INET as _,
                    sin_port: addr.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*addr.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                RawAddr::holding(sin, size_of::<libc::sockaddr_in>())
            }
            Addr::V6(addr) => {
                let sin = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as _,
                    sin6_port: addr.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                    sin6_scope_id: addr.scope_id(),
                };
                RawAddr::holding(sin, size_of::<libc::sockaddr_in6>())
            }
            Addr::Unix(name) => {
                let sun = libc::sockaddr_un {
                    sun_family: libc::AF_UNIX as _,
                    sun_path: name.bytes.map(|b| libc::c_char::from_ne_bytes([b])),
                };
                let nul = usize::from(name.path().is_some());
                RawAddr::holding(sun, SUN_PATH_OFFSET + usize::from(name.len) + nul)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        let addr = Addr::parse(text, 80).unwrap();
        assert_eq!(addr.to_string(), shown);
        assert_eq!(RawAddr::from(&addr).decode(), Some(addr), "through the kernel's form");
    }

    #[test]
    fn addresses_there_and_back() {
        check("127.0.0.1:8080", "127.0.0.1:8080");
        check("127.0.0.1", "127.0.0.1:80");
        check("*:81", "0.0.0.0:81");
        check("*", "0.0.0.0:80");
        check("8000", "0.0.0.0:8000");
        check("[::1]:8080", "[::1]:8080");
        check("[::]", "[::]:80");
        check("[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1");
        check("unix:/run/x.sock", "unix:/run/x.sock");
        check("unix:@hidden", "unix:\0hidden");
    }

    #[test]
    fn bad_addresses_have_their_words() {
        let long = format!("unix:/{}", "x".repeat(107));
        let cases = [
            ("127.0.0.1:0", BadAddr::Port),
            ("127.0.0.1:65536", BadAddr::Port),
            ("127.0.0.1:+80", BadAddr::Port),
            ("127.0.0.1:", BadAddr::Port),
            ("70000", BadAddr::Port),
            ("0", BadAddr::Port),
            (":80", BadAddr::NoHost),
            ("", BadAddr::NoHost),
            ("[::1", BadAddr::Host),
            ("[::1]80", BadAddr::Host),
            ("[1.2.3.4]:80", BadAddr::Ipv6),
            ("example.com:80", BadAddr::Name),
            ("unix:", BadAddr::NoPath),
            ("unix:/a\0b", BadAddr::NoPath),
            (long.as_str(), BadAddr::LongPath),
        ];
        for (text, why) in cases {
            assert_eq!(Addr::parse(text, 80), Err(why), "{text}");
        }
        assert!(Addr::parse(&long[..long.len() - 1], 80).is_ok(), "107 bytes fit");
    }

    #[test]
    fn peers_print_as_remote_addr() {
        let peer = |text| Addr::parse(text, 80).unwrap().peer();
        assert_eq!(peer("10.0.0.255:9").to_string(), "10.0.0.255:9");
        assert_eq!(peer("10.0.0.255:9").ip.to_string(), "10.0.0.255");
        assert_eq!(peer("[fe80::1]:9").to_string(), "[fe80::1]:9");
        assert_eq!(peer("unix:/x").ip.to_string(), "unix:");
    }

    #[test]
    fn answers_of_any_length_decode() {
        let mut raw = RawAddr::from(&Addr::parse("unix:/x", 0).unwrap());
        for len in [0, 2, 3, 110, 4096] {
            *raw.len_mut() = len;
            assert!(raw.decode().is_some());
        }
        assert!(RawAddr::room().decode().is_none(), "AF_UNSPEC");
    }
}
