//! `Range` (RFC 9110 14): which parts of a body are asked for, and how parts
//! are framed.
//!
//! Reading is nginx's, overflow-checked. Nothing is stored: the parts are read
//! again from the header for each pass, so their number needs no limit of its
//! own.
use crate::text::writer::Writer;
use crate::text::{ascii, number};

/// Bytes `start..end` of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub start: u64,
    pub end: u64,
}

impl Part {
    pub fn len(self) -> u64 {
        self.end - self.start
    }
}

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges<'a> {
    /// Everything, with 200: it is no byte range, or not worth honouring.
    Whole,
    /// Nothing that is there: 416.
    Unsatisfiable,
    /// At least one part: 206.
    Parts(Parts<'a>),
}

/// The parts of a satisfiable range, as an iterator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    rest: &'a [u8],
    whole: u64,
    /// How many there are in all.
    pub count: u32,
    /// The sum of their lengths.
    pub total: u64,
}

/// So many parts may outgrow the whole with their heads; more may not, or a
/// client could ask for a body of a hundred times the bytes it sends.
const FEW: u32 = 16;

/// Reads a `Range` header for a body of `whole` bytes.
pub fn parse(header: &[u8], whole: u64, max_ranges: u32) -> Ranges<'_> {
    if header.len() < 7 || !ascii::starts_ignore_case(header, b"bytes=") {
        return Ranges::Whole;
    }
    let rest = header.get(6..).unwrap_or_default();
    let mut parts = Parts { rest, whole, count: 0, total: 0 };
    let mut specs = rest;
    loop {
        match spec(&mut specs, whole) {
            None => return Ranges::Unsatisfiable,
            Some(Part { start: 0, end: 0 }) => return Ranges::Whole,
            Some(part) if part.start < part.end => {
                let Some(total) = parts.total.checked_add(part.len()) else {
                    return Ranges::Unsatisfiable;
                };
                if parts.count >= max_ranges {
                    return Ranges::Whole;
                }
                (parts.total, parts.count) = (total, parts.count + 1);
            }
            Some(_) => {}
        }
        match specs.split_first() {
            Some((_, rest)) => specs = rest,
            None => break,
        }
    }
    if parts.count == 0 {
        return Ranges::Unsatisfiable;
    }
    let heads = u64::from(parts.count) * LEAST_PART_HEAD;
    if parts.total > whole || parts.count > FEW && parts.total.saturating_add(heads) > whole {
        return Ranges::Whole;
    }
    Ranges::Parts(parts)
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        while !self.rest.is_empty() {
            let part = spec(&mut self.rest, self.whole)?;
            self.rest = self.rest.get(1..).unwrap_or_default();
            if part.start < part.end {
                return Some(part);
            }
        }
        None
    }
}

/// Takes one range from `text`, up to its comma or the end, and cuts it to
/// `whole`. What begins behind the end has `start >= end`; `None` is no range.
fn spec(text: &mut &[u8], whole: u64) -> Option<Part> {
    skip_blanks(text);
    let part = if let Some(rest) = text.strip_prefix(b"-") {
        *text = rest;
        let suffix = digits(text)?;
        Part { start: whole.saturating_sub(suffix), end: whole }
    } else {
        let start = digits(text)?;
        skip_blanks(text);
        *text = text.strip_prefix(b"-")?;
        skip_blanks(text);
        let end = match text.first() {
            None | Some(b',') => whole,
            _ => digits(text)?.saturating_add(1).min(whole),
        };
        Part { start, end }
    };
    skip_blanks(text);
    matches!(text.first(), None | Some(b',')).then_some(part)
}

fn skip_blanks(text: &mut &[u8]) {
    while let [b' ', rest @ ..] = text {
        *text = rest;
    }
}

/// A number that a file offset can be.
fn digits(text: &mut &[u8]) -> Option<u64> {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    *text = rest;
    number::parse_u64(digits).filter(|&n| i64::try_from(n).is_ok())
}

/// `Content-Range` of one part: `bytes 0-9/100`.
pub fn put_content_range(part: Part, whole: u64, out: &mut Writer<'_>) {
    out.put(b"bytes ");
    out.put_u64(part.start);
    out.put_byte(b'-');
    out.put_u64(part.end.saturating_sub(1));
    out.put_byte(b'/');
    out.put_u64(whole);
}

/// `Content-Range` of a 416: `bytes */100`.
pub fn put_unsatisfied(whole: u64, out: &mut Writer<'_>) {
    out.put(b"bytes */");
    out.put_u64(whole);
}

fn content_range_len(part: Part, whole: u64) -> usize {
    let last = part.end.saturating_sub(1);
    8 + [part.start, last, whole].map(number::decimal_len).iter().sum::<usize>()
}

/// Digits of a boundary.
const BOUNDARY: usize = 20;
/// The shortest part head: no type, one digit for each number.
const LEAST_PART_HEAD: u64 = 56;

/// The framing of a `multipart/byteranges` body (RFC 9110 14.6).
#[derive(Clone, Copy, Debug)]
pub struct Multipart<'a> {
    /// A number that nobody could have put into what is sent.
    pub boundary: u64,
    /// The type of the whole, with charset; may be empty.
    pub content_type: &'a [u8],
    pub whole: u64,
}

impl Multipart<'_> {
    /// The `Content-Type` of the answer.
    pub fn put_type(&self, out: &mut Writer<'_>) {
        out.put(b"multipart/byteranges; boundary=");
        out.put_padded(self.boundary, BOUNDARY);
    }

    /// What stands in front of a part's bytes.
    pub fn put_part_head(&self, part: Part, out: &mut Writer<'_>) {
        out.put(b"\r\n--");
        out.put_padded(self.boundary, BOUNDARY);
        if !self.content_type.is_empty() {
            out.put(b"\r\nContent-Type: ");
            out.put(self.content_type);
        }
        out.put(b"\r\nContent-Range: ");
        put_content_range(part, self.whole, out);
        out.put(b"\r\n\r\n");
    }

    /// What stands behind the last part.
    pub fn put_end(&self, out: &mut Writer<'_>) {
        out.put(b"\r\n--");
        out.put_padded(self.boundary, BOUNDARY);
        out.put(b"--\r\n");
    }

    fn part_head_len(&self, part: Part) -> usize {
        let boundary = 4 + BOUNDARY;
        let content_type = match self.content_type.len() {
            0 => 0,
            len => "\r\nContent-Type: ".len() + len,
        };
        let range = "\r\nContent-Range: ".len() + content_range_len(part, self.whole);
        boundary + content_type + range + "\r\n\r\n".len()
    }

    /// `Content-Length` of the answer: all parts with heads and end.
    pub fn len(&self, parts: Parts<'_>) -> u64 {
        let total = parts.total;
        let heads: u64 = parts.map(|part| self.part_head_len(part) as u64).sum();
        total + heads + (BOUNDARY + "\r\n----\r\n".len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts, or the status.
    type Read = Result<&'static [(u64, u64)], u16>;

    fn check(header: &str, whole: u64, max: u32, want: Read) {
        let found = match parse(header.as_bytes(), whole, max) {
            Ranges::Whole => Err(200),
            Ranges::Unsatisfiable => Err(416),
            Ranges::Parts(parts) => {
                let all: Vec<(u64, u64)> = parts.clone().map(|p| (p.start, p.end)).collect();
                assert_eq!(all.len(), parts.count as usize, "{header}");
                assert_eq!(all.iter().map(|p| p.1 - p.0).sum::<u64>(), parts.total, "{header}");
                Ok(all)
            }
        };
        assert_eq!(found, want.map(<[_]>::to_vec), "{header} of {whole}");
    }

    #[test]
    fn ranges_of_a_hundred_bytes() {
        let cases: &[(&str, Read)] = &[
            ("bytes=0-9", Ok(&[(0, 10)])),
            ("Bytes=0-9", Ok(&[(0, 10)])),
            ("bytes=90-", Ok(&[(90, 100)])),
            ("bytes=90-200", Ok(&[(90, 100)])),
            ("bytes=-5", Ok(&[(95, 100)])),
            ("bytes=-500", Ok(&[(0, 100)])),
            ("bytes=99-99", Ok(&[(99, 100)])),
            ("bytes= 0 - 9 , 20 - , -1", Ok(&[(0, 10), (20, 100), (99, 100)])),
            ("bytes=0-0,100-,5-5", Ok(&[(0, 1), (5, 6)])),
            ("bytes=0-9223372036854775807", Ok(&[(0, 100)])),
            ("bytes=0-9223372036854775808", Err(416)),
            ("bytes=99999999999999999999-", Err(416)),
            ("bytes=100-", Err(416)),
            ("bytes=5-4", Err(416)),
            ("bytes=-0", Err(416)),
            ("bytes=-", Err(416)),
            ("bytes=a-b", Err(416)),
            ("bytes=1", Err(416)),
            ("bytes=1-2x", Err(416)),
            ("bytes=0-1,", Err(416)),
            ("bytes=,0-1", Err(416)),
            ("bytes=0-1 2-3", Err(416)),
            ("bytes=--1", Err(416)),
            ("bytes=0x1-2", Err(416)),
            ("bytes=", Err(200)),
            ("lines=0-1", Err(200)),
            ("bytes 0-1", Err(200)),
            ("bytes=0-,0-0", Err(200)),
            ("bytes=0-50,40-99", Err(200)),
        ];
        for &(header, want) in cases {
            check(header, 100, u32::MAX, want);
        }
    }

    #[test]
    fn edges() {
        check("bytes=0-", 0, 9, Err(200));
        check("bytes=-5", 0, 9, Err(200));
        check("bytes=1-", 0, 9, Err(416));
        check("bytes=0-0,1-1", 100, 1, Err(200));
        check("bytes=0-0,200-,1-1", 100, 2, Ok(&[(0, 1), (1, 2)]));
        check("bytes=0-0", 100, 0, Err(200));
        let huge = i64::MAX as u64;
        check("bytes=0-,0-,0-", huge, 9, Err(416));
        let many = |count| format!("bytes={}", ["0-0"; 99][..count].join(","));
        check(&many(16), 100, 99, Ok(&[(0, 1); 16]));
        check(&many(17), 100, 99, Err(200));
        check(&many(17), 1100, 99, Ok(&[(0, 1); 17]));
    }

    #[test]
    fn framing_and_its_length() {
        let mut room = [0; 1024];
        for content_type in ["text/plain", "text/html; charset=utf-8", ""] {
            let whole = 1234;
            let Ranges::Parts(parts) = parse(b"bytes=0-9,100-999", whole, 9) else { panic!() };
            let multipart = Multipart { boundary: 7, content_type: content_type.as_bytes(), whole };
            let mut out = Writer::new(&mut room);
            for part in parts.clone() {
                multipart.put_part_head(part, &mut out);
            }
            multipart.put_end(&mut out);
            assert_eq!(out.len() as u64 + parts.total, multipart.len(parts));
            assert!(!out.overflowed());
        }
        let text = "\r\n--00000000000000000007\r\nContent-Range: bytes 0-9/1234\r\n\r\n";
        assert!(room.starts_with(text.as_bytes()));
        let least = Multipart { boundary: 0, content_type: b"", whole: 1 };
        assert_eq!(least.part_head_len(Part { start: 0, end: 1 }) as u64, LEAST_PART_HEAD);
    }

    #[test]
    fn garbage_never_panics() {
        const BYTES: &[u8] = b"0159-, x\x80=";
        let mut state = 88_172_645_463_325_252u64;
        for _ in 0..20_000 {
            let mut header = b"bytes=".to_vec();
            for _ in 0..state % 30 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                header.push(BYTES[(state >> 9) as usize % BYTES.len()]);
            }
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d) | 1;
            for whole in [0, 1, 100, i64::MAX as u64] {
                if let Ranges::Parts(parts) = parse(&header, whole, 7) {
                    assert!(parts.count > 0 && parts.total <= whole);
                    assert!(parts.clone().all(|p| p.start < p.end && p.end <= whole));
                    assert_eq!(parts.clone().count(), parts.count as usize);
                }
            }
        }
    }
}
