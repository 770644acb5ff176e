//! The levels of an http block: http, server, location.

use super::Http;
use crate::conf::{Cx, Node};

/// Reads the block of `http { }`; what is wrong with it is in `cx.errors`.
pub fn read(_cx: &mut Cx, _http: Node) -> Http {
    Http { listening: Vec::new(), servers: Vec::new() }
}
