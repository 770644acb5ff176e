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
mod embedded;
mod env;
mod error;
mod glob;
pub mod kept;
mod lexer;
mod log_format;
mod logs;
mod networks;
mod pattern;
mod read;
mod registry;
mod settings;
mod source;
mod template;
mod templates;
mod texts;
mod tls;
mod tree;
mod unsupported;
mod upstreams;
mod value;
mod variables;
mod zones;

pub use crate::text::escape::Shown;
pub use directive::{Args, Context, Directive, Index, Shape, apply, contexts_of, put};
pub use embedded::DEFAULTS;
pub use error::{Error, Errors};
use log_format::LogFormats;
pub use log_format::{Escape, LogFormat};
use logs::Logs;
pub use logs::{ErrorLogs, Hold, LogPath};
pub use pattern::Pattern;
pub use registry::{Entry, Registry, VarId};
pub(crate) use settings::settings;
pub use settings::{Raw, Said};
pub use source::{Main, Source};
pub use template::{Part, Template};
pub use texts::Texts;
pub use tree::{Node, Nodes, Pos, Tree, Word};
#[cfg(test)]
pub use unsupported::names as unsupported_names;
pub use upstreams::{Upstream, UpstreamId, UpstreamRoom};
pub use value::{Msec, choice, flag, number, off, size, time_msec};
pub use value::{parse_number, parse_off, parse_size, parse_time};
pub use zones::{Zones, name_and_size};

use tls::Tls;

use crate::proto::regex;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What the reader of a directive may look at, and where it reports to.
pub struct Cx {
    /// `-p`: what relative paths start from, `-c` and `include` aside.
    pub prefix: PathBuf,
    /// The folder of the configuration, where `include` and files of users are.
    pub conf_prefix: PathBuf,
    pub errors: Errors,
    /// Every directive of every table, for "unknown", "not allowed here" and the
    /// nearest name.
    pub known: Vec<&'static Shape>,
    /// The error log of the main level, which the others inherit.
    pub main_error_log: Rc<ErrorLogs>,
    /// The shared memory that it wants.
    pub zones: Zones,
    /// The variables of the block that is being read.
    pub variables: Registry,
    /// The groups of servers of that block.
    pub upstreams: Vec<Upstream>,
    /// The formats of access logs that it has named so far.
    pub log_formats: LogFormats,
    /// Room to match the block's regular expressions in.
    pub regex_room: regex::Scratch,
    /// Folders that must be there when it is live.
    pub folders: Vec<PathBuf>,
    /// The largest `client_body_buffer_size`.
    pub largest_body: u64,
    pub upstream_room: UpstreamRoom,
    /// Connections to upstreams may come from addresses of others.
    pub transparent: bool,
    pub tls: Tls,
    logs: Logs,
}

impl Cx {
    pub fn new(prefix: &Path, known: Vec<&'static Shape>) -> Cx {
        let mut cx = Cx {
            prefix: prefix.to_path_buf(),
            conf_prefix: prefix.to_path_buf(),
            errors: Errors::default(),
            known,
            main_error_log: Rc::default(),
            zones: Zones::default(),
            variables: Registry::default(),
            upstreams: Vec::new(),
            log_formats: LogFormats::default(),
            regex_room: regex::Scratch::default(),
            folders: Vec::new(),
            largest_body: 0,
            upstream_room: UpstreamRoom::default(),
            transparent: false,
            tls: Tls::default(),
            logs: Logs::default(),
        };
        cx.main_error_log = cx.error_logs();
        cx
    }

    /// A path of the config as the process will open it: absolute, or below the prefix.
    pub fn path(&self, word: &[u8]) -> PathBuf {
        self.prefix.join(OsStr::from_bytes(word))
    }

    /// The same as bytes, which a `root` in each of many locations wants fast.
    pub fn path_bytes<'w>(&self, word: &'w [u8]) -> Cow<'w, [u8]> {
        match word {
            [b'/', ..] => Cow::Borrowed(word),
            _ => Cow::Owned(self.path(word).into_os_string().into_vec()),
        }
    }

    /// Notes what is wrong, if anything is.
    pub fn note(&mut self, done: Result<(), Error>) {
        if let Err(error) = done {
            self.errors.push(error);
        }
    }

    pub fn warn(&mut self, word: Word, text: impl Into<String>) {
        self.errors.warn(Error::at(word, text));
    }
}
