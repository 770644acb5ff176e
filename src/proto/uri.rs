//! Paths: from what was sent to what locations and files are matched against.
//!
//! nginx's normalisation: `%XX` decoded once, `.` and `..` resolved, `//`
//! merged if wanted; decoded slashes and dots count like plain ones. Most paths
//! need none of it: `request::Head::complex` tells, and the sent bytes are used
//! as they are. A result never climbs above `/`, never has a NUL, and is never
//! longer than what was sent.
use crate::text::number::hex_digit;

/// Writes the normal form of `path`, which begins with `/` and has neither `?`
/// nor `#`, to the start of `room`, at least as long as the path, and returns
/// its length. `None` is 400: a broken escape, a NUL, or a climb above `/`.
pub fn normalise(path: &[u8], merge_slashes: bool, room: &mut [u8]) -> Option<usize> {
    let mut out = Segments { room, len: 0, segment: 0 };
    let mut rest = path;
    while let Some(b) = next(&mut rest)? {
        if b != b'/' {
            out.push(b)?;
        } else if !merge_slashes || out.len == 0 || out.len > out.segment {
            out.slash()?;
        }
    }
    out.resolve_dots()?;
    Some(out.len)
}

/// Takes the next byte of `rest`, decoded; the outer `None` is an error.
#[inline(always)]
fn next(rest: &mut &[u8]) -> Option<Option<u8>> {
    let Some((&b, after)) = rest.split_first() else { return Some(None) };
    *rest = after;
    if b != b'%' {
        return Some(Some(b));
    }
    let (&[high, low], after) = after.split_first_chunk::<2>()?;
    *rest = after;
    match hex_digit(high)? << 4 | hex_digit(low)? {
        0 => None,
        b => Some(Some(b)),
    }
}

/// The path so far, and where its last segment begins.
struct Segments<'a> {
    room: &'a mut [u8],
    len: usize,
    segment: usize,
}

impl Segments<'_> {
    #[inline(always)]
    fn push(&mut self, b: u8) -> Option<()> {
        *self.room.get_mut(self.len)? = b;
        self.len += 1;
        Some(())
    }

    /// Ends the last segment and begins another.
    fn slash(&mut self) -> Option<()> {
        if !self.resolve_dots()? {
            self.push(b'/')?;
        }
        self.segment = self.len;
        Some(())
    }

    /// Removes the last segment if it is `.`, and the one before with it if it
    /// is `..`. Says whether it did; the path ends with a slash then.
    fn resolve_dots(&mut self) -> Option<bool> {
        match self.room.get(self.segment..self.len)? {
            b"." => self.len = self.segment,
            b".." => {
                let parent = self.room.get(..self.segment.checked_sub(1)?)?;
                let start = parent.iter().rposition(|&b| b == b'/')? + 1;
                (self.segment, self.len) = (start, start);
            }
            _ => return Some(false),
        }
        Some(true)
    }
}

/// What `types` looks up: after the last dot of the last segment, dots that
/// begin a segment (up to three) not counted, as in nginx. May be empty.
pub fn extension(path: &[u8]) -> &[u8] {
    let last = path.iter().rposition(|&b| matches!(b, b'/' | b'.'));
    let (before, rest) = path.split_at(last.unwrap_or(path.len()));
    let [b'.', extension @ ..] = rest else { return b"" };
    let dots = before.iter().rev().take_while(|&&b| b == b'.').count();
    let begins = matches!(before[..before.len() - dots], [] | [.., b'/']);
    if begins && dots < 3 { b"" } else { extension }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &[u8], merge: bool) -> Option<Vec<u8>> {
        let mut room = vec![0; path.len()];
        let len = normalise(path, merge, &mut room)?;
        room.truncate(len);
        Some(room)
    }

    #[test]
    fn as_nginx() {
        for (path, merged, kept) in [
            ("/", Some("/"), Some("/")),
            ("/a/b", Some("/a/b"), Some("/a/b")),
            ("//", Some("/"), Some("//")),
            ("/a//b", Some("/a/b"), Some("/a//b")),
            ("/a///", Some("/a/"), Some("/a///")),
            ("/.", Some("/"), Some("/")),
            ("/./", Some("/"), Some("/")),
            ("/a/.", Some("/a/"), Some("/a/")),
            ("/a/./b", Some("/a/b"), Some("/a/b")),
            ("/a/..", Some("/"), Some("/")),
            ("/a/../", Some("/"), Some("/")),
            ("/a/../b", Some("/b"), Some("/b")),
            ("/a/b/../../c", Some("/c"), Some("/c")),
            ("/a//../b", Some("/b"), Some("/a/b")),
            ("//..", None, Some("/")),
            ("/..", None, None),
            ("/../", None, None),
            ("/../a", None, None),
            ("/a/../../b", None, None),
            ("/%2e%2e/", None, None),
            ("/a/%2e%2E/b", Some("/b"), Some("/b")),
            ("/a%2fb", Some("/a/b"), Some("/a/b")),
            ("/a/..%2fb", Some("/b"), Some("/b")),
            ("/%2F%2f", Some("/"), Some("///")),
            ("/...", Some("/..."), Some("/...")),
            ("/.a/..b/c.", Some("/.a/..b/c."), Some("/.a/..b/c.")),
            ("/%41%zz", None, None),
            ("/%4", None, None),
            ("/%", None, None),
            ("/%00", None, None),
            ("/a%00b", None, None),
            ("/%25%32%35", Some("/%25"), Some("/%25")),
            ("/%3f%23%20%0d%0a", Some("/?# \r\n"), Some("/?# \r\n")),
            ("/%c0%af", Some("/\u{c0}\u{af}"), Some("/\u{c0}\u{af}")),
        ] {
            for (merge, want) in [(true, merged), (false, kept)] {
                let want = want.map(|text| text.chars().map(|c| c as u8).collect());
                assert_eq!(normal(path.as_bytes(), merge), want, "{path} {merge}");
            }
        }
    }

    /// What `normalise` must do, said slowly: decode, split, keep a stack.
    fn reference(path: &[u8], merge: bool) -> Option<Vec<u8>> {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < path.len() {
            if path[at] == b'%' {
                let digits = std::str::from_utf8(path.get(at + 1..at + 3)?).ok()?;
                if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                let byte = u8::from_str_radix(digits, 16).ok().filter(|&byte| byte != 0)?;
                decoded.push(byte);
                at += 2;
            } else {
                decoded.push(path[at]);
            }
            at += 1;
        }
        let segments: Vec<&[u8]> = decoded[1..].split(|&b| b == b'/').collect();
        let (last, inner) = segments.split_last()?;
        let mut stack: Vec<&[u8]> = Vec::new();
        for segment in inner {
            match *segment {
                b"" if merge => {}
                b"." => {}
                b".." => drop(stack.pop()?),
                segment => stack.push(segment),
            }
        }
        let last = match *last {
            b"." => b"",
            b".." => {
                stack.pop()?;
                b""
            }
            last => last,
        };
        stack.push(last);
        Some(stack.iter().flat_map(|segment| [b"/", *segment].concat()).collect())
    }

    #[test]
    fn all_short_paths_as_the_reference() {
        const PIECES: [&str; 7] = ["/", ".", "a", "%2e", "%2F", "%", "%00"];
        let mut paths = vec![String::from("/")];
        for _ in 0..6 {
            let longer: Vec<String> = paths
                .iter()
                .flat_map(|path| PIECES.iter().map(move |piece| path.clone() + piece))
                .collect();
            for path in &longer {
                for merge in [true, false] {
                    let path = path.as_bytes();
                    assert_eq!(normal(path, merge), reference(path, merge), "{path:?}");
                }
            }
            // One level deeper only from what is still interesting.
            paths = longer
                .into_iter()
                .filter(|path| normal(path.as_bytes(), false).is_some())
                .collect();
        }
    }

    #[test]
    fn random_paths_as_the_reference() {
        const BYTES: &[u8] = b"//..%%2ef0aA\x80";
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            let mut path = vec![b'/'];
            for _ in 0..state % 24 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                path.push(BYTES[(state >> 11) as usize % BYTES.len()]);
            }
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d) | 1;
            for merge in [true, false] {
                assert_eq!(normal(&path, merge), reference(&path, merge), "{path:?}");
            }
        }
    }

    #[test]
    fn a_short_room_is_refused() {
        assert_eq!(normalise(b"/abc", true, &mut [0; 3]), None);
        assert_eq!(normalise(b"/%41", true, &mut [0; 2]), Some(2));
    }

    #[test]
    fn extensions() {
        for (path, want) in [
            ("/a.html", "html"),
            ("/a.b/c", ""),
            ("/a.tar.gz", "gz"),
            ("/.htaccess", ""),
            ("/..x", ""),
            ("/...x", ""),
            ("/....x", "x"),
            ("/.a.b", "b"),
            ("/a.", ""),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(extension(path.as_bytes()), want.as_bytes(), "{path}");
        }
    }
}
