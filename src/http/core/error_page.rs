//! `error_page`: what stands in for an answer of a given status.

use super::LocRaw;
use crate::conf::{Cx, Error, Node, Word, number};
use std::rc::Rc;

/// One status of an `error_page` line.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    pub status: u16,
    /// `=CODE`: the status to answer with instead; `=` alone (0): the page's own.
    pub overwrite: Option<u16>,
    /// `/uri` and `@name` are internal redirects, anything else is a `Location`.
    pub uri: Rc<[u8]>,
    /// What followed `?` in an internal URI.
    pub args: Rc<[u8]>,
}

pub fn error_page(raw: &mut LocRaw, _cx: &mut Cx, node: Node) -> Result<(), Error> {
    let _ = (raw, number, node, None::<Word>);
    Ok(())
}
