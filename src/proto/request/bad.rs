//! What can be wrong with a request head: answer and log words.
use std::fmt;

/// Why a request head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// The method has bytes that no method has.
    Method,
    /// The request line is none.
    Request,
    /// A version of HTTP other than 0.9, 1.0 and 1.1.
    Version,
    /// Something but GET without a version.
    MethodIn09,
    /// The request line is longer than a buffer.
    TooLongLine,
    /// A header line is longer than a buffer.
    TooLongHeader,
    /// All lines are longer than all buffers.
    TooLarge,
    /// More header lines than `max_headers`.
    TooManyHeaders,
    /// A line that is no header.
    Header,
    /// A line without colon ([`super::Rules::colonless`]).
    NoColon,
    /// A control byte in a value ([`super::Rules::controls`]).
    Control,
    /// A second line of a header that can be there once.
    DuplicateHeader,
    /// A second `Host`.
    DuplicateHost,
    /// HTTP/1.1 without `Host`.
    NoHost,
    /// A `Host` that is no authority.
    Host,
    /// An absolute target whose authority is none.
    HostInLine,
    ContentLength,
    /// Another coding than `chunked` and nothing else.
    TransferEncoding,
    TransferEncodingIn10,
    /// `Content-Length` and `Transfer-Encoding`.
    TwoFramings,
    /// A body whose chunks are none, as far as it came with its head.
    ChunkedBody,
}

impl Bad {
    /// The status that answers it. 494 is nginx's own: an error page of that
    /// number can be set, and what leaves is 400.
    pub fn status(self) -> u16 {
        match self {
            Bad::TooLongLine => 414,
            Bad::TooLongHeader | Bad::TooLarge | Bad::TooManyHeaders => 494,
            Bad::Version => 505,
            Bad::TransferEncoding => 501,
            _ => 400,
        }
    }

    /// Whether the log line ends with the offending line in quotes.
    pub fn quotes_line(self) -> bool {
        matches!(
            self,
            Bad::Header
                | Bad::NoColon
                | Bad::Control
                | Bad::TooLongHeader
                | Bad::DuplicateHeader
                | Bad::DuplicateHost
        )
    }

    /// The directive that would let it pass.
    pub fn directive(self) -> Option<&'static str> {
        match self {
            Bad::NoColon => Some("allow_colonless_headers"),
            Bad::Control => Some("allow_control_bytes_in_headers"),
            _ => None,
        }
    }
}

impl fmt::Display for Bad {
    /// nginx's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bad::Method => "client sent invalid method",
            Bad::Request => "client sent invalid request",
            Bad::Version => "client sent invalid version",
            Bad::MethodIn09 => "client sent invalid method in HTTP/0.9 request",
            Bad::TooLongLine => "client sent too long URI",
            Bad::TooLongHeader => "client sent too long header line",
            Bad::TooLarge => "client sent too large request",
            Bad::TooManyHeaders => "client sent too many header lines",
            Bad::Header | Bad::NoColon | Bad::Control => "client sent invalid header line",
            Bad::DuplicateHeader => "client sent duplicate header line",
            Bad::DuplicateHost => "client sent duplicate host header",
            Bad::NoHost => "client sent HTTP/1.1 request without \"Host\" header",
            Bad::Host => "client sent invalid host header",
            Bad::HostInLine => "client sent invalid host in request line",
            Bad::ContentLength => "client sent invalid \"Content-Length\" header",
            Bad::TransferEncoding => "client sent unknown \"Transfer-Encoding\"",
            Bad::TransferEncodingIn10 => {
                "client sent HTTP/1.0 request with \"Transfer-Encoding\" header"
            }
            Bad::TwoFramings => {
                "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time"
            }
            Bad::ChunkedBody => "client sent invalid chunked body",
        })
    }
}
