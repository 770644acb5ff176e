//! File name patterns of `include`: `*`, `?`, `[a-z]`, `[!a]`, in any part of a path.
//!
//! As glob(3): sorted by bytes, a leading dot must be matched by a dot, and a folder
//! that cannot be read matches nothing.

use crate::mem::sort::sort_by;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// `pattern` must be looked up in folders.
pub fn is_pattern(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b"*?[".contains(byte))
}

/// The existing paths that `pattern` matches, sorted.
pub fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        found = match part {
            Component::Normal(name) if is_pattern(name.as_bytes()) => {
                found.iter().flat_map(|folder| matches_in(folder, name.as_bytes())).collect()
            }
            part => found.into_iter().map(|path| path.join(part)).collect(),
        };
    }
    found.retain(|path| path.exists());
    sort_by(&mut found, |a, b| a.cmp(b));
    found
}

fn matches_in(folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let read = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(read) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().into_vec()));
    let matching = names.filter(|name| name[0] != b'.' || pattern[0] == b'.');
    let matching = matching.filter(|name| matches(pattern, name));
    matching.map(|name| folder.join(OsStr::from_bytes(&name))).collect()
}

/// Whether the whole of `name` is what `pattern` describes. Time is at most the
/// product of their lengths: only the last `*` is ever tried again.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, n));
            p += 1;
            continue;
        }
        if let Some(len) = matches_one(&pattern[p..], name[n]) {
            p += len;
            n += 1;
            continue;
        }
        // Let the last star take one byte more.
        let Some((after_star, begin)) = retry else { return false };
        retry = Some((after_star, begin + 1));
        (p, n) = (after_star, begin + 1);
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How long the first element of `pattern` is, if it matches `byte`.
fn matches_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', set @ ..] => match class(set, byte) {
            Some((len, hit)) => hit.then_some(len + 1),
            None => (byte == b'[').then_some(1),
        },
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// The length of a class up to its `]`, and whether `byte` is in it; `None` if it is
/// not closed and so stands for itself.
fn class(set: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(set.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let begin = at;
    let mut hit = false;
    loop {
        match set.get(at..)? {
            [b']', ..] if at > begin => return Some((at + 1, hit != negated)),
            [low, b'-', high, ..] if *high != b']' => {
                hit |= (*low..=*high).contains(&byte);
                at += 3;
            }
            [one, ..] => {
                hit |= *one == byte;
                at += 1;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let yes = [
            ("*", ""),
            ("*.conf", "a.conf"),
            ("*.conf", ".conf"),
            ("a*b*c", "axxbyybzzc"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]x", "]x"),
            ("[a-]x", "-x"),
            ("[", "["),
            ("[abc", "[abc"),
            (r"\*", "*"),
        ];
        for (pattern, name) in yes {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        let no = [
            ("*.conf", "a.config"),
            ("a?c", "ac"),
            ("[!a-c]x", "ax"),
            ("a*b", "abc"),
            ("", "a"),
            ("a", ""),
        ];
        for (pattern, name) in no {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = b"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
        assert!(!matches(pattern, &[b'a'; 2000]));
    }
}
