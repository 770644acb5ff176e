//! A root directory of its own for a server, as in a container image.
use super::{Birth, Place, binary};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A root directory with the binary and `files` in it, and nothing else.
pub fn empty_root(place: &Place, files: &[(&str, &str)]) -> PathBuf {
    for (name, content) in files {
        place.write(&format!("root/{name}"), content);
    }
    fs::create_dir_all(place.path("root")).unwrap();
    let mut copy = Command::new("cp"); // not in this process: see tests/upgrade.rs
    assert!(copy.arg(binary()).arg(place.path("root/limpet")).status().unwrap().success());
    place.path("root")
}

/// Read-only, and the current directory too.
pub fn in_root(root: PathBuf, arguments: &[&str], birth: Birth) -> Command {
    let mut command = Command::new("/limpet");
    command.args(arguments);
    Birth { chroot: Some(root), ..birth }.apply(&mut command);
    command
}
