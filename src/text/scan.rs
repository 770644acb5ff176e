//! Finding bytes many at a time, in safe code.
//!
//! Sixteen bytes in which nothing is found are passed over by a test that the
//! compiler turns into vector instructions; in what is left, arithmetic on words
//! of eight finds the place. Words are read little-endian, so the lowest flagged
//! byte is the first.

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

#[inline(always)]
const fn repeat(byte: u8) -> u64 {
    ONES * byte as u64
}

/// Flags the bytes of `word` that are `byte`, and maybe some above them: a
/// borrow can only come from a byte that is flagged.
#[inline(always)]
const fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ repeat(byte);
    zero.wrapping_sub(ONES) & !zero & HIGH
}

/// Flags the bytes of `word` that are below `limit` or 0x7f. Sums of seven bits
/// cannot carry.
#[inline(always)]
const fn below_or_del(word: u64, limit: u8) -> u64 {
    let low = word & !HIGH;
    let reaches = low + repeat(0x80 - limit);
    let is_last = low + ONES;
    (!reaches | is_last) & !word & HIGH
}

/// Flags the bytes of `word` that are below `limit`.
#[inline(always)]
const fn below(word: u64, limit: u8) -> u64 {
    let low = word & !HIGH;
    !(low + repeat(0x80 - limit)) & !word & HIGH
}

/// The first place that a word test flags and a byte test confirms.
#[inline(always)]
fn find(bytes: &[u8], flag: impl Fn(u64) -> u64, test: impl Fn(u8) -> bool) -> Option<usize> {
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<16>() {
        if chunk.iter().fold(false, |any, &b| any | test(b)) {
            break;
        }
        rest = after;
    }
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let flags = flag(u64::from_le_bytes(*word));
        if flags != 0 {
            return Some(bytes.len() - rest.len() + (flags.trailing_zeros() / 8) as usize);
        }
        rest = after;
    }
    rest.iter().position(|&b| test(b)).map(|at| bytes.len() - rest.len() + at)
}

/// Where `needle` first stands.
#[inline]
pub fn byte(bytes: &[u8], needle: u8) -> Option<usize> {
    find(bytes, |word| equal(word, needle), |b| b == needle)
}

/// Where the first control byte stands: below 0x20, the tab included, or 0x7f.
#[inline]
pub fn control(bytes: &[u8]) -> Option<usize> {
    find(bytes, |word| below_or_del(word, 0x20), |b| (b < 0x20) | (b == 0x7f))
}

/// Where the first byte stands that ends a word of a request line: a blank or
/// a control byte.
#[inline]
pub fn blank_or_control(bytes: &[u8]) -> Option<usize> {
    find(bytes, |word| below_or_del(word, 0x21), |b| (b <= 0x20) | (b == 0x7f))
}

/// Where the first byte stands that a log does not take as it is: control bytes, 8-bit
/// bytes, `"` and `\`.
#[inline]
pub fn odd_in_log(bytes: &[u8]) -> Option<usize> {
    let flag =
        |word| below_or_del(word, 0x20) | equal(word, b'"') | equal(word, b'\\') | word & HIGH;
    find(bytes, flag, |b| (b < 0x20) | (b == 0x7f) | !b.is_ascii() | (b == b'"') | (b == b'\\'))
}

/// The same for a JSON string: control bytes, `"` and `\`.
#[inline]
pub fn odd_in_json(bytes: &[u8]) -> Option<usize> {
    let flag = |word| below(word, 0x20) | equal(word, b'"') | equal(word, b'\\');
    find(bytes, flag, |b| (b < 0x20) | (b == b'"') | (b == b'\\'))
}

/// Whether two slices are equal. Paths and names are short, and a call of memcmp
/// compares byte by byte in musl.
#[inline]
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn flags_above_a_hit_do_not_matter() {
        // 0x0a then 0x0b: the subtraction borrows from the byte above.
        check(b"\x0b\x0a\x80\xff\x1f\x20\x7f\x00\x01", 0x0a);
        check(b"\x80\xff\x81\xa0\xfe\xff\x80\x9f\x1f", 0x1f);
    }

    fn check(text: &[u8], needle: u8) {
        assert_eq!(byte(text, needle), text.iter().position(|&b| b == needle));
        assert_eq!(control(text), text.iter().position(|b| b.is_ascii_control()));
        let blank = |b: &u8| b.is_ascii_control() || *b == b' ';
        assert_eq!(blank_or_control(text), text.iter().position(blank));
        let quote = |b: &u8| matches!(b, b'"' | b'\\');
        let odd = |b: &u8| quote(b) || b.is_ascii_control() || !b.is_ascii();
        assert_eq!(odd_in_log(text), text.iter().position(odd));
        let odd = |b: &u8| quote(b) || *b < b' ';
        assert_eq!(odd_in_json(text), text.iter().position(odd));
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
}
