//! `proxy_redirect`: where an upstream sends the client.

use super::{Loc, Rule, apply};
use crate::conf::{Cx, Error, Node};
use crate::text::ascii;
use crate::vars::Subject;

/// What "default" is in a location whose `proxy_pass` has no variables.
pub struct Usual {
    from: Box<[u8]>,
    to: Box<[u8]>,
}

impl Usual {
    /// `url` is that of `proxy_pass`; where it has a path, that stands for the name of
    /// the location, else for the root.
    pub fn new(url: &[u8], has_path: bool, location: &[u8]) -> Usual {
        match has_path {
            true => Usual { from: url.into(), to: location.into() },
            false => Usual { from: [url, b"/"].concat().into(), to: (*b"/").into() },
        }
    }

    /// What of the text is behind the upstream's part.
    pub(super) fn rest<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        text.strip_prefix(&*self.from)
    }

    pub(super) fn to(&self) -> &[u8] {
        &self.to
    }
}

/// `off`, `default`, or `FROM TO`.
pub(super) fn read(cx: &mut Cx, node: Node) -> Result<Option<Rule>, Error> {
    match (node.args_len(), node.arg(0).bytes()) {
        (1, b"off") => Ok(None),
        (1, b"default") => {
            let pass = node.before().filter(|node| *node.name() == *b"proxy_pass").last();
            match pass {
                Some(pass) if pass.args_len() > 0 && pass.arg(0).contains(&b'$') => Err(Error::at(
                    node.name(),
                    "\"proxy_redirect default\" cannot be used with \"proxy_pass\" \
                         directive with variables",
                )),
                Some(_) => Ok(Some(Rule::usual())),
                None => Err(Error::at(
                    node.name(),
                    "\"proxy_redirect default\" should be placed after the \"proxy_pass\" \
                     directive",
                )),
            }
        }
        (1, _) => Err(Error::invalid_parameter(node.arg(0))),
        _ => Rule::read(cx, node.arg(0), node.arg(1)).map(Some),
    }
}

/// The value of `Location` for the client; `None` when there is no room for it.
pub fn location<'r>(
    subject: &impl Subject<'r>,
    conf: &'r Loc,
    usual: Option<&'r Usual>,
    value: &'r [u8],
) -> Option<&'r [u8]> {
    match apply(&conf.redirects, subject, usual, value) {
        Ok(text) => Some(text.unwrap_or(value)),
        Err(_) => None,
    }
}

/// The same for `Refresh`, whose place stands behind `url=`.
pub fn refresh<'r>(
    subject: &impl Subject<'r>,
    conf: &'r Loc,
    usual: Option<&'r Usual>,
    value: &'r [u8],
) -> Option<&'r [u8]> {
    const URL: &[u8] = b"url=";
    let Some(at) = ascii::find_ignore_case(value, URL) else { return Some(value) };
    let (before, url) = value.split_at_checked(at + URL.len())?;
    match apply(&conf.redirects, subject, usual, url) {
        Ok(Some(text)) => subject.scratch().concat(&[before, text]),
        Ok(None) => Some(value),
        Err(_) => None,
    }
}
