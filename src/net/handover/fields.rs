//! What messages between workers are made of: numbers in the machine's own order, addresses,
//! and texts behind their lengths.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use crate::sys::addr::{Addr, Ip, Peer, UnixName};
use crate::text::writer::Writer;

/// Bytes of an address.
pub const ADDR: usize = 1 + 1 + 2 + 4 + NAME;
/// A name of AF_UNIX; addresses of IPv6 are shorter.
const NAME: usize = 108;

/// Two bytes for the length of a piece. One that is too long is refused with its message: there
/// is no room for it.
pub fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_ne_bytes()
}

pub fn put_flag(flag: bool, out: &mut Writer<'_>) {
    out.put(&u16::from(flag).to_ne_bytes());
}

/// A length of four bytes, and the text.
pub fn put_text(text: &[u8], out: &mut Writer<'_>) {
    out.put(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_ne_bytes());
    out.put(text);
}

/// Whether there is one, and the text.
pub fn put_option(text: Option<&[u8]>, out: &mut Writer<'_>) {
    put_flag(text.is_some(), out);
    put_text(text.unwrap_or_default(), out);
}

pub fn put_peer(peer: Peer, out: &mut Writer<'_>) {
    let Peer { ip, port } = peer;
    let addr = match ip {
        Ip::V4(ip) => Addr::V4(SocketAddrV4::new(ip, port)),
        Ip::V6(ip) => Addr::V6(SocketAddrV6::new(ip, port, 0, 0)),
        Ip::Unix => Addr::Unix(UnixName::UNNAMED),
    };
    put_addr(&addr, out);
}

/// Family, length of a name, port, scope, and the address.
pub fn put_addr(addr: &Addr, out: &mut Writer<'_>) {
    let (family, scope): (u8, u32) = match addr {
        Addr::V4(_) => (4, 0),
        Addr::V6(addr) => (6, addr.scope_id()),
        Addr::Unix(_) => (1, 0),
    };
    let mut room = [0; NAME];
    let mut put = |bytes: &[u8]| {
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        bytes.len() as u8
    };
    let len = match addr {
        Addr::V4(addr) => put(&addr.ip().octets()),
        Addr::V6(addr) => put(&addr.ip().octets()),
        Addr::Unix(name) => put(name.as_bytes()),
    };
    out.put(&[family, len]);
    out.put(&addr.port().to_ne_bytes());
    out.put(&scope.to_ne_bytes());
    out.put(&room);
}

/// Takes them off the front of bytes, as long as there are some.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(|bytes| u16::from_ne_bytes(*bytes))
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(|bytes| u64::from_ne_bytes(*bytes))
    }

    pub fn flag(&mut self) -> Option<bool> {
        match self.u16()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.bytes(usize::try_from(len).ok()?)
    }

    /// A text that may be none.
    pub fn option(&mut self) -> Option<Option<&'a [u8]>> {
        let (is_some, text) = (self.flag()?, self.text()?);
        Some(is_some.then_some(text))
    }

    pub fn addr(&mut self) -> Option<Addr> {
        let &[family, len] = self.take()?;
        let (port, scope) = (self.u16()?, self.u32()?);
        let room: &[u8; NAME] = self.take()?;
        let name = room.get(..usize::from(len))?;
        match family {
            4 => {
                let ip = Ipv4Addr::from(<[u8; 4]>::try_from(name).ok()?);
                Some(Addr::V4(SocketAddrV4::new(ip, port)))
            }
            6 => {
                let ip = Ipv6Addr::from(<[u8; 16]>::try_from(name).ok()?);
                Some(Addr::V6(SocketAddrV6::new(ip, port, 0, scope)))
            }
            1 => UnixName::from_bytes(name).map(Addr::Unix),
            _ => None,
        }
    }
}
