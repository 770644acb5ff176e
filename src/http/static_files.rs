//! Files: from a URI to what it names, and what that means for the answer.

use super::file_cache::{Found, Trust};
use super::filters;
use super::request::Request;
use super::step::{self, Step, Target};
use crate::log::Level;
use crate::proto::request::Method;
use crate::sys::errno::Errno;
use crate::text::escape::Shown;
use std::ffi::CStr;

/// The answer for a URI that does not end in a slash.
pub fn find<'r>(request: &mut Request<'r>) -> Step<'r> {
    if !matches!(request.method, Method::Get | Method::Head | Method::Post) {
        return Step::Status(405);
    }
    match look_up(request, b"") {
        Found::File(_) if request.method == Method::Post => Step::Status(405),
        Found::File(file) => filters::of_file(request, file),
        Found::Directory { closed: Some(errno) } => failed(request, b"", errno),
        Found::Directory { closed: None } => step::moved(request, 301, Target::Directory),
        Found::Special => {
            with_path(request, b"", |path| {
                let path = Shown(path.to_bytes());
                request.log(Level::Crit, None, format_args!("\"{path}\" is not a regular file"));
            });
            Step::Status(404)
        }
        Found::Failed(errno) => failed(request, b"", errno),
    }
}

/// What the file system has for the request's URI with `suffix` behind it.
pub fn look_up(request: &Request<'_>, suffix: &[u8]) -> Found {
    let core = &request.location.conf.core;
    let ms = core.open_file_cache.map_or(0, |_| core.open_file_cache_valid * 1000);
    let trust = Trust { ms, errors_ms: if core.open_file_cache_errors { ms } else { 0 } };
    with_bytes(request, suffix, |path| request.worker.files.look_up(path, trust))
        .unwrap_or(Found::Failed(Errno::ENAMETOOLONG))
}

/// Calls `then` with the path of the request's URI; `None` when there can be none.
pub fn with_path<T>(
    request: &Request<'_>,
    suffix: &[u8],
    then: impl FnOnce(&CStr) -> T,
) -> Option<T> {
    with_bytes(request, suffix, |path| CStr::from_bytes_with_nul(path).ok().map(then))?
}

/// The same for a path that ends with a NUL and may have others.
fn with_bytes<T>(request: &Request<'_>, suffix: &[u8], then: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let root = &request.location.conf.core.root;
    // `alias`: the location's name is replaced. A URI that is shorter (after a
    // redirect) has nothing below the directory.
    let below = request.uri.get(root.alias.unwrap_or(0)..)?;
    let mut room = request.worker.path.borrow_mut();
    let mut len = 0;
    for part in [&root.path, below, suffix, b"\0"] {
        room.get_mut(len..len + part.len())?.copy_from_slice(part);
        len += part.len();
    }
    Some(then(&room[..len]))
}

/// The status for a file that could not be had, with the log line of nginx.
pub fn failed<'r>(request: &Request<'r>, suffix: &[u8], errno: Errno) -> Step<'r> {
    let (level, status) = match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => (Level::Error, 404),
        Errno::EACCES | Errno::EMLINK | Errno::ELOOP => (Level::Error, 403),
        _ => (Level::Crit, 500),
    };
    let wanted = status != 404 || request.location.conf.core.log_not_found;
    if wanted && request.would_log(level) {
        with_path(request, suffix, |path| {
            let path = Shown(path.to_bytes());
            request.log(level, Some(errno), format_args!("open() \"{path}\" failed"));
        });
    }
    Step::Status(status)
}
