//! `Accept-Encoding` (RFC 9110 12.5.3): may a coding be used?
//!
//! As nginx's gzip: the coding must be named, `*` does not count, and a weight
//! of zero or nonsense refuses it.
use crate::text::ascii;

/// Whether the header lets `coding` (in lower case) be sent.
pub fn accepts(header: &[u8], coding: &[u8]) -> bool {
    weight(header, coding) > 0
}

/// How much `coding` is liked, in thousandths; 0: it is not to be sent.
pub fn weight(header: &[u8], coding: &[u8]) -> u32 {
    for member in ascii::list(header) {
        let mut parts = member.splitn(2, |&b| b == b';').map(ascii::trim_ows);
        let name = parts.next().unwrap_or_default();
        if ascii::eq_ignore_case(name, coding) {
            return match parts.next() {
                None => 1000,
                Some(weight) if is_positive(weight) => thousandths(weight),
                Some(_) => 0,
            };
        }
    }
    0
}

/// Of `q=0.25`, which is known to be well-formed.
fn thousandths(weight: &[u8]) -> u32 {
    match weight.get(2..) {
        Some([b'0', b'.', decimals @ ..]) => {
            let digits = decimals.iter().chain(b"000").take(3);
            digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
        }
        _ => 1000,
    }
}

/// `q=` and a number above 0 up to 1, with at most three decimals.
fn is_positive(weight: &[u8]) -> bool {
    match weight {
        [b'q' | b'Q', b'=', b'1'] => true,
        [b'q' | b'Q', b'=', b'1', b'.', decimals @ ..] => {
            decimals.len() <= 3 && decimals.iter().all(|&b| b == b'0')
        }
        [b'q' | b'Q', b'=', b'0', b'.', decimals @ ..] => {
            decimals.len() <= 3
                && decimals.iter().all(u8::is_ascii_digit)
                && decimals.iter().any(|&b| b != b'0')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        for (header, want) in [
            ("br", 1000),
            ("br;q=1.0", 1000),
            ("gzip, br;q=0.5", 500),
            ("br;q=0.25", 250),
            ("br;q=0.001", 1),
            ("br;q=0", 0),
            ("br;q=7", 0),
            ("gzip", 0),
        ] {
            assert_eq!(weight(header.as_bytes(), b"br"), want, "{header:?}");
        }
    }

    #[test]
    fn gzip() {
        for (header, want) in [
            ("gzip", true),
            ("GZIP", true),
            ("gzip, deflate, br", true),
            ("deflate,gzip", true),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", true),
            ("gzip;q=1", true),
            ("gzip ; q=1.000", true),
            ("gzip; Q=0.001", true),
            ("gzip;q=0", false),
            ("gzip;q=0.", false),
            ("gzip;q=0.000", false),
            ("gzip;q=0.0001", false),
            ("gzip;q=1.001", false),
            ("gzip;q=2", false),
            ("gzip;q=", false),
            ("gzip;q", false),
            ("gzip;x=1", false),
            ("gzip;q=0, gzip", false),
            ("xgzip", false),
            ("gzipx", false),
            ("x-gzip", false),
            ("*", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(accepts(header.as_bytes(), b"gzip"), want, "{header}");
        }
        assert!(accepts(b"gzip, br;q=0.5", b"br") && !accepts(b"gzip", b"br"));
    }
}
