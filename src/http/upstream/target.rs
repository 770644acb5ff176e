//! Whom to ask: what `proxy_pass` and its like name.

use super::dynamic;
use crate::conf::{Cx, Error, Node, Pos, Template, UpstreamId};
use crate::http::proxy_rewrites::Usual;
use crate::http::request::Request;
use crate::http::upstreams::{self, Upstream};
use crate::log::Level;
use crate::net::upstream::Place;
use crate::text::escape::Shown;
use crate::vars::Subject;
use std::cell::OnceCell;
use std::rc::Rc;

/// The protocols that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Http,
    FastCgi,
}

impl Protocol {
    /// What a URL begins with, for the log.
    pub fn scheme(self) -> &'static str {
        match self {
            Protocol::Http => "http://",
            Protocol::FastCgi => "fastcgi://",
        }
    }

    /// Where nothing is said of a port.
    pub fn port(self) -> Option<u16> {
        match self {
            Protocol::Http => Some(80),
            Protocol::FastCgi => None,
        }
    }

    /// The place, and the URI behind it where there may be one.
    fn cut(self, text: &[u8]) -> (&[u8], &[u8]) {
        match self {
            Protocol::Http => cut(text),
            Protocol::FastCgi => (text, b""),
        }
    }
}

/// A location's upstream.
pub struct Pass {
    pub protocol: Protocol,
    target: Target,
    pos: Pos,
    /// What `proxy_redirect default` is here, once somebody has asked.
    usual: OnceCell<Option<Usual>>,
}

pub enum Target {
    /// It is always the same.
    Known(Known),
    /// It is made for each request, scheme and all.
    Made(Template),
}

/// A group, and what is said beside it.
pub struct Known {
    id: UpstreamId,
    /// All of it.
    url: Box<[u8]>,
    /// As it is written: `$proxy_host`.
    host: Box<[u8]>,
    port: u16,
    /// What stands in the place of the location's name; `None`: the URI goes as it came.
    pub uri: Option<Box<[u8]>>,
}

/// A goal of one request.
pub struct Aim<'r> {
    pub upstream: Rc<Upstream>,
    /// The one that the configuration speaks of, and what `hash` and its like choose by.
    pub known: Option<&'r Upstream>,
    pub key: &'r [u8],
    pub host: &'r [u8],
    pub port: u16,
    pub uri: Option<&'r [u8]>,
    /// The URI is made of variables: it goes as it is.
    pub is_made: bool,
}

/// Reads what a directive says of an upstream: `http://HOST[:PORT][URI]`,
/// `http://unix:PATH:URI`, or a text with variables; for FastCGI without scheme and URI.
pub fn read(cx: &mut Cx, node: Node, protocol: Protocol) -> Result<Pass, Error> {
    let word = node.arg(0);
    let text = cx.template(word)?;
    let pos = word.pos();
    if text.literal().is_none() {
        return Ok(Pass { protocol, target: Target::Made(text), pos, usual: OnceCell::new() });
    }
    let without = without_scheme(word.bytes(), protocol).map_err(|what| refused(&what, node))?;
    let rest = word.part(word.len() - without.len());
    let (place, uri) = protocol.cut(rest.bytes());
    let port = protocol.port();
    let id = upstreams::refer(cx, rest.until(place.len()), port)?;
    let own = Place::parse(place).ok().and_then(|place| place.port);
    let port = if is_unix(place) { None } else { port };
    let uri = Some(uri).filter(|uri| !uri.is_empty()).map(Box::from);
    let known = Known {
        id,
        url: word.bytes().into(),
        host: place.into(),
        port: own.or(port).unwrap_or(0),
        uri,
    };
    Ok(Pass { protocol, target: Target::Known(known), pos, usual: OnceCell::new() })
}

impl Pass {
    /// What `proxy_redirect default` is in a location of this name; nothing where the URL
    /// has variables.
    pub fn usual(&self, location: &[u8]) -> Option<&Usual> {
        let made = self.usual.get_or_init(|| match &self.target {
            Target::Made(_) => None,
            Target::Known(known) => Some(Usual::new(&known.url, known.uri.is_some(), location)),
        });
        made.as_ref()
    }

    /// The group, if it is always the same and speaks HTTP, and its name as it is written.
    pub fn always(&self) -> Option<(UpstreamId, &[u8])> {
        match &self.target {
            Target::Known(known) if self.protocol == Protocol::Http => {
                Some((known.id, &known.host))
            }
            _ => None,
        }
    }

    /// Where there is no name of a location, or none that stands still, nothing can stand in
    /// its place (ngx_http_proxy_pass). `place`: what kind of block it is.
    pub fn check(&self, place: &str) -> Result<(), Error> {
        match &self.target {
            Target::Known(Known { uri: Some(_), .. }) => {
                let text = "\"proxy_pass\" cannot have URI part in location given by regular \
                            expression, or inside named location, or inside \"if\" statement, or \
                            inside \"limit_except\" block";
                Err(Error::new(self.pos, text).hint(format!("this is {place}")))
            }
            Target::Known(_) | Target::Made(_) => Ok(()),
        }
    }
}

/// Why a text is no upstream's.
enum Scheme {
    /// It begins with no scheme that is known here.
    Unknown,
    /// It wants TLS.
    Tls,
}

fn refused(what: &Scheme, node: Node) -> Error {
    match what {
        Scheme::Unknown => Error::at(node.arg(0), "invalid URL prefix"),
        Scheme::Tls => Error::at(node.arg(0), "https protocol is not supported by limpet").hint(
            "there is no TLS towards upstreams: reach them in plain, or through a local TLS \
             tunnel",
        ),
    }
}

fn without_scheme(text: &[u8], protocol: Protocol) -> Result<&[u8], Scheme> {
    if protocol == Protocol::FastCgi {
        return Ok(text);
    }
    let scheme = protocol.scheme();
    let begins =
        |with: &[u8]| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    match begins(scheme.as_bytes()) {
        true => Ok(text.get(scheme.len()..).unwrap_or_default()),
        false if begins(b"https://") || begins(b"grpcs://") => Err(Scheme::Tls),
        false => Err(Scheme::Unknown),
    }
}

/// What a path is called where a host is wanted (nginx).
const LOCALHOST: &[u8] = b"localhost";

fn is_unix(text: &[u8]) -> bool {
    text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"unix:"))
}

/// Cuts `host:port/uri` before the URI; the one of a path begins behind a colon.
fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    if is_unix(text) {
        let path = text.get(5..).unwrap_or_default();
        return match path.iter().position(|byte| *byte == b':') {
            Some(colon) => (&text[..5 + colon], &path[colon + 1..]),
            None => (text, b""),
        };
    }
    let end = text.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    text.split_at(end.unwrap_or(text.len()))
}

/// The goal of this request. The error is a status.
///
/// Cancellation: nothing is lost.
pub async fn aim<'r>(request: &Request<'r>, pass: &'r Pass) -> Result<Aim<'r>, u16> {
    let text = match &pass.target {
        Target::Known(Known { id, host, port, uri, .. }) => {
            let upstream = request.http.upstreams.get(*id).ok_or(500_u16)?;
            let host: &[u8] = if is_unix(host) { LOCALHOST } else { host };
            return Ok(Aim {
                upstream: Rc::clone(upstream),
                known: Some(upstream),
                key: key_of(request, upstream)?,
                host,
                port: *port,
                uri: uri.as_deref(),
                is_made: false,
            });
        }
        Target::Made(text) => request.render(text).ok_or(500_u16)?,
    };
    let rest = without_scheme(text, pass.protocol).map_err(|what| {
        let text = Shown(text);
        match what {
            Scheme::Unknown => {
                request.log(Level::Error, None, format_args!("invalid URL prefix in \"{text}\""));
            }
            Scheme::Tls => request.log(
                Level::Error,
                None,
                format_args!("https protocol is not supported by limpet in \"{text}\""),
            ),
        }
        500_u16
    })?;
    let (host, uri) = pass.protocol.cut(rest);
    let place = Place::parse(host).map_err(|bad| {
        let shown = Shown(host);
        request.log(Level::Error, None, format_args!("{bad} in upstream \"{shown}\""));
        500_u16
    })?;
    let port = match is_unix(host) {
        true => 0,
        false => place.port.or(pass.protocol.port()).unwrap_or(0),
    };
    let uri = Some(uri).filter(|uri| !uri.is_empty());
    let blocks = request.http.upstreams.all();
    let is_meant = |it: &&Rc<Upstream>| it.is_block && it.group.name.eq_ignore_ascii_case(host);
    let known = blocks.iter().find(is_meant).map(|block| &**block);
    let (upstream, key) = match blocks.iter().find(is_meant) {
        Some(block) => (Rc::clone(block), key_of(request, block)?),
        None => (dynamic::find(request, host, place, port).await?, b"".as_slice()),
    };
    let host = if is_unix(host) { LOCALHOST } else { host };
    Ok(Aim { upstream, known, key, host, port, uri, is_made: true })
}

fn key_of<'r>(request: &Request<'r>, upstream: &'r Upstream) -> Result<&'r [u8], u16> {
    match &upstream.key {
        None => Ok(b""),
        Some(key) => request.render(key).ok_or(500),
    }
}
