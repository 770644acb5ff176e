//! The second argument of `rewrite`: what a path becomes.

use crate::conf::{Cx, Error, Part, Template, Word};
use crate::http::request::Request;
use crate::text::escape;
use crate::vars::Subject;

pub struct Replacement {
    path: Template,
    /// What stands behind a `?`.
    args: Option<Template>,
    /// The request's own arguments come after; a final `?` says that they do not.
    keeps_args: bool,
    /// In a redirect the `?` is part of the text.
    has_args: bool,
}

/// A path and its arguments.
pub struct Replaced<'r> {
    pub path: &'r [u8],
    pub args: &'r [u8],
}

impl Replacement {
    pub fn read(cx: &mut Cx, word: Word, redirects: bool) -> Result<Replacement, Error> {
        let keeps_args = !word.ends_with(b"?");
        let word = if keeps_args { word } else { word.until(word.len() - 1) };
        let has_args = word.contains(&b'?');
        // Of several the last one begins the arguments, and the others are lost (nginx).
        let split = word.iter().rposition(|byte| *byte == b'?').filter(|_| !redirects);
        let (path, args) = match split {
            Some(at) => (word.until(at), Some(cx.template(word.part(at + 1))?)),
            None => (word, None),
        };
        Ok(Replacement { path: cx.template(path)?, args, keeps_args, has_args })
    }

    pub fn last_capture(&self) -> Option<u8> {
        let args = self.args.as_ref().and_then(Template::last_capture);
        self.path.last_capture().max(args)
    }

    /// The new path and arguments of a request; `None` when there is no room for them.
    pub fn of_path<'r>(&'r self, request: &Request<'r>) -> Option<Replaced<'r>> {
        let path = request.render(&self.path)?;
        let own = if self.keeps_args { request.args } else { b"" };
        let args = match &self.args {
            None => own,
            Some(args) => {
                let args = quoted(request, args)?;
                let both: [&[u8]; 3] = [args, b"&", own];
                if own.is_empty() { args } else { request.scratch().concat(&both)? }
            }
        };
        Some(Replaced { path, args })
    }

    /// Where the client is sent.
    pub fn of_redirect<'r>(&'r self, request: &Request<'r>) -> Option<&'r [u8]> {
        let text = quoted(request, &self.path)?;
        let scratch = request.scratch();
        let target = scratch.write(text.len(), |room| unescape(text, room))?;
        match self.keeps_args && !request.args.is_empty() {
            true => {
                let between: &[u8] = if self.has_args { b"&" } else { b"?" };
                scratch.concat(&[target, between, request.args])
            }
            false => Some(target),
        }
    }
}

/// The text as a value of `set` or `if`.
pub fn value<'r>(request: &Request<'r>, text: &'r Template, quotes: bool) -> Option<&'r [u8]> {
    if quotes { quoted(request, text) } else { request.render(text) }
}

/// The text, with what groups matched in the decoded path encoded again, if it was.
fn quoted<'r>(request: &Request<'r>, text: &'r Template) -> Option<&'r [u8]> {
    let path = request.head.path(request.bytes);
    if !path.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return request.render(text);
    }
    text.parts().iter().try_fold(&b""[..], |done, part| {
        let value = request.part(part);
        let value = match part {
            Part::Capture(_) => request.made(value.len() * 3, |out| {
                escape::uri(value, escape::Uri::Args, out);
            })?,
            Part::Text(_) | Part::Variable(_) => value,
        };
        request.scratch().concat(&[done, value])
    })
}

/// Decodes what need not be encoded in `Location`, up to the arguments
/// (ngx_unescape_uri, NGX_UNESCAPE_REDIRECT).
fn unescape(text: &[u8], room: &mut [u8]) -> usize {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut from, mut to) = (0, 0);
    while let Some(&byte) = text.get(from) {
        let decoded = match (byte, hex(text.get(from + 1)), hex(text.get(from + 2))) {
            (b'%', Some(high), Some(low)) => Some((high * 16 + low) as u8),
            _ => None,
        };
        let (kept, len) = match decoded {
            Some(plain) if plain == b'?' || (b'&'..0x7f).contains(&plain) => (plain, 3),
            _ => (byte, 1),
        };
        room[to] = kept;
        (from, to) = (from + len, to + 1);
        if kept == b'?' {
            let rest = &text[from..];
            room[to..to + rest.len()].copy_from_slice(rest);
            return to + rest.len();
        }
    }
    to
}
