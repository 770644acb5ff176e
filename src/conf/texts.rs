//! What a configuration was read from: whether it has changed, and where to look for that.

use super::read::COMMAND_LINE;
use super::tree::Tree;
use super::{glob, templates};
use crate::text::hash::hash;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Default)]
pub struct Texts {
    /// Of the names and bytes of all of them, in order.
    pub digest: u64,
    /// Every file, the folders that it and what it links to are in, and those in which an
    /// `include` has looked: where something changes if the configuration does.
    pub places: BTreeSet<PathBuf>,
}

impl Tree {
    pub fn texts(&self) -> Texts {
        let mut texts = Texts::default();
        for file in &self.files {
            let name = file.name.as_os_str().as_bytes();
            texts.digest =
                hash(&[texts.digest, hash(name), hash(&file.text)].map(u64::to_le_bytes).concat());
            if name != COMMAND_LINE.as_bytes() && !name.starts_with(b"limpet:") {
                texts.add_file(&file.name);
            }
        }
        for pattern in &self.looked_for {
            texts.add_folder(fixed_part(pattern));
            if let Some(folder) = templates::folder(pattern) {
                texts.add_folder(&folder);
            }
        }
        texts
    }
}

impl Texts {
    fn add_file(&mut self, name: &Path) {
        self.places.insert(name.into());
        self.add_folder(name.parent().unwrap_or(name));
        if let Some(folder) = name.canonicalize().ok().as_deref().and_then(Path::parent) {
            self.add_folder(folder);
        }
    }

    /// For one that is not there the nearest around it.
    fn add_folder(&mut self, folder: &Path) {
        let there = folder.ancestors().find(|folder| folder.is_dir());
        self.places.extend(there.map(Path::to_path_buf));
    }
}

/// The folder of a pattern, before the first part that is one.
fn fixed_part(pattern: &Path) -> &Path {
    let has_pattern = |path: &Path| glob::is_pattern(path.as_os_str().as_bytes());
    let fixed = pattern.ancestors().skip(1).find(|folder| !has_pattern(folder));
    fixed.unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_looked_for_below_what_is_fixed() {
        for (pattern, folder) in [
            ("/etc/nginx/conf.d/*.conf", "/etc/nginx/conf.d"),
            ("/sites/*/nginx.conf", "/sites"),
            ("/etc/nginx/x.conf", "/etc/nginx"),
        ] {
            assert_eq!(fixed_part(Path::new(pattern)), Path::new(folder));
        }
    }
}
