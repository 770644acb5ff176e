//! Logs whose names have variables: each line finds its file, as in nginx.

use crate::conf::{Cx, Error, Part, Template, Word};
use crate::http::file_cache::{Found, Trust};
use crate::http::paths;
use crate::http::request::Request;
use crate::log::{self, Level};
use crate::sys::errno::Errno;
use crate::text::escape::Shown;
use crate::vars::Subject;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;

pub struct Named {
    /// The path, absolute.
    path: Template,
}

impl Named {
    pub fn read(cx: &mut Cx, word: Word) -> Result<Named, Error> {
        let mut parts = Vec::new();
        if !word.starts_with(b"/") {
            parts.push(Part::Text(cx.path(b"").as_os_str().as_bytes().into()));
        }
        parts.extend_from_slice(cx.template(word)?.parts());
        Ok(Named { path: Template::new(parts) })
    }

    pub fn path(&self) -> &Template {
        &self.path
    }

    /// Writes a line to the file that the request's values name now.
    pub fn write<'r>(&'r self, request: &Request<'r>, line: &[u8]) {
        if !has_root(request) {
            return;
        }
        let path = request.render(&self.path).and_then(|path| {
            let with_nul = request.scratch().concat(&[path, b"\0"])?;
            CStr::from_bytes_with_nul(with_nul).ok()
        });
        let Some(path) = path.filter(|path| !climbs(path.to_bytes())) else {
            let text = format_args!("the name of an access log cannot be used");
            return request.log(Level::Crit, None, text);
        };
        let cache = request.location.conf.log.open_log_file_cache.as_deref();
        let written = match cache {
            Some(cache) => cache.line(path, line),
            None => log::append(path, line),
        };
        if let Err(failed) = written {
            let (call, path) = (failed.call, Shown(path.to_bytes()));
            let text = format_args!("{call}() \"{path}\" failed");
            request.log(Level::Crit, Some(failed.errno), text);
        }
    }
}

/// A value that a client chose must not lead out of its directory; nginx does not care.
fn climbs(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|name| name == b"..")
}

/// Without the directory that is served, for a name that nobody has, there is no log (nginx):
/// clients could make files without end.
fn has_root<'r>(request: &Request<'r>) -> bool {
    let Some(root) = paths::document_root(request) else { return false };
    let path = request.scratch().concat(&[root, b"\0"]);
    let found = path.map(|path| request.worker.files.look_up(path, Trust::default()));
    let errno = match found {
        Some(Found::Directory { .. }) => return true,
        Some(Found::Failed(errno)) => errno,
        Some(_) => Errno::ENOTDIR,
        None => Errno::ENAMETOOLONG,
    };
    let root = Shown(root);
    request.log(Level::Error, Some(errno), format_args!("testing \"{root}\" existence failed"));
    false
}
