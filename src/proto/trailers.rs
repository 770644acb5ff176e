//! Trailer fields: what comes behind a chunked body (RFC 9110 6.5).
//!
//! A field that says how a message is framed, routed, cached or understood
//! must not come after it: whoever merges it into the head would be talked into
//! something. Such ones are dropped whatever the configuration says.
use crate::text::{ascii, scan};

/// In lower case; with a dash at the end, whatever begins with it.
const FORBIDDEN: &[&[u8]] = &[
    b"accept-ranges",
    b"age",
    b"authentication-info",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-length",
    b"content-location",
    b"content-range",
    b"content-security-policy",
    b"content-type",
    b"cookie",
    b"date",
    b"early-data",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"if-",
    b"keep-alive",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy",
    b"proxy-",
    b"range",
    b"refresh",
    b"retry-after",
    b"set-cookie",
    b"status",
    b"strict-transport-security",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"vary",
    b"via",
    b"warning",
    b"www-authenticate",
    b"x-accel-",
    b"x-forwarded-",
    b"x-real-ip",
];

/// Whether a field of this name may be a trailer.
pub fn is_allowed(name: &[u8]) -> bool {
    let is = |forbidden: &&[u8]| match forbidden.ends_with(b"-") {
        true => ascii::starts_ignore_case(name, forbidden),
        false => ascii::eq_ignore_case(name, forbidden),
    };
    !FORBIDDEN.iter().any(is)
}

/// The fields that may be passed on, as name and value, of a section that
/// `chunked::Decoder::trailers` has read.
pub fn fields(section: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = section.split(|&b| b == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
    let field = |line| {
        let (name, value) = <[u8]>::split_at_checked(line, scan::byte(line, b':')?)?;
        Some((name, ascii::trim_ows(value.get(1..)?)))
    };
    lines.filter_map(field).filter(|(name, _)| is_allowed(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections() {
        for (section, want) in [
            ("\r\n", ""),
            ("A: b\r\n\r\n", "A=b"),
            (
                "Server-Timing: a:b \r\nX:\r\nGrpc-Status:\t0\r\n\r\n",
                "Server-Timing=a:b|X=|Grpc-Status=0",
            ),
            ("CONTENT-LENGTH: 5\r\nTransfer-Encoding: chunked\r\nB: c\r\nHost: h\r\n\r\n", "B=c"),
            ("Content-Type: a\r\nAuthorization: x\r\nX-Forwarded-For: y\r\nTE: x\r\n\r\n", ""),
            ("Content-Digest: x\r\nContent-type: 1\r\nTeX: 2\r\n\r\n", "Content-Digest=x|TeX=2"),
        ] {
            let show = |(name, value)| {
                let text = |bytes| str::from_utf8(bytes).unwrap();
                format!("{}={}", text(name), text(value))
            };
            let found: Vec<String> = fields(section.as_bytes()).map(show).collect();
            assert_eq!(found.join("|"), want, "{section:?}");
        }
    }
}
