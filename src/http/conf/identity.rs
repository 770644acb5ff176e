//! `listen` and `server_name`: what tells a server from the others.

use super::listen::{self, ListenLine};
use crate::conf::{Args, Context, Cx, Directive, Error, Pattern, Pos, Word};
use crate::sys::process;
use std::rc::Rc;

/// What one `server` block said of itself.
#[derive(Default)]
pub struct Identity {
    pub names: Vec<ServerName>,
    pub listens: Vec<ListenLine>,
}

/// One name, in lower case: `a.b`, `*.b`, `.b`, `a.*`, or nothing at all.
pub struct ServerName {
    pub name: Rc<[u8]>,
    /// `~REGEX`
    pub pattern: Option<Rc<Pattern>>,
    pub pos: Option<Pos>,
}

impl ServerName {
    /// Whether a host, in lower case, is meant; what is a pattern means none here.
    pub fn is_of(&self, host: &[u8]) -> bool {
        match &*self.name {
            [b'.', rest @ ..] if host == rest => true,
            [b'*', rest @ ..] | rest @ [b'.', _, ..] => {
                host.len() > rest.len() && host.ends_with(rest)
            }
            [rest @ .., b'*'] => host.len() > rest.len() && host.starts_with(rest),
            exact => host == exact,
        }
    }
}

impl Identity {
    /// What `$server_name` is: the first one; `.b` without its dot.
    pub fn name(&self) -> Box<[u8]> {
        let first = self.names.first().map_or(b"".as_slice(), |name| &name.name);
        first.strip_prefix(b".").unwrap_or(first).into()
    }
}

pub static IDENTITY: &[Directive<Identity>] = &[
    Directive::call("listen", Context::SERVER, Args::ONE_MORE, |identity, cx, node| {
        identity.listens.extend(listen::line(cx, node)?);
        Ok(())
    }),
    Directive::call("server_name", Context::SERVER, Args::ONE_MORE, |identity, cx, node| {
        for word in node.args() {
            let name = server_name(cx, word)?;
            let pattern = match word.bytes() {
                [b'~', ..] => Some(cx.pattern(word.part(1), true)?),
                _ => None,
            };
            identity.names.push(ServerName { name, pattern, pos: Some(word.pos()) });
        }
        Ok(())
    }),
];

fn server_name(cx: &mut Cx, word: Word) -> Result<Rc<[u8]>, Error> {
    let refused = |text: String| Err(Error::at(word, text));
    match word.bytes() {
        [b'*', ..] if word.len() < 3 || word[1] != b'.' => {
            return refused(format!("server name \"{word}\" is invalid"));
        }
        [b'.'] => return refused(format!("server name \"{word}\" is invalid")),
        [b'~'] => return refused(format!("empty regex in server name \"{word}\"")),
        [b'~', ..] => return Ok(word.bytes().into()),
        b"$hostname" => {
            let hostname = process::hostname().unwrap_or_default();
            return Ok(hostname.to_ascii_lowercase().into());
        }
        name if name.contains(&b'/') => {
            cx.warn(word, format!("server name \"{word}\" has suspicious symbols"));
        }
        _ => (),
    }
    Ok(word.to_ascii_lowercase().into())
}

/// The names that a server is found by: without `server_name`, the empty one.
pub fn names_or_empty(mut names: Vec<ServerName>) -> Rc<[ServerName]> {
    if names.is_empty() {
        names.push(ServerName { name: Rc::from([].as_slice()), pattern: None, pos: None });
    }
    names.into()
}
