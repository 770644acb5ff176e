//! `auth_request`: another request says whether the client may.

use super::permission::{self, Opinion};
use super::request::Request;
use super::subrequest::{self, Ask};
use crate::conf::{Args, Context, Directive, Error, Template, VarId, put, settings};
use crate::log::Level;
use crate::vars::Subject;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// `None`: off.
        pub uri: Option<Rc<[u8]>> = None,
        /// What becomes variables once it has answered.
        pub sets: Rc<Vec<(VarId, Template)>> = Rc::default(),
    }
}

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("auth_request", Context::ALL, Args::ONE, |raw, _, node| {
        let uri = match node.arg(0).bytes() {
            b"off" => None,
            uri => Some(uri.into()),
        };
        put(&mut raw.uri, node, Ok(uri))
    }),
    Directive::call("auth_request_set", Context::ALL, Args::TWO, |raw, cx, node| {
        let word = node.arg(0);
        if !word.starts_with(b"$") {
            return Err(Error::at(word, format!("invalid variable name \"{word}\"")));
        }
        let id = cx.define(word)?;
        let text = cx.template(node.arg(1))?;
        Rc::make_mut(raw.sets.get_or_insert_default()).push((id, text));
        Ok(())
    }),
];

/// What the access phase makes of it.
pub fn check(request: &mut Request<'_>) -> Opinion {
    if request.location.conf.auth_request.uri.is_none() || request.is_inner {
        return Opinion::None;
    }
    let Some(status) = request.asked else { return Opinion::Later };
    match status {
        200..300 => Opinion::Granted,
        401 | 403 => Opinion::Refused(status),
        status => {
            let text = format_args!("auth request unexpected status: {status}");
            request.log(Level::Error, None, text);
            Opinion::Failed(500)
        }
    }
}

/// Asks. Without room for it nobody may.
///
/// Cancellation: the request is given up.
pub async fn ask(request: &mut Request<'_>) {
    request.asked = Some(500);
    let conf = &request.location.conf.auth_request;
    let Some(uri) = &conf.uri else { return };
    let ask = Ask { uri, args: b"", same_method: false };
    let asked = subrequest::run(request, ask, |inner| {
        for (id, text) in conf.sets.iter() {
            let value = inner.render(text);
            if let Some(slot) = inner.slot(*id) {
                slot.set(crate::http::variables::Slot::Is(value));
            }
        }
        let challenge = inner.response.early.find(b"www-authenticate");
        (inner.response.status, challenge, inner.limited.hand_over())
    });
    if let Some(asked) = asked {
        let (status, challenge, limited) = asked.await;
        request.asked = Some(status);
        request.limited.learn(limited);
        if let (401, Some(challenge)) = (status, challenge)
            && !permission::challenge(request, challenge)
        {
            request.asked = Some(500);
        }
    }
}
