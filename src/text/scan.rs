//! Finding bytes many at a time.
//!
//! Sixteen bytes are compared by a few instructions ([`Lanes`]), and the lowest bit of what
//! comes out is the first that was looked for.

use crate::sys::vector::{LANES, Lanes};

/// Looks at all bytes, sixteen of them at a time, until `look` has found what it looks for. It
/// is told where they begin, and has a bit for each that is to be looked at.
#[inline(always)]
fn search<T>(bytes: &[u8], mut look: impl FnMut(Lanes, usize, u32) -> Option<T>) -> Option<T> {
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<LANES>() {
        let found = look(Lanes::load(chunk), bytes.len() - rest.len(), ALL);
        if found.is_some() {
            return found;
        }
        rest = after;
    }
    if rest.is_empty() {
        return None;
    }
    match bytes.last_chunk::<LANES>() {
        Some(last) => {
            let seen = LANES - rest.len();
            look(Lanes::load(last), bytes.len() - LANES, ALL << seen & ALL)
        }
        None => look(Lanes::load(&filled_up(bytes)), 0, (1 << bytes.len()) - 1),
    }
}

/// A bit for each lane.
const ALL: u32 = (1 << LANES) - 1;

/// The first place of those that `hits` has a bit for.
#[inline(always)]
fn find(bytes: &[u8], hits: impl Fn(Lanes) -> u32) -> Option<usize> {
    search(bytes, |lanes, start, wanted| {
        let found = hits(lanes) & wanted;
        if found == 0 { None } else { Some(start + found.trailing_zeros() as usize) }
    })
}

/// Fewer bytes than a vector has, and zeros behind them: both ends as words, which may
/// overlap.
#[inline(always)]
fn filled_up(bytes: &[u8]) -> [u8; LANES] {
    let behind = |word: usize| 8 * (bytes.len() - word) as u32;
    let word = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << behind(8)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        u128::from(u64::from(first) | u64::from(last) << behind(4))
    } else {
        bytes.iter().rev().fold(0, |word, &b| word << 8 | u128::from(b))
    };
    word.to_le_bytes()
}

fn controls(lanes: Lanes) -> Lanes {
    lanes.within(0, 0x1f).or(lanes.equal(0x7f))
}

/// Where `needle` first stands.
#[inline(always)]
pub fn byte(bytes: &[u8], needle: u8) -> Option<usize> {
    find(bytes, |lanes| lanes.equal(needle).bits())
}

/// Where `needle`, which is not empty, first stands as a whole. For needles whose first byte is
/// rare where it is looked for.
pub fn text(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (mut rest, &first) = (bytes, needle.first()?);
    loop {
        rest = rest.get(byte(rest, first)?..)?;
        if rest.starts_with(needle) {
            return Some(bytes.len() - rest.len());
        }
        rest = rest.get(1..)?;
    }
}

/// Where the first control byte stands: below 0x20, the tab included, or 0x7f.
#[inline(always)]
pub fn control(bytes: &[u8]) -> Option<usize> {
    find(bytes, |lanes| controls(lanes).bits())
}

/// Whether all bytes are visible ASCII or blanks.
pub fn is_plain(bytes: &[u8]) -> bool {
    find(bytes, |lanes| controls(lanes).or(lanes.within(0x80, 0xff)).bits()).is_none()
}

/// Where the first byte stands that ends a word of a request line: a blank or
/// a control byte.
#[inline]
pub fn blank_or_control(bytes: &[u8]) -> Option<usize> {
    find(bytes, |lanes| lanes.within(0, b' ').or(lanes.equal(0x7f)).bits())
}

/// Where the path ends that `bytes` begin with: at a blank, a control byte, `?` or `#`; and
/// whether it has to be decoded: it has `%`, `//` or `/.`.
#[inline(always)]
pub fn path(bytes: &[u8]) -> (Option<usize>, bool) {
    let (mut is_complex, mut behind_slash) = (false, 0);
    let end = search(bytes, |lanes, start, wanted| {
        let ends = lanes.within(0, b' ').or(lanes.equal(0x7f));
        let ends = ends.or(lanes.equal(b'?')).or(lanes.equal(b'#')).bits() & wanted;
        let slashes = lanes.equal(b'/').bits();
        let doubled = (slashes << 1 | behind_slash) & (lanes.equal(b'.').bits() | slashes);
        let before_end = ends.wrapping_sub(1) & !ends & wanted;
        is_complex |= (lanes.equal(b'%').bits() | doubled) & before_end != 0;
        behind_slash = slashes >> (LANES - 1);
        if ends == 0 { None } else { Some(start + ends.trailing_zeros() as usize) }
    });
    (end, is_complex)
}

/// Where the first byte stands that is not one of a usual name: `ascii::NAME`.
#[inline(always)]
pub fn no_name(bytes: &[u8]) -> Option<usize> {
    find(bytes, |lanes| {
        let letters = lanes.within(b'a', b'z').or(lanes.within(b'A', b'Z'));
        !letters.or(lanes.within(b'0', b'9')).or(lanes.equal(b'-')).bits()
    })
}

/// Where the first byte stands that a log does not take as it is: control bytes, 8-bit
/// bytes, `"` and `\`.
#[inline]
pub fn odd_in_log(bytes: &[u8]) -> Option<usize> {
    find(bytes, |lanes| {
        let quotes = lanes.equal(b'"').or(lanes.equal(b'\\'));
        // An 8-bit byte has the bit itself.
        lanes.or(controls(lanes)).or(quotes).bits()
    })
}

/// The same for a JSON string: control bytes, `"` and `\`.
#[inline]
pub fn odd_in_json(bytes: &[u8]) -> Option<usize> {
    find(bytes, |lanes| lanes.within(0, 0x1f).or(lanes.equal(b'"')).or(lanes.equal(b'\\')).bits())
}

/// Whether two slices are equal. Paths and names are short, and a call of memcmp
/// compares byte by byte in musl.
#[inline(always)]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (words_a, rest_a) = a.as_chunks::<8>();
    let (words_b, rest_b) = b.as_chunks::<8>();
    let words = words_a.iter().zip(words_b);
    words.map(|(a, b)| u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)).all(|differ| differ == 0)
        && rest_a.iter().zip(rest_b).all(|(a, b)| a == b)
}

/// How many bytes two slices have in common at their beginnings.
#[inline(always)]
pub fn common(a: &[u8], b: &[u8]) -> usize {
    let (mut at, len) = (0, a.len().min(b.len()));
    while at < len {
        let differ = word(a, at) ^ word(b, at);
        if differ != 0 {
            return len.min(at + (differ.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    len
}

/// The first eight bytes as a number in whose order texts are, as far as these tell.
#[inline(always)]
pub fn front(text: &[u8]) -> u64 {
    word(text, 0).swap_bytes()
}

/// The eight bytes at `at`, with zeros behind them where there are fewer.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => u128::from_le_bytes(filled_up(rest)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::ascii;

    #[test]
    fn agrees_with_the_plain_loop() {
        for length in 0..40 {
            for at in 0..length.max(1) {
                for odd in 0..=255u8 {
                    let mut text = vec![b'a'; length];
                    if let Some(place) = text.get_mut(at) {
                        *place = odd;
                    }
                    check(&text, odd);
                }
            }
        }
    }

    #[test]
    fn texts_are_found_as_wholes() {
        let bytes = b"MMSI MSIE MSIE 7.0; like Gecko";
        for needle in [&b"M"[..], b"MSIE ", b"MMM", b"o", b"Gecko", b"Gecko/", b"0; like Gecko"] {
            let at = bytes.windows(needle.len()).position(|window| window == needle);
            assert_eq!(text(bytes, needle), at, "{}", needle.escape_ascii());
        }
        assert_eq!((text(b"", b"x"), text(b"x", b"xx")), (None, None));
    }

    #[test]
    fn neighbours_do_not_matter() {
        check(b"\x0b\x0a\x80\xff\x1f\x20\x7f\x00\x01", 0x0a);
        check(b"\x80\xff\x81\xa0\xfe\xff\x80\x9f\x1f", 0x1f);
    }

    fn check(text: &[u8], needle: u8) {
        assert_eq!(byte(text, needle), text.iter().position(|&b| b == needle));
        assert_eq!(control(text), text.iter().position(|b| b.is_ascii_control()));
        assert_eq!(is_plain(text), text.iter().all(|b| matches!(b, b' '..=b'~')));
        let blank = |b: &u8| b.is_ascii_control() || *b == b' ';
        assert_eq!(blank_or_control(text), text.iter().position(blank));
        let quote = |b: &u8| matches!(b, b'"' | b'\\');
        let odd = |b: &u8| quote(b) || b.is_ascii_control() || !b.is_ascii();
        assert_eq!(odd_in_log(text), text.iter().position(odd));
        let odd = |b: &u8| quote(b) || *b < b' ';
        assert_eq!(odd_in_json(text), text.iter().position(odd));
        let odd = |b: &u8| !ascii::is(*b, ascii::NAME);
        assert_eq!(no_name(text), text.iter().position(odd));
    }

    #[test]
    fn paths_end_and_are_plain_or_not() {
        let mut number = 7u32;
        for _ in 0..20_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let len = (number >> 8) as usize % 48;
            let text: Vec<u8> = (0..len)
                .map(|at| {
                    number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let kind = (number >> 16) as usize % if at > 30 { 40 } else { 200 };
                    *b"/./.% ?#\t\x7f\xffx".get(kind).unwrap_or(&b'a')
                })
                .collect();
            let ends = |b: &u8| matches!(b, 0..=b' ' | 0x7f | b'?' | b'#');
            let end = text.iter().position(ends);
            let before = &text[..end.unwrap_or(len)];
            let is_double = |pair: &[u8]| pair[0] == b'/' && matches!(pair[1], b'/' | b'.');
            let is_complex = before.contains(&b'%') || before.windows(2).any(is_double);
            assert_eq!(path(&text), (end, is_complex), "{:?}", text.escape_ascii().to_string());
        }
    }

    #[test]
    fn same_is_equality() {
        let text: Vec<u8> = (0..40).collect();
        for len in 0..text.len() {
            let copy = text[..len].to_vec();
            assert!(same(&text[..len], &copy));
            assert!(!same(&text[..len], &text[..len + 1]));
            for at in 0..len {
                let mut other = text[..len].to_vec();
                other[at] ^= 1;
                assert!(!same(&text[..len], &other), "{len} {at}");
            }
        }
    }

    #[test]
    fn common_is_a_prefix() {
        let text: Vec<u8> = (0..40).collect();
        for len in 0..text.len() {
            for other_len in 0..text.len() {
                assert_eq!(common(&text[..len], &text[..other_len]), len.min(other_len));
            }
            for at in 0..len {
                let mut other = text.clone();
                other[at] ^= 0x80;
                assert_eq!(common(&text[..len], &other), at);
                assert_eq!(common(&other, &text[..len]), at);
            }
        }
    }
}
