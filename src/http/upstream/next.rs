//! `proxy_next_upstream`: after which failures another peer is asked.

use crate::conf::{Cx, Error, Node};

/// A set of failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Next(pub u32);

impl Next {
    pub const ERROR: Next = Next(1);
    pub const TIMEOUT: Next = Next(1 << 1);
    pub const INVALID_HEADER: Next = Next(1 << 2);
    pub const HTTP_500: Next = Next(1 << 3);
    pub const HTTP_502: Next = Next(1 << 4);
    pub const HTTP_503: Next = Next(1 << 5);
    pub const HTTP_504: Next = Next(1 << 6);
    pub const HTTP_403: Next = Next(1 << 7);
    pub const HTTP_404: Next = Next(1 << 8);
    pub const HTTP_429: Next = Next(1 << 9);
    pub const NON_IDEMPOTENT: Next = Next(1 << 10);
    /// What only a cache does.
    const UPDATING: Next = Next(1 << 11);
    const OFF: Next = Next(1 << 12);
    /// All that an answer's status may mean.
    pub const OF_STATUS: Next = Next(0x3f8);

    pub const fn or(self, other: Next) -> Next {
        Next(self.0 | other.0)
    }

    pub fn has(self, what: Next) -> bool {
        self.0 & what.0 == what.0
    }

    /// The failure that an answer of this status is.
    pub fn of_status(status: u16) -> Option<Next> {
        Some(match status {
            500 => Next::HTTP_500,
            502 => Next::HTTP_502,
            503 => Next::HTTP_503,
            504 => Next::HTTP_504,
            403 => Next::HTTP_403,
            404 => Next::HTTP_404,
            429 => Next::HTTP_429,
            _ => return None,
        })
    }

    /// Whether the peer has failed, and is not just the wrong one to ask.
    pub fn is_failure(self) -> bool {
        !matches!(self, Next::HTTP_403 | Next::HTTP_404)
    }
}

impl Default for Next {
    fn default() -> Next {
        Next::ERROR.or(Next::TIMEOUT)
    }
}

const NAMES: [(&str, Next); 13] = [
    ("error", Next::ERROR),
    ("timeout", Next::TIMEOUT),
    ("invalid_header", Next::INVALID_HEADER),
    ("non_idempotent", Next::NON_IDEMPOTENT),
    ("http_500", Next::HTTP_500),
    ("http_502", Next::HTTP_502),
    ("http_503", Next::HTTP_503),
    ("http_504", Next::HTTP_504),
    ("http_403", Next::HTTP_403),
    ("http_404", Next::HTTP_404),
    ("http_429", Next::HTTP_429),
    ("updating", Next::UPDATING),
    ("off", Next::OFF),
];

/// What the directive says beside its earlier lines; `statuses` are those that its protocol
/// knows.
pub fn next_upstream(
    cx: &mut Cx,
    node: Node,
    statuses: Next,
    earlier: Option<Next>,
) -> Result<Next, Error> {
    let mut next = earlier.unwrap_or(Next(0));
    for word in node.args() {
        let found = NAMES.iter().find(|(name, _)| name.as_bytes() == word.bytes());
        let flag = match found {
            Some((_, flag)) if flag.0 & Next::OF_STATUS.0 & !statuses.0 == 0 => *flag,
            _ => return Err(Error::invalid_value(word)),
        };
        if next.has(flag) {
            cx.warn(word, format!("duplicate value \"{word}\""));
        }
        next = next.or(flag);
    }
    Ok(if next.has(Next::OFF) { Next::OFF } else { next })
}
