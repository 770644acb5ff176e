//! FastCGI (the 1996 specification), the part a web server speaks to a
//! responder: one request on a connection at a time, which has the id 1.
//!
//! `write` makes the records of a request, `read` takes the records of the
//! response apart. What they carry, a CGI response, is `proto::response`'s.
mod read;
mod write;

pub use read::{Bad, Decoder};
pub use write::{BEGIN, CONTENT_MAX, END_OF_STDIN, HEAD, Params, begin, params_len, stdin};

const VERSION: u8 = 1;

/// The kinds of records that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    BeginRequest = 1,
    EndRequest = 3,
    Params = 4,
    Stdin = 5,
    Stdout = 6,
    Stderr = 7,
}
