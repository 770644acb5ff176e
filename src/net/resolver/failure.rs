//! Why a name has no addresses.

use std::fmt;

/// In nginx's numbers and words: those of DNS, and 110.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    FormatError,
    ServerFailed,
    NotFound,
    Unimplemented,
    Refused,
    TimedOut,
    Unknown(u8),
}

impl Failure {
    pub(super) fn of_rcode(rcode: u8) -> Failure {
        match rcode {
            1 => Failure::FormatError,
            2 => Failure::ServerFailed,
            3 => Failure::NotFound,
            4 => Failure::Unimplemented,
            5 => Failure::Refused,
            other => Failure::Unknown(other),
        }
    }
}

/// `3: Host not found`, for `NAME could not be resolved (…)`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, words) = match *self {
            Failure::FormatError => (1, "Format error"),
            Failure::ServerFailed => (2, "Server failure"),
            Failure::NotFound => (3, "Host not found"),
            Failure::Unimplemented => (4, "Unimplemented"),
            Failure::Refused => (5, "Operation refused"),
            Failure::TimedOut => (110, "Operation timed out"),
            Failure::Unknown(rcode) => (rcode, "Unknown error"),
        };
        write!(f, "{number}: {words}")
    }
}
