//! Whether a password is the one that a line of an htpasswd file asks for.
//!
//! The forms are nginx's: `{PLAIN}`, `{SHA}`, `{SSHA}` (RFC 2307) and Apache's
//! `$apr1$`; all else is crypt(3), as far as musl has it. How long a check takes
//! is said by the stored field (the cost of bcrypt, the rounds of SHA-512), so
//! by the owner of the file, who is trusted. The one who offers a password has no
//! say in it: what is longer than [`LONGEST`] is not hashed over and over.

use std::ffi::CStr;

use crate::sys::crypt;
use crate::text::base64;
use crate::text::md5::{Md5, md5};
use crate::text::sha1::sha1;

/// The longest password for `$apr1$` and crypt(3); libxcrypt has the same limit.
const LONGEST: usize = 511;
/// The longest field for `{SSHA}` and crypt(3).
const FIELD: usize = 1024;

const APR1: &[u8] = b"$apr1$";

/// Whether `offered` is the password whose hash is `stored`. Both end at a NUL
/// byte, as they do in nginx.
pub fn is_right(stored: &[u8], offered: &[u8]) -> bool {
    let (stored, offered) = (until_nul(stored), until_nul(offered));
    if let Some(hash) = stored.strip_prefix(APR1) {
        is_apr1(hash, offered)
    } else if let Some(plain) = stored.strip_prefix(b"{PLAIN}") {
        same(plain, offered)
    } else if let Some(digest) = stored.strip_prefix(b"{SSHA}") {
        is_ssha(digest, offered)
    } else if let Some(digest) = stored.strip_prefix(b"{SHA}") {
        is_sha(digest, offered)
    } else {
        is_crypt(stored, offered)
    }
}

/// In a time that depends on the lengths alone.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differ) == 0
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// base64(SHA1(password))
fn is_sha(digest: &[u8], offered: &[u8]) -> bool {
    let mut room = [0; 20];
    decode(digest, &mut room).is_some_and(|digest| same(digest, &sha1(&[offered])))
}

/// base64(SHA1(password salt) salt)
fn is_ssha(digest: &[u8], offered: &[u8]) -> bool {
    let mut room = [0; FIELD];
    let parts = decode(digest, &mut room).and_then(<[u8]>::split_first_chunk::<20>);
    parts.is_some_and(|(digest, salt)| same(digest, &sha1(&[offered, salt])))
}

/// Padded, as nginx compares the text.
fn decode<'a>(text: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    if text.len().is_multiple_of(4) { base64::decode(text, room) } else { None }
}

fn is_crypt(stored: &[u8], offered: &[u8]) -> bool {
    if stored.len() >= FIELD || offered.len() > LONGEST {
        return false;
    }
    let (mut setting, mut password) = ([0; FIELD], [0; LONGEST + 1]);
    let mut room = crypt::Room::new();
    let made = c_text(stored, &mut setting)
        .zip(c_text(offered, &mut password))
        .and_then(|(setting, password)| crypt::hash(password, setting, &mut room));
    made.is_some_and(|made| same(made, stored))
}

fn c_text<'a>(text: &[u8], room: &'a mut [u8]) -> Option<&'a CStr> {
    room.get_mut(..text.len())?.copy_from_slice(text);
    CStr::from_bytes_until_nul(room).ok()
}

/// Poul-Henning Kamp's MD5 method with Apache's name in place of `$1$`: `hash` is
/// `SALT$DIGEST`, with up to eight bytes of salt.
fn is_apr1(hash: &[u8], offered: &[u8]) -> bool {
    if offered.len() > LONGEST {
        return false;
    }
    let end = hash.iter().position(|byte| *byte == b'$').unwrap_or(hash.len());
    let (salt, digest) = hash.split_at(end.min(8));
    let Some(digest) = digest.strip_prefix(b"$") else { return false };
    same(digest, &apr1_text(apr1(offered, salt)))
}

fn apr1(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let inner = md5(&[password, salt, password]);
    let mut outer = Md5::new();
    [password, APR1, salt].iter().for_each(|part| outer.add(part));
    password.chunks(16).for_each(|chunk| outer.add(&inner[..chunk.len()]));
    let mut bits = password.len();
    while bits > 0 {
        let first = password.first().filter(|_| bits & 1 == 0);
        outer.add(&[first.copied().unwrap_or_default()]);
        bits >>= 1;
    }
    let mut digest = outer.finish();
    for round in 0..1000 {
        let (first, last) =
            if round & 1 == 1 { (password, &digest[..]) } else { (&digest[..], password) };
        let salt = if round % 3 == 0 { &[][..] } else { salt };
        let again = if round % 7 == 0 { &[][..] } else { password };
        digest = md5(&[first, salt, again, last]);
    }
    digest
}

/// The digest in crypt(3)'s own base 64: bytes in this order, the low bits first.
fn apr1_text(digest: [u8; 16]) -> [u8; 22] {
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let groups = ORDER
        .map(|places| places.iter().fold(0, |group, place| group << 8 | u32::from(digest[*place])));
    let digit = |at: usize| {
        let group = groups.get(at / 4).copied().unwrap_or(digest[11].into());
        DIGITS[(group >> (6 * (at % 4)) & 63) as usize]
    };
    std::array::from_fn(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by htpasswd, `openssl passwd` and libxcrypt.
    #[test]
    fn forms() {
        let long = "ünï cödé, longer than sixteen bytes";
        for (stored, password) in [
            ("{PLAIN}secret", "secret"),
            ("{PLAIN}", ""),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret"),
            ("{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0", "secret"),
            ("$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", "secret"),
            ("$apr1$x$djkvopdrhxCZCc4dW.XUd1", long),
            ("$apr1$salt$AnXM5PAEa9T4ruYbwPoUh/", ""),
            ("abNANd1rDfiNc", "secret"),
            ("abNANd1rDfiNc", "secret\0 and what follows"),
            ("_J9..rasmz0.F/jqjWck", "secret"),
            ("$1$salt$ez2vlPGdaLYkJam5pWs/Y1", "secret"),
            ("$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "secret"),
            ("$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "secret"),
            ("$5$rounds=1000$salt$CCvcOM6b7TEJDPb37Aec/9UpOg4QhPNAxPpL9ZzjTB7", "secret"),
            (
                concat!(
                    "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j",
                    "/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"
                ),
                "secret",
            ),
        ] {
            assert!(is_right(stored.as_bytes(), password.as_bytes()), "{stored}");
            for wrong in ["Secret", "secre", "secret!", "x"] {
                assert!(!is_right(stored.as_bytes(), wrong.as_bytes()), "{stored} {wrong}");
            }
        }
    }

    #[test]
    fn nothing_is_right_for_a_field_that_is_no_hash() {
        let fields = [
            "",
            "*",
            "*0",
            "*1",
            "x",
            "!",
            "{SHA}",
            "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ",
            "{SSHA}",
            "{SSHA}c2FsdA==",
            "$apr1$",
            "$apr1$salt",
            "$apr1$salt$",
            "$apr1$ninebytes$",
            "$5$",
            "$y$j9T$",
            "$2b$04$",
            "$2b$99$abcdefghijklmnopqrstuu",
            "secret",
        ];
        for field in fields {
            for password in ["", "*", "*0", "x", "secret", "\0"] {
                assert!(!is_right(field.as_bytes(), password.as_bytes()), "{field} {password}");
            }
        }
        assert!(!is_right(&[b'a'; 5000], b"secret"));
    }

    #[test]
    fn long_passwords() {
        let long = [b'a'; 600];
        let mut plain = b"{PLAIN}".to_vec();
        plain.extend(long);
        assert!(is_right(&plain, &long) && !is_right(&plain, &long[1..]));
        assert!(!is_right(b"$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", &long));
        assert!(!is_right(b"abNANd1rDfiNc", &long));
    }
}
