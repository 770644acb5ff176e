//! `proxy_pass`: requests are passed on to another HTTP server.
//!
//! What differs from other protocols is here: the request, in our own framing and without
//! what is only between the client and us; the exchange itself is `http::upstream`.

mod pass;
mod request;
mod trailers;

pub use pass::pass;
pub use request::make;
pub use trailers::tail;

use crate::conf::{Args, Context, Cx, Directive, Error, Node, Template, choice, put, settings};
use crate::http::proxy_rewrites;
use crate::http::request::Request;
use crate::http::upstream::Pass;
use crate::proto::request::Version;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// Lines of the request, in place of the client's.
        pub headers: Rc<Vec<SetHeader>> = Rc::default(),
        pub method: Option<Rc<Template>> = None,
        pub body: Option<Rc<Template>> = None,
        pub version: Version = Version::V11,
        /// What stands behind the last chunk of a body is handed on, both ways.
        pub pass_trailers: bool = false,
        /// An answer that has no head is one of HTTP/0.9, as in nginx.
        pub allow_no_status_line: bool = false,
    }
}

/// `proxy_set_header NAME VALUE`
#[derive(Clone)]
pub struct SetHeader {
    pub name: Box<[u8]>,
    pub value: Template,
}

const ALL: Context = Context::ALL;

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("proxy_set_header", ALL, Args::TWO, |raw, cx, node| {
        let line = set_header(cx, node)?;
        Rc::make_mut(raw.headers.get_or_insert_default()).push(line);
        Ok(())
    }),
    Directive::call("proxy_method", ALL, Args::ONE, |raw, cx, node| {
        let text = cx.template(node.arg(0))?;
        put(&mut raw.method, node, Ok(Some(Rc::new(text))))
    }),
    Directive::call("proxy_set_body", ALL, Args::ONE, |raw, cx, node| {
        let text = cx.template(node.arg(0))?;
        put(&mut raw.body, node, Ok(Some(Rc::new(text))))
    }),
    Directive::flag("proxy_pass_trailers", ALL, |raw| &mut raw.pass_trailers),
    Directive::flag("proxy_allow_no_status_line", ALL, |raw| &mut raw.allow_no_status_line),
    Directive::call("proxy_http_version", ALL, Args::ONE, |raw, _, node| {
        let versions = [("1.0", Version::V10), ("1.1", Version::V11)];
        put(&mut raw.version, node, choice(node, 0, &versions))
    }),
    Directive::ignored("proxy_headers_hash_max_size", ALL, Args::ONE, is_number, NO_HASH),
    Directive::ignored("proxy_headers_hash_bucket_size", ALL, Args::ONE, is_number, NO_HASH),
];

const NO_HASH: &str = "there is no such table";

fn is_number(node: Node) -> Result<(), Error> {
    crate::conf::number(node, 0).map(drop)
}

fn set_header(cx: &mut Cx, node: Node) -> Result<SetHeader, Error> {
    Ok(SetHeader { name: node.arg(0).bytes().into(), value: cx.template(node.arg(1))? })
}

/// `Location` of an answer, as the client is to see it; `None`: there is no room for it.
pub fn location<'r>(request: &Request<'r>, pass: &'r Pass, value: &'r [u8]) -> Option<&'r [u8]> {
    let usual = pass.usual(&request.location.name);
    proxy_rewrites::location(request, &request.location.conf.proxy_rewrites, usual, value)
}

/// The same for `Refresh`.
pub fn refresh<'r>(request: &Request<'r>, pass: &'r Pass, value: &'r [u8]) -> Option<&'r [u8]> {
    let usual = pass.usual(&request.location.name);
    proxy_rewrites::refresh(request, &request.location.conf.proxy_rewrites, usual, value)
}

/// The same for `Set-Cookie`.
pub fn cookie<'r>(request: &Request<'r>, value: &'r [u8]) -> Option<&'r [u8]> {
    proxy_rewrites::cookie(request, &request.location.conf.proxy_rewrites, value)
}
