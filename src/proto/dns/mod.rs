//! DNS messages (RFC 1035, 2782, 3596): questions out, replies in.
//!
//! Pure: bytes in, values out. A reply is believed only if it repeats the id and the
//! question; whatever else is in it, reading it ends and never panics. There is no EDNS: what
//! does not fit a plain datagram comes over TCP.

mod name;
mod query;
mod reply;
#[cfg(test)]
mod tests;

pub use name::Name;
pub use query::Query;
pub use reply::{Bad, Reply, Service};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    A,
    Aaaa,
    Srv,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
            Kind::Srv => 33,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
            Kind::Srv => "SRV",
        }
    }
}

/// A question: of which name, what.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    pub name: Name,
    pub kind: Kind,
}

/// The class of the Internet.
const INTERNET: u16 = 1;
/// The bytes before the question.
const HEADER: usize = 12;

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

fn u32_at(message: &[u8], at: usize) -> Option<u32> {
    let bytes = message.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}
