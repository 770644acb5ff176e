//! `proxy_pass`: whom a location asks.

use crate::conf::{Cx, Error, Node};
use crate::http::content::{self, Handler};
use crate::http::upstream::{self, Protocol};
use std::rc::Rc;

/// The directive; it is the location's content.
pub fn pass(raw: &mut content::LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    if matches!(raw.handler, Some(Some(Handler::Upstream(_)))) {
        return Err(Error::directive(node, "is duplicate"));
    }
    let pass = upstream::read(cx, node, Protocol::Http)?;
    raw.handler = Some(Some(Handler::Upstream(Rc::new(pass))));
    Ok(())
}
