//! `charset`: which encoding a text is told to be in. Nothing is recoded.

use crate::conf::{Args, Context, Directive, Template, put, settings};
use crate::http::core::TypeSet;
use crate::http::request::Request;
use crate::text::ascii;
use crate::vars::Subject;
use std::rc::Rc;

/// What is a text, where nothing is said.
const TYPES: [&str; 6] = [
    "text/html",
    "text/xml",
    "text/plain",
    "text/vnd.wap.wml",
    "application/javascript",
    "application/rss+xml",
];

settings! {
    pub struct Loc, LocRaw {
        /// `None`: off.
        pub charset: Option<Rc<Template>> = None,
        pub types: Rc<TypeSet> = Rc::new(TypeSet::of(&TYPES)),
    }
}

impl Loc {
    /// Whether it does not depend on the request.
    pub fn is_constant(&self) -> bool {
        self.charset.as_ref().is_none_or(|charset| charset.literal().is_some())
    }
}

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("charset", Context::ALL.or(Context::LIF), Args::ONE, |raw, cx, node| {
        let charset = match node.arg(0).bytes() {
            b"off" => None,
            _ => Some(Rc::new(cx.template(node.arg(0))?)),
        };
        put(&mut raw.charset, node, Ok(charset))
    }),
    Directive::call("charset_types", Context::ALL, Args::ONE_MORE, |raw, cx, node| {
        TypeSet::read(&mut raw.types, cx, node);
        Ok(())
    }),
    Directive::ignored(
        "override_charset",
        Context::ALL.or(Context::LIF),
        Args::ONE,
        |node| crate::conf::flag(node, 0).map(drop),
        "it is about answers of other servers",
    ),
];

/// The header filter.
pub fn filter(request: &mut Request<'_>) -> Option<()> {
    let conf = &request.location.conf.charset;
    let Some(charset) = &conf.charset else { return Some(()) };
    let response = &request.response;
    // Redirects have none: old browsers took it for that of the next page.
    if matches!(response.status, 301 | 302)
        || !response.charset.is_empty()
        || response.content_type.is_empty()
        || response.content_type.starts_with(b"multipart/byteranges")
        // Old browsers took it for that of the next page (nginx).
        || matches!(response.status, 301 | 302)
        || ascii::find_ignore_case(response.content_type, b"charset=").is_some()
        || !conf.types.has(response.media_type())
    {
        return Some(());
    }
    request.response.charset = request.render(charset)?;
    Some(())
}

/// What an answer of this type is told to be in; empty: nothing is told.
pub fn of<'r>(request: &Request<'r>, content_type: &[u8]) -> Option<&'r [u8]> {
    let conf = &request.location.conf.charset;
    match &conf.charset {
        Some(charset) if conf.types.has(content_type) => request.render(charset),
        _ => Some(b""),
    }
}

/// The content type with its charset, as each part of a multipart answer has it.
pub fn of_parts<'r>(request: &mut Request<'r>) -> Option<&'r [u8]> {
    filter(request)?;
    let content_type = request.response.content_type;
    match std::mem::take(&mut request.response.charset) {
        b"" => Some(content_type),
        charset => request.scratch().concat(&[content_type, b"; charset=", charset]),
    }
}
