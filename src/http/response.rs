//! The head of an answer: what filters make of it, and how it is written.

use super::conf::Location;
use super::core::ServerTokens;
use super::request::Request;
use super::step::Target;
use crate::mem::buffers::Scratch;
use crate::proto::range::{self, Part};
use crate::proto::status;
use crate::text::writer::Writer;
use crate::text::{ascii, date, number, scan};
use crate::time;
use std::cell::Cell;

const NAME: &str = concat!("limpet/", env!("CARGO_PKG_VERSION"));
const BARE_NAME: &str = "limpet";

/// What differs from answer to answer.
#[derive(Default)]
pub struct Response<'r> {
    pub status: u16,
    /// Status and reason as an upstream has sent them; empty: the usual words.
    pub status_line: &'r [u8],
    /// There are lines of an upstream in the place of ours.
    pub has_date: bool,
    pub has_server: bool,
    /// `early` says when it was modified last, and how it is coded.
    pub modified_line: bool,
    pub is_coded: bool,
    /// Empty: there is none.
    pub content_type: &'r [u8],
    /// Told behind the content type; empty: not told.
    pub charset: &'r [u8],
    /// What was to be told cannot be: there is no body.
    pub refused: bool,
    /// Of the body, if it is known before it is sent.
    pub length: Option<u64>,
    /// The body goes out in chunks.
    pub chunked: bool,
    /// Seconds since 1970.
    pub last_modified: Option<i64>,
    pub etag: &'r [u8],
    /// The body is in gzip's coding already.
    pub compressed: bool,
    /// How many hundredths of its length the body had before; 0: nobody knows.
    pub ratio: u32,
    /// Empty: as it is.
    pub content_encoding: &'static [u8],
    /// `Vary: Accept-Encoding`
    pub vary: bool,
    pub accept_ranges: bool,
    /// A part of so many bytes.
    pub content_range: Option<&'r (Part, u64)>,
    /// Lines that phases have added before there was content.
    pub early: Lines<'r>,
    /// Lines that filters have added.
    pub late: Lines<'r>,
    /// What follows the last chunk.
    pub trailers: Lines<'r>,
}

/// A header line.
pub struct Line<'r> {
    pub name: &'r [u8],
    pub value: Cell<&'r [u8]>,
    /// It was taken back.
    gone: Cell<bool>,
    /// It is known to keep to its line.
    safe: Cell<bool>,
    next: Cell<Option<&'r Line<'r>>>,
}

/// Header lines in the order they were added.
#[derive(Clone, Copy, Default)]
pub struct Lines<'r> {
    ends: Option<(&'r Line<'r>, &'r Line<'r>)>,
}

impl<'r> Lines<'r> {
    /// Adds a line; `None` when there is no room for it.
    pub fn add(&mut self, scratch: &'r Scratch, name: &'r [u8], value: &'r [u8]) -> Option<()> {
        self.push(scratch, (name, value), false)
    }

    /// The same for one that came as a line of a head that has been understood.
    pub fn add_parsed(
        &mut self,
        scratch: &'r Scratch,
        name: &'r [u8],
        value: &'r [u8],
    ) -> Option<()> {
        self.push(scratch, (name, value), true)
    }

    #[inline(always)]
    fn push(
        &mut self,
        scratch: &'r Scratch,
        (name, value): (&'r [u8], &'r [u8]),
        is_safe: bool,
    ) -> Option<()> {
        let (value, gone, safe) = (Cell::new(value), Cell::new(false), Cell::new(is_safe));
        let line = Line { name, value, gone, safe, next: Cell::new(None) };
        let line = scratch.place(line)?;
        self.ends = match self.ends {
            None => Some((line, line)),
            Some((first, last)) => {
                last.next.set(Some(line));
                Some((first, line))
            }
        };
        Some(())
    }

    pub fn iter(&self) -> impl Iterator<Item = &'r Line<'r>> + use<'r> {
        std::iter::successors(self.ends.map(|(first, _)| first), |line| line.next.get())
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// The value of the first line of this name.
    pub fn find(&self, name: &[u8]) -> Option<&'r [u8]> {
        self.line(name).map(|line| line.value.get())
    }

    /// The first line of this name.
    #[inline(always)]
    pub fn line(&self, name: &[u8]) -> Option<&'r Line<'r>> {
        self.iter().find(|line| ascii::eq_ignore_case(line.name, name))
    }

    /// Puts a value in the place of what the first line of this name has; the others go.
    /// False: there is none.
    pub fn replace(&self, name: &[u8], value: &'r [u8]) -> bool {
        let Some(first) = self.line(name) else { return false };
        self.remove(name);
        first.gone.set(false);
        first.safe.set(false);
        first.value.set(value);
        true
    }

    /// Leaves out all lines of this name.
    pub fn remove(&self, name: &[u8]) {
        let own = self.iter().filter(|line| ascii::eq_ignore_case(line.name, name));
        own.for_each(|line| {
            line.gone.set(true);
            line.value.set(b"");
        });
    }

    /// Whether they can be written: no line breaks out of itself.
    #[inline(always)]
    pub fn are_safe(&self) -> bool {
        for line in self.iter() {
            if !(line.safe.get() || is_safe(line.name) && is_safe(line.value.get())) {
                return false;
            }
        }
        true
    }

    pub fn put(&self, out: &mut Writer<'_>) {
        for line in self.iter().filter(|line| !line.gone.get()) {
            out.put_field(line.name, line.value.get());
        }
    }
}

impl<'r> Response<'r> {
    /// The value of the first line of this name, whoever has said it.
    pub fn find(&self, name: &[u8]) -> Option<&'r [u8]> {
        self.early.find(name).or_else(|| self.late.find(name))
    }

    /// The content type without what is said beside it.
    pub fn media_type(&self) -> &'r [u8] {
        let mut parts = self.content_type.split(|byte| *byte == b';');
        parts.next().unwrap_or_default().trim_ascii_end()
    }
}

impl Response<'_> {
    /// The length of a body of ours; 204 has none.
    pub fn set_length(&mut self, length: usize) {
        self.length = (self.status != 204).then_some(length as u64);
    }

    /// What came from requests and configuration keeps to its line.
    pub fn is_safe(&self) -> bool {
        is_safe(self.content_type)
            && is_safe(self.charset)
            && is_safe(self.etag)
            && self.early.are_safe()
            && self.late.are_safe()
            && self.trailers.are_safe()
    }
}

#[inline(always)]
pub fn is_safe(text: &[u8]) -> bool {
    match scan::control(text) {
        None => true,
        Some(_) => !text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
    }
}

pub fn server_name(tokens: ServerTokens) -> &'static str {
    if tokens == ServerTokens::Off { BARE_NAME } else { NAME }
}

/// Writes the head, its lines in nginx's order.
pub fn put(request: &Request<'_>, out: &mut Writer<'_>) {
    let (core, response) = (&request.location.conf.core, &request.response);
    out.put(b"HTTP/1.1 ");
    if response.status_line.is_empty() || request.err_status != 0 {
        out.put(&number::three_digits(response.status));
        out.put(b" ");
        out.put(status::reason(response.status).as_bytes());
    } else {
        out.put(response.status_line);
    }
    if !response.has_server {
        out.put(b"\r\nServer: ");
        out.put(server_name(core.server_tokens).as_bytes());
    }
    if !response.has_date {
        out.put(b"\r\nDate: ");
        out.put(&time::http_date());
    }
    if !response.content_type.is_empty() {
        out.put(b"\r\nContent-Type: ");
        out.put(response.content_type);
        if !response.charset.is_empty() {
            out.put(b"; charset=");
            out.put(response.charset);
        }
    }
    if let Some(length) = response.length {
        out.put(b"\r\nContent-Length: ");
        out.put_u64(length);
    }
    if let Some(last_modified) = response.last_modified {
        out.put(b"\r\nLast-Modified: ");
        out.put(&date::http(last_modified));
    }
    let is_absolute = |to: &&Target<'_>| core.absolute_redirect && to.is_path();
    let absolute = request.moved.as_ref().filter(is_absolute);
    if absolute.is_some() {
        out.put(b"\r\nLocation: ");
        put_location(request, out);
    }
    if response.chunked {
        out.put(b"\r\nTransfer-Encoding: chunked");
    }
    match response.status {
        101 => out.put(b"\r\nConnection: upgrade"),
        _ => put_connection(request.location, request.keep_alive, out),
    }
    if response.vary {
        out.put(b"\r\nVary: Accept-Encoding");
    }
    out.put(b"\r\n");
    response.early.put(out);
    if request.moved.is_some() && absolute.is_none() {
        out.put(b"Location: ");
        put_location(request, out);
        out.put(b"\r\n");
    }
    put_entity(request, out);
    out.put(b"\r\n");
}

/// What becomes of the connection, with the line's end before it.
#[inline(always)]
pub fn put_connection(location: &Location, keep_alive: bool, out: &mut Writer<'_>) {
    if !keep_alive {
        return out.put(b"\r\nConnection: close");
    }
    out.put(b"\r\nConnection: keep-alive");
    let seconds = location.conf.core.keepalive_header;
    if seconds > 0 {
        out.put(b"\r\nKeep-Alive: timeout=");
        out.put_u64(seconds);
    }
}

/// What the content and the filters said, each line with its end.
fn put_entity(request: &Request<'_>, out: &mut Writer<'_>) {
    let response = &request.response;
    if !response.etag.is_empty() {
        out.put(b"ETag: ");
        out.put(response.etag);
        out.put(b"\r\n");
    }
    let coding = |out: &mut Writer<'_>| {
        if !response.content_encoding.is_empty() {
            out.put(b"Content-Encoding: ");
            out.put(response.content_encoding);
            out.put(b"\r\n");
        }
    };
    // What came with its coding says so before filters have their say.
    match request.precompressed {
        b"" => {
            response.late.put(out);
            coding(out);
        }
        _ => {
            coding(out);
            response.late.put(out);
        }
    }
    if let Some(size) = request.unsatisfied {
        out.put(b"Content-Range: ");
        range::put_unsatisfied(size, out);
        out.put(b"\r\n");
    }
    if response.accept_ranges {
        out.put(b"Accept-Ranges: bytes\r\n");
    }
    if let Some((part, size)) = response.content_range {
        out.put(b"Content-Range: ");
        range::put_content_range(*part, *size, out);
        out.put(b"\r\n");
    }
}

/// Where a redirect leads, as `Location` says it.
pub fn put_location(request: &Request<'_>, out: &mut Writer<'_>) {
    let Some(to) = &request.moved else { return };
    if request.location.conf.core.absolute_redirect && to.is_path() {
        put_origin(request, out);
    }
    match to {
        Target::Text(text) => out.put(text),
        Target::Directory => request.put_directory(out),
    }
}

/// What makes a path in `Location` absolute: scheme, host and port.
fn put_origin(request: &Request<'_>, out: &mut Writer<'_>) {
    let core = &request.location.conf.core;
    let (scheme, usual): (&[u8], _) =
        if request.site.ssl { (b"https://", 443) } else { (b"http://", 80) };
    out.put(scheme);
    let host = request.head.host.of(request.bytes);
    if core.server_name_in_redirect {
        out.put(&request.server.name);
    } else if !host.is_empty() {
        host.iter().for_each(|byte| out.put_byte(byte.to_ascii_lowercase()));
    } else {
        request.put_local_ip(out);
    }
    let port = request.site.addr.port();
    if core.port_in_redirect && port != usual && port != 0 {
        out.put(b":");
        out.put_u64(u64::from(port));
    }
}
