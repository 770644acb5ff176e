//! `return`: an answer that needs no file.

use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Word, literal, parse_number, settings,
};
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

pub static LOC: &[Directive<LocRaw>] =
    &[Directive::call("return", Context::SERVER.or(Context::LOCATION), Args::ONE_TWO, answer)];

fn answer(raw: &mut LocRaw, _: &mut Cx, node: Node) -> Result<(), Error> {
    let word = node.arg(0);
    let is_url = word.starts_with(b"http://") || word.starts_with(b"https://");
    let (status, text) = match parse_number(&word) {
        Some(status @ 0..=999) if node.args_len() == 1 => (status as u16, None),
        Some(status @ 0..=999) => (status as u16, Some(literal(node.arg(1))?)),
        None if is_url && node.args_len() == 1 => (302, Some(literal(word)?)),
        _ => return Err(literal(word).err().unwrap_or_else(|| invalid(word))),
    };
    // Only the first one of a level is ever reached.
    let text = text.map(Into::into);
    raw.answer.get_or_insert_with(|| Some(Rc::new(Return { status, text })));
    Ok(())
}

fn invalid(word: Word) -> Error {
    Error::at(word, format!("invalid return code \"{word}\""))
}
