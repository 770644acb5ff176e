//! Protocol knowledge without I/O: bytes in, values out.
//!
//! Nothing here reads a socket, a clock or the configuration; what an answer
//! depends on is an argument. Nothing here allocates, but for what is made once to be
//! used again (`deflate`, `regex`) and what is off the path of requests (`dns`).
#![allow(dead_code, reason = "protocols are written whole, before all of what speaks them")]
pub mod accept_encoding;
pub mod chunked;
pub mod conditional;
pub mod deflate;
pub mod dns;
pub mod fastcgi;
pub mod framing;
pub mod header_line;
pub mod host;
pub mod names;
pub mod password;
pub mod proxy_protocol;
pub mod range;
pub mod regex;
pub mod request;
pub mod response;
pub mod span;
pub mod status;
pub mod trailers;
pub mod uri;
