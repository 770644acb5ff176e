//! `index`: the files that answer for a directory.

use crate::conf::{Args, Context, Cx, Directive, Error, Node, Template, settings};
use crate::http::file_cache::Found;
use crate::http::request::Request;
use crate::http::step::{self, Step};
use crate::http::{paths, static_files};
use crate::log::Level;
use crate::proto::request::Method;
use crate::sys::errno::Errno;
use crate::text::escape::Shown;
use crate::vars::Subject;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// In the order they are tried; one that begins with `/` ends the search
        /// with an internal redirect.
        pub files: Rc<Vec<Template>> = Rc::new(vec![Template::from(b"index.html".as_slice())]),
    }
}

pub static LOC: &[Directive<LocRaw>] =
    &[Directive::call("index", Context::ALL, Args::ONE_MORE, index)];

fn index(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let files = Rc::make_mut(raw.files.get_or_insert_default());
    for (i, word) in node.args().enumerate() {
        if word.is_empty() {
            return Err(Error::at(word, "index \"\" in \"index\" directive is invalid"));
        }
        if word.starts_with(b"/") && i + 1 != node.args_len() {
            cx.warn(word, "only the last index in \"index\" directive should be absolute");
        }
        files.push(cx.template(word)?);
    }
    Ok(())
}

/// The index file of a URI that ends in a slash, if there is one.
pub fn find<'r>(request: &mut Request<'r>) -> Step<'r> {
    if !matches!(request.method, Method::Get | Method::Head | Method::Post) {
        return Step::Status(405);
    }
    let mut is_directory = false;
    for file in request.location.conf.index.files.iter() {
        let Some(file) = request.render(file) else { return Step::Status(500) };
        if file.first() == Some(&b'/') {
            return step::redirect(request, file, request.args);
        }
        match paths::look_up(request, file) {
            Found::Failed(Errno::ENOENT) if is_directory => {}
            // Is it the file that is missing, or everything above it, too?
            Found::Failed(Errno::ENOENT) => match paths::look_up(request, b"") {
                Found::Directory { .. } => is_directory = true,
                Found::Failed(errno) => return failed(request, file, errno),
                _ => return no_directory(request, file),
            },
            Found::Failed(errno) => return failed(request, file, errno),
            _ => {
                return match request.scratch().concat(&[request.uri, file]) {
                    Some(uri) => step::redirect(request, uri, request.args),
                    None => Step::Status(500),
                };
            }
        }
    }
    Step::Next
}

/// Nobody has made anything of the directory.
pub fn forbidden<'r>(request: &Request<'r>) -> Step<'r> {
    paths::with_path(request, b"", |path| {
        let path = Shown(path.to_bytes());
        let text = format_args!("directory index of \"{path}\" is forbidden");
        request.log(Level::Error, None, text);
    });
    Step::Status(403)
}

/// `alias` has led to a file.
fn no_directory<'r>(request: &Request<'r>, file: &[u8]) -> Step<'r> {
    paths::with_path(request, file, |path| {
        let path = Shown(path.to_bytes());
        request.log(Level::Alert, None, format_args!("\"{path}\" is not a directory"));
    });
    Step::Status(500)
}

/// An index file is not to be had, or its directory is not.
fn failed<'r>(request: &Request<'r>, file: &[u8], errno: Errno) -> Step<'r> {
    let (what, status) = match errno {
        Errno::EACCES => ("is forbidden", 403),
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => ("is not found", 404),
        // `disable_symlinks`
        Errno::ELOOP => return Step::Status(403),
        _ => return static_files::failed(request, file, errno),
    };
    if status != 404 || request.location.conf.core.log_not_found {
        paths::with_path(request, file, |path| {
            let path = Shown(path.to_bytes());
            request.log(Level::Error, Some(errno), format_args!("\"{path}\" {what}"));
        });
    }
    Step::Status(status)
}
