//! `autoindex`: the listing of a directory that has no index file.

mod listing;

use crate::conf::{Args, Context, Directive, choice, put, settings};
use crate::http::request::Request;
use crate::http::step::{Answer, Made, Step};
use crate::http::variables::argument;
use crate::http::{charset, filters, paths};
use crate::log::Level;
use crate::mem::sort::sort_by;
use crate::proto::request::Method;
use crate::sys::errno::{Errno, Result};
use crate::sys::file;
use crate::text::escape::Shown;
use crate::time;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

settings! {
    pub struct Loc, LocRaw {
        pub enable: bool = false,
        pub format: Format = Format::Html,
        pub localtime: bool = false,
        pub exact_size: bool = true,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Html,
    Json,
    Jsonp,
    Xml,
}

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::flag("autoindex", Context::ALL, |raw| &mut raw.enable),
    Directive::call("autoindex_format", Context::ALL, Args::ONE, |raw, _, node| {
        let formats = [
            ("html", Format::Html),
            ("json", Format::Json),
            ("jsonp", Format::Jsonp),
            ("xml", Format::Xml),
        ];
        put(&mut raw.format, node, choice(node, 0, &formats))
    }),
    Directive::flag("autoindex_localtime", Context::ALL, |raw| &mut raw.localtime),
    Directive::flag("autoindex_exact_size", Context::ALL, |raw| &mut raw.exact_size),
];

/// A file in a listing.
struct Entry {
    name: Vec<u8>,
    is_directory: bool,
    is_file: bool,
    mtime: i64,
    size: u64,
}

/// The listing of the request's directory, if there is to be one.
pub fn list<'r>(request: &mut Request<'r>) -> Step<'r> {
    let conf = &request.location.conf.autoindex;
    if !conf.enable || !matches!(request.method, Method::Get | Method::Head) {
        return Step::Next;
    }
    let (mut format, mut callback): (_, &[u8]) = (conf.format, b"");
    if format == Format::Jsonp {
        callback = argument(request, b"callback").unwrap_or_default();
        format = if callback.is_empty() { Format::Json } else { format };
    }
    if !callback.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(byte)) {
        let name = Shown(callback);
        let text = format_args!("client sent invalid callback name: \"{name}\"");
        request.log_info(None, text);
        return Step::Status(400);
    }
    // As in nginx the path loses its last byte, whatever it is.
    let path = paths::with_path(request, b"", |path| path.to_bytes().to_vec());
    let Some(mut path) = path else { return Step::Status(500) };
    if path.len() > 1 {
        path.pop();
    }
    let entries = match read(request, &path) {
        Ok(entries) => entries,
        Err(errno) => return failed(request, &path, errno),
    };
    let (content_type, charset): (&[u8], &[u8]) = match format {
        Format::Html => (b"text/html", b""),
        Format::Json => (b"application/json", b""),
        Format::Jsonp => (b"application/javascript", b""),
        Format::Xml => (b"text/xml", b"utf-8"),
    };
    let body = match format {
        Format::Html => {
            let charset = charset::of(request, content_type).unwrap_or_default();
            let utf8 = charset.eq_ignore_ascii_case(b"utf-8");
            let offset = if conf.localtime { time::local_offset() } else { 0 };
            let shape = listing::Html { utf8, exact: conf.exact_size, offset };
            shape.page(request.uri, &entries)
        }
        Format::Json | Format::Jsonp => listing::json(&entries, callback),
        Format::Xml => listing::xml(&entries),
    };
    let made = Made { content_type, charset, counted: false, body };
    filters::without_validators(request, 200, Answer::Made(Box::new(made)))
}

/// What is in a directory, in nginx's order: directories first. Names that begin with a
/// dot are left out.
fn read(request: &Request<'_>, path: &[u8]) -> Result<Vec<Entry>> {
    let directory = std::fs::read_dir(OsStr::from_bytes(path)).map_err(errno_of)?;
    let mut entries = Vec::new();
    for found in directory {
        let name = found.map_err(errno_of)?.file_name().into_vec();
        if name.first() != Some(&b'.') {
            entries.extend(entry(request, path, name)?);
        }
    }
    sort_by(&mut entries, |a, b| (!a.is_directory, &a.name).cmp(&(!b.is_directory, &b.name)));
    Ok(entries)
}

/// One file of it; `None` when nobody may know about it. A link that leads nowhere is told
/// of as the link that it is.
fn entry(request: &Request<'_>, path: &[u8], name: Vec<u8>) -> Result<Option<Entry>> {
    let whole = [path, b"/", &name].concat();
    let whole = file::path(OsStr::from_bytes(&whole))?;
    let stat = match file::stat(&whole) {
        Err(Errno::ENOENT | Errno::ELOOP) => file::lstat(&whole)?,
        Err(errno) => {
            let whole = Shown(whole.to_bytes());
            request.log(Level::Crit, Some(errno), format_args!("stat() \"{whole}\" failed"));
            return if errno == Errno::EACCES { Ok(None) } else { Err(errno) };
        }
        Ok(stat) => stat,
    };
    Ok(Some(Entry {
        name,
        is_directory: stat.is_dir(),
        is_file: stat.is_file(),
        mtime: stat.mtime,
        size: stat.size,
    }))
}

fn errno_of(error: io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(Errno::EIO.0))
}

fn failed<'r>(request: &Request<'r>, path: &[u8], errno: Errno) -> Step<'r> {
    let (level, status) = match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => (Level::Error, 404),
        Errno::EACCES => (Level::Error, 403),
        _ => (Level::Crit, 500),
    };
    request.log(level, Some(errno), format_args!("opendir() \"{}\" failed", Shown(path)));
    Step::Status(status)
}
