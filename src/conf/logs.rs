//! The logs of a config: named while it is read, opened when all of it is right, so
//! that a config with an error touches no file.

use super::Cx;
use super::error::Error;
use super::tree::{Node, Pos, Word};
use crate::log::{self, Entry, ErrorLog, Files, Form, Level, LogFile, Refused, Target};
use crate::sys::addr::Ip;
use crate::sys::errno::Errno;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A log that the config names; the same name is the same log.
pub struct LogPath {
    name: Box<[u8]>,
    hold: Cell<Option<Hold>>,
    file: OnceCell<Rc<LogFile>>,
}

/// `buffer=` and `flush=` of an access log: how much may wait, and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    pub bytes: usize,
    pub ms: Option<u64>,
}

impl LogPath {
    /// The log itself, once the cycle has opened it.
    pub fn file(&self) -> Option<&Rc<LogFile>> {
        self.file.get()
    }

    fn open(&self, files: &Files) -> Result<(), Refused> {
        let file = files.open(&self.name)?;
        if let Some(Hold { bytes, ms }) = self.hold.get() {
            file.hold(bytes, ms);
        }
        _ = self.file.set(file);
        Ok(())
    }
}

/// The `error_log` lines of one level.
#[derive(Default)]
pub struct ErrorLogs {
    lines: RefCell<Vec<(Rc<LogPath>, Level, Form)>>,
    log: OnceCell<ErrorLog>,
}

impl ErrorLogs {
    /// The log of these lines, once the cycle has opened them; before that the
    /// process's.
    pub fn log(&self) -> ErrorLog {
        self.log.get().map_or_else(log::current, ErrorLog::clone)
    }

    /// Whether an entry about this client would be written.
    #[inline]
    pub fn enabled(&self, level: Level, client: Ip) -> bool {
        let enabled = self.log.get().map_or_else(|| log::enabled(level), |log| log.enabled(level));
        enabled || log::is_debugged(client)
    }

    pub fn put(&self, entry: &Entry<'_>, client: Ip) {
        match log::is_debugged(client) {
            true => self.log().with_debug().put(entry),
            false => self.log().put(entry),
        }
    }

    fn make_ready(&self) {
        let lines = self.lines.borrow();
        let targets = lines.iter().filter_map(|(path, level, form)| {
            Some(Target { file: Rc::clone(path.file()?), level: *level, form: *form })
        });
        _ = self.log.set(ErrorLog::new(targets));
    }
}

/// Where a log is named first; `None` for one that no line names.
type Named = (Option<Pos>, Rc<LogPath>);

/// Every log that a config has named so far.
#[derive(Default)]
pub struct Logs {
    paths: BTreeMap<Box<[u8]>, Named>,
    errors: Vec<Rc<ErrorLogs>>,
}

impl Cx {
    /// A log that a directive names in `word`.
    pub fn log_path(&mut self, word: Word, hold: Option<Hold>) -> Result<Rc<LogPath>, Error> {
        Files::check(&word).map_err(|text| Error::at(word, text))?;
        let path = self.logs.path(Some(word.pos()), &word);
        if hold.is_some() {
            let earlier = path.hold.replace(hold);
            if earlier.is_some() && earlier != hold {
                let text = "already defined with conflicting parameters";
                return Err(Error::at(word, format!("access_log \"{word}\" {text}")));
            }
        }
        Ok(path)
    }

    /// A log that no line of the config names.
    pub fn default_log(&mut self, name: &[u8]) -> Rc<LogPath> {
        self.logs.path(None, name)
    }

    /// `error_log FILE [LEVEL] [format=json];` in any context: one more line of its level.
    pub fn error_log(&mut self, node: Node, logs: &ErrorLogs) -> Result<(), Error> {
        let (mut levels, mut form) = (Vec::new(), Form::Plain);
        for word in node.args().skip(1) {
            match word.strip_prefix(b"format=") {
                None => levels.push(word.bytes()),
                Some(b"json") => form = Form::Json,
                Some(b"plain") => form = Form::Plain,
                Some(_) => {
                    let text = format!("unknown error log format \"{}\"", word.part(7));
                    return Err(Error::at(word, text).hint("it is \"json\" or \"plain\""));
                }
            }
        }
        let level = Level::of_directive(&levels).map_err(|text| Error::at(node.arg(1), text))?;
        let path = self.log_path(node.arg(0), None)?;
        logs.lines.borrow_mut().push((path, level, form));
        Ok(())
    }

    /// The lines of a level that begins here.
    pub fn error_logs(&mut self) -> Rc<ErrorLogs> {
        let logs = Rc::new(ErrorLogs::default());
        self.logs.errors.push(Rc::clone(&logs));
        logs
    }

    /// The main level named no error log: this is it.
    pub fn default_error_log(&mut self, name: &[u8]) {
        if self.main_error_log.lines.borrow().is_empty() {
            let path = self.default_log(name);
            self.main_error_log.lines.borrow_mut().push((path, Level::Error, Form::Plain));
        }
    }

    /// Opens every log; the ones that cannot be had are errors.
    pub fn open_logs(&mut self, files: &Files) {
        for (pos, path) in self.logs.paths.values() {
            if let Err(Refused { text, errno }) = path.open(files) {
                let reason = errno.map_or(String::new(), |errno: Errno| format!(" ({errno})"));
                let text = format!("{text}{reason}");
                self.errors.push(Error { pos: *pos, text, hint: None });
            }
        }
        self.logs.errors.iter().for_each(|logs| logs.make_ready());
    }
}

impl Logs {
    fn path(&mut self, pos: Option<Pos>, name: &[u8]) -> Rc<LogPath> {
        if let Some((_, path)) = self.paths.get(name) {
            return Rc::clone(path);
        }
        let (hold, file) = (Cell::new(None), OnceCell::new());
        let path = Rc::new(LogPath { name: name.into(), hold, file });
        self.paths.insert(name.into(), (pos, Rc::clone(&path)));
        path
    }
}
