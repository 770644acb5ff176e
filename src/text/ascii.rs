//! ASCII tables and case-insensitive work on bytes.
//!
//! One table of class bits, built at compile time: a test is one load and one
//! `and`. Non-ASCII bytes belong to no class and have no case.

/// `tchar` of RFC 9110 5.6.2.
pub const TOKEN: u8 = 1;
/// What nginx takes in a header name without comment: letters, digits and `-`.
pub const NAME: u8 = 2;
/// `unreserved` of RFC 3986 2.3.
pub const UNRESERVED: u8 = 4;
/// `sub-delims` of RFC 3986 2.2.
pub const SUB_DELIM: u8 = 8;
/// What nginx takes in a method: upper-case letters, `_` and `-`.
pub const METHOD: u8 = 16;
/// What a host name mostly consists of: `UNRESERVED` and `SUB_DELIM` without
/// upper-case letters, the dot and the comma.
pub const HOST: u8 = 32;

const fn class(b: u8) -> u8 {
    let mut bits = 0;
    let alnum = b.is_ascii_alphanumeric();
    if alnum || among(b, b"!#$%&'*+-.^_`|~") {
        bits |= TOKEN;
    }
    if alnum || b == b'-' {
        bits |= NAME;
    }
    if alnum || among(b, b"-._~") {
        bits |= UNRESERVED;
    }
    if among(b, b"!$&'()*+,;=") {
        bits |= SUB_DELIM;
    }
    if b.is_ascii_uppercase() || among(b, b"_-") {
        bits |= METHOD;
    }
    if bits & (UNRESERVED | SUB_DELIM) != 0 && !b.is_ascii_uppercase() && !among(b, b".,") {
        bits |= HOST;
    }
    bits
}

const fn among(b: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == b {
            return true;
        }
        i += 1;
    }
    false
}

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = class(b as u8);
        b += 1;
    }
    table
}

static CLASS: [u8; 256] = classes();

/// Whether `b` is in one of the classes, a union of the constants above.
#[inline(always)]
pub fn is(b: u8, classes: u8) -> bool {
    CLASS[usize::from(b)] & classes != 0
}

/// Whether `text` is not empty and consists of `classes` only.
pub fn all(text: &[u8], classes: u8) -> bool {
    !text.is_empty() && text.iter().all(|&b| is(b, classes))
}

/// RFC 9110 5.6.2.
pub fn is_token(text: &[u8]) -> bool {
    all(text, TOKEN)
}

/// Equal but for the case of ASCII letters.
#[inline(always)]
pub fn eq_ignore_case(a: &[u8], b: &[u8]) -> bool {
    // Most differ in their lengths already.
    a.len() == b.len() && a.eq_ignore_ascii_case(b)
}

/// Whether `text` begins with `prefix`, ASCII case aside.
pub fn starts_ignore_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| eq_ignore_case(start, prefix))
}

/// Where `needle` first occurs in `text`, ASCII case aside (nginx's `strcasestrn`).
pub fn find_ignore_case(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len().max(1)).position(|window| eq_ignore_case(window, needle))
}

/// Copies `text` in lower case to the start of `room`; `None` when it does not fit.
pub fn lower<'a>(text: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let room = room.get_mut(..text.len())?;
    room.copy_from_slice(text);
    room.make_ascii_lowercase();
    Some(room)
}

/// Without blanks and tabs at both ends (OWS of RFC 9110 5.6.3).
pub fn trim_ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The members of a comma-separated list, trimmed; empty ones are skipped
/// (RFC 9110 5.6.1.2). Not for lists whose members may be quoted.
pub fn list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b',').map(trim_ows).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(class: u8) -> String {
        (0..=255u8).filter(|&b| is(b, class)).map(char::from).collect()
    }

    #[test]
    fn classes_are_the_grammars() {
        let alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let sorted = |more: &str| {
            let mut all: Vec<char> = alnum.chars().chain(more.chars()).collect();
            all.sort_unstable();
            String::from_iter(all)
        };
        assert_eq!(members(TOKEN), sorted("!#$%&'*+-.^_`|~"));
        assert_eq!(members(NAME), sorted("-"));
        assert_eq!(members(UNRESERVED), sorted("-._~"));
        assert_eq!(members(SUB_DELIM), "!$&'()*+,;=");
        assert_eq!(members(HOST), "!$&'()*+-0123456789;=_abcdefghijklmnopqrstuvwxyz~");
        assert_eq!(members(METHOD), "-ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    }

    #[test]
    fn case() {
        assert!(eq_ignore_case(b"Content-Length", b"content-lengtH"));
        assert!(!eq_ignore_case(b"a@", b"a`"));
        assert!(starts_ignore_case(b"Bytes=0-1", b"bytes="));
        assert_eq!(find_ignore_case(b"Keep-Alive, CLOSE", b"close"), Some(12));
        assert_eq!(find_ignore_case(b"clos", b"close"), None);
        assert_eq!(find_ignore_case(b"", b""), None);
        let mut room = [0; 4];
        assert_eq!(lower(b"AbC", &mut room), Some(&b"abc"[..]));
        assert_eq!(lower(b"AbCdE", &mut room), None);
    }

    #[test]
    fn lists() {
        let members: Vec<&[u8]> = list(b" a,\tb b ,, ,c").collect();
        assert_eq!(members, [&b"a"[..], b"b b", b"c"]);
        assert_eq!(list(b" , ").count(), 0);
    }
}
