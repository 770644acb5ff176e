//! `proxy_store`: answers that stay as files.
//!
//! The bytes are written beside the place where they are to be, under a name that nobody can
//! guess, and get their own when the answer has come whole: nobody finds a part of one there.

use super::Upstream;
use super::settings::LocRaw;
use crate::conf::{Cx, Error, Node, Template, put};
use crate::http::paths;
use crate::http::request::Request;
use crate::log::Level;
use crate::proto::response::Known;
use crate::random;
use crate::sys::errno::{Errno, Result};
use crate::sys::{file, io};
use crate::text::date;
use crate::text::escape::Shown;
use crate::vars::{Subject, Value};
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Where answers stay.
#[derive(Clone)]
pub enum Store {
    Nowhere,
    /// Where a file would be looked for.
    UnderRoot,
    At(Rc<Template>),
}

impl Store {
    /// What is to stay is asked for whoever waits for it.
    pub fn is_on(&self) -> bool {
        !matches!(self, Store::Nowhere)
    }
}

/// `proxy_store on | off | PATH`
pub fn store(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> std::result::Result<(), Error> {
    let store = match node.arg(0).bytes() {
        b"off" => Store::Nowhere,
        b"on" => Store::UnderRoot,
        _ => Store::At(Rc::new(cx.template(node.arg(0))?)),
    };
    put(&mut raw.store, node, Ok(store))
}

/// `proxy_store_access user:RIGHTS group:RIGHTS all:RIGHTS`
pub fn store_access(raw: &mut LocRaw, _: &mut Cx, node: Node) -> std::result::Result<(), Error> {
    const WHO: [(&[u8], u32); 3] = [(b"user:", 6), (b"group:", 3), (b"all:", 0)];
    let (mut access, mut owner) = (0, 0o600);
    for word in node.args() {
        let found = WHO.iter().find_map(|(who, shift)| {
            let rights = match word.bytes().strip_prefix(*who)? {
                b"rw" => 6,
                b"r" => 4,
                _ => return None,
            };
            Some((rights << shift, *shift == 6))
        });
        let (rights, is_owner) = found.ok_or_else(|| Error::invalid_value(word))?;
        access |= rights;
        if is_owner {
            owner = 0;
        }
    }
    put(&mut raw.store_access, node, Ok(access | owner))
}

/// An answer that becomes a file.
pub struct Stored<'r> {
    fd: OwnedFd,
    /// Where it is until it is whole, and where it is to be.
    temp: &'r CStr,
    path: &'r CStr,
    access: u32,
    modified: Option<i64>,
    /// Why it cannot be.
    failed: Cell<Option<Errno>>,
    kept: Cell<bool>,
}

/// The answer whose head has been taken is to stay, if the configuration says so: one that has
/// all of what was asked for, and is not only told of.
pub fn begin<'r>(request: &Request<'r>, upstream: &mut Upstream<'r>) {
    let is_told = upstream.head_only || upstream.unbuffered || request.is_inner;
    if upstream.head.status != 200 || is_told {
        return;
    }
    let conf = upstream.conf;
    let path = match &conf.store {
        Store::Nowhere => return,
        Store::UnderRoot => paths::filename(request),
        Store::At(text) => request.render(text),
    };
    let Some(path) = path.filter(|path| !path.is_empty()) else { return };
    let said = upstream.head.get(upstream.bytes, Known::LastModified);
    let modified = said.and_then(date::parse_http);
    match create(request, path, (conf.store_access, modified)) {
        Ok(stored) => upstream.stored = Some(stored),
        Err(errno) => tell(request, path, errno),
    }
}

fn create<'r>(
    request: &Request<'r>,
    path: &'r [u8],
    (access, modified): (u32, Option<i64>),
) -> Result<Stored<'r>> {
    let temp = temp_name(request, path).ok_or(Errno::ENAMETOOLONG)?;
    let path = request.scratch().concat(&[path, b"\0"]).ok_or(Errno::ENAMETOOLONG)?;
    let text = |bytes| CStr::from_bytes_with_nul(bytes).map_err(|_| Errno::EINVAL);
    let (temp, path) = (text(temp)?, text(path)?);
    let open = || file::open(temp, file::WRONLY | file::CREAT | file::EXCL, 0o600);
    let opened = open().or_else(|errno| match errno {
        Errno::ENOENT => {
            make_folders(temp, access);
            open()
        }
        errno => Err(errno),
    });
    let (failed, kept) = (Cell::new(None), Cell::new(false));
    Ok(Stored { fd: opened?, temp, path, access, modified, failed, kept })
}

fn temp_name<'r>(request: &Request<'r>, path: &[u8]) -> Value<'r> {
    request.made(path.len() + 24, |out| {
        out.put(path);
        out.put(b".");
        out.put_hex(random::number());
        out.put(b"\0");
    })
}

/// The folders that the file is in. Who may read it may look into them.
fn make_folders(path: &CStr, access: u32) {
    let path = path.to_bytes();
    let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
    for (at, _) in slashes {
        let folder = path.get(..at).and_then(|folder| CString::new(folder).ok());
        // What is there already is as good; what cannot be made fails at the file.
        let _ = folder.map(|folder| file::mkdir(&folder, access | (access & 0o444) >> 2));
    }
}

fn tell(request: &Request<'_>, path: &[u8], errno: Errno) {
    let text = format_args!("an upstream's answer cannot be stored in \"{}\"", Shown(path));
    request.log(Level::Crit, Some(errno), text);
}

impl Stored<'_> {
    /// Writes the next bytes.
    pub fn write(&self, bytes: &[u8]) {
        if self.failed.get().is_none() {
            self.failed.set(io::write_all(&self.fd, bytes).err());
        }
    }

    /// The answer has come whole.
    pub fn keep(&self) {
        if self.failed.get().is_none() {
            let moved = self.settle();
            self.kept.set(moved.is_ok());
            self.failed.set(moved.err());
        }
    }

    fn settle(&self) -> Result<()> {
        file::fchmod(&self.fd, self.access)?;
        if let Some(modified) = self.modified {
            file::set_times(&self.fd, modified)?;
        }
        file::rename(self.temp, self.path)
    }

    /// Says what went wrong, if anything has.
    pub fn conclude(&self, request: &Request<'_>) {
        if let Some(errno) = self.failed.get() {
            tell(request, self.path.to_bytes(), errno);
        }
    }
}

impl Drop for Stored<'_> {
    fn drop(&mut self) {
        if !self.kept.get() {
            // Who has removed it already did what is wanted.
            let _ = file::unlink(self.temp);
        }
    }
}
