//! A header line in its parts, and how nearly all of them are read: what is odd about the
//! others is for the heads they are in to say.
use crate::text::scan;

pub struct Line<'a> {
    pub name: &'a [u8],
    /// The name has bytes beyond letters, digits and dashes.
    pub odd: bool,
    /// Without blanks around it.
    pub value: &'a [u8],
    /// Where in the line the value is.
    pub value_at: usize,
    /// Bytes of the line, with its end.
    pub len: usize,
}

/// The line that the bytes begin with, if its name is a usual one, its value has no control
/// bytes, and it ends with CRLF.
#[inline(always)]
pub fn usual(bytes: &[u8]) -> Option<Line<'_>> {
    let (name, rest) = bytes.split_at_checked(scan::no_name(bytes)?)?;
    let [b':', text @ ..] = rest else { return None };
    let text = skip_blanks(text);
    let (value, rest) = text.split_at_checked(scan::control(text)?)?;
    let [b'\r', b'\n', rest @ ..] = rest else { return None };
    if name.is_empty() {
        return None;
    }
    let (value_at, len) = (bytes.len() - text.len(), bytes.len() - rest.len());
    Some(Line { name, odd: false, value: cut_blanks(value), value_at, len })
}

/// Blanks alone, here and below: a tab is part of the value.
#[inline(always)]
fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

#[inline(always)]
fn cut_blanks(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

/// Without blanks at both ends.
#[inline(always)]
pub fn trim_blanks(text: &[u8]) -> &[u8] {
    cut_blanks(skip_blanks(text))
}
