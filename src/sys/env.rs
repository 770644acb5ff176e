//! The environment, which one thread may change as it likes.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

pub fn get(name: impl AsRef<OsStr>) -> Option<OsString> {
    std::env::var_os(name)
}

/// Names without `=` and NUL only: others are ignored.
pub fn set(name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
    let (name, value) = (name.as_ref(), value.as_ref());
    if valid(name) && !value.as_bytes().contains(&0) {
        // SAFETY: the process has one thread.
        unsafe { std::env::set_var(name, value) }
    }
}

pub fn remove(name: impl AsRef<OsStr>) {
    if valid(name.as_ref()) {
        // SAFETY: the process has one thread.
        unsafe { std::env::remove_var(name) }
    }
}

/// Removes all that `keep` does not name.
pub fn retain(keep: impl Fn(&OsStr) -> bool) {
    for (name, _) in std::env::vars_os() {
        if !keep(&name) {
            remove(&name);
        }
    }
}

/// `NAME=value`, as exec takes them.
pub fn for_exec() -> Vec<CString> {
    let line = |(name, value): (OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    };
    std::env::vars_os().filter_map(line).collect()
}

fn valid(name: &OsStr) -> bool {
    !name.is_empty() && !name.as_bytes().iter().any(|b| matches!(b, 0 | b'='))
}
