//! Escaping for HTML, URIs, logs and JSON, byte for byte as nginx does it.
//!
//! Each kind has a function that counts the bytes of the result, so that the
//! caller can size its room, and one that writes them; they share one rule.
use crate::text::scan;
use crate::text::writer::Writer;
use std::fmt;

/// What a URI is escaped for; the names are those of nginx's `ngx_escape_uri`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uri {
    /// A path: what RFC 3986 forbids, and `#`, `%`, `?`.
    Path,
    /// A query string: what RFC 3986 forbids, and `#`, `%`, `&`, `+`, `;`, `?`.
    Args,
    /// One component: everything but unreserved characters.
    Component,
    /// A URI inside an HTML attribute: what RFC 3986 forbids, and `#`, `%`, `'`.
    Html,
    /// The target of a page that leads on: what would end its attribute. Of braces nginx
    /// has but one.
    Refresh,
}

impl Uri {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

const fn forbidden(b: u8) -> u8 {
    let refresh = match b {
        0..=b' ' | 0x7f..=0xff => Uri::Refresh.bit(),
        b'"' | b'\'' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'~' => Uri::Refresh.bit(),
        _ => 0,
    };
    refresh | of_rfc3986(b)
}

const fn of_rfc3986(b: u8) -> u8 {
    let path = Uri::Path.bit();
    let (args, component, html) = (Uri::Args.bit(), Uri::Component.bit(), Uri::Html.bit());
    match b {
        0..=b' ' | 0x7f..=0xff => path | args | component | html,
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#' | b'%' => {
            path | args | component | html
        }
        b'?' => path | args | component,
        b'&' | b'+' | b';' => args | component,
        b'\'' => component | html,
        b'-' | b'.' | b'_' | b'~' => 0,
        _ if b.is_ascii_alphanumeric() => 0,
        _ => component,
    }
}

static FORBIDDEN: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = forbidden(b as u8);
        b += 1;
    }
    table
};

const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn upper_hex(b: u8) -> [u8; 2] {
    [UPPER[usize::from(b >> 4)], UPPER[usize::from(b & 15)]]
}

/// Length of `text` escaped for `kind`.
pub fn uri_len(text: &[u8], kind: Uri) -> usize {
    let bit = kind.bit();
    text.iter().map(|&b| if FORBIDDEN[usize::from(b)] & bit != 0 { 3 } else { 1 }).sum()
}

/// Writes `text` with `%XX` for what `kind` forbids.
pub fn uri(text: &[u8], kind: Uri, out: &mut Writer<'_>) {
    let bit = kind.bit();
    runs(
        text,
        out,
        |rest| rest.iter().position(|&b| FORBIDDEN[usize::from(b)] & bit != 0),
        |b, out| {
            let [high, low] = upper_hex(b);
            out.put(&[b'%', high, low]);
        },
    );
}

/// Decodes `%XX`; broken sequences stay as they are. Returns what was written
/// of `room`, or `None` when it is too short.
pub fn unescape<'a>(text: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut out = Writer::new(room);
    let mut rest = text;
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        if b == b'%'
            && let Some((&[high, low], after)) = after.split_first_chunk::<2>()
            && let Some(high) = crate::text::number::hex_digit(high)
            && let Some(low) = crate::text::number::hex_digit(low)
        {
            out.put_byte(high << 4 | low);
            rest = after;
            continue;
        }
        out.put_byte(b);
    }
    let len = out.finish().ok()?;
    room.get(..len)
}

fn html_entity(b: u8) -> Option<&'static [u8]> {
    match b {
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'&' => Some(b"&amp;"),
        b'"' => Some(b"&quot;"),
        _ => None,
    }
}

/// Length of `text` escaped for HTML.
pub fn html_len(text: &[u8]) -> usize {
    text.iter().map(|&b| html_entity(b).map_or(1, <[u8]>::len)).sum()
}

/// Writes `text` with entities for `<`, `>`, `&` and `"`.
pub fn html(text: &[u8], out: &mut Writer<'_>) {
    runs(
        text,
        out,
        |rest| rest.iter().position(|&b| html_entity(b).is_some()),
        |b, out| {
            out.put(html_entity(b).unwrap_or_default());
        },
    );
}

fn odd_in_log(b: u8) -> bool {
    !(0x20..0x7f).contains(&b) || b == b'"' || b == b'\\'
}

/// Length of `text` escaped for an access log.
pub fn log_len(text: &[u8]) -> usize {
    text.iter().map(|&b| if odd_in_log(b) { 4 } else { 1 }).sum()
}

/// Writes `text` with `\xXX` for control bytes, 8-bit bytes, `"` and `\`
/// (`escape=default` of `log_format`).
pub fn log(text: &[u8], out: &mut Writer<'_>) {
    runs(text, out, scan::odd_in_log, |b, out| {
        let [high, low] = upper_hex(b);
        out.put(&[b'\\', b'x', high, low]);
    });
}

fn odd_in_json(b: u8) -> bool {
    b < 0x20 || b == b'"' || b == b'\\'
}

fn json_short(b: u8) -> Option<u8> {
    match b {
        b'"' | b'\\' => Some(b),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        b'\t' => Some(b't'),
        0x08 => Some(b'b'),
        0x0c => Some(b'f'),
        _ => None,
    }
}

/// Length of `text` escaped for a JSON string.
pub fn json_len(text: &[u8]) -> usize {
    let one = |&b: &u8| match (odd_in_json(b), json_short(b)) {
        (false, _) => 1,
        (true, Some(_)) => 2,
        (true, None) => 6,
    };
    text.iter().map(one).sum()
}

/// Writes `text` for the inside of a JSON string (`escape=json`); bytes above
/// 0x7f pass as they are.
pub fn json(text: &[u8], out: &mut Writer<'_>) {
    runs(text, out, scan::odd_in_json, |b, out| match json_short(b) {
        Some(short) => out.put(&[b'\\', short]),
        None => {
            let [high, low] = upper_hex(b);
            out.put(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    });
}

/// The same with `\\xNN` for what is no UTF-8, so that it is JSON whatever the bytes are.
pub fn json_text(text: &[u8], out: &mut Writer<'_>) {
    for chunk in text.utf8_chunks() {
        json(chunk.valid().as_bytes(), out);
        for byte in chunk.invalid() {
            let [high, low] = upper_hex(*byte);
            out.put(&[b'\\', b'\\', b'x', high, low]);
        }
    }
}

/// Bytes from outside in a message: text as it is, anything else as `\xNN`.
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // Nearly all bytes are plain, and need not be taken apart by characters.
        if scan::is_plain(self.0)
            && let Ok(text) = std::str::from_utf8(self.0)
        {
            return f.write_str(text);
        }
        for chunk in self.0.utf8_chunks() {
            for part in chunk.valid().split_inclusive(char::is_control) {
                let plain = part.trim_end_matches(char::is_control);
                f.write_str(plain)?;
                hex(&part.as_bytes()[plain.len()..], f)?;
            }
            hex(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02X}"))
}

/// Copies runs of harmless bytes at once and gives each odd byte, which `odd` finds, to
/// `escape`.
#[inline(always)]
fn runs(
    text: &[u8],
    out: &mut Writer<'_>,
    odd: impl Fn(&[u8]) -> Option<usize>,
    escape: impl Fn(u8, &mut Writer<'_>),
) {
    let mut rest = text;
    while let Some(at) = odd(rest) {
        let (run, tail) = rest.split_at(at);
        out.put(run);
        let Some((&b, after)) = tail.split_first() else { return };
        escape(b, out);
        rest = after;
    }
    out.put(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    type Escape = fn(&[u8], &mut Writer<'_>);

    fn check(escape: Escape, len: fn(&[u8]) -> usize, text: &[u8], want: &str) {
        let mut room = [0; 2048];
        let mut out = Writer::new(&mut room);
        escape(text, &mut out);
        assert_eq!(String::from_utf8_lossy(out.written()), want);
        assert_eq!(len(text), out.len());
        assert!(!out.overflowed());
    }

    #[test]
    fn shown_is_text_of_one_line() {
        let cases: [(&[u8], &str); 4] = [
            (b"plain", "plain"),
            (b"a\nb\x1b\x7f", "a\\x0Ab\\x1B\\x7F"),
            ("é\u{9b}".as_bytes(), "é\\xC2\\x9B"),
            (b"\xffa\xc3", "\\xFFa\\xC3"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Shown(bytes).to_string(), text);
        }
    }

    #[test]
    fn for_logs_html_json() {
        check(log, log_len, b"a\"b\\\n\x7f\xff ~", r"a\x22b\x5C\x0A\x7F\xFF ~");
        check(html, html_len, b"<a href=\"x\">&'", "&lt;a href=&quot;x&quot;&gt;&amp;'");
        check(json, json_len, b"\"\\\n\r\t\x08\x0c\x01\x1f/", r#"\"\\\n\r\t\b\f\u0001\u001F/"#);
        check(json, json_len, "é\x7f".as_bytes(), "é\x7f");
        let mut room = [0; 64];
        let mut out = Writer::new(&mut room);
        json_text(b"\xc3\xa9\"\xc3\xff\xe2\x82", &mut out);
        let len = out.finish().unwrap();
        assert_eq!(std::str::from_utf8(&room[..len]), Ok(r#"é\"\\xC3\\xFF\\xE2\\x82"#));
    }

    /// The escaped characters of 0x21 to 0x7e, as nginx 1.22's tables have them.
    #[test]
    fn for_uris() {
        for (kind, escaped) in [
            (Uri::Path, "\"#%<>?\\^`{|}"),
            (Uri::Args, "\"#%&+;<>?\\^`{|}"),
            (Uri::Component, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}"),
            (Uri::Html, "\"#%'<>\\^`{|}"),
        ] {
            let mut found = String::new();
            for b in 0..=255u8 {
                let mut room = [0; 3];
                let mut out = Writer::new(&mut room);
                uri(&[b], kind, &mut out);
                assert_eq!(out.len(), uri_len(&[b], kind));
                if (0x21..0x7f).contains(&b) && out.len() == 3 {
                    assert_eq!(out.written(), format!("%{b:02X}").as_bytes());
                    found.push(b.into());
                } else {
                    assert_eq!(out.len() == 3, !(0x21..0x7f).contains(&b));
                }
            }
            assert_eq!(found, escaped, "{kind:?}");
        }
    }

    #[test]
    fn unescapes() {
        let mut room = [0; 16];
        for (text, want) in
            [("a%20b", "a b"), ("%2fx%", "/x%"), ("%zz%4", "%zz%4"), ("%%41", "%A"), ("", "")]
        {
            assert_eq!(unescape(text.as_bytes(), &mut room), Some(want.as_bytes()));
        }
        assert_eq!(unescape(b"12345678901234567", &mut room), None);
    }
}
