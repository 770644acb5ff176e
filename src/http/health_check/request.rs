//! What a peer is asked.

use crate::http::proxy::{Loc, SetHeader};
use crate::proto::request::Version;
use crate::text::ascii;

/// Whether it can stand in a request line.
pub fn is_uri(text: &[u8]) -> bool {
    text.first() == Some(&b'/') && text.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

/// The request, with those lines of the location that are always the same: there is no client
/// that the others could be about. `Host` of a client is the name of the server instead.
pub fn made(uri: &[u8], conf: &Loc, host: &[u8], server: &[u8]) -> Box<[u8]> {
    let version: &[u8] = if conf.version == Version::V10 { b"1.0" } else { b"1.1" };
    let mut request = [b"GET ", uri, b" HTTP/", version, b"\r\n"].concat();
    let mut put = |name: &[u8], value: &[u8]| {
        request.extend([name, b": ", value, b"\r\n"].concat());
    };
    let is = |line: &SetHeader, name: &[u8]| ascii::eq_ignore_case(&line.name, name);
    let said = conf.headers.iter().find(|line| is(line, b"host"));
    match said.map(|line| line.value.literal()) {
        None => put(b"Host", host),
        Some(Some(b"")) => {}
        Some(Some(said)) => put(b"Host", said),
        Some(None) if server.is_empty() => put(b"Host", host),
        Some(None) => put(b"Host", server),
    }
    put(b"Connection", b"close");
    const OURS: [&[u8]; 5] =
        [b"host", b"connection", b"upgrade", b"content-length", b"transfer-encoding"];
    for line in conf.headers.iter().filter(|line| !OURS.iter().any(|name| is(line, name))) {
        match line.value.literal() {
            None | Some(b"") => {}
            Some(value) => put(&line.name, value),
        }
    }
    request.extend(b"\r\n");
    request.into()
}
