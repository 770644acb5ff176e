//! Where a config comes from: a file, a folder to serve, or what limpet carries.

use super::error::Errors;
use super::kept::Kept;
use super::read::{self, BYTES_MAX, read};
use super::tree::Tree;
use super::{embedded, glob, templates};
use crate::sys::Errno;
use crate::text::escape::Shown;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Everything that a configuration is read from.
#[derive(Clone)]
pub struct Source {
    pub main: Main,
    /// `-g`.
    pub globals: Vec<u8>,
    /// What relative includes start from: the folder of the main file.
    pub conf_prefix: PathBuf,
    /// The environment.
    pub env: Env,
    /// The default site is of an application that routes its own paths.
    pub spa: bool,
    /// To be read instead of all that: what it said when it was read last.
    pub kept: Option<Rc<Kept>>,
}

/// The value of a name.
pub type Env = fn(&OsStr) -> Option<OsString>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Main {
    /// `-c FILE` or a file in one of the usual places: whole, or a fragment that goes
    /// into the embedded main config.
    File(PathBuf),
    /// No file: the sites of the `conf.d` folders, else the default site, this folder.
    Embedded(PathBuf),
    /// `limpet DIR`: the default site, this folder.
    Folder(PathBuf),
}

/// A text to read.
pub struct Text {
    /// The path of its file; for embedded texts `limpet:NAME`.
    pub name: PathBuf,
    pub bytes: Vec<u8>,
}

/// What `include` in the embedded main config calls the part that is not fixed.
const SITE: &[u8] = b"limpet:site";

impl Source {
    /// A config file, with the environment of the process.
    pub fn file(path: PathBuf) -> Source {
        let conf_prefix = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        Source::new(Main::File(path), conf_prefix)
    }

    pub fn new(main: Main, conf_prefix: PathBuf) -> Source {
        let env: Env = |name| std::env::var_os(name);
        Source { main, globals: Vec::new(), conf_prefix, env, spa: false, kept: None }
    }

    /// Reads everything. `http_only` says of a directive whether it is valid nowhere
    /// but inside `http`: a file that begins with one is a fragment.
    pub fn read(&self, http_only: impl Fn(&[u8]) -> bool) -> (Tree, Errors) {
        if let Some(kept) = &self.kept {
            return read::again(self, kept);
        }
        let embedded = Text { name: "limpet:main.conf".into(), bytes: embedded::MAIN.to_vec() };
        match &self.main {
            Main::Folder(folder) => read(self, Ok(embedded), vec![self.site(folder)]),
            Main::Embedded(folder) => {
                let (mut tree, errors) = read(self, Ok(embedded), self.sites(folder));
                tree.looked_for.extend(SITES.map(PathBuf::from));
                (tree, errors)
            }
            Main::File(path) => {
                let (tree, errors) = read(self, Include::Path(path.clone()).read(), Vec::new());
                match is_fragment(&tree, http_only) {
                    true => read(self, Ok(embedded), vec![Include::Path(path.clone())]),
                    false => (tree, errors),
                }
            }
        }
    }

    /// Where `include PATTERN` looks.
    pub(super) fn path(&self, pattern: &[u8]) -> PathBuf {
        self.conf_prefix.join(OsStr::from_bytes(pattern))
    }

    /// The texts that `include PATTERN` means, in order.
    pub(super) fn include(&self, pattern: &[u8]) -> Vec<Include> {
        let path = self.path(pattern);
        if glob::is_pattern(pattern) {
            return templates::expand(&path, self.env);
        }
        let name = path.file_name().unwrap_or_default().as_bytes();
        let template = templates::of_file(&path, self.env);
        match (template, embedded::include(name)) {
            (Some(template), _) => vec![template],
            (None, Some(bytes)) if !path.exists() => vec![Include::embedded(name, bytes.to_vec())],
            _ => vec![Include::Path(path)],
        }
    }

    /// The sites of a container image, or the default one.
    fn sites(&self, folder: &Path) -> Vec<Include> {
        let patterns = SITES.map(Path::new).into_iter();
        let found: Vec<Include> =
            patterns.flat_map(|pattern| templates::expand(pattern, self.env)).collect();
        match found.is_empty() {
            true => vec![self.site(folder)],
            false => found,
        }
    }

    /// The default site over a folder.
    fn site(&self, folder: &Path) -> Include {
        let text = embedded::site(folder.as_os_str().as_bytes(), self.spa);
        Include::embedded(b"site.conf", text)
    }
}

/// Nothing that only a main config has, and first something of `http`.
fn is_fragment(tree: &Tree, http_only: impl Fn(&[u8]) -> bool) -> bool {
    const MAIN_BLOCKS: [&[u8]; 4] = [b"events", b"http", b"stream", b"mail"];
    // The text of -g comes first, and says nothing of the file.
    let mut names = tree.nodes().map(|node| node.name()).filter(|name| !tree.in_parameter(*name));
    let Some(first) = names.next() else { return false };
    http_only(&first) && names.chain([first]).all(|name| !MAIN_BLOCKS.contains(&name.bytes()))
}

/// Where container images keep their sites.
const SITES: [&str; 2] = ["/etc/limpet/conf.d/*.conf", "/etc/nginx/conf.d/*.conf"];

/// One text to include.
pub enum Include {
    Path(PathBuf),
    /// With values of the environment in it.
    Template(PathBuf, Env),
    Embedded(Text),
}

impl Include {
    fn embedded(name: &[u8], bytes: Vec<u8>) -> Include {
        let mut path = OsString::from("limpet:");
        path.push(OsStr::from_bytes(name));
        Include::Embedded(Text { name: path.into(), bytes })
    }

    pub(super) fn read(self) -> Result<Text, String> {
        match self {
            Include::Embedded(text) => Ok(text),
            Include::Path(name) => Ok(Text { bytes: read_file(&name)?, name }),
            Include::Template(name, env) => {
                Ok(Text { bytes: templates::substitute(&read_file(&name)?, env), name })
            }
        }
    }
}

pub(super) fn is_site(pattern: &[u8]) -> bool {
    pattern == SITE
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |call: &str, error: io::Error| {
        let errno = Errno(error.raw_os_error().unwrap_or(0));
        format!("{call}() \"{}\" failed ({errno})", Shown(path.as_os_str().as_bytes()))
    };
    let file = File::open(path).map_err(|error| failed("open", error))?;
    let len = file.metadata().map_or(0, |meta| meta.len().min(BYTES_MAX as u64));
    let mut bytes = Vec::with_capacity(len as usize + 1);
    let limit = BYTES_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| failed("read", error))?;
    Ok(bytes)
}
