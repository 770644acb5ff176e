//! What a cycle is made from: which config, and what the command line adds to it.
//!
//! The choice is made once, at start; a reload reads the same again. The paths of
//! a limpet that nobody has told any are here, and `-V` shows them.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub const PREFIX: &str = "/etc/limpet/";
/// Looked for in this order.
pub const CONFIGS: [&str; 2] = ["/etc/limpet/limpet.conf", "/etc/nginx/nginx.conf"];
pub const ERROR_LOG: &str = "stderr";
pub const ACCESS_LOG: &str = "stdout";
pub const PID: &str = "/run/limpet.pid";
pub const LOCK: &str = "/run/limpet.lock";

/// Where the embedded main config looks for sites.
const SITES: [&str; 2] = ["/etc/limpet/conf.d", "/etc/nginx/conf.d"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub config: Config,
    /// `-p`: what relative paths start from.
    pub prefix: PathBuf,
    /// `-e`: the error log of a main context that names none.
    pub error_log: OsString,
    /// `-g`: read before the config.
    pub globals: Option<OsString>,
    /// `-t`: nothing of a running server is disturbed.
    pub test: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// Wrapped in the embedded main config if it is only a fragment.
    File(PathBuf),
    /// The embedded main config, around the sites of the conf.d folders.
    Embedded,
    /// The embedded site, serving this folder.
    Folder(PathBuf),
}

impl Config {
    /// The one that there is, when the command line names none.
    pub fn find() -> Config {
        if let Some(path) = CONFIGS.iter().map(Path::new).find(|path| path.exists()) {
            return Config::File(path.into());
        }
        match SITES.iter().any(|folder| has_sites(Path::new(folder))) {
            true => Config::Embedded,
            false => Config::Folder(".".into()),
        }
    }

    /// Whether it came with the binary: then limpet never leaves the terminal.
    pub fn is_embedded(&self) -> bool {
        !matches!(self, Config::File(_))
    }
}

/// As messages name it.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Config::File(path) => path.display().fmt(f),
            Config::Embedded | Config::Folder(_) => f.write_str("(built in)"),
        }
    }
}

fn has_sites(folder: &Path) -> bool {
    let is_site = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|end| end == "conf"))
    };
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(is_site))
}
