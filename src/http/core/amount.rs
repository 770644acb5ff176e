//! Sizes that may be made of variables.

use crate::conf::{Cx, Error, Node, Template, parse_size};
use crate::http::request::Request;
use crate::log::Level;
use crate::text::escape::Shown;
use crate::text::writer::Writer;
use crate::vars::Subject;
use std::rc::Rc;

/// Bytes; 0 where there is no bound.
#[derive(Clone)]
pub enum Amount {
    Is(u64),
    Made(Rc<Template>),
}

impl Amount {
    pub fn read(cx: &mut Cx, node: Node) -> Result<Amount, Error> {
        let text = cx.template(node.arg(0))?;
        match text.literal() {
            None => Ok(Amount::Made(Rc::new(text))),
            Some(size) => match parse_size(size) {
                Some(size) => Ok(Amount::Is(size)),
                None => Err(Error::directive(node, "invalid value")),
            },
        }
    }

    pub fn is_zero(&self) -> bool {
        matches!(self, Amount::Is(0))
    }

    /// The bytes for this request; what is no size is told and counts as none.
    pub fn of<'r>(&'r self, request: &Request<'r>) -> u64 {
        let text = match self {
            Amount::Is(size) => return *size,
            Amount::Made(text) => text,
        };
        let mut room = [0; 32];
        let mut out = Writer::new(&mut room);
        request.put(text, &mut out);
        match out.written() {
            b"" => 0,
            size => parse_size(size).unwrap_or_else(|| {
                let size = Shown(size);
                request.log(Level::Error, None, format_args!("invalid size \"{size}\""));
                0
            }),
        }
    }
}
