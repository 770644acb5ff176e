//! `return`: an answer that needs no file.

use crate::conf::{Args, Context, Cx, Directive, Error, Node, settings};
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {}
    own {
        /// At the server level it answers every request of the server.
        pub answer: Option<Rc<Return>> = None,
    }
}

/// `return CODE [TEXT|URL]` or `return URL`.
#[derive(Debug)]
pub struct Return {
    /// 0 to 999; 444 closes the connection without an answer.
    pub status: u16,
    /// The body, or for 301, 302, 303, 307 and 308 the value of `Location`.
    pub text: Option<Box<[u8]>>,
}

pub static LOC: [Directive<LocRaw>; 1] =
    [Directive::call("return", Context::SERVER.or(Context::LOCATION), Args::ONE_TWO, answer)];

fn answer(_raw: &mut LocRaw, _cx: &mut Cx, _node: Node) -> Result<(), Error> {
    Ok(())
}
