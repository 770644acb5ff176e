//! `try_files`: the first of several paths that there is, else another URI.

use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Template, parse_number, put, settings,
};
use crate::http::core::Alias;
use crate::http::file_cache::Found;
use crate::http::paths;
use crate::http::request::Request;
use crate::http::step::{self, Step};
use crate::log::Level;
use crate::sys::errno::Errno;
use crate::text::escape::Shown;
use crate::vars::Subject;

settings! {
    pub struct Loc, LocRaw { }
    own {
        pub list: Option<List> = None,
    }
}

pub struct List {
    paths: Vec<Candidate>,
    /// What is done when there is none of them.
    last: Last,
}

struct Candidate {
    /// Below the root.
    path: Template,
    /// It ended with a slash: a directory is wanted.
    is_directory: bool,
}

enum Last {
    /// `=CODE`
    Status(u16),
    /// `/uri?args` or `@name`
    Uri(Template),
}

const CONTEXTS: Context = Context::SERVER.or(Context::LOCATION);

pub static LOC: &[Directive<LocRaw>] =
    &[Directive::call("try_files", CONTEXTS, Args::TWO_MORE, |raw, cx, node| {
        put(&mut raw.list, node, list(cx, node).map(Some))
    })];

fn list(cx: &mut Cx, node: Node) -> Result<List, Error> {
    let count = node.args_len() - 1;
    let mut paths = Vec::with_capacity(count);
    for word in node.args().take(count) {
        let is_directory = word.ends_with(b"/");
        let word = if is_directory { word.until(word.len() - 1) } else { word };
        paths.push(Candidate { path: cx.template(word)?, is_directory });
    }
    let word = node.arg(count);
    let last = match word.bytes() {
        [b'=', code @ ..] => match parse_number(code) {
            Some(code @ 0..=999) => Last::Status(code as u16),
            _ => return Err(Error::at(word, format!("invalid code \"{word}\""))),
        },
        _ => Last::Uri(cx.template(word)?),
    };
    Ok(List { paths, last })
}

/// Sets the path of the request to the first that there is.
pub fn choose<'r>(request: &mut Request<'r>) -> Step<'r> {
    let location = request.location;
    let Some(list) = &location.conf.try_files.list else { return Step::Next };
    for candidate in &list.paths {
        let Some(path) = below_root(request, &candidate.path) else { return Step::Status(500) };
        let is_directory = match paths::look_up_below_root(request, path) {
            Found::File(_) | Found::Unreadable(_) | Found::Special => false,
            Found::Directory { .. } => true,
            Found::Failed(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) => continue,
            Found::Failed(Errno::EINVAL) => return Step::Status(500),
            Found::Failed(errno) => {
                tell(request, path, errno);
                continue;
            }
        };
        if is_directory == candidate.is_directory {
            return match settle(request, path, is_directory) {
                Some(()) => Step::Next,
                None => Step::Status(500),
            };
        }
    }
    let uri = match &list.last {
        Last::Status(status) => return Step::Status(*status),
        Last::Uri(uri) => uri,
    };
    match below_root(request, uri) {
        Some(name @ [b'@', ..]) => step::named(request, name),
        Some(uri) => {
            let (uri, args) = step::split_args(uri);
            step::redirect(request, uri, args)
        }
        None => Step::Status(500),
    }
}

/// The text, without the part of it that `alias` replaces: in nginx only texts with
/// variables may have that part, and the last argument loses it, too.
fn below_root<'r>(request: &Request<'r>, text: &'r Template) -> Option<&'r [u8]> {
    let path = request.render(text)?;
    let Alias::Name(len) = request.location.conf.core.root.alias else { return Some(path) };
    match request.uri.get(..len).and_then(|name| path.strip_prefix(name)) {
        Some(rest) if text.literal().is_none() => Some(rest),
        _ => Some(path),
    }
}

/// The path is found: it becomes the request's.
fn settle<'r>(request: &mut Request<'r>, path: &'r [u8], is_directory: bool) -> Option<()> {
    match request.location.conf.core.root.alias {
        Alias::None => request.uri = path,
        Alias::Name(len) => {
            request.uri = request.scratch().concat(&[request.uri.get(..len)?, path])?;
        }
        // A directory is what `alias` names already.
        Alias::Whole if is_directory => {}
        Alias::Whole => (request.uri, request.added_to_alias) = (path, true),
    }
    Some(())
}

fn tell(request: &Request<'_>, path: &[u8], errno: Errno) {
    let root = Shown(paths::document_root(request).unwrap_or_default());
    let call = paths::call(request, "stat()");
    let text = format_args!("{call} \"{root}{}\" failed", Shown(path));
    request.log(Level::Crit, Some(errno), text);
}
