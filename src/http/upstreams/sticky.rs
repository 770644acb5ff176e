//! `sticky`: a client's requests go to the peer that its first one went to.
//!
//! By a cookie of our own, by a route that the server puts into its cookies or links, or by
//! a session that it begins in an answer.

use super::Upstream;
use super::block::Block;
use super::sticky_cookie::Cookie;
use crate::conf::{Cx, Error, Node, Template, Word, name_and_size, parse_time, put};
use crate::http::request::Request;
use crate::net::upstream::{LONGEST_ID, Lease, Sessions, sessions};
use crate::time;
use crate::vars::Subject;

pub enum Sticky {
    Cookie(Cookie),
    /// What holds the route; the first that is not empty counts.
    Route(Box<[Template]>),
    Learn(Learn),
}

pub struct Learn {
    /// In answers: a session begins.
    create: Box<[Template]>,
    /// In requests: it goes on.
    lookup: Box<[Template]>,
    sessions: Sessions,
}

/// The first of these that is not empty.
fn first<'r>(of: &'r [Template], request: &Request<'r>) -> &'r [u8] {
    let mut values = of.iter().filter_map(|text| request.render(text));
    values.find(|value| !value.is_empty()).unwrap_or_default()
}

/// The peer that the client belongs to, by its id; empty: to none.
pub fn bound<'r>(upstream: &'r Upstream, request: &Request<'r>) -> &'r [u8] {
    match &upstream.sticky {
        None => b"",
        Some(Sticky::Cookie(cookie)) => cookie.sent(request),
        Some(Sticky::Route(routes)) => first(routes, request),
        Some(Sticky::Learn(learn)) => {
            let session = first(&learn.lookup, request);
            let found = match session {
                b"" => None,
                session => learn.sessions.find(session, time::now_ms()),
            };
            let copied =
                found.and_then(|id| request.scratch().write(LONGEST_ID, |room| id.copy_to(room)));
            copied.unwrap_or_default()
        }
    }
}

/// The head of the answer has come, from the peer of this lease: a line `Set-Cookie` may be
/// added, a session learned. None: there is no room for it.
pub fn bind<'r>(upstream: &'r Upstream, request: &mut Request<'r>, lease: &Lease) -> Option<()> {
    let id = &lease.peer().id;
    match &upstream.sticky {
        Some(Sticky::Cookie(cookie)) => cookie.set(request, id),
        Some(Sticky::Learn(learn)) => {
            let session = first(&learn.create, request);
            if !session.is_empty() {
                learn.sessions.learn(session, id, time::now_ms());
            }
            Some(())
        }
        Some(Sticky::Route(_)) | None => Some(()),
    }
}

/// `sticky cookie NAME …`, `sticky route $VARIABLE …`, `sticky learn …`
pub fn sticky(block: &mut Block, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let sticky = match node.arg(0).bytes() {
        b"cookie" => Cookie::read(cx, node).map(Sticky::Cookie),
        b"route" => routes(cx, node).map(Sticky::Route),
        b"learn" => learn(cx, node).map(Sticky::Learn),
        _ => Err(Error::invalid_parameter(node.arg(0))),
    };
    put(&mut block.sticky, node, sticky)
}

fn routes(cx: &mut Cx, node: Node) -> Result<Box<[Template]>, Error> {
    node.args().skip(1).map(|word| variable(cx, word)).collect()
}

/// A text that is not always the same.
fn variable(cx: &mut Cx, word: Word) -> Result<Template, Error> {
    let text = cx.template(word)?;
    match text.literal() {
        Some(_) => Err(Error::at(word, format!("invalid variable name \"{word}\""))),
        None => Ok(text),
    }
}

fn learn(cx: &mut Cx, node: Node) -> Result<Learn, Error> {
    const USUAL_MS: u64 = 600_000;
    let (mut create, mut lookup, mut zone) = (Vec::new(), Vec::new(), None);
    let mut timeout_ms = USUAL_MS;
    for word in node.args().skip(1) {
        let invalid = || Error::invalid_parameter(word);
        let at = word.iter().position(|byte| *byte == b'=').map_or(word.len(), |at| at + 1);
        let value = word.part(at);
        match &word[..at] {
            b"create=" => create.push(variable(cx, value)?),
            b"lookup=" => lookup.push(variable(cx, value)?),
            b"timeout=" => timeout_ms = parse_time(&value, true).ok_or_else(invalid)?,
            b"zone=" => {
                let (name, size) = name_and_size(word, value)?;
                zone = Some(cx.zone(word, sessions(&name, size))?);
            }
            // It is learned from the head in any case; there is no cluster to tell of it.
            b"header" | b"sync" => {}
            _ => return Err(invalid()),
        }
    }
    let missing = |what: &str| Error::directive(node, &format!("requires \"{what}\" parameter"));
    if create.is_empty() {
        return Err(missing("create"));
    }
    if lookup.is_empty() {
        return Err(missing("lookup"));
    }
    let zone = zone.ok_or_else(|| missing("zone"))?;
    let sessions = Sessions { zone, timeout_ms };
    Ok(Learn { create: create.into(), lookup: lookup.into(), sessions })
}
