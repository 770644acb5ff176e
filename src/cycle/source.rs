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
/// Served from `/`, if one is there.
const FOLDERS: [&str; 2] = ["/usr/share/nginx/html", "/srv"];
pub const ERROR_LOG: &str = "stderr";
pub const ACCESS_LOG: &str = "stdout";
pub const PID: &str = "/run/limpet.pid";
pub const LOCK: &str = "/run/limpet.lock";

#[derive(Clone)]
pub struct Source {
    pub conf: conf::Source,
    /// `-c` says which.
    named: bool,
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
    /// `--spa`
    pub spa: bool,
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
        let config = wishes.config.as_deref().map(|path| named(wishes.prefix.as_deref(), path));
        let prefix = wishes.prefix.unwrap_or_else(|| PREFIX.into());
        let mut conf = match (config, wishes.folder) {
            (Some(path), _) => conf::Source::file(path),
            (None, Some(folder)) => {
                conf::Source::new(Main::Folder(absolute(&folder)), prefix.clone())
            }
            (None, None) if wishes.spa => {
                conf::Source::new(Main::Folder(default_folder()), prefix.clone())
            }
            (None, None) => usual(&prefix),
        };
        conf.spa = wishes.spa;
        conf.globals = wishes.globals.unwrap_or_default().into_vec();
        let error_log = wishes.error_log.unwrap_or_else(|| ERROR_LOG.into());
        Source { conf, named: wishes.config.is_some(), prefix, error_log, test: wishes.test }
    }

    /// nginx's config, which nobody has named.
    pub fn is_fallback(&self) -> bool {
        let path = Path::new(CONFIGS[1]);
        !self.named && matches!(&self.conf.main, Main::File(file) if file == path)
    }

    /// The options that `limpet -s` needs to find this server.
    pub fn options(&self) -> String {
        match &self.conf.main {
            Main::File(path) if !CONFIGS.iter().any(|usual| path == Path::new(usual)) => {
                format!("-c {} ", path.display())
            }
            _ => String::new(),
        }
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
/// the current directory, must be the one that is meant. If it is nowhere, the place
/// that somebody has named is the one to tell of: the `-p`, else the current directory.
fn named(prefix: Option<&Path>, path: &Path) -> PathBuf {
    let below = prefix.unwrap_or(Path::new(PREFIX)).join(path);
    let here = !below.exists() && (path.exists() || prefix.is_none());
    if here { absolute(path) } else { below }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// The config that there is.
fn usual(prefix: &Path) -> conf::Source {
    match CONFIGS.iter().map(Path::new).find(|path| path.exists()) {
        Some(path) => conf::Source::file(path.into()),
        None => conf::Source::new(Main::Embedded(default_folder()), prefix.into()),
    }
}

/// The current folder; in a container that names none, where images keep a site, and not all
/// of the container.
fn default_folder() -> PathBuf {
    let here = absolute(Path::new("."));
    let site = FOLDERS.iter().map(Path::new).find(|folder| folder.is_dir());
    if here == Path::new("/") { site.map_or(here, Path::to_path_buf) } else { here }
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
    fn the_signaller_is_told_of_an_unusual_config() {
        let of = |config: Option<&str>| {
            Source::new(&Wishes { config: config.map(PathBuf::from), ..Wishes::default() })
        };
        assert_eq!(of(Some("/x")).options(), "-c /x ");
        assert_eq!(of(Some(CONFIGS[1])).options(), "");
        let folder = Wishes { folder: Some("/srv".into()), ..Wishes::default() };
        assert_eq!(Source::new(&folder).options(), "");
    }
}
