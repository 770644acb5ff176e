//! `error_log`, in every context that has it, and the log files of a config.

use std::path::PathBuf;
use std::rc::Rc;

/// A log that the config names; the same path is the same log.
#[derive(Debug)]
pub struct LogPath {
    pub path: PathBuf,
}

/// One `error_log` line: where, and from which level on.
#[derive(Clone, Debug)]
pub struct LogTarget {
    pub log: Rc<LogPath>,
}
