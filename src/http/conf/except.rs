//! `limit_except`: settings of a location for all methods but some.

use super::Location;
use crate::conf::{Error, Node, Word};
use crate::proto::request::Method;
use std::rc::Rc;

/// A `limit_except` block.
pub struct Except {
    methods: Box<[Method]>,
    pub location: Rc<Location>,
}

impl Except {
    pub fn new(node: Node, location: Rc<Location>) -> Result<Except, Error> {
        let methods = node.args().map(method).collect::<Result<_, _>>()?;
        Ok(Except { methods, location })
    }

    /// Whether the block is for requests of this method.
    pub fn limits(&self, method: Method) -> bool {
        // Who may GET may HEAD.
        let as_get = method == Method::Head && self.methods.contains(&Method::Get);
        !as_get && !self.methods.contains(&method)
    }
}

/// A name in any case; TRACE and CONNECT are never allowed.
fn method(word: Word) -> Result<Method, Error> {
    match Method::of(&word.to_ascii_uppercase()) {
        Method::Unknown | Method::Trace | Method::Connect => {
            Err(Error::at(word, format!("invalid method \"{word}\"")))
        }
        method => Ok(method),
    }
}
