//! Files for bodies that are too large for memory, or wanted there.

use super::{InFile, TempPath};
use crate::http::request::Request;
use crate::log::Level;
use crate::sys::errno::{Errno, Result};
use crate::sys::{file, io};
use crate::text::escape::Shown;
use std::cell::Cell;
use std::ffi::CString;
use std::os::fd::OwnedFd;

/// A body's file. One with a name loses it with the request, unless it is to be kept.
pub struct TempFile {
    pub fd: OwnedFd,
    /// What `$request_body_file` is.
    pub name: Option<CString>,
    keep: bool,
}

/// Where files without names are, if nothing is configured.
const FOLDER: &std::ffi::CStr = c"/tmp";
const MODE: u32 = 0o600;

impl TempFile {
    /// A new file; why there is none is told.
    pub fn create(request: &Request<'_>) -> Option<TempFile> {
        let conf = &request.location.conf.request_body;
        let made = match &conf.temp_path {
            Some(path) => named(path, conf.in_file).or_else(|errno| match errno {
                // A root that cannot be written, where nothing was mounted.
                Errno::EROFS | Errno::EACCES if conf.in_file == InFile::Off => unnamed(),
                errno => Err(errno),
            }),
            None if conf.in_file == InFile::Off => unnamed(),
            None => {
                let path = TempPath { path: b"/tmp".as_slice().into(), levels: Vec::new() };
                named(&path, conf.in_file)
            }
        };
        made.inspect_err(|errno| {
            let path = conf.temp_path.as_ref().map_or(b"/tmp".as_slice(), |path| &path.path);
            let text = format_args!("no file for a request's body in \"{}\"", Shown(path));
            request.log(Level::Crit, Some(*errno), text);
        })
        .ok()
    }

    /// A new file for an answer, without a name; `None`: there can be none.
    pub fn for_answer(folder: Option<&TempPath>) -> Option<TempFile> {
        let path = folder.map(|folder| CString::new(&*folder.path).unwrap_or_default());
        let named = path.and_then(|path| file::open_unnamed(&path, MODE).ok());
        match named {
            Some(fd) => Some(TempFile { fd, name: None, keep: false }),
            None => unnamed().ok(),
        }
    }

    /// Writes behind what is there.
    pub fn append(&self, bytes: &[u8]) -> Result<()> {
        io::write_all(&self.fd, bytes)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Some(name) = self.name.as_ref().filter(|_| !self.keep) {
            // Who has removed it already did what is wanted.
            let _ = file::unlink(name);
        }
    }
}

/// A file that nobody else can find; in memory where there is no folder to write to.
fn unnamed() -> Result<TempFile> {
    let fd = file::open_unnamed(FOLDER, MODE).or_else(|_| file::memfd(c"limpet:body"))?;
    Ok(TempFile { fd, name: None, keep: false })
}

/// A file whose name is a number, in folders named after its last digits.
fn named(path: &TempPath, in_file: InFile) -> Result<TempFile> {
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        let number = NEXT.replace(NEXT.get() + 1);
        let (folders, name) = names(path, number);
        let flags = file::RDWR | file::CREAT | file::EXCL;
        let mut opened = file::open(&name, flags, MODE);
        if opened.as_ref().is_err_and(|errno| *errno == Errno::ENOENT) {
            for folder in &folders {
                // What is there already is as good; what cannot be made fails below.
                let _ = file::mkdir(folder, 0o700);
            }
            opened = file::open(&name, flags, MODE);
        }
        match opened {
            Ok(fd) => {
                return Ok(TempFile { fd, name: Some(name), keep: in_file == InFile::On });
            }
            // Another worker's, or one that was kept.
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EEXIST)
}

/// The folders from the outermost on, and the file.
fn names(path: &TempPath, number: u64) -> (Vec<CString>, CString) {
    let digits = format!("{number:010}");
    let mut at = digits.len();
    let mut name = path.path.to_vec();
    let text = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
    let mut folders = vec![text(&name)];
    for level in &path.levels {
        let from = at.saturating_sub(*level);
        name.push(b'/');
        name.extend_from_slice(&digits.as_bytes()[from..at]);
        at = from;
        folders.push(text(&name));
    }
    name.push(b'/');
    name.extend_from_slice(digits.as_bytes());
    (folders, text(&name))
}
