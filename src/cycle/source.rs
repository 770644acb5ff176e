//! What a cycle is made from: which config, and what the command line adds to it.
//!
//! The choice is made once, at start; a reload reads the same again. The paths of
//! a limpet that nobody has told any are here, and `-V` shows them.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::conf::{self, Main};

pub const PREFIX: &str = "/etc/limpet/";
/// Looked for in this order.
pub const CONFIGS: [&str; 2] = ["/etc/limpet/limpet.conf", "/etc/nginx/nginx.conf"];
pub const ERROR_LOG: &str = "stderr";
pub const ACCESS_LOG: &str = "stdout";
pub const PID: &str = "/run/limpet.pid";
pub const LOCK: &str = "/run/limpet.lock";

#[derive(Clone)]
pub struct Source {
    pub conf: conf::Source,
    /// `-p`: what relative paths start from.
    pub prefix: PathBuf,
    /// `-e`: the error log of a main context that names none.
    pub error_log: OsString,
    /// `-t`: nothing of a running server is disturbed.
    pub test: bool,
}

/// What the command line says of it.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// `-c`
    pub config: Option<PathBuf>,
    /// `limpet DIR`
    pub folder: Option<PathBuf>,
    /// `-p`
    pub prefix: Option<PathBuf>,
    /// `-e`
    pub error_log: Option<OsString>,
    /// `-g`
    pub globals: Option<OsString>,
    /// `-t`
    pub test: bool,
}

impl Source {
    pub fn new(wishes: &Wishes) -> Source {
        let wishes = wishes.clone();
        let prefix = wishes.prefix.unwrap_or_else(|| PREFIX.into());
        let mut conf = match (wishes.config, wishes.folder) {
            (Some(path), _) => conf::Source::file(named(&prefix, &path)),
            (None, Some(folder)) => {
                conf::Source::new(Main::Folder(absolute(&folder)), prefix.clone())
            }
            (None, None) => usual(&prefix),
        };
        conf.globals = wishes.globals.unwrap_or_default().into_vec();
        let error_log = wishes.error_log.unwrap_or_else(|| ERROR_LOG.into());
        Source { conf, prefix, error_log, test: wishes.test }
    }

    /// Whether the config came with the binary: then limpet never leaves the terminal.
    pub fn is_embedded(&self) -> bool {
        !matches!(self.conf.main, Main::File(_))
    }
}

/// As messages name the config.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.conf.main {
            Main::File(path) => path.display().fmt(f),
            Main::Embedded(_) | Main::Folder(_) => f.write_str("limpet:main.conf"),
        }
    }
}

/// `-c FILE`: below the prefix, as in nginx; but a file that is not there, and is in
/// the current directory, must be the one that is meant.
fn named(prefix: &Path, path: &Path) -> PathBuf {
    let below = prefix.join(path);
    if !below.exists() && path.exists() { absolute(path) } else { below }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// The config that there is.
fn usual(prefix: &Path) -> conf::Source {
    match CONFIGS.iter().map(Path::new).find(|path| path.exists()) {
        Some(path) => conf::Source::file(path.into()),
        None => conf::Source::new(Main::Embedded(absolute(Path::new("."))), prefix.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_config_is_below_the_prefix_or_here() {
        let of = |prefix: &str, config: &str| {
            let wishes = Wishes {
                prefix: Some(prefix.into()),
                config: Some(config.into()),
                ..Wishes::default()
            };
            Source::new(&wishes).to_string()
        };
        assert_eq!(of("/nowhere", "x.conf"), "/nowhere/x.conf");
        assert_eq!(of("/nowhere", "/x.conf"), "/x.conf");
        assert!(of("/nowhere", "Cargo.toml").ends_with("/Cargo.toml"));
        assert!(!of("/nowhere", "Cargo.toml").starts_with("/nowhere"));
    }

    #[test]
    fn what_came_with_the_binary() {
        let folder = Wishes { folder: Some("/srv".into()), ..Wishes::default() };
        assert!(Source::new(&folder).is_embedded());
        let file = Wishes { config: Some("/x".into()), ..Wishes::default() };
        assert!(!Source::new(&file).is_embedded());
    }
}
