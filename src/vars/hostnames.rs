//! Names of hosts, with wildcards: `a.b`, `*.a.b`, `.a.b` (both of them), `a.*`. Exact ones
//! before wildcards, leading ones before trailing ones, the longer before the shorter.

use crate::text::hash::Build;
use std::collections::HashMap;

type Table<V> = HashMap<Box<[u8]>, V, Build>;

/// From names to values. All names are in lower case.
pub struct Hostnames<V> {
    exact: Table<V>,
    /// `*.example.com` as `example.com`.
    leading: Table<V>,
    /// `www.example.*` as `www.example`.
    trailing: Table<V>,
}

/// Why a name is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Invalid,
    /// It is there already.
    Taken,
}

impl<V> Default for Hostnames<V> {
    fn default() -> Hostnames<V> {
        let (exact, leading, trailing) = Default::default();
        Hostnames { exact, leading, trailing }
    }
}

impl<V: Clone> Hostnames<V> {
    /// Adds a name that may have wildcards; the first one keeps its value
    /// (ngx_hash_add_key).
    pub fn add(&mut self, name: &[u8], value: V) -> Result<(), Refused> {
        match name {
            wild if !is_valid(wild) => Err(Refused::Invalid),
            [b'.', rest @ ..] if !rest.is_empty() => {
                self.add_exact(rest, value.clone())?;
                insert(&mut self.leading, rest, value)
            }
            [b'*', b'.', rest @ ..] => insert(&mut self.leading, rest, value),
            [rest @ .., b'.', b'*'] => insert(&mut self.trailing, rest, value),
            exact => self.add_exact(exact, value),
        }
    }

    /// Adds a name in which a star is a star.
    pub fn add_exact(&mut self, name: &[u8], value: V) -> Result<(), Refused> {
        insert(&mut self.exact, name, value)
    }

    pub fn find(&self, host: &[u8]) -> Option<&V> {
        let after = dots(host).map(|dot| &host[dot + 1..]);
        let before = dots(host).rev().map(|dot| &host[..dot]);
        self.exact
            .get(host)
            .or_else(|| find_longest(&self.leading, after))
            .or_else(|| find_longest(&self.trailing, before))
    }

    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.leading.is_empty() && self.trailing.is_empty()
    }
}

fn insert<V>(table: &mut Table<V>, name: &[u8], value: V) -> Result<(), Refused> {
    if table.contains_key(name) {
        return Err(Refused::Taken);
    }
    table.insert(name.into(), value);
    Ok(())
}

/// At most one star, a whole label at one end; no empty label in between.
fn is_valid(name: &[u8]) -> bool {
    let stars = name.iter().filter(|byte| **byte == b'*').count();
    let wild = name.len() > 2 && (name.starts_with(b"*.") || name.ends_with(b".*"));
    let empty_label = name.windows(2).any(|pair| pair == b"..");
    stars <= usize::from(wild) && !empty_label && !name.contains(&0)
}

fn dots(host: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    host.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at)
}

fn find_longest<'n, 'h, V>(
    table: &'n Table<V>,
    mut parts: impl Iterator<Item = &'h [u8]>,
) -> Option<&'n V> {
    match table.is_empty() {
        true => None,
        false => parts.find_map(|part| table.get(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let mut names = Hostnames::default();
        let all = ["a.b", ".c.d", "*.b", "*.x.b", "www.*", "www.a.*", "*.*", "*", "a..b", "*.c.d"];
        let taken = all.map(|name| names.add(name.as_bytes(), name));
        assert_eq!(taken[..6], [const { Ok(()) }; 6]);
        assert_eq!(taken[6..9], [const { Err(Refused::Invalid) }; 3]);
        assert_eq!(taken[9], Err(Refused::Taken));
        names.add_exact(b"*", "star").unwrap();
        for (host, name) in [
            ("a.b", Some("a.b")),
            ("c.d", Some(".c.d")),
            ("e.c.d", Some(".c.d")),
            ("b.b", Some("*.b")),
            (".b", Some("*.b")),
            ("b", None),
            ("y.x.b", Some("*.x.b")),
            ("www.a.b", Some("*.b")),
            ("www.a.z", Some("www.a.*")),
            ("www.z", Some("www.*")),
            ("www", None),
            ("*", Some("star")),
            ("", None),
        ] {
            assert_eq!(names.find(host.as_bytes()).copied(), name, "{host}");
        }
    }
}
