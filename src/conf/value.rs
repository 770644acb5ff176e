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

/// `1h 30m`, `500ms`, `75`: ngx_parse_time, units from large to small, each once.
pub fn parse_time(_text: &[u8], _msec: bool) -> Option<u64> {
    None
}

/// One of a few words: `invalid value "y"` for any other.
pub fn choice<T: Copy>(node: Node, i: usize, choices: &[(&str, T)]) -> Result<T, Error> {
    let word = node.arg(i);
    let found = choices.iter().find(|(name, _)| name.as_bytes() == &*word);
    found.map(|(_, value)| *value).ok_or_else(|| Error::invalid_value(word))
}
