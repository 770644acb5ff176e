//! The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt 2): who
//! the client of the balancer in front is.
//!
//! The header is there from the first byte on or the connection is none: no
//! fall-back to plain, no bare LF, nothing longer than the limits.
use crate::text::number;
use crate::text::writer::Writer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest line of version 1.
pub const V1_MAX: usize = 107;
/// Longest header of version 2 that is taken, as in nginx.
pub const V2_MAX: usize = 4096;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header; what follows is the client's.
    pub len: usize,
    /// Source and destination; none if the balancer speaks for itself or for
    /// something without IP addresses.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done(Header),
    Partial,
    /// No PROXY header: close.
    Bad,
}

/// Parses the header that `buffer` must begin with.
pub fn parse(buffer: &[u8]) -> Outcome {
    let shared = buffer.len().min(V2_SIGNATURE.len());
    let found = if buffer.get(..shared) == V2_SIGNATURE.get(..shared) {
        if shared < V2_SIGNATURE.len() {
            return Outcome::Partial;
        }
        v2(buffer)
    } else {
        v1(buffer)
    };
    found.unwrap_or(Outcome::Bad)
}

/// `PROXY TCP4 source destination port port CRLF`; `None` is bad.
fn v1(buffer: &[u8]) -> Option<Outcome> {
    const START: &[u8] = b"PROXY ";
    let shared = buffer.len().min(START.len());
    if buffer.get(..shared) != START.get(..shared) {
        return None;
    }
    let seen = buffer.get(..V1_MAX).unwrap_or(buffer);
    let Some(end) = seen.iter().position(|&b| b == b'\n') else {
        return (buffer.len() < V1_MAX).then_some(Outcome::Partial);
    };
    let line = seen.get(..end)?.strip_suffix(b"\r")?.strip_prefix(START)?;
    let len = end + 1;
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(Outcome::Done(Header { len, addresses: None }));
    }
    let mut words = line.split(|&b| b == b' ');
    let family = words.next()?;
    let source = address(family, words.next()?)?;
    let destination = address(family, words.next()?)?;
    let addresses = (
        SocketAddr::new(source, port(words.next()?)?),
        SocketAddr::new(destination, port(words.next()?)?),
    );
    let done = Outcome::Done(Header { len, addresses: Some(addresses) });
    words.next().is_none().then_some(done)
}

fn address(family: &[u8], text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    match family {
        b"TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        b"TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    }
}

fn port(text: &[u8]) -> Option<u16> {
    number::parse_u64(text)?.try_into().ok()
}

/// The binary form; `None` is bad.
fn v2(buffer: &[u8]) -> Option<Outcome> {
    let Some(&[version_command, family, high, low]) =
        buffer.get(V2_SIGNATURE.len()..).and_then(<[u8]>::first_chunk)
    else {
        return Some(Outcome::Partial);
    };
    let len = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if version_command >> 4 != 2 || len > V2_MAX {
        return None;
    }
    let Some(body) = buffer.get(V2_FIXED..len) else {
        return Some(Outcome::Partial);
    };
    let addresses = match (version_command & 15, family >> 4) {
        // LOCAL: the balancer's own connection.
        (0, _) => None,
        // Of datagrams: not of this connection.
        (1, 1 | 2) if family & 15 != 1 => None,
        (1, 1) => Some(v2_addresses(body, |octets: [u8; 4]| octets.into())?),
        (1, 2) => Some(v2_addresses(body, |octets: [u8; 16]| octets.into())?),
        // Unspecified, or AF_UNIX.
        (1, 0 | 3) => None,
        _ => return None,
    };
    Some(Outcome::Done(Header { len, addresses }))
}

/// The TLVs of a header that [`parse`] has taken; none in version 1.
pub fn tlvs(header: &[u8]) -> &[u8] {
    let [.., family, _, _] = header.first_chunk::<V2_FIXED>().unwrap_or(&[0; V2_FIXED]);
    let addresses = match family >> 4 {
        1 => 12,
        2 => 36,
        _ => return b"",
    };
    match header.starts_with(V2_SIGNATURE) {
        true => header.get(V2_FIXED + addresses..).unwrap_or_default(),
        false => b"",
    }
}

/// The first value of this type.
pub fn tlv(tlvs: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = tlvs;
    while let Some((&[own, high, low], behind)) = rest.split_first_chunk() {
        let (value, next) = behind.split_at_checked(u16::from_be_bytes([high, low]).into())?;
        if own == kind {
            return Some(value);
        }
        rest = next;
    }
    None
}

/// Copies a header that [`parse`] has taken. Where there is no room for its end, which in
/// version 2 are TLVs, it becomes a header without that end.
pub fn copy(header: &[u8], room: &mut [u8]) {
    let len = header.len().min(room.len());
    room[..len].copy_from_slice(&header[..len]);
    if header.len() > len
        && header.starts_with(V2_SIGNATURE)
        && let Some(length) = room.get_mut(V2_FIXED - 2..V2_FIXED)
    {
        length.copy_from_slice(&((len - V2_FIXED) as u16).to_be_bytes());
    }
}

/// Two addresses and two ports; what follows are TLVs.
fn v2_addresses<const N: usize>(
    body: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let &[a, b, c, d] = rest.first_chunk::<4>()?;
    Some((
        SocketAddr::new(ip(*source), u16::from_be_bytes([a, b])),
        SocketAddr::new(ip(*destination), u16::from_be_bytes([c, d])),
    ))
}

/// Writes a header of version 1, as nginx sends them.
pub fn put_v1(source: SocketAddr, destination: SocketAddr, out: &mut Writer<'_>) {
    use std::fmt::Write;
    let family = match (source, destination) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => "TCP4",
        (SocketAddr::V6(_), SocketAddr::V6(_)) => "TCP6",
        _ => return out.put(b"PROXY UNKNOWN\r\n"),
    };
    let (from, to) = (source.ip(), destination.ip());
    // A failure is an overflow, which the writer remembers.
    let _ = write!(out, "PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(source: &str, destination: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((source.parse().unwrap(), destination.parse().unwrap()))
    }

    /// Parses every prefix: partial until the header is whole, or bad for good.
    fn check(bytes: &[u8], want: Outcome) {
        let mut settled = None;
        for end in 0..=bytes.len() {
            let outcome = parse(&bytes[..end]);
            match settled {
                Some(settled) => assert_eq!(outcome, settled, "{bytes:?} {end}"),
                None if outcome != Outcome::Partial => settled = Some(outcome),
                None => {}
            }
        }
        assert_eq!(settled.unwrap_or(Outcome::Partial), want, "{}", bytes.escape_ascii());
    }

    #[test]
    fn version_1() {
        let done = |line: &str, addresses| {
            let bytes = format!("{line}\r\nGET / HTTP/1.1\r\n");
            check(bytes.as_bytes(), Outcome::Done(Header { len: line.len() + 2, addresses }));
        };
        done("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80", addresses("1.2.3.4:1000", "5.6.7.8:80"));
        done("PROXY TCP6 ::1 fe80::2 65535 0", addresses("[::1]:65535", "[fe80::2]:0"));
        done("PROXY UNKNOWN", None);
        done("PROXY UNKNOWN ffff:: what ever", None);
        for line in [
            "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80 \r\n",
            "PROXY TCP4 1.2.3.4  5.6.7.8 1000 80\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1000 65536\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 -1 80\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "GET / HTTP/1.1\r\n",
            "\r\nGET",
        ] {
            check(line.as_bytes(), Outcome::Bad);
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_MAX - 16));
        assert_eq!(long.len(), V1_MAX);
        check(long.as_bytes(), Outcome::Done(Header { len: V1_MAX, addresses: None }));
        check(format!("PROXY UNKNOWN {}", "x".repeat(100)).as_bytes(), Outcome::Bad);
    }

    fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([version_command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn version_2() {
        let four = [1, 2, 3, 4, 5, 6, 7, 8, 0x03, 0xe8, 0, 80];
        let with_tlv = [&four[..], &[4, 0, 1, 7]].concat();
        let mut six = [0; 36];
        (six[15], six[31], six[33]) = (1, 2, 9);
        let tcp4 = addresses("1.2.3.4:1000", "5.6.7.8:80");
        for (bytes, addresses) in [
            (v2(0x21, 0x11, &four), tcp4),
            (v2(0x21, 0x11, &with_tlv), tcp4),
            (v2(0x21, 0x12, &with_tlv), None),
            (v2(0x21, 0x21, &six), addresses("[::1]:9", "[::2]:0")),
            (v2(0x20, 0x11, &four), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let len = bytes.len();
            check(&[&bytes[..], b"GET"].concat(), Outcome::Done(Header { len, addresses }));
        }
        for bytes in [
            v2(0x11, 0x11, &four),
            v2(0x22, 0x11, &four),
            v2(0x21, 0x41, &four),
            v2(0x21, 0x11, &four[..11]),
            v2(0x21, 0x21, &four),
            v2(0x21, 0x11, &[0; V2_MAX]),
        ] {
            check(&bytes, Outcome::Bad);
        }
    }

    #[test]
    fn tlvs_are_found_and_cut_off() {
        let body =
            [&[1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 80], &b"\x01\0\x02h2\x30\0\0\x05\0\x09x"[..]];
        let header = v2(0x21, 0x11, &body.concat());
        let all = tlvs(&header);
        let found = [1, 0x30, 5, 2].map(|kind| tlv(all, kind));
        assert_eq!(found, [Some(&b"h2"[..]), Some(b""), None, None]);
        assert_eq!(tlvs(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n"), b"");
        for size in [28, 30, 33, header.len(), 64] {
            let mut room = vec![0xff; size];
            copy(&header, &mut room);
            let len = size.min(header.len());
            let addresses = addresses("1.2.3.4:9", "5.6.7.8:80");
            assert_eq!(parse(&room), Outcome::Done(Header { len, addresses }), "{size}");
            let kept = tlv(tlvs(&room[..len]), 1);
            assert_eq!(kept, (size >= 33).then_some(&b"h2"[..]), "{size}");
        }
    }

    #[test]
    fn written_as_read() {
        for (source, destination) in [("1.2.3.4:5", "6.7.8.9:80"), ("[::1]:5", "[2001:db8::1]:80")]
        {
            let both = addresses(source, destination).unwrap();
            let mut room = [0; V1_MAX];
            let mut out = Writer::new(&mut room);
            put_v1(both.0, both.1, &mut out);
            let len = out.finish().unwrap();
            let header = Header { len, addresses: Some(both) };
            assert_eq!(parse(&room[..len]), Outcome::Done(header));
        }
    }
}
