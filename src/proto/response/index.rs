//! Where the lines of a head are, so that who wants them all need not look for them again.
use super::{Field, Known};
use crate::proto::span::Span;

/// Lines that are noted; those behind them have to be looked for.
const NOTED: usize = 16;

/// The places of the first lines that are handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    places: [Place; NOTED],
    len: u8,
    /// Where the first line begins that has not been noted.
    pub(super) end: u32,
}

/// Offsets of a line's parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    name: u16,
    name_end: u16,
    value: u16,
    value_end: u16,
    pub(super) known: Option<Known>,
}

impl Index {
    /// Notes the line `start..end`, unless one before it could not be; `known` is `None` for
    /// a line that is left out.
    #[inline(always)]
    pub(super) fn note(
        &mut self,
        (start, end): (usize, usize),
        name_len: usize,
        value: Span,
        known: Option<Option<Known>>,
    ) {
        if self.end as usize != start {
            return;
        }
        if let Some(known) = known {
            let Some(place) = self.places.get_mut(usize::from(self.len)) else { return };
            if end > usize::from(u16::MAX) {
                return;
            }
            *place = Place {
                name: start as u16,
                name_end: (start + name_len) as u16,
                value: value.start as u16,
                value_end: value.end as u16,
                known,
            };
            self.len += 1;
        }
        self.end = end as u32;
    }

    #[inline(always)]
    pub(super) fn places(&self) -> &[Place] {
        self.places.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Place {
    #[inline(always)]
    pub(super) fn field(self, buffer: &[u8]) -> Field<'_> {
        let of = |start: u16, end: u16| {
            buffer.get(usize::from(start)..usize::from(end)).unwrap_or_default()
        };
        let (name, value) = (of(self.name, self.name_end), of(self.value, self.value_end));
        Field { name, value, known: self.known }
    }
}

#[cfg(test)]
mod tests {
    use crate::proto::response::{Head, Outcome, Rules};

    /// Lines behind those that are noted are looked for: nobody sees the difference.
    #[test]
    fn many_lines_are_as_few() {
        for count in 0..40 {
            for left_out in [usize::MAX, 0, 3, 14, 15, 16, 30] {
                check(count, left_out, 5);
                check(count, left_out, 70_000);
            }
        }
    }

    /// A head of so many lines, with some in their midst that are left out, and one as long.
    fn check(count: usize, left_out: usize, long: usize) {
        let mut text = "HTTP/1.1 200 OK\r\nDate: first\r\n".to_owned();
        let mut want = vec!["Date=first".to_owned()];
        for line in 0..count {
            if line == left_out {
                text += "Date: again\r\nbad(name: x\r\n";
                continue;
            }
            let value = "v".repeat(if line == 5 { long } else { line });
            text += &format!("X-{line}:  {value} \r\n");
            want.push(format!("X-{line}={value}"));
        }
        text += "\r\n";
        let mut head = Head::default();
        let rules = Rules { size: 1 << 20, ..Rules::default() };
        assert_eq!(head.parse(text.as_bytes(), &rules), Outcome::Done);
        let show = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
        let fields = head.fields(text.as_bytes());
        let fields = fields.map(|field| format!("{}={}", show(field.name), show(field.value)));
        assert_eq!(fields.collect::<Vec<_>>(), want, "{count} {left_out}");
        let lines: Vec<&[u8]> = head.left_out(text.as_bytes()).collect();
        let want = [&b"Date: again"[..], b"bad(name: x"];
        assert_eq!(lines, if left_out < count { &want[..] } else { &[] });
    }
}
