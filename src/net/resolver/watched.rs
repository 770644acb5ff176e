//! A small file whose text is kept, and read again when it has changed.

use crate::log::{Level, log};
use crate::sys::errno::{Errno, Result};
use crate::sys::file::{self, Stat};
use crate::sys::io;
use crate::time;
use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::rc::Rc;

/// How often it is looked at, at most, in milliseconds.
const LOOK_MS: u64 = 1000;
/// What is read of a file.
const MOST: usize = 4 << 20;

pub struct Watched {
    path: CString,
    looked_ms: Cell<Option<u64>>,
    seen: Cell<Option<Stat>>,
    text: RefCell<Rc<[u8]>>,
}

impl Watched {
    pub fn new(path: CString) -> Watched {
        Watched {
            path,
            looked_ms: Cell::new(None),
            seen: Cell::new(None),
            text: RefCell::new(Rc::default()),
        }
    }

    /// Its text; empty where there is none.
    pub fn text(&self) -> Rc<[u8]> {
        let now = time::now_ms();
        if self.looked_ms.get().is_none_or(|at| now >= at + LOOK_MS) {
            self.looked_ms.set(Some(now));
            self.look();
        }
        Rc::clone(&self.text.borrow())
    }

    fn look(&self) {
        let stat = file::stat(&self.path).ok();
        // What cannot be compared is read each time: files of /proc have no size.
        let same = |stat: &Stat| stat.size > 0 && Some(*stat) == self.seen.get();
        if stat.as_ref().is_some_and(same) {
            return;
        }
        let text = match self.read() {
            Ok(text) => text,
            Err(Errno::ENOENT) => Vec::new(),
            Err(errno) => {
                log!(Level::Warn, errno errno, "{:?} cannot be read", self.path);
                Vec::new()
            }
        };
        self.seen.set(stat);
        self.text.replace(text.into());
    }

    fn read(&self) -> Result<Vec<u8>> {
        let fd = file::open(&self.path, file::RDONLY | file::NONBLOCK, 0)?;
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        while text.len() < MOST {
            match io::read(&fd, &mut piece) {
                Ok(0) => break,
                Ok(count) => text.extend(piece.get(..count).unwrap_or_default()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(text)
    }
}

/// The words of a line, without its comment.
pub fn words<'t>(line: &'t [u8], comments: &'static [u8]) -> impl Iterator<Item = &'t [u8]> {
    let line = line.split(move |byte| comments.contains(byte)).next().unwrap_or_default();
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// The address that a word is.
pub fn ip(word: &[u8]) -> Option<std::net::IpAddr> {
    std::str::from_utf8(word).ok()?.parse().ok()
}
