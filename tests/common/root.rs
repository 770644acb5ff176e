//! A root directory of its own for a server, as in a container image.
use super::{Birth, Place, binary};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A root directory with the binary and `files` in it, and nothing else.
pub fn empty_root(place: &Place, files: &[(&str, &str)]) -> PathBuf {
    for (name, content) in files {
        place.write(&format!("root/{name}"), content);
    }
    fs::create_dir_all(place.path("root")).unwrap();
    copy_program(&binary(), &place.path("root/limpet"));
    place.path("root")
}

/// By cp(1): a file that is open for writing in this process when another test forks cannot
/// be executed until that child has done so.
pub fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// Read-only, and the current directory too.
pub fn in_root(root: PathBuf, arguments: &[&str], birth: Birth) -> Command {
    let mut command = Command::new("/limpet");
    command.args(arguments);
    Birth { chroot: Some(root), ..birth }.apply(&mut command);
    command
}
