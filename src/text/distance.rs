//! "Did you mean": the nearest of known words to a mistyped one.

/// Longest word that is compared; anything longer is no typo.
const LONGEST: usize = 64;

/// Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`,
/// or `None` for words longer than any name.
pub fn distance(a: &[u8], b: &[u8]) -> Option<usize> {
    if a.len() > LONGEST || b.len() > LONGEST {
        return None;
    }
    // Three rows of the usual table: swaps look two rows back.
    let mut rows = [[0usize; LONGEST + 1]; 3];
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        let (now, last, before) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[now][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[last][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[last][j] + 1).min(rows[now][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[before][j - 2] + 1);
            }
            rows[now][j] = least;
        }
    }
    Some(rows[a.len() % 3][b.len()])
}

/// The word nearest to `word`, if one is near enough to be what was meant:
/// within a third of its length, and at most three edits. The first of equals.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|name| name.len().abs_diff(word.len()) <= limit)
        .filter_map(|name| Some((distance(word.as_bytes(), name.as_bytes())?, name)))
        .filter(|&(edits, _)| edits <= limit)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("lisen", "listen", 1),
            ("lsiten", "listen", 1),
            ("sever", "server", 1),
            ("kitten", "sitting", 3),
            ("root", "root", 0),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), Some(edits), "{a} {b}");
            assert_eq!(distance(b.as_bytes(), a.as_bytes()), Some(edits), "{b} {a}");
        }
        assert_eq!(distance(&[b'a'; 65], b"a"), None);
    }

    #[test]
    fn nearest_or_none() {
        let known = ["listen", "server_name", "server", "root", "alias", "return"];
        for (word, meant) in [
            ("lisen", Some("listen")),
            ("sever_name", Some("server_name")),
            ("servername", Some("server_name")),
            ("rot", Some("root")),
            ("retrun", Some("return")),
            ("xyzzy", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
