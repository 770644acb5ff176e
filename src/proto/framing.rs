//! How long a message body is: decided once, by one function, into one type.
//!
//! RFC 9112 6.1 to 6.3, without its leniencies: what two readers could
//! understand differently is refused.
use crate::proto::request::{Bad, Version};
use crate::text::{ascii, number};

/// The body that follows a request head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
}

impl Framing {
    /// The framing of a request with these two headers, each of which was
    /// there at most once.
    pub fn of_request(
        version: Version,
        content_length: Option<&[u8]>,
        transfer_encoding: Option<&[u8]>,
    ) -> Result<Framing, Bad> {
        let length = content_length.map(|text| length(text).ok_or(Bad::ContentLength));
        let length = length.transpose()?;
        let Some(coding) = transfer_encoding else {
            return Ok(length.map_or(Framing::None, Framing::Length));
        };
        if version < Version::V11 {
            return Err(Bad::TransferEncodingIn10);
        }
        if !ascii::eq_ignore_case(coding, b"chunked") {
            return Err(Bad::TransferEncoding);
        }
        if length.is_some() {
            return Err(Bad::TwoFramings);
        }
        Ok(Framing::Chunked)
    }
}

/// A `Content-Length`: digits only, at most what a file offset can be.
pub fn length(text: &[u8]) -> Option<u64> {
    number::parse_u64(text).filter(|&length| i64::try_from(length).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_decision() {
        use Framing::{Chunked, Length};
        let none = Framing::None;
        for (version, length, coding, want) in [
            (Version::V11, None, None, Ok(none)),
            (Version::V11, Some("0"), None, Ok(Length(0))),
            (Version::V10, Some("12"), None, Ok(Length(12))),
            (Version::V11, Some("0012"), None, Ok(Length(12))),
            (Version::V11, Some("9223372036854775807"), None, Ok(Length(i64::MAX as u64))),
            (Version::V11, Some("9223372036854775808"), None, Err(Bad::ContentLength)),
            (Version::V11, Some(""), None, Err(Bad::ContentLength)),
            (Version::V11, Some("+5"), None, Err(Bad::ContentLength)),
            (Version::V11, Some("-1"), None, Err(Bad::ContentLength)),
            (Version::V11, Some("5, 5"), None, Err(Bad::ContentLength)),
            (Version::V11, Some("5 5"), None, Err(Bad::ContentLength)),
            (Version::V11, Some("\t5"), None, Err(Bad::ContentLength)),
            (Version::V11, Some("0x5"), None, Err(Bad::ContentLength)),
            (Version::V11, Some("1_0"), None, Err(Bad::ContentLength)),
            (Version::V11, None, Some("chunked"), Ok(Chunked)),
            (Version::V11, None, Some("CHUNKED"), Ok(Chunked)),
            (Version::V11, None, Some("xchunked"), Err(Bad::TransferEncoding)),
            (Version::V11, None, Some("chunked, identity"), Err(Bad::TransferEncoding)),
            (Version::V11, None, Some("identity"), Err(Bad::TransferEncoding)),
            (Version::V11, None, Some(",chunked"), Err(Bad::TransferEncoding)),
            (Version::V11, None, Some("chunked,"), Err(Bad::TransferEncoding)),
            (Version::V11, None, Some("chunked\t"), Err(Bad::TransferEncoding)),
            (Version::V11, None, Some("chunked;q=1"), Err(Bad::TransferEncoding)),
            (Version::V11, None, Some(""), Err(Bad::TransferEncoding)),
            (Version::V10, None, Some("chunked"), Err(Bad::TransferEncodingIn10)),
            (Version::V11, Some("5"), Some("chunked"), Err(Bad::TwoFramings)),
            (Version::V11, Some("0"), Some("gzip"), Err(Bad::TransferEncoding)),
            (Version::V10, Some("5"), Some("chunked"), Err(Bad::TransferEncodingIn10)),
        ] {
            let found =
                Framing::of_request(version, length.map(str::as_bytes), coding.map(str::as_bytes));
            assert_eq!(found, want, "{version:?} {length:?} {coding:?}");
        }
    }
}
