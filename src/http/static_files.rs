//! Files: from a URI to what it names, and what that means for the answer.

use super::file_cache::Found;
use super::filters;
use super::paths::{self, look_up, with_path};
use super::precompressed;
use super::request::Request;
use super::step::{self, Step, Target};
use crate::log::Level;
use crate::proto::request::Method;
use crate::sys::errno::Errno;
use crate::text::escape::Shown;

/// The answer for a URI that does not end in a slash.
pub fn find<'r>(request: &mut Request<'r>) -> Step<'r> {
    if !matches!(request.method, Method::Get | Method::Head | Method::Post) {
        return Step::Status(405);
    }
    if let Some(file) = precompressed::find(request) {
        return filters::of_file(request, file);
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
        Found::Unreadable(errno) | Found::Failed(errno) => failed(request, b"", errno),
    }
}

/// The status for a file that could not be had, with the log line of nginx.
pub fn failed<'r>(request: &Request<'r>, suffix: &[u8], errno: Errno) -> Step<'r> {
    let (level, status) = match errno {
        // No path could be made.
        Errno::EINVAL => return Step::Status(500),
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => (Level::Error, 404),
        Errno::EACCES | Errno::EMLINK | Errno::ELOOP => (Level::Error, 403),
        _ => (Level::Crit, 500),
    };
    let wanted = status != 404 || request.location.conf.core.log_not_found;
    if wanted && request.would_log(level) {
        with_path(request, suffix, |path| {
            let path = Shown(path.to_bytes());
            let call = paths::call(request, "open()");
            request.log(level, Some(errno), format_args!("{call} \"{path}\" failed"));
        });
    }
    Step::Status(status)
}
