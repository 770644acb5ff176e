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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    #[test]
    fn the_environment_is_what_it_was_told() {
        process::in_child(|| {
            set("TEST_A", "1");
            set("TEST_B", "");
            set("TEST=C", "not a name");
            set("TEST_D", OsStr::from_bytes(b"cut\0"));
            retain(|name| name.as_bytes().starts_with(b"TEST"));
            remove("TEST_E");
            let mut lines = for_exec();
            lines.sort();
            assert_eq!(lines, [c"TEST_A=1", c"TEST_B="].map(CString::from));
            assert_eq!((get("TEST_A"), get("PATH")), (Some("1".into()), None));
        });
    }
}
