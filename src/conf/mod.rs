//! nginx.conf: lexer, tree, directive tables, errors.
//!
//! A config is read in two steps. [`Tree::parse`] turns text into words and
//! blocks, follows every `include` and knows no directive but that one. Then the
//! owners of directives walk the tree with their tables ([`Directive`]), level by
//! level: the plain directives of a block first, its inner blocks after, so that a
//! block is complete before anything inherits from it.
//!
//! Nothing here stops at the first error: [`Errors`] collects them, in the order
//! of the text, each with file, line and column.

mod directive;
mod error;
mod error_log;
mod settings;
mod tree;
mod value;

pub use directive::{Args, Context, Directive, Index, Set, Shape, apply};
pub use error::{Error, Errors, Shown};
pub use error_log::{LogPath, LogTarget};
pub(crate) use settings::settings;
pub use settings::{Raw, resolve};
pub use tree::{Node, Nodes, Pos, Tree, Word};
pub use value::{Msec, choice, flag, number, off, size, time_msec, time_sec};

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the reader of a directive may look at, and where it reports to.
pub struct Cx {
    /// `-p`: what relative paths of logs, roots and pid files start from.
    pub prefix: PathBuf,
    /// The folder of the main config: what relative includes start from.
    pub conf_prefix: PathBuf,
    /// `-t` or `-T`: nothing of a running server may be disturbed.
    pub test: bool,
    pub errors: Errors,
    /// Every directive of every table, for "unknown", "not allowed here" and the
    /// nearest name.
    pub known: Vec<&'static Shape>,
}

impl Cx {
    /// A path of the config as the process will open it: absolute, or below the prefix.
    pub fn path(&self, word: Word) -> PathBuf {
        full(&self.prefix, &word)
    }

    /// As `path`, for what nginx finds beside the config file.
    pub fn conf_path(&self, word: Word) -> PathBuf {
        full(&self.conf_prefix, &word)
    }

    pub fn warn(&mut self, node: Node, text: String) {
        self.errors.warn(Error::at(node.name(), text));
    }
}

fn full(prefix: &Path, name: &[u8]) -> PathBuf {
    prefix.join(OsStr::from_bytes(name))
}
