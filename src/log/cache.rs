//! Logs that are opened while requests are served: those whose names come from values.

use super::file::LogFile;
use super::output::{self, Output};
use crate::sys::Errno;
use crate::sys::io;
use crate::text::hash::Build;
use crate::time;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;
use std::io::IoSlice;
use std::rc::Rc;

/// What of it did not work.
pub struct Failed {
    pub call: &'static str,
    pub errno: Errno,
}

/// Writes a line to a file that is opened for it, as nginx does.
pub fn append(path: &CStr, line: &[u8]) -> Result<(), Failed> {
    let opened = output::open(path).map_err(|errno| Failed { call: "open", errno })?;
    // Of a line that a full pipe or device takes a part of, the rest is lost.
    let written = io::writev(&opened, &[IoSlice::new(line), IoSlice::new(b"\n")]);
    written.map(drop).map_err(|errno| Failed { call: "write", errno })
}

/// `open_log_file_cache`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Files that are open at most.
    pub max: u64,
    /// A file that has no lines for so long is closed when another is opened.
    pub inactive_ms: u64,
    /// A file stays open from its so-many-th line on.
    pub min_uses: u64,
    /// After so long the path is opened anew: it may have been renamed.
    pub valid_ms: u64,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { max: 0, inactive_ms: 10_000, min_uses: 1, valid_ms: 60_000 }
    }
}

/// Open files by path, for one process.
pub struct Cache {
    limits: CacheLimits,
    files: RefCell<HashMap<Box<CStr>, Cached, Build>>,
}

struct Cached {
    /// None while it is not worth it.
    file: Option<Rc<LogFile>>,
    opened_ms: u64,
    used_ms: u64,
    uses: u64,
}

impl Cache {
    pub fn new(limits: CacheLimits) -> Cache {
        Cache { limits, files: RefCell::default() }
    }

    /// Queues a line for the file at `path`.
    pub fn line(&self, path: &CStr, line: &[u8]) -> Result<(), Failed> {
        let now = time::now_ms();
        let mut files = self.files.borrow_mut();
        if !files.contains_key(path) {
            self.make_room(&mut files, now);
            let new = Cached { file: None, opened_ms: now, used_ms: now, uses: 0 };
            files.insert(path.into(), new);
        }
        let Some(cached) = files.get_mut(path) else { return append(path, line) };
        if now - cached.used_ms > self.limits.inactive_ms {
            cached.uses = 0;
        }
        cached.used_ms = now;
        cached.uses += 1;
        if cached.uses < self.limits.min_uses {
            cached.file = None;
            return append(path, line);
        }
        let is_fresh = now - cached.opened_ms <= self.limits.valid_ms;
        let file = match cached.file.take().filter(|_| is_fresh) {
            Some(file) => file,
            None => {
                cached.opened_ms = now;
                let open = |errno| Failed { call: "open", errno };
                LogFile::of_many(path.to_bytes(), Output::at(path).map_err(open)?)
            }
        };
        file.line(line);
        cached.file = Some(file);
        Ok(())
    }

    /// Lets those go that nobody uses, and if that is not enough the one used longest ago.
    fn make_room(&self, files: &mut HashMap<Box<CStr>, Cached, Build>, now: u64) {
        files.retain(|_, cached| now - cached.used_ms <= self.limits.inactive_ms);
        if (files.len() as u64) < self.limits.max {
            return;
        }
        let oldest = files.iter().min_by_key(|(_, cached)| cached.used_ms);
        if let Some((path, _)) = oldest.map(|(path, cached)| (path.clone(), cached.used_ms)) {
            files.remove(&path);
        }
    }
}
