//! One line of the error log, on the stack, in nginx's form:
//!
//! `2026/11/21 19:38:00 [error] 12#12: *34 text (2: No such file or directory), client: …`
//!
//! At most 2048 bytes with its newline (NGX_MAX_ERROR_STR). Whatever text says,
//! it stays one line: control bytes leave as `\xXX`, which nginx does not do.

use std::fmt::{self, Display, Write};

use super::Level;
use crate::sys::Errno;
use crate::text::scan;
use crate::time;

pub const MAX: usize = 2048;

/// What there is to say.
pub struct Entry<'a> {
    pub level: Level,
    /// `*N`; 0 is none.
    pub connection: u64,
    pub errno: Option<Errno>,
    pub text: fmt::Arguments<'a>,
    /// `, client: …, server: …`, left out of debug lines as in nginx.
    pub context: Option<&'a dyn Context>,
}

/// What an entry is about.
pub trait Context {
    /// What was being done: ` while reading client request line`, or nothing.
    fn action(&self) -> &str;

    /// Gives each field to `put`, in nginx's order.
    fn fields(&self, put: &mut dyn FnMut(Field<'_>));
}

pub struct Field<'a> {
    pub name: &'static str,
    pub value: &'a dyn Display,
    /// In quotes, where it is not in quotes anyway.
    pub quoted: bool,
}

/// A rendered entry.
pub struct Line {
    bytes: [u8; MAX],
    len: usize,
    /// Where the connection and the text begin, after `pid#tid: `.
    message: usize,
}

impl Line {
    /// In its only caller, which otherwise would get a copy.
    #[inline(always)]
    pub fn render(entry: &Entry<'_>, pid: i32) -> Line {
        let mut line = Line { bytes: [0; MAX], len: 0, message: 0 };
        line.put(&time::error_date());
        // Nothing below can fail: what does not fit is cut.
        let _ = write!(line, " [{}] {pid}#{pid}: ", entry.level.name());
        line.message = line.len;
        if entry.connection != 0 {
            let _ = write!(line, "*{} ", entry.connection);
        }
        let _ = line.write_fmt(entry.text);
        if let Some(errno) = entry.errno {
            line.put_errno(errno);
        }
        if let Some(context) = entry.context.filter(|_| entry.level != Level::Debug) {
            line.put_context(context);
        }
        line
    }

    fn put_context(&mut self, context: &dyn Context) {
        // Nothing can fail, as above.
        let _ = self.write_str(context.action());
        context.fields(&mut |Field { name, value, quoted }| {
            let _ = match quoted {
                true => write!(self, ", {name}: \"{value}\""),
                false => write!(self, ", {name}: {value}"),
            };
        });
    }

    /// The whole line, without a newline.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Without date, level and pid: what stderr shows after `limpet: [emerg] `.
    pub fn message(&self) -> &[u8] {
        &self.bytes[self.message..self.len]
    }

    /// The reason of a failure is never cut: the text makes room for it.
    fn put_errno(&mut self, errno: Errno) {
        const ROOM: usize = 50;
        if self.len > MAX - 1 - ROOM {
            self.len = MAX - 1 - ROOM;
            self.put(b"...");
        }
        let _ = write!(self, " ({errno})");
    }

    fn put(&mut self, bytes: &[u8]) {
        let room = &mut self.bytes[self.len..MAX - 1];
        let n = bytes.len().min(room.len());
        room[..n].copy_from_slice(&bytes[..n]);
        self.len += n;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // As in `Shown`.
        if scan::is_plain(text.as_bytes()) {
            self.put(text.as_bytes());
            return Ok(());
        }
        // Those above ASCII too: terminals obey some of them.
        for part in text.split_inclusive(char::is_control) {
            let plain = part.trim_end_matches(char::is_control);
            self.put(plain.as_bytes());
            part[plain.len()..].bytes().for_each(|byte| self.put(&escaped(byte)));
        }
        Ok(())
    }
}

fn escaped(byte: u8) -> [u8; 4] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    [b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::text::escape::Shown;

    fn check(entry: &Entry<'_>, expected: &str) {
        let line = Line::render(entry, 12);
        let text = std::str::from_utf8(line.bytes()).unwrap();
        assert_eq!(&text[20..], expected);
        assert!(text[20..].ends_with(std::str::from_utf8(line.message()).unwrap()));
    }

    /// A context for tests.
    pub struct Request;

    impl Context for Request {
        fn action(&self) -> &str {
            " while reading"
        }

        fn fields(&self, put: &mut dyn FnMut(Field<'_>)) {
            put(Field { name: "client", value: &"127.0.0.1", quoted: false });
            put(Field { name: "request", value: &"GET /\u{1b} HTTP/1.1", quoted: true });
        }
    }

    const PLAIN: Entry<'static> = Entry {
        level: Level::Notice,
        connection: 0,
        errno: None,
        text: format_args!("start worker processes"),
        context: None,
    };

    #[test]
    fn the_form_is_that_of_nginx() {
        check(&PLAIN, "[notice] 12#12: start worker processes");
        let failed = Entry {
            level: Level::Error,
            connection: 34,
            errno: Some(Errno::ENOENT),
            text: format_args!("open() \"/x\" failed"),
            context: Some(&Request),
        };
        check(
            &failed,
            "[error] 12#12: *34 open() \"/x\" failed (2: No such file or directory) \
             while reading, client: 127.0.0.1, request: \"GET /\\x1B HTTP/1.1\"",
        );
        let debug = Entry { level: Level::Debug, errno: None, ..failed };
        check(&debug, "[debug] 12#12: *34 open() \"/x\" failed");
    }

    #[test]
    fn one_entry_is_one_line() {
        let hostile = Entry { text: format_args!("a\nb\x1b[0m\x7fé"), ..PLAIN };
        check(&hostile, "[notice] 12#12: a\\x0Ab\\x1B[0m\\x7Fé");
        let above = Entry { text: format_args!("a\u{9b}31m"), ..PLAIN };
        check(&above, "[notice] 12#12: a\\xC2\\x9B31m");
        let bytes = Entry { text: format_args!("{}", Shown(b"a\xff\nb")), ..PLAIN };
        check(&bytes, "[notice] 12#12: a\\xFF\\x0Ab");
    }

    #[test]
    fn a_long_text_is_cut_and_its_errno_is_not() {
        let long = "x".repeat(5000);
        let line = Line::render(&Entry { text: format_args!("{long}"), ..PLAIN }, 1);
        assert_eq!(line.bytes().len(), MAX - 1);
        let failed = Entry { text: format_args!("{long}"), errno: Some(Errno::EILSEQ), ..PLAIN };
        let line = Line::render(&failed, 1);
        let text = std::str::from_utf8(line.bytes()).unwrap();
        assert!(text.ends_with("x... (84: Invalid or incomplete multibyte or wide c"), "{text}");
    }
}
