//! One line of the error log as a JSON object (`error_log … format=json`): limpet's own.
//!
//! `{"time":"…","level":"error","pid":12,"connection":34,"message":"open() \"/x\" failed",`
//! `"errno":2,"error":"No such file or directory","client":"…","server":"…","request":"…"}`
//!
//! It is always whole: what does not fit is cut inside its string, or left out.

use std::fmt::{self, Write};

use super::line::{Context, Entry, Field};
use crate::text::escape;
use crate::text::writer::Writer;
use crate::time;

/// Twice a plain line's: most bytes need no escape.
pub const MAX: usize = 4096;
/// Ends of a string that is cut, and of the object.
const END: usize = b"...\"}".len();

/// Writes the entry; the object without a newline.
pub fn render<'a>(entry: &Entry<'_>, pid: i32, room: &'a mut [u8; MAX]) -> &'a [u8] {
    let mut line = Line { out: Writer::new(room), cut: false };
    line.out.put(b"{\"time\":\"");
    line.out.put(&time::iso8601());
    line.out.put(b"\"");
    line.string("level", format_args!("{}", entry.level.name()));
    line.number("pid", pid.unsigned_abs().into());
    if entry.connection != 0 {
        line.number("connection", entry.connection);
    }
    let context = entry.context.filter(|_| entry.level != super::Level::Debug);
    let action = context.map_or("", Context::action);
    line.string("message", format_args!("{}{action}", entry.text));
    if let Some(errno) = entry.errno {
        line.number("errno", errno.0.unsigned_abs().into());
        line.string("error", format_args!("{}", errno.words()));
    }
    if let Some(context) = context {
        context.fields(&mut |Field { name, value, .. }| line.string(name, format_args!("{value}")));
    }
    line.out.put(b"}");
    let len = line.out.len();
    room.get(..len).unwrap_or_default()
}

struct Line<'a> {
    out: Writer<'a>,
    /// A string is full: the rest of it is left out.
    cut: bool,
}

impl Line<'_> {
    /// `,"name":`, if `more` bytes fit behind it.
    fn begin(&mut self, name: &str, more: usize) -> bool {
        let fits = self.out.left() >= name.len() + 4 + more + END;
        if fits {
            self.out.put(b",\"");
            self.out.put(name.as_bytes());
            self.out.put(b"\":");
        }
        fits
    }

    fn number(&mut self, name: &str, number: u64) {
        if self.begin(name, crate::text::number::DECIMAL) {
            self.out.put_u64(number);
        }
    }

    fn string(&mut self, name: &str, value: fmt::Arguments<'_>) {
        if !self.begin(name, 2) {
            return;
        }
        self.out.put(b"\"");
        self.cut = false;
        // It fails when the string is cut, and there is nothing else to do then.
        let _ = self.write_fmt(value);
        self.out.put(if self.cut { b"...\"" } else { b"\"" });
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            let mut room = [0; 4];
            let bytes = char.encode_utf8(&mut room).as_bytes();
            let is_control = char.is_control();
            let len = if is_control { 6 } else { escape::json_len(bytes) };
            if self.cut || self.out.left() < len + END {
                self.cut = true;
                return Err(fmt::Error);
            }
            match is_control {
                // Those above 0x7f and DEL too: terminals obey some of them.
                true => write!(self.out, "\\u{:04x}", u32::from(char))?,
                false => escape::json(bytes, &mut self.out),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;
    use crate::log::line::tests::Request;
    use crate::sys::Errno;

    fn rendered(entry: &Entry<'_>) -> String {
        let mut room = [0; MAX];
        let line = render(entry, 12, &mut room);
        let text = std::str::from_utf8(line).unwrap();
        let (begin, rest) = text.split_at(b"{\"time\":\"1970-01-01T00:00:00+00:00\"".len());
        assert!(begin.starts_with("{\"time\":\"") && begin.ends_with('"'), "{begin}");
        rest.to_string()
    }

    #[test]
    fn an_object_has_what_is_known() {
        let failed = Entry {
            level: Level::Error,
            connection: 34,
            errno: Some(Errno::ENOENT),
            text: format_args!("open() \"/x\n\" failed"),
            context: Some(&Request),
        };
        let expected = concat!(
            r#","level":"error","pid":12,"connection":34,"#,
            r#""message":"open() \"/x\u000a\" failed while reading","#,
            r#""errno":2,"error":"No such file or directory","#,
            r#""client":"127.0.0.1","request":"GET /\u001b HTTP/1.1"}"#
        );
        assert_eq!(rendered(&failed), expected);
        let debug = Entry { level: Level::Debug, connection: 0, errno: None, ..failed };
        let expected = r#","level":"debug","pid":12,"message":"open() \"/x\u000a\" failed"}"#;
        assert_eq!(rendered(&debug), expected);
    }

    #[test]
    fn what_is_too_long_is_still_an_object() {
        for len in MAX - 150..MAX + 10 {
            for letter in ["x", "\"", "\x01", "é"] {
                let text = letter.repeat(len / letter.len());
                let line = rendered(&Entry {
                    level: Level::Error,
                    connection: 0,
                    errno: Some(Errno::ENOENT),
                    text: format_args!("{text}"),
                    context: Some(&Request),
                });
                assert!(line.ends_with("\"}") || line.ends_with("2}"), "{line}");
                assert_eq!(line.replace("\\\"", "").matches('"').count() % 2, 0, "{line}");
            }
        }
    }
}
