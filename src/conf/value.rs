//! Values of directives: numbers, sizes, times, on and off, in nginx's units and
//! with nginx's words for what is wrong (ngx_parse.c, ngx_conf_file.c).

use super::error::Error;
use super::tree::Node;

/// Milliseconds.
pub type Msec = u64;

pub fn flag(node: Node, i: usize) -> Result<bool, Error> {
    let word = node.arg(i);
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Error::at(
            word,
            format!(
                "invalid value \"{word}\" in \"{}\" directive, it must be \"on\" or \"off\"",
                node.name()
            ),
        )),
    }
}

pub fn number(node: Node, i: usize) -> Result<u64, Error> {
    parse_number(&node.arg(i)).ok_or_else(|| {
        Error::at(node.arg(i), format!("\"{}\" directive invalid number", node.name()))
    })
}

pub fn size(node: Node, i: usize) -> Result<u64, Error> {
    parse_size(&node.arg(i)).ok_or_else(|| Error::directive(node, "invalid value"))
}

pub fn off(node: Node, i: usize) -> Result<u64, Error> {
    parse_off(&node.arg(i)).ok_or_else(|| Error::directive(node, "invalid value"))
}

pub fn time_msec(node: Node, i: usize) -> Result<Msec, Error> {
    parse_time(&node.arg(i), true).ok_or_else(|| Error::directive(node, "invalid value"))
}

pub fn time_sec(node: Node, i: usize) -> Result<u64, Error> {
    parse_time(&node.arg(i), false).ok_or_else(|| Error::directive(node, "invalid value"))
}

/// A plain decimal, at most `i64::MAX` as in nginx.
pub fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let digits = text.iter().try_fold(0u64, |n, c| {
        let digit = c.is_ascii_digit().then(|| u64::from(c - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })?;
    (digits <= i64::MAX as u64).then_some(digits)
}

/// `8k`, `1m`: ngx_parse_size.
pub fn parse_size(text: &[u8]) -> Option<u64> {
    match text.split_last()? {
        (b'k' | b'K', n) => scaled(n, 10),
        (b'm' | b'M', n) => scaled(n, 20),
        _ => parse_number(text),
    }
}

/// As `parse_size`, and `2g`: ngx_parse_offset.
pub fn parse_off(text: &[u8]) -> Option<u64> {
    match text.split_last()? {
        (b'g' | b'G', n) => scaled(n, 30),
        _ => parse_size(text),
    }
}

fn scaled(digits: &[u8], shift: u32) -> Option<u64> {
    let n = parse_number(digits)?;
    (n <= i64::MAX as u64 >> shift).then_some(n << shift)
}

/// `1h 30m`, `500ms`, `75`: units from large to small, each once, seconds when none
/// is named. In milliseconds if `msec`, which takes `ms` and no years or months;
/// else in seconds.
pub fn parse_time(text: &[u8], msec: bool) -> Option<u64> {
    let per_second = if msec { 1000 } else { 1 };
    let mut total = 0u64;
    let mut rank = if msec { 2 } else { 0 };
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let value = parse_number(&rest[..digits])?;
        rest = &rest[digits..];
        let (unit_rank, scale, len) = unit(rest, msec)?;
        if unit_rank <= rank {
            return None;
        }
        rank = unit_rank;
        rest = rest[len..].trim_ascii_start();
        let scale = if unit_rank == MS { 1 } else { scale * per_second };
        total = total.checked_add(value.checked_mul(scale)?)?;
    }
    (total <= i64::MAX as u64).then_some(total)
}

/// The rank of milliseconds among the units.
const MS: u32 = 8;

/// The unit that stands here: its rank, its seconds, its length.
fn unit(text: &[u8], msec: bool) -> Option<(u32, u64, usize)> {
    const HOUR: u64 = 3600;
    match text {
        [b'y', ..] => Some((1, 365 * 24 * HOUR, 1)),
        [b'M', ..] => Some((2, 30 * 24 * HOUR, 1)),
        [b'w', ..] => Some((3, 7 * 24 * HOUR, 1)),
        [b'd', ..] => Some((4, 24 * HOUR, 1)),
        [b'h', ..] => Some((5, HOUR, 1)),
        [b'm', b's', ..] if msec => Some((MS, 0, 2)),
        [b'm', ..] => Some((6, 60, 1)),
        [b's', ..] => Some((7, 1, 1)),
        [] | [b' ', ..] => Some((9, 1, 0)),
        _ => None,
    }
}

/// One of a few words: `invalid value "y"` for any other.
pub fn choice<T: Copy>(node: Node, i: usize, choices: &[(&str, T)]) -> Result<T, Error> {
    let word = node.arg(i);
    let found = choices.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(&word));
    found.map(|(_, value)| *value).ok_or_else(|| Error::invalid_value(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_nginx_reads_them() {
        let day = 24 * 3600;
        let seconds = [
            ("0", Some(0)),
            ("75", Some(75)),
            ("1h 30m", Some(5400)),
            ("1h30m", Some(5400)),
            ("1h 30", Some(3630)),
            ("30m 1h", None),
            ("1m 1m", None),
            ("1y1M1w1d1h1m1s", Some((365 + 30 + 7 + 1) * day + 3661)),
            ("", None),
            ("s", None),
            ("1x", None),
            ("1ms", None),
            ("-1", None),
            ("99999999999999999999", None),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775807m", None),
        ];
        for (text, expected) in seconds {
            assert_eq!(parse_time(text.as_bytes(), false), expected, "{text:?}");
        }
        let milliseconds = [
            ("1", Some(1000)),
            ("1ms", Some(1)),
            ("1s 5ms", Some(1005)),
            ("5ms 1s", None),
            ("1w", Some(7 * day * 1000)),
            ("1M", None),
            ("1y", None),
            ("9223372036854775807", None),
        ];
        for (text, expected) in milliseconds {
            assert_eq!(parse_time(text.as_bytes(), true), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_as_nginx_reads_them() {
        let sizes = [
            ("0", Some(0)),
            ("8k", Some(8192)),
            ("1M", Some(1 << 20)),
            ("1g", None),
            ("k", None),
            ("", None),
            ("1kk", None),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("9007199254740992k", None),
        ];
        for (text, expected) in sizes {
            assert_eq!(parse_size(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(parse_off(b"2G"), Some(2 << 30));
        assert_eq!(parse_off(b"2k"), Some(2048));
    }
}
