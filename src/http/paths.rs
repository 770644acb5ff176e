//! From a URI to a path: `root`, `alias`, and the variables that tell of them.

use super::core::{Alias, RootPath, Rule, open_checked};
use super::file_cache::{Found, Trust};
use super::request::Request;
use super::variables::{BuiltIn, built_in};
use crate::log::Level;
use crate::sys::errno::{Errno, Result};
use crate::sys::file;
use crate::text::escape::Shown;
use crate::vars::{Subject, Value};
use std::ffi::CStr;

/// A `root` that speaks of paths is a circle; nginx gives up at the same depth.
const DEPTH_MOST: u8 = 100;

pub static VARIABLES: &[BuiltIn] = &[
    built_in("document_root", document_root),
    built_in("realpath_root", realpath_root),
    built_in("request_filename", filename),
];

/// What the file system has for the request's URI with `suffix` behind it. EINVAL: there
/// is no path, and the log has been told why.
#[inline(always)]
pub fn look_up(request: &Request<'_>, suffix: &[u8]) -> Found {
    let found = below_root(request).and_then(|below| find(request, below, suffix));
    found.unwrap_or_else(Found::Failed)
}

/// The same for a path below the root that is not the URI's.
pub fn look_up_below_root(request: &Request<'_>, path: &[u8]) -> Found {
    let found = below_root(request).and_then(|_| find(request, path, b""));
    found.unwrap_or_else(Found::Failed)
}

fn find(request: &Request<'_>, below: &[u8], suffix: &[u8]) -> Result<Found> {
    let core = &request.location.conf.core;
    if let Some(symlinks) = &core.disable_symlinks {
        let from = match &symlinks.from {
            Some(from) => request.render(from).ok_or(Errno::EINVAL)?,
            None => b"",
        };
        return with_bytes(request, &[below, suffix], |path| {
            find_checked(request, path, symlinks.rule, from)
        });
    }
    let trust = core.trust();
    with_bytes(request, &[below, suffix], |path| request.worker.files.look_up(path, trust))
}

/// The same where links are not followed behind `from`, if the path begins with that
/// (ngx_http_set_disable_symlinks).
fn find_checked(request: &Request<'_>, path: &[u8], rule: Rule, from: &[u8]) -> Found {
    let unchecked = match path.strip_prefix(from) {
        _ if from.is_empty() => 0,
        None => 0,
        Some(b"\0") => return request.worker.files.look_up(path, Trust::default()),
        Some([b'/', ..]) => from.len(),
        Some(_) if from.ends_with(b"/") => from.len() - 1,
        Some(_) => 0,
    };
    match open_checked(path, rule, unchecked) {
        Ok(opened) => request.worker.files.look_up_opened(path, opened),
        Err(errno) => Found::Failed(errno),
    }
}

/// The call that has failed, for the log: files are opened in steps where links are
/// looked at.
pub fn call(request: &Request<'_>, usual: &'static str) -> &'static str {
    match request.location.conf.core.disable_symlinks {
        Some(_) => "openat()",
        None => usual,
    }
}

/// Calls `then` with the path of the request's URI; `None` when there can be none.
pub fn with_path<T>(
    request: &Request<'_>,
    suffix: &[u8],
    then: impl FnOnce(&CStr) -> T,
) -> Option<T> {
    let below = below_root(request).ok()?;
    let path = |path: &[u8]| CStr::from_bytes_with_nul(path).ok().map(then);
    with_bytes(request, &[below, suffix], path).ok()?
}

/// Calls `then` with the root and what stands behind it: a path that ends with a NUL and
/// may have others.
fn with_bytes<T>(
    request: &Request<'_>,
    below: &[&[u8]],
    then: impl FnOnce(&[u8]) -> T,
) -> Result<T> {
    let root = document_root(request).ok_or(Errno::EINVAL)?;
    let mut room = request.worker.path.borrow_mut();
    let mut len = 0;
    let end: &[u8] = b"\0";
    for part in [&root].into_iter().chain(below).chain([&end]) {
        let room = room.get_mut(len..len + part.len()).ok_or(Errno::ENAMETOOLONG)?;
        room.copy_from_slice(part);
        len += part.len();
    }
    Ok(then(&room[..len]))
}

/// Whether the URI has a path: `alias` wants one below its location.
pub fn can_be(request: &Request<'_>) -> bool {
    request.location.conf.core.root.alias == Alias::None || !request.left_location
}

/// What of the URI stands behind the root in a path (ngx_http_map_uri_to_path).
fn below_root<'r>(request: &Request<'r>) -> Result<&'r [u8]> {
    let alias = request.location.conf.core.root.alias;
    if !can_be(request) {
        let name = Shown(&request.location.name);
        let text =
            format_args!("\"alias\" cannot be used in location \"{name}\" where URI was rewritten");
        request.log(Level::Alert, None, text);
        return Err(Errno::EINVAL);
    }
    match alias {
        Alias::None => Ok(request.uri),
        // A URI that is shorter (after a redirect) has nothing below the directory.
        Alias::Name(len) => request.uri.get(len..).ok_or(Errno::ENAMETOOLONG),
        Alias::Whole if request.added_to_alias => Ok(request.uri),
        Alias::Whole => Ok(b""),
    }
}

/// What `root` or `alias` says.
pub fn document_root<'r>(request: &Request<'r>) -> Value<'r> {
    let made = match &request.location.conf.core.root.path {
        RootPath::Is(path) => return Some(path),
        RootPath::Made(made) => made,
    };
    let depth = request.depth.get();
    if depth >= DEPTH_MOST {
        request.log(Level::Error, None, format_args!("cycle while evaluating the root"));
        return None;
    }
    request.depth.set(depth + 1);
    let path = request.render(&made.text);
    request.depth.set(depth);
    match path? {
        path @ [b'/', ..] => Some(path),
        path => request.scratch().concat(&[&made.prefix, path]),
    }
}

/// The same with its links followed.
fn realpath_root<'r>(request: &Request<'r>) -> Value<'r> {
    let path = request.scratch().concat(&[document_root(request)?, b"\0"])?;
    let path = CStr::from_bytes_with_nul(path).ok()?;
    let mut room = request.worker.path.borrow_mut();
    match file::realpath(path, &mut room) {
        Ok(real) => request.scratch().concat(&[real]),
        Err(errno) => {
            let path = Shown(path.to_bytes());
            let text = format_args!("realpath() \"{path}\" failed");
            request.log(Level::Crit, Some(errno), text);
            None
        }
    }
}

/// The path of the file that the URI names, as it was put together.
pub fn filename<'r>(request: &Request<'r>) -> Value<'r> {
    let root = document_root(request)?;
    request.scratch().concat(&[root, below_root(request).ok()?])
}
