//! Preconditions and validators (RFC 9110 8.8 and 13), in nginx's order.
//!
//! nginx looks at dates and tags in turn and lets either of them veto a 304,
//! where RFC 9110 13.2.2 lets `If-None-Match` overrule `If-Modified-Since`;
//! nginx's outcome is kept.
use crate::text::{date, number};

/// The validators of what would be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'a> {
    /// With its quotes, and `W/` in front if it is weak.
    pub etag: Option<&'a [u8]>,
    /// Unix seconds.
    pub last_modified: Option<i64>,
}

/// What the request makes its answer depend on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    pub if_match: Option<&'a [u8]>,
    pub if_none_match: Option<&'a [u8]>,
    pub if_modified_since: Option<&'a [u8]>,
    pub if_unmodified_since: Option<&'a [u8]>,
}

/// `if_modified_since off | exact | before`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModifiedSince {
    Off,
    #[default]
    Exact,
    Before,
}

/// What becomes of an answer that would be 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    /// 304
    NotModified,
    /// 412
    PreconditionFailed,
}

impl Conditions<'_> {
    /// Whether there are none, as in most requests.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none()
            && self.if_none_match.is_none()
            && self.if_modified_since.is_none()
            && self.if_unmodified_since.is_none()
    }
}

/// Decides what becomes of an answer with status 200.
pub fn evaluate(
    conditions: &Conditions<'_>,
    validators: &Validators<'_>,
    rule: ModifiedSince,
) -> Verdict {
    if conditions.if_unmodified_since.is_some_and(|date| !unmodified(date, validators)) {
        return Verdict::PreconditionFailed;
    }
    if conditions.if_match.is_some_and(|list| !matches(list, validators.etag, Compare::Strong)) {
        return Verdict::PreconditionFailed;
    }
    let since = conditions.if_modified_since.map(|date| modified(date, validators, rule));
    let none = conditions.if_none_match.map(|list| !matches(list, validators.etag, Compare::Weak));
    match (since, none) {
        (None, None) | (Some(true), _) | (_, Some(true)) => Verdict::Proceed,
        _ => Verdict::NotModified,
    }
}

fn unmodified(date: &[u8], validators: &Validators<'_>) -> bool {
    match (date::parse_http(date), validators.last_modified) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}

fn modified(date: &[u8], validators: &Validators<'_>, rule: ModifiedSince) -> bool {
    let (Some(since), Some(modified)) = (date::parse_http(date), validators.last_modified) else {
        return true;
    };
    match rule {
        ModifiedSince::Off => true,
        ModifiedSince::Exact => since != modified,
        ModifiedSince::Before => since < modified,
    }
}

/// How entity tags are compared (RFC 9110 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    /// The same bytes. nginx lets weak tags match themselves, too.
    Strong,
    /// `W/` means nothing.
    Weak,
}

/// Whether `*` or one of the listed tags is `etag`. Like nginx, it looks for a
/// known tag rather than for the borders of unknown ones.
fn matches(list: &[u8], etag: Option<&[u8]>, compare: Compare) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(mut etag) = etag else { return false };
    if compare == Compare::Weak {
        etag = etag.strip_prefix(b"W/").unwrap_or(etag);
    }
    let mut rest = list;
    while !rest.is_empty() {
        if compare == Compare::Weak {
            rest = rest.strip_prefix(b"W/").unwrap_or(rest);
        }
        if let Some(after) = rest.strip_prefix(etag)
            && matches!(trim_start(after), [] | [b',', ..])
        {
            return true;
        }
        let comma = rest.iter().position(|&b| b == b',').unwrap_or(rest.len());
        rest = rest.get(comma..).unwrap_or_default();
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
    }
    false
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Whether `If-Range` lets `Range` be honoured: the same tag, or the very date.
pub fn range_applies(if_range: Option<&[u8]>, validators: &Validators<'_>) -> bool {
    match if_range {
        None => true,
        Some(tag) if tag.len() >= 2 && tag.ends_with(b"\"") => validators.etag == Some(tag),
        Some(date) => {
            let date = date::parse_http(date);
            date.is_some() && date == validators.last_modified
        }
    }
}

/// Room for the tag of any file.
pub const ETAG: usize = 2 * number::HEX + 3;

/// A file's entity tag, nginx's `"mtime-size"` in hexadecimal.
pub fn etag(mtime: i64, size: u64, room: &mut [u8; ETAG]) -> &[u8] {
    let mut out = crate::text::writer::Writer::new(room);
    out.put_byte(b'"');
    out.put_hex(mtime as u64);
    out.put_byte(b'-');
    out.put_hex(size);
    out.put_byte(b'"');
    let len = out.len();
    &room[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const SECONDS: i64 = 784_111_777;

    /// Headers as `name: value` lines, in front of a file of DATE with tag "x".
    fn verdict(headers: &[(&str, &str)], rule: ModifiedSince, etag: Option<&str>) -> Verdict {
        let get = |name| headers.iter().find(|h| h.0 == name).map(|h| h.1.as_bytes());
        let conditions = Conditions {
            if_match: get("im"),
            if_none_match: get("inm"),
            if_modified_since: get("ims"),
            if_unmodified_since: get("ius"),
        };
        assert_eq!(conditions.is_empty(), headers.is_empty());
        let validators = Validators { etag: etag.map(str::as_bytes), last_modified: Some(SECONDS) };
        evaluate(&conditions, &validators, rule)
    }

    #[test]
    fn in_nginx_order() {
        use ModifiedSince::{Before, Exact, Off};
        use Verdict::{NotModified as N, PreconditionFailed as F, Proceed as P};
        type Case = (&'static [(&'static str, &'static str)], ModifiedSince, Verdict);
        let cases: &[Case] = &[
            (&[], Exact, P),
            (&[("ims", DATE)], Exact, N),
            (&[("ims", EARLIER)], Exact, P),
            (&[("ims", LATER)], Exact, P),
            (&[("ims", LATER)], Before, N),
            (&[("ims", EARLIER)], Before, P),
            (&[("ims", DATE)], Off, P),
            (&[("ims", "garbage")], Before, P),
            (&[("inm", "\"x\"")], Exact, N),
            (&[("inm", "\"y\"")], Exact, P),
            (&[("inm", "*")], Exact, N),
            (&[("inm", "\"x\""), ("ims", DATE)], Exact, N),
            (&[("inm", "\"x\""), ("ims", EARLIER)], Exact, P),
            (&[("inm", "\"y\""), ("ims", DATE)], Exact, P),
            (&[("im", "\"x\"")], Exact, P),
            (&[("im", "\"y\"")], Exact, F),
            (&[("im", "*")], Exact, P),
            (&[("im", "W/\"x\"")], Exact, F),
            (&[("ius", DATE)], Exact, P),
            (&[("ius", LATER)], Exact, P),
            (&[("ius", EARLIER)], Exact, F),
            (&[("ius", "garbage")], Exact, F),
            (&[("ius", EARLIER), ("im", "*")], Exact, F),
            (&[("im", "\"x\""), ("inm", "\"x\"")], Exact, N),
        ];
        for &(headers, rule, want) in cases {
            assert_eq!(verdict(headers, rule, Some("\"x\"")), want, "{headers:?} {rule:?}");
        }
    }

    #[test]
    fn lists_of_tags() {
        for (list, etag, weak, strong) in [
            ("\"x\"", "\"x\"", true, true),
            ("W/\"x\"", "\"x\"", true, false),
            ("\"x\"", "W/\"x\"", true, false),
            ("W/\"x\"", "W/\"x\"", true, true),
            ("\"a\", \"x\"", "\"x\"", true, true),
            ("\"a\",W/\"x\" ,\"b\"", "\"x\"", true, false),
            ("\"a\",, \"x\"\t,", "\"x\"", true, true),
            (",\"x\"", "\"x\"", true, true),
            ("\"x", "\"x\"", false, false),
            ("x", "\"x\"", false, false),
            ("\"x\"y", "\"x\"", false, false),
            ("\"x\"y, \"x\"", "\"x\"", true, true),
            ("\"a,\"x\"", "\"x\"", true, true),
            ("\"a,b\"", "\"a,b\"", true, true),
            ("", "\"x\"", false, false),
            ("**", "\"x\"", false, false),
            ("*", "\"x\"", true, true),
        ] {
            let etag = Some(etag.as_bytes());
            assert_eq!(matches(list.as_bytes(), etag, Compare::Weak), weak, "{list}");
            assert_eq!(matches(list.as_bytes(), etag, Compare::Strong), strong, "{list}");
        }
        assert!(!matches(b"\"x\"", None, Compare::Weak) && matches(b"*", None, Compare::Strong));
    }

    #[test]
    fn without_validators() {
        let none = Validators::default();
        let ims = Conditions { if_modified_since: Some(DATE.as_bytes()), ..Default::default() };
        assert_eq!(evaluate(&ims, &none, ModifiedSince::Before), Verdict::Proceed);
        let ius = Conditions { if_unmodified_since: Some(DATE.as_bytes()), ..Default::default() };
        assert_eq!(evaluate(&ius, &none, ModifiedSince::Exact), Verdict::PreconditionFailed);
    }

    #[test]
    fn if_range() {
        let file = Validators { etag: Some(b"\"x\""), last_modified: Some(SECONDS) };
        for (header, validators, want) in [
            (None, file, true),
            (Some("\"x\""), file, true),
            (Some("\"y\""), file, false),
            (Some("W/\"x\""), file, false),
            (Some(DATE), file, true),
            (Some(LATER), file, false),
            (Some("garbage"), file, false),
            (Some("garbage"), Validators::default(), false),
            (Some(""), file, false),
        ] {
            let found = range_applies(header.map(str::as_bytes), &validators);
            assert_eq!(found, want, "{header:?}");
        }
    }

    #[test]
    fn tags_of_files() {
        let mut room = [0; ETAG];
        assert_eq!(etag(0x6489_8b1f, 0x267, &mut room), b"\"64898b1f-267\"");
        assert_eq!(etag(-1, u64::MAX, &mut room).len(), ETAG);
    }
}
