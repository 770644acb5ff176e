//! Numbers to and from text, without allocation and without overflow.
//!
//! Parsers take the whole slice or nothing: no sign, no blanks, no prefix, no
//! silent wrap. What nginx allows around numbers (units, `off`) is `conf`'s.

/// Decimal digits only, at least one, at most `u64::MAX`.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    if text.len() < DECIMAL {
        // So few cannot be too many.
        return text.iter().try_fold(0, |n, &b| Some(n * 10 + digit(b)?));
    }
    text.iter().try_fold(0u64, |n, &b| n.checked_mul(10)?.checked_add(digit(b)?))
}

/// Hexadecimal digits of either case, at least one, at most 16 that count.
pub fn parse_hex(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, &b| {
        let room = n.leading_zeros() >= 4;
        room.then_some(())?;
        Some(n << 4 | u64::from(hex_digit(b)?))
    })
}

/// A size with nginx's optional unit: `k`, `m` or `g`, either case.
pub fn parse_size(text: &[u8]) -> Option<u64> {
    let (&last, digits) = text.split_last()?;
    let scale = match last | 0x20 {
        b'k' => 1 << 10,
        b'm' => 1 << 20,
        b'g' => 1 << 30,
        _ => return parse_u64(text),
    };
    parse_u64(digits)?.checked_mul(scale)
}

fn digit(b: u8) -> Option<u64> {
    b.is_ascii_digit().then(|| u64::from(b - b'0'))
}

/// The value of one hexadecimal digit.
pub fn hex_digit(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// Room for any `u64` in decimal.
pub const DECIMAL: usize = 20;
/// Room for any `u64` in hexadecimal.
pub const HEX: usize = 16;

const fn pairs() -> [[u8; 2]; 100] {
    let mut table = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        table[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    table
}

static PAIRS: [[u8; 2]; 100] = pairs();

/// The two digits of `n`, which is below 100.
pub fn two_digits(n: u8) -> [u8; 2] {
    PAIRS[usize::from(n % 100)]
}

/// The three digits of `n`, which is below 1000.
pub fn three_digits(n: u16) -> [u8; 3] {
    let [tens, ones] = two_digits((n % 100) as u8);
    [b'0' + (n / 100 % 10) as u8, tens, ones]
}

/// Writes `n` in decimal at the end of `room` and returns the digits.
pub fn format_u64(mut n: u64, room: &mut [u8; DECIMAL]) -> &[u8] {
    let mut at = DECIMAL;
    while n >= 100 {
        at -= 2;
        room[at..at + 2].copy_from_slice(&PAIRS[(n % 100) as usize]);
        n /= 100;
    }
    let last = PAIRS[n as usize];
    if n >= 10 {
        at -= 1;
        room[at] = last[1];
        at -= 1;
        room[at] = last[0];
    } else {
        at -= 1;
        room[at] = last[1];
    }
    &room[at..]
}

/// Writes `n` in lower-case hexadecimal at the end of `room` and returns the digits.
pub fn format_hex(mut n: u64, room: &mut [u8; HEX]) -> &[u8] {
    let mut at = HEX;
    loop {
        at -= 1;
        room[at] = b"0123456789abcdef"[(n & 15) as usize];
        n >>= 4;
        if n == 0 {
            return &room[at..];
        }
    }
}

/// How many decimal digits `n` has.
pub fn decimal_len(n: u64) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_both_ways() {
        for n in [0, 1, 9, 10, 99, 100, 101, 999, 1000, 65535, 123_456_789, u64::MAX - 1, u64::MAX]
        {
            let mut room = [0; DECIMAL];
            let text = format_u64(n, &mut room).to_vec();
            assert_eq!(text, n.to_string().as_bytes());
            assert_eq!(text.len(), decimal_len(n));
            assert_eq!(parse_u64(&text), Some(n));
        }
        for bad in ["", "+1", "-1", " 1", "1 ", "1_0", "0x1", "18446744073709551616", "٣"] {
            assert_eq!(parse_u64(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_u64(b"00000000000000000000000000007"), Some(7));
    }

    #[test]
    fn hex_both_ways() {
        for n in [0, 1, 15, 16, 255, 0xdead_beef, u64::MAX] {
            let mut room = [0; HEX];
            let text = format_hex(n, &mut room).to_vec();
            assert_eq!(text, format!("{n:x}").as_bytes());
            assert_eq!(parse_hex(&text.to_ascii_uppercase()), Some(n));
        }
        for bad in ["", "g", "0x1", "1 ", "10000000000000000"] {
            assert_eq!(parse_hex(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_hex(b"00000000000000000001"), Some(1));
    }

    #[test]
    fn sizes() {
        for (text, size) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("4k", Some(4096)),
            ("4K", Some(4096)),
            ("1m", Some(1 << 20)),
            ("2G", Some(2 << 30)),
            ("k", None),
            ("", None),
            ("1kk", None),
            ("-1k", None),
            ("99999999999999999g", None),
        ] {
            assert_eq!(parse_size(text.as_bytes()), size, "{text}");
        }
    }
}
