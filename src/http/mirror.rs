//! `mirror`: the same request to somewhere else as well; what comes of it is not looked at.

use super::request::Request;
use super::request_body;
use super::step::{Step, Wait};
use super::subrequest::{self, Ask};
use crate::conf::{Args, Context, Directive, Error, settings};
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// In order; none: off.
        pub uris: Rc<Vec<Rc<[u8]>>> = Rc::default(),
        pub request_body: bool = true,
    }
}

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("mirror", Context::ALL, Args::ONE, |raw, _, node| {
        let uris = Rc::make_mut(raw.uris.get_or_insert_default());
        match node.arg(0).bytes() {
            b"off" if node.earlier().count() == 0 => {}
            b"off" => return Err(Error::directive(node, "is duplicate")),
            uri => uris.push(uri.into()),
        }
        Ok(())
    }),
    Directive::flag("mirror_request_body", Context::ALL, |raw| &mut raw.request_body),
];

/// The phase before the content: notes that there is something to mirror, and has the body
/// read first, where it is mirrored, too.
pub fn note<'r>(request: &mut Request<'r>) -> Step<'r> {
    let conf = &request.location.conf.mirror;
    if conf.uris.is_empty() || request.is_inner {
        return Step::Next;
    }
    request.mirrors = Some(conf);
    match conf.request_body && request_body::is_to_come(request) {
        true => Step::Wait(Wait::Body),
        false => Step::Next,
    }
}

/// Mirrors a request that has been answered.
///
/// Cancellation: the rest is not mirrored.
pub async fn run(request: &mut Request<'_>) {
    for uri in request.mirrors.into_iter().flat_map(|conf| conf.uris.iter()) {
        let ask = Ask { uri, args: request.args, same_method: true };
        if let Some(mirrored) = subrequest::run(request, ask, |_| ()) {
            mirrored.await;
        }
    }
}
