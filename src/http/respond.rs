//! Sending an answer: its head, its body, and what is counted of both.

use super::core::ServerTokens;
use super::file_cache::{Contents, File, ReadyHead};
use super::output::{Output, copy_file, send_file};
use super::request::Request;
use super::step::{Answer, Part as Wanted, Target};
use crate::log::Level;
use crate::proto::range::{self, Multipart, Part};
use crate::proto::request::{Known, Version};
use crate::proto::status;
use crate::sys::errno::Result;
use crate::text::date;
use crate::text::escape::Shown;
use crate::text::writer::Writer;
use crate::time;
use std::rc::Rc;

const NAME: &str = concat!("limpet/", env!("CARGO_PKG_VERSION"));
const BARE_NAME: &str = "limpet";
const HTTP_DATE: usize = date::HTTP;

/// The lines of a head that differ from answer to answer, in the order they leave.
#[derive(Default)]
struct Lines<'a> {
    status: u16,
    content_type: Option<ContentType<'a>>,
    length: Option<u64>,
    last_modified: Option<&'a [u8]>,
    etag: Option<&'a [u8]>,
    accept_ranges: bool,
    /// A part of so many bytes.
    content_range: Option<(Part, u64)>,
}

/// A content type, made or found.
#[derive(Clone, Copy)]
enum ContentType<'a> {
    Is(&'a [u8]),
    Multipart(&'a Multipart<'a>),
}

/// Sends `answer`. An error means that the connection can only be closed.
///
/// Cancellation: the answer is cut off; the connection must be closed.
pub async fn send(
    request: &mut Request<'_>,
    answer: &Answer<'_>,
    output: &mut Output,
) -> Result<()> {
    request.conn.set_nodelay(request.location.conf.core.tcp_nodelay);
    match answer {
        Answer::Close { status } => {
            request.keep_alive = false;
            request.status = request.status_of(*status);
            Ok(())
        }
        Answer::File { file, part } => send_file_answer(request, file, part, output).await,
        Answer::NotModified(file) => {
            let lines = Lines {
                status: 304,
                last_modified: file.as_ref().map(|file| &file.last_modified[..]),
                etag: file
                    .as_ref()
                    .filter(|_| request.location.conf.core.etag)
                    .map(|file| &*file.etag),
                ..Lines::default()
            };
            write_head(request, &lines, output);
            Ok(())
        }
        Answer::Text { status, text } => send_text(request, *status, text, output).await,
        Answer::Page { status } => {
            send_page(request, *status, output);
            Ok(())
        }
    }
}

async fn send_file_answer(
    request: &mut Request<'_>,
    file: &File,
    part: &Wanted<'_>,
    output: &mut Output,
) -> Result<()> {
    let size = file.stat.size;
    if put_ready_head(request, file, part, output) {
        return send_contents(request, file, Part { start: 0, end: size }, output).await;
    }
    let core = &request.location.conf.core;
    let content_type = request.content_type();
    let status = request.status_of(200);
    let bare = status == 204;
    let mut lines = Lines {
        status,
        content_type: (!bare).then_some(ContentType::Is(content_type)),
        length: (!bare).then_some(size),
        last_modified: matches!(status, 200 | 206 | 304).then_some(&file.last_modified),
        etag: core.etag.then_some(&file.etag),
        accept_ranges: status == 200 && core.max_ranges > 0,
        ..Lines::default()
    };
    let Wanted::Ranges(parts) = part else {
        let before = output.len();
        write_head(request, &lines, output);
        keep_head(request, file, output.tail(before));
        return send_contents(request, file, Part { start: 0, end: size }, output).await;
    };
    lines.status = 206;
    lines.accept_ranges = false;
    let mut ranges = parts.clone();
    if parts.count == 1
        && let Some(range) = ranges.next()
    {
        lines.length = Some(range.len());
        lines.content_range = Some((range, size));
        write_head(request, &lines, output);
        return send_contents(request, file, range, output).await;
    }
    let boundary = request.worker.boundary();
    let multipart = Multipart { boundary, content_type, whole: size };
    lines.length = Some(multipart.len(ranges.clone()));
    lines.content_type = Some(ContentType::Multipart(&multipart));
    write_head(request, &lines, output);
    if request.head_only() {
        return Ok(());
    }
    for range in ranges {
        make_room(request, output).await?;
        put_counted(request, output, |out| multipart.put_part_head(range, out));
        send_contents(request, file, range, output).await?;
    }
    make_room(request, output).await?;
    put_counted(request, output, |out| multipart.put_end(out));
    Ok(())
}

/// Writes the head that an earlier answer left, if it is the one for this request.
fn put_ready_head(
    request: &mut Request<'_>,
    file: &File,
    part: &Wanted<'_>,
    output: &mut Output,
) -> bool {
    let ready = file.ready.borrow();
    let Some(ready) = &*ready else { return false };
    let usual = request.keep_alive
        && request.err_status == 0
        && !request.body_only()
        && request.unsatisfied.is_none()
        && request.moved.is_none()
        && matches!(part, Wanted::Whole)
        && Rc::ptr_eq(&ready.location, request.location);
    if !usual {
        return false;
    }
    request.status = 200;
    output.write(|out| {
        let (before, rest) = ready.head.split_at(ready.date_at);
        out.put(before);
        out.put(&time::http_date());
        out.put(rest.get(HTTP_DATE..).unwrap_or_default());
    })
}

/// Keeps the head of a usual answer for the next one.
fn keep_head(request: &Request<'_>, file: &File, head: &[u8]) {
    const BEFORE: &[u8] = b"\r\nDate: ";
    let usual = request.keep_alive
        && request.status == 200
        && request.err_status == 0
        && request.unsatisfied.is_none()
        && request.moved.is_none()
        && !request.body_only();
    let date = head.windows(BEFORE.len()).position(|window| window == BEFORE);
    if let (true, Some(date)) = (usual, date) {
        let location = Rc::clone(request.location);
        let date_at = date + BEFORE.len();
        file.ready.replace(Some(ReadyHead { location, head: head.into(), date_at }));
    }
}

async fn make_room(request: &Request<'_>, output: &mut Output) -> Result<()> {
    if output.has_room() {
        return Ok(());
    }
    output.flush(&request.conn.io, request.location.conf.core.send_timeout, true).await
}

/// Writes a piece of the body that is made here.
fn put_counted(
    request: &mut Request<'_>,
    output: &mut Output,
    write: impl FnOnce(&mut Writer<'_>),
) {
    let before = output.len();
    output.write(write);
    request.body_sent += (output.len() - before) as u64;
}

/// Sends a part of a file, if bodies are to be sent at all.
async fn send_contents(
    request: &mut Request<'_>,
    file: &File,
    part: Part,
    output: &mut Output,
) -> Result<()> {
    let len = part.len();
    if request.head_only() || len == 0 {
        return Ok(());
    }
    let (io, timeout) = (&request.conn.io, request.location.conf.core.send_timeout);
    match &file.contents {
        Contents::Bytes(bytes) => {
            let range = part.start as usize..part.end as usize;
            let bytes = bytes.get(range).unwrap_or_default();
            output.body(io, bytes, timeout).await?;
        }
        Contents::Descriptor(fd) => {
            let core = &request.location.conf.core;
            let sent = if core.sendfile {
                output.flush(io, timeout, true).await?;
                send_file(io, fd, (part.start, len), core.sendfile_max_chunk, timeout).await
            } else {
                copy_file(io, fd, (part.start, len), output, timeout).await
            };
            sent?;
        }
    }
    request.body_sent += len;
    Ok(())
}

async fn send_text(
    request: &mut Request<'_>,
    status: u16,
    text: &[u8],
    output: &mut Output,
) -> Result<()> {
    let status = request.status_of(status);
    let bare = status == 204;
    let lines = Lines {
        status,
        content_type: (!bare).then_some(ContentType::Is(request.content_type())),
        length: (!bare).then_some(text.len() as u64),
        ..Lines::default()
    };
    write_head(request, &lines, output);
    if request.head_only() {
        return Ok(());
    }
    let timeout = request.location.conf.core.send_timeout;
    output.body(&request.conn.io, text, timeout).await?;
    request.body_sent += text.len() as u64;
    Ok(())
}

/// A built-in page.
fn send_page(request: &mut Request<'_>, status: u16, output: &mut Output) {
    let core = &request.location.conf.core;
    let server = server_name(core.server_tokens);
    let agent = request.header(Known::UserAgent);
    let padded = core.msie_padding
        && status >= 400
        && request.head.version >= Version::V10
        && agent.is_some_and(status::wants_padding);
    let page = status::page(status);
    let lines = Lines {
        status: request.status_of(status::sent(status)),
        content_type: page.map(|_| ContentType::Is(b"text/html")),
        length: Some(page.map_or(0, |page| status::page_len(page, server, padded) as u64)),
        ..Lines::default()
    };
    write_head(request, &lines, output);
    if let Some(page) = page
        && !request.head_only()
    {
        put_counted(request, output, |out| status::put_page(page, server, padded, out));
    }
}

fn server_name(tokens: ServerTokens) -> &'static str {
    if tokens == ServerTokens::Off { BARE_NAME } else { NAME }
}

/// Writes a head. What does not fit, or would break its lines, becomes an empty 500
/// that closes the connection: a head is never cut, nor carries bytes it must not.
fn write_head(request: &mut Request<'_>, lines: &Lines<'_>, output: &mut Output) {
    request.status = lines.status;
    if request.body_only() {
        return;
    }
    let safe = request.moved.as_ref().is_none_or(|to| match to {
        Target::Text(text) => !text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
        Target::Directory => true,
    });
    if safe && output.write(|out| put_head(request, lines, out)) {
        return;
    }
    let uri = Shown(request.uri);
    request.log(Level::Alert, None, format_args!("the answer's head cannot be sent: \"{uri}\""));
    request.keep_alive = false;
    (request.status, request.moved) = (500, None);
    let lines = Lines { status: 500, length: Some(0), ..Lines::default() };
    output.write(|out| put_head(request, &lines, out));
}

/// The head, its lines in nginx's order.
fn put_head(request: &Request<'_>, lines: &Lines<'_>, out: &mut Writer<'_>) {
    let core = &request.location.conf.core;
    out.put(b"HTTP/1.1 ");
    out.put_padded(u64::from(lines.status), 3);
    out.put(b" ");
    out.put(status::reason(lines.status).as_bytes());
    out.put(b"\r\nServer: ");
    out.put(server_name(core.server_tokens).as_bytes());
    out.put(b"\r\nDate: ");
    out.put(&time::http_date());
    match lines.content_type {
        None | Some(ContentType::Is(b"")) => {}
        Some(ContentType::Is(content_type)) => {
            out.put(b"\r\nContent-Type: ");
            out.put(content_type);
        }
        Some(ContentType::Multipart(multipart)) => {
            out.put(b"\r\nContent-Type: ");
            multipart.put_type(out);
        }
    }
    if let Some(length) = lines.length {
        out.put(b"\r\nContent-Length: ");
        out.put_u64(length);
    }
    if let Some(last_modified) = lines.last_modified {
        out.put(b"\r\nLast-Modified: ");
        out.put(last_modified);
    }
    let absolute = request.moved.as_ref().filter(|to| core.absolute_redirect && to.is_path());
    if let Some(to) = absolute {
        out.put(b"\r\nLocation: ");
        put_origin(request, out);
        put_target(request, to, out);
    }
    if request.keep_alive {
        out.put(b"\r\nConnection: keep-alive");
        if core.keepalive_header > 0 {
            out.put(b"\r\nKeep-Alive: timeout=");
            out.put_u64(core.keepalive_header);
        }
    } else {
        out.put(b"\r\nConnection: close");
    }
    if let (Some(to), None) = (&request.moved, absolute) {
        out.put(b"\r\nLocation: ");
        put_target(request, to, out);
    }
    if let Some(size) = request.unsatisfied {
        out.put(b"\r\nContent-Range: ");
        range::put_unsatisfied(size, out);
    }
    if let Some(etag) = lines.etag {
        out.put(b"\r\nETag: ");
        out.put(etag);
    }
    if lines.accept_ranges {
        out.put(b"\r\nAccept-Ranges: bytes");
    }
    if let Some((part, size)) = lines.content_range {
        out.put(b"\r\nContent-Range: ");
        range::put_content_range(part, size, out);
    }
    out.put(b"\r\n\r\n");
}

/// What makes a path in `Location` absolute: scheme, host and port.
fn put_origin(request: &Request<'_>, out: &mut Writer<'_>) {
    let core = &request.location.conf.core;
    out.put(b"http://");
    let host = request.head.host.of(request.bytes);
    if core.server_name_in_redirect && !request.server.name.is_empty() {
        out.put(&request.server.name);
    } else if !host.is_empty() {
        host.iter().for_each(|byte| out.put_byte(byte.to_ascii_lowercase()));
    } else {
        request.put_local_ip(out);
    }
    let port = request.site.addr.port();
    if core.port_in_redirect && port != 80 && port != 0 {
        out.put(b":");
        out.put_u64(u64::from(port));
    }
}

fn put_target(request: &Request<'_>, to: &Target<'_>, out: &mut Writer<'_>) {
    match to {
        Target::Text(text) => out.put(text),
        Target::Directory => request.put_directory(out),
    }
}
