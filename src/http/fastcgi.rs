//! `fastcgi_pass`: requests are passed on to a FastCGI responder, as php-fpm is one.
//!
//! What differs from other protocols is here: parameters in the place of a head. Records and
//! the exchange itself are `http::upstream`'s.

mod request;

pub use request::make;

use crate::conf::{Args, Context, Cx, Directive, Error, Node, Pattern, Template, put, settings};
use crate::http::content::{self, Handler};
use crate::http::request::Request;
use crate::http::upstream::{self, Protocol};
use crate::http::variables::{BuiltIn, built_in};
use crate::proto::regex::Captures;
use crate::vars::Subject;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        pub params: Rc<Vec<Param>> = Rc::default(),
        /// What a script's name that ends with a slash ends with.
        pub index: Rc<[u8]> = Rc::default(),
        /// Its two groups are the script and what follows it.
        pub split: Option<Rc<Pattern>> = None,
        pub keep_conn: bool = false,
        /// Texts in the error log of a responder that make its answer none.
        pub catch_stderr: Rc<Vec<Box<[u8]>>> = Rc::default(),
    }
}

/// `fastcgi_param NAME VALUE [if_not_empty]`
#[derive(Clone)]
pub struct Param {
    pub name: Box<[u8]>,
    pub value: Template,
    pub if_not_empty: bool,
}

impl Param {
    /// What stands for a header of the client's: that is not passed on then.
    pub fn header(&self) -> Option<&[u8]> {
        self.name.strip_prefix(b"HTTP_").filter(|name| !name.is_empty())
    }
}

const ALL: Context = Context::ALL;

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("fastcgi_param", ALL, Args::TWO_THREE, |raw, cx, node| {
        let param = param(cx, node)?;
        Rc::make_mut(raw.params.get_or_insert_default()).push(param);
        Ok(())
    }),
    Directive::call("fastcgi_index", ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.index, node, Ok(node.arg(0).bytes().into()))
    }),
    Directive::call("fastcgi_split_path_info", ALL, Args::ONE, |raw, cx, node| {
        let word = node.arg(0);
        let pattern = cx.pattern(word, false)?;
        if pattern.regex.groups() != 2 {
            return Err(Error::at(word, format!("pattern \"{word}\" must have 2 captures")));
        }
        raw.split = Some(Some(pattern));
        Ok(())
    }),
    Directive::flag("fastcgi_keep_conn", ALL, |raw| &mut raw.keep_conn),
    Directive::call("fastcgi_catch_stderr", ALL, Args::ONE, |raw, _, node| {
        let texts = Rc::make_mut(raw.catch_stderr.get_or_insert_default());
        texts.push(node.arg(0).bytes().into());
        Ok(())
    }),
];

fn param(cx: &mut Cx, node: Node) -> Result<Param, Error> {
    let if_not_empty = match node.args_len() {
        2 => false,
        _ if node.arg(2).bytes() == b"if_not_empty" => true,
        _ => return Err(Error::invalid_parameter(node.arg(2))),
    };
    let (name, value) = (node.arg(0).bytes().into(), cx.template(node.arg(1))?);
    Ok(Param { name, value, if_not_empty })
}

/// `fastcgi_pass HOST:PORT | unix:PATH`: it is the location's content.
pub fn pass(raw: &mut content::LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    if matches!(raw.handler, Some(Some(Handler::Upstream(_)))) {
        return Err(Error::directive(node, "is duplicate"));
    }
    let pass = upstream::read(cx, node, Protocol::FastCgi)?;
    raw.handler = Some(Some(Handler::Upstream(Rc::new(pass))));
    Ok(())
}

pub static VARIABLES: &[BuiltIn] = &[
    built_in("fastcgi_script_name", |request| {
        let (script, _) = split(request);
        match script.last() {
            Some(b'/') => request.scratch().concat(&[script, &request.location.conf.fastcgi.index]),
            _ => Some(script),
        }
    }),
    built_in("fastcgi_path_info", |request| Some(split(request).1)),
];

/// The script, and what of the path follows it.
fn split<'r>(request: &Request<'r>) -> (&'r [u8], &'r [u8]) {
    let uri = request.uri;
    let Some(pattern) = &request.location.conf.fastcgi.split else { return (uri, b"") };
    let mut groups = Captures::default();
    // `$1` and `$2` stay what they were.
    if !pattern.regex.exec(&mut request.http.regex_room.borrow_mut(), uri, &mut groups) {
        return (uri, b"");
    }
    let group = |number| groups.get(number).and_then(|range| uri.get(range)).unwrap_or_default();
    (group(1), group(2))
}
