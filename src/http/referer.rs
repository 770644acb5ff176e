//! `valid_referers`: `$invalid_referer` is "1" for requests from other sites, else empty.

use super::request::Request;
use super::variables::{BuiltIn, built_in};
use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Pattern, Shown, Word, number, settings,
};
use crate::proto::request::Known;
use crate::text::ascii;
use crate::vars::Value;
use crate::vars::hostnames::{Hostnames, Refused};
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// `None`: nobody is asked.
        pub valid: Option<Rc<Valid>> = None,
    }
}

/// Who may refer to the location.
#[derive(Default)]
pub struct Valid {
    /// `none`: the browser does not say.
    none: bool,
    /// `blocked`: it says something that is no URL.
    blocked: bool,
    /// The names of the server.
    server_names: bool,
    /// With what the path must begin with.
    names: Hostnames<Rc<[u8]>>,
    /// Of all behind the scheme.
    patterns: Vec<Rc<Pattern>>,
}

const HERE: Context = Context::SERVER.or(Context::LOCATION);
const OWN_TABLES: &str = "limpet's tables fit what is in them";

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("valid_referers", HERE, Args::ONE_MORE, valid_referers),
    Directive::ignored(
        "referer_hash_max_size",
        HERE,
        Args::ONE,
        |node| number(node, 0).map(|_| ()),
        OWN_TABLES,
    ),
    Directive::ignored(
        "referer_hash_bucket_size",
        HERE,
        Args::ONE,
        |node| number(node, 0).map(|_| ()),
        OWN_TABLES,
    ),
];

fn valid_referers(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let valid = raw.valid.get_or_insert_default().get_or_insert_default();
    // Nobody else has it before the level is complete.
    let Some(valid) = Rc::get_mut(valid) else { return Ok(()) };
    for word in node.args() {
        match word.bytes() {
            b"" => return Err(Error::at(word, "invalid referer \"\"")),
            b"none" => valid.none = true,
            b"blocked" => valid.blocked = true,
            b"server_names" => valid.server_names = true,
            b"~" => return Err(Error::at(word, "empty regex in \"~\"")),
            [b'~', ..] => valid.patterns.push(cx.pattern(word.part(1), true)?),
            _ => valid.add(word)?,
        }
    }
    // Several of a level add up, so the last one is judged.
    let level = node.parent().and_then(Node::block).into_iter().flatten();
    let last = level.filter(|other| *other.name() == *node.name()).last();
    if last.is_some_and(|last| last.name().pos() != node.name().pos()) {
        return Ok(());
    }
    match valid.names.is_empty() && !valid.server_names && (valid.none || valid.blocked) {
        true => Err(Error::at(
            node.name(),
            "the \"none\" or \"blocked\" referers are specified in the \"valid_referers\" \
             directive without any valid referer",
        )),
        false => Ok(()),
    }
}

impl Valid {
    /// `a.b`, `*.a.b/path`
    fn add(&mut self, word: Word) -> Result<(), Error> {
        let slash = word.iter().position(|byte| *byte == b'/').unwrap_or(word.len());
        let (name, path) = word.bytes().split_at(slash);
        let name = name.to_ascii_lowercase();
        self.names.add(&name, path.into()).map_err(|refused| {
            let text = match refused {
                Refused::Invalid => "invalid hostname or wildcard",
                Refused::Taken => "conflicting parameter",
            };
            Error::at(word, format!("{text} \"{}\"", Shown(&name)))
        })
    }

    /// Whether a URL without its scheme is one of those.
    fn has(&self, request: &Request<'_>, url: &[u8]) -> bool {
        let end = url.iter().position(|byte| matches!(byte, b'/' | b':')).unwrap_or(url.len());
        let (host, behind) = url.split_at(end);
        let mut lower = [0; 255];
        let Some(host) = ascii::lower(host, &mut lower) else { return false };
        if let Some(path) = self.names.find(host) {
            let slash = behind.iter().position(|byte| *byte == b'/').unwrap_or(behind.len());
            return behind.get(slash..).is_some_and(|own| own.starts_with(path));
        }
        let is_like = |pattern: &Rc<Pattern>, text| request.is_like(pattern, text);
        self.server_names && request.server.has_name(host, |pattern| is_like(pattern, host))
            || self.patterns.iter().any(|pattern| is_like(pattern, url))
    }
}

pub static VARIABLES: &[BuiltIn] = &[built_in("invalid_referer", invalid_referer)];

fn invalid_referer<'r>(request: &Request<'r>) -> Value<'r> {
    let Some(valid) = &request.location.conf.referer.valid else { return Some(b"") };
    let is_valid = match request.header(Known::Referer) {
        None => valid.none,
        Some(referer) => match without_scheme(referer) {
            None => valid.blocked,
            Some(url) => valid.has(request, url),
        },
    };
    Some(if is_valid { b"" } else { b"1" })
}

fn without_scheme(url: &[u8]) -> Option<&[u8]> {
    // nginx: the shortest one that can be.
    const LEAST: usize = "http://i.ru".len();
    let after = |scheme: &[u8]| {
        let (start, rest) = url.split_at_checked(scheme.len())?;
        ascii::eq_ignore_case(start, scheme).then_some(rest)
    };
    let rest = after(b"http://").or_else(|| after(b"https://"));
    rest.filter(|_| url.len() >= LEAST)
}
