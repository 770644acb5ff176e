//! `error_page`: what stands in for an answer of a given status.

use super::LocRaw;
use crate::conf::{Cx, Error, Node, Template, Word, parse_number};
use std::rc::Rc;

/// One status of an `error_page` line.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    pub status: u16,
    /// `=CODE`: the status to answer with instead; `=` alone (0): the page's own.
    pub overwrite: Option<u16>,
    /// `/uri?args` and `@name` are internal redirects, anything else is a `Location`.
    pub uri: Rc<Template>,
}

/// `error_page STATUS... [=[CODE]] URI;`
pub fn error_page(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let (last, before) = (node.args_len() - 1, node.args_len() - 2);
    let equals = node.arg(before).strip_prefix(b"=").map(|_| node.arg(before));
    let given = equals.map(|word| overwrite(word, before)).transpose()?;
    let uri = Rc::new(cx.template(node.arg(last))?);
    let pages = Rc::make_mut(raw.error_pages.get_or_insert_default());
    for word in node.args().take(if equals.is_some() { before } else { last }) {
        let status = status(word)?;
        let overwrite = given.or_else(|| as_bad_request(status));
        pages.push(ErrorPage { status, overwrite, uri: Rc::clone(&uri) });
    }
    Ok(())
}

fn overwrite(word: Word, statuses: usize) -> Result<u16, Error> {
    let code = match word.bytes() {
        b"=" => Some(0),
        _ => parse_number(&word.part(1)).and_then(|code| u16::try_from(code).ok()),
    };
    code.filter(|_| statuses > 0).ok_or_else(|| Error::invalid_value(word))
}

fn status(word: Word) -> Result<u16, Error> {
    let text = || format!("value \"{word}\" must be between 300 and 599");
    match parse_number(&word) {
        None | Some(499) => Err(Error::invalid_value(word)),
        Some(status @ 300..600) => Ok(status as u16),
        Some(_) => Err(Error::at(word, text())),
    }
}

/// nginx's own statuses (a head too large, errors of TLS) reach the client as 400.
fn as_bad_request(status: u16) -> Option<u16> {
    (494..=497).contains(&status).then_some(400)
}
