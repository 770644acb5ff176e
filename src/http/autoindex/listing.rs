//! The forms of a listing, byte for byte as nginx has them.

use super::Entry;
use crate::text::date::{self, Calendar};
use crate::text::escape;
use crate::text::writer::Writer;
use std::io::Write as _;

/// Names that are longer lose their end.
const NAME_MOST: usize = 50;

/// A page for people.
pub struct Html {
    /// Names are counted in characters, not bytes.
    pub utf8: bool,
    /// Sizes in bytes, not in K, M and G.
    pub exact: bool,
    /// Seconds that the dates are ahead of UTC.
    pub offset: i64,
}

impl Html {
    pub fn page(&self, uri: &[u8], entries: &[Entry]) -> Vec<u8> {
        let mut out = b"<html>\r\n<head><title>Index of ".to_vec();
        put_html(&mut out, uri);
        out.extend(b"</title></head>\r\n<body>\r\n<h1>Index of ");
        put_html(&mut out, uri);
        out.extend(b"</h1><hr><pre><a href=\"../\">../</a>\r\n");
        entries.iter().for_each(|entry| self.put_line(&mut out, entry));
        out.extend(b"</pre><hr></body>\r\n</html>\r\n");
        out
    }

    fn put_line(&self, out: &mut Vec<u8>, entry: &Entry) {
        out.extend(b"<a href=\"");
        put_uri(out, &entry.name);
        out.extend(if entry.is_directory { b"/\">".as_slice() } else { b"\">" });
        let (shown, count) = self.shown(&entry.name);
        put_html(out, shown);
        if count > NAME_MOST {
            out.extend(b"..&gt;</a>");
        } else {
            let slash = entry.is_directory && count < NAME_MOST;
            out.extend(if slash { b"/</a>".as_slice() } else { b"</a>" });
            out.resize(out.len() + NAME_MOST - count - usize::from(slash), b' ');
        }
        out.push(b' ');
        put_date(out, entry.mtime + self.offset);
        self.put_size(out, entry);
        out.extend(b"\r\n");
    }

    /// What is shown of a name, and how long it is.
    fn shown<'n>(&self, name: &'n [u8]) -> (&'n [u8], usize) {
        const CUT: usize = NAME_MOST - 3;
        let text = std::str::from_utf8(name).ok().filter(|_| self.utf8);
        let count = text.map_or(name.len(), |text| text.chars().count());
        if count <= NAME_MOST {
            return (name, count);
        }
        let end = match text {
            Some(text) => text.char_indices().nth(CUT).map_or(name.len(), |(at, _)| at),
            None => CUT,
        };
        (name.get(..end).unwrap_or(name), count)
    }

    fn put_size(&self, out: &mut Vec<u8>, entry: &Entry) {
        let size = match (entry.is_directory, self.exact) {
            (true, _) => "-".to_string(),
            (false, true) => entry.size.to_string(),
            (false, false) => rounded(entry.size),
        };
        let width = if self.exact { 19 } else { 7 };
        put(out, format_args!("{size:>width$}"));
    }
}

/// At most four digits and a unit, or none.
fn rounded(size: u64) -> String {
    let halves = |unit: u64, letter| {
        let rounded = size / unit + u64::from(size % unit > unit / 2 - 1);
        format!("{rounded}{letter}")
    };
    match size {
        0x4000_0000.. => halves(1 << 30, "G"),
        0x10_0000.. => halves(1 << 20, "M"),
        10_000.. => halves(1 << 10, "K"),
        _ => size.to_string(),
    }
}

fn put_date(out: &mut Vec<u8>, mtime: i64) {
    let log = date::log(&Calendar::utc(mtime), 0);
    // 28/Sep/1970:12:00:00 +0000
    let [day, month, year, hour, minute] =
        [0..2, 3..6, 7..11, 12..14, 15..17].map(|part| log.get(part).unwrap_or_default());
    out.extend([day, b"-", month, b"-", year, b" ", hour, b":", minute, b" "].concat());
}

/// JSON; a call of `callback` with it, unless that is empty.
pub fn json(entries: &[Entry], callback: &[u8]) -> Vec<u8> {
    let mut out = match callback {
        b"" => b"[".to_vec(),
        callback => [b"/* callback */\r\n", callback, b"(["].concat(),
    };
    for (i, entry) in entries.iter().enumerate() {
        out.extend(if i > 0 { b",".as_slice() } else { b"" });
        out.extend(b"\r\n{ \"name\":\"");
        put_json(&mut out, &entry.name);
        let kind = kind(entry);
        let mtime = date::http(entry.mtime);
        let mtime = String::from_utf8_lossy(&mtime);
        put(&mut out, format_args!("\", \"type\":\"{kind}\", \"mtime\":\"{mtime}\""));
        if entry.is_file {
            put(&mut out, format_args!(", \"size\":{}", entry.size));
        }
        out.extend(b" }");
    }
    out.extend(b"\r\n]");
    out.extend(if callback.is_empty() { b"".as_slice() } else { b");" });
    out
}

pub fn xml(entries: &[Entry]) -> Vec<u8> {
    let mut out = b"<?xml version=\"1.0\"?>\r\n<list>\r\n".to_vec();
    for entry in entries {
        let kind = kind(entry);
        let mtime = date::iso(&Calendar::utc(entry.mtime), 0);
        let mtime = String::from_utf8_lossy(mtime.get(..19).unwrap_or_default()).into_owned();
        put(&mut out, format_args!("<{kind} mtime=\"{mtime}Z\""));
        if entry.is_file {
            put(&mut out, format_args!(" size=\"{}\"", entry.size));
        }
        out.push(b'>');
        put_html(&mut out, &entry.name);
        put(&mut out, format_args!("</{kind}>\r\n"));
    }
    out.extend(b"</list>\r\n");
    out
}

fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry { is_directory: true, .. } => "directory",
        Entry { is_file: true, .. } => "file",
        _ => "other",
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    let _ = out.write_fmt(text);
}

fn put_html(out: &mut Vec<u8>, text: &[u8]) {
    escaped(out, escape::html_len(text), |out| escape::html(text, out));
}

fn put_uri(out: &mut Vec<u8>, text: &[u8]) {
    const KIND: escape::Uri = escape::Uri::Component;
    escaped(out, escape::uri_len(text, KIND), |out| escape::uri(text, KIND, out));
}

fn put_json(out: &mut Vec<u8>, text: &[u8]) {
    escaped(out, escape::json_len(text), |out| escape::json(text, out));
}

fn escaped(out: &mut Vec<u8>, len: usize, write: impl FnOnce(&mut Writer<'_>)) {
    let at = out.len();
    out.resize(at + len, 0);
    write(&mut Writer::new(&mut out[at..]));
}
