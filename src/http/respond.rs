//! Sending an answer: its head, its body, and what is counted of both.

use super::body_filter::Filters;
use super::core::Alias;
use super::file_cache::File;
use super::gzip::{self, Choice};
use super::output::Output;
use super::ready::ReadyHead;
use super::request::Request;
use super::response::{self, Response};
use super::send::{self, Source};
use super::step::{Answer, Part as Wanted, Target};
use super::{charset, headers, precompressed, upstream};
use crate::log::Level;
use crate::proto::range::Multipart;
use crate::proto::request::{Known, Method, Version};
use crate::proto::status;
use crate::random;
use crate::sys::errno::Result;
use crate::text::escape::Shown;
use crate::vars::Subject;
use std::cell::RefCell;
use std::rc::Rc;

/// Sends `answer`. An error means that the connection can only be closed.
///
/// Cancellation: the answer is cut off; the connection must be closed.
pub fn send(
    request: &mut Request<'_>,
    answer: &Answer<'_>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        request.conn.set_nodelay(request.location.conf.core.tcp_nodelay);
        match answer {
            Answer::Close { status } => {
                request.keep_alive = false;
                request.status = request.status_of(*status);
                Ok(())
            }
            Answer::File { file, part } => send_file_answer(request, file, part, output).await,
            Answer::NotModified(file) => {
                if let Some(file) = file {
                    validate(request, file);
                }
                request.response.status = 304;
                write_head(request, output);
                Ok(())
            }
            Answer::Text { status, text } => {
                request.response.status = request.status_of(*status);
                request.response.content_type = request.content_type();
                request.response.set_length(text.len());
                write_head(request, output);
                send::whole(request, &Source::Bytes(text), output).await
            }
            Answer::Own { content_type, text } => {
                request.response.status = request.status_of(200);
                request.response.content_type = content_type;
                request.response.set_length(text.len());
                write_head(request, output);
                send::whole(request, &Source::Bytes(text), output).await
            }
            Answer::Made(made) => {
                request.response.status = request.status_of(200);
                request.response.content_type = made.content_type;
                request.response.charset = made.charset;
                if made.counted {
                    request.response.set_length(made.body.len());
                }
                write_head(request, output);
                send::whole(request, &Source::Bytes(&made.body), output).await
            }
            Answer::Upstream => {
                request.response.status = request.status_of(request.response.status);
                write_head(request, output);
                upstream::relay(request, output).await
            }
            Answer::Page { status } => send_page(request, *status, output).await,
        }
    }
}

/// What would be told of an answer that is not sent.
pub fn describe_answer(request: &mut Request<'_>, answer: &Answer<'_>) {
    match answer {
        Answer::File { file, .. } => describe(request, file, file.stat.size),
        Answer::NotModified(_) => request.response.status = 304,
        Answer::Text { status, .. } => {
            request.response.status = request.status_of(*status);
            request.response.content_type = request.content_type();
        }
        Answer::Own { content_type, .. } => {
            request.response.status = request.status_of(200);
            request.response.content_type = content_type;
        }
        Answer::Made(made) => {
            request.response.status = request.status_of(200);
            request.response.content_type = made.content_type;
        }
        Answer::Upstream => upstream::describe(request),
        Answer::Page { status } => {
            request.response.status = request.status_of(status::sent(*status));
            request.response.content_type = b"text/html";
        }
        Answer::Close { status } => request.response.status = request.status_of(*status),
    }
    request.status = request.response.status;
}

/// How old a file is, and which version.
fn validate(request: &mut Request<'_>, file: &File) {
    request.response.last_modified = Some(file.stat.mtime);
    if request.location.conf.core.etag {
        request.response.etag = request.scratch().concat(&[&file.etag]).unwrap_or_default();
    }
}

/// What is told of a file whose body has this length.
fn describe(request: &mut Request<'_>, file: &File, length: u64) {
    validate(request, file);
    let content_type = request.content_type();
    let status = request.status_of(200);
    let ranges = precompressed::has_ranges(request);
    let response = &mut request.response;
    response.content_encoding = request.precompressed;
    response.status = status;
    response.content_type = content_type;
    response.set_length(length as usize);
    response.accept_ranges = status == 200 && ranges;
}

/// The head of a whole file: as it was left by an earlier answer, or made and left.
fn whole_head(
    request: &mut Request<'_>,
    file: &File,
    length: u64,
    ready: &RefCell<Option<ReadyHead>>,
    output: &mut Output,
) {
    // An upstream that led here may have said another type than the file's.
    let is_typed = !request.response.content_type.is_empty();
    if !is_typed && put_ready_head(request, ready, output) {
        return;
    }
    describe(request, file, length);
    let before = output.len();
    write_head(request, output);
    if !is_typed && request.status == 200 && is_usual(request) && !request.response.chunked {
        let head = output.tail(before);
        ready.replace(ReadyHead::of(request.location, request.keep_alive, head));
    }
}

fn send_file_answer(
    request: &mut Request<'_>,
    file: &File,
    part: &Wanted<'_>,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        let size = file.stat.size;
        let Wanted::Ranges(parts) = part else {
            if gzip::of_file(request, file) == Choice::Compressed
                && let Some(variant) = gzip::variant(request, file).await
            {
                request.response.compressed = true;
                let length = variant.bytes.len() as u64;
                request.response.ratio = gzip::ratio(size, length);
                whole_head(request, file, length, &variant.ready, output);
                return send::whole(request, &Source::Bytes(&variant.bytes), output).await;
            }
            whole_head(request, file, size, &file.ready, output);
            return send::whole(request, &Source::of_file(file), output).await;
        };
        describe(request, file, size);
        let content_type = request.response.content_type;
        let scratch = request.scratch();
        let response = &mut request.response;
        response.status = 206;
        response.accept_ranges = false;
        let mut ranges = parts.clone();
        if parts.count == 1
            && let Some(range) = ranges.next()
        {
            response.length = Some(range.len());
            response.content_range = scratch.place((range, size));
            write_head(request, output);
            return send::whole(request, &Source::File(file, range), output).await;
        }
        let boundary = random::number();
        let content_type = charset::of_parts(request).unwrap_or(content_type);
        let multipart = Multipart { boundary, content_type, whole: size };
        let made = request.made(content_type.len() + 64, |out| multipart.put_type(out));
        let length = multipart.len(ranges.clone());
        let response = &mut request.response;
        response.length = Some(length);
        response.content_type = made.unwrap_or(content_type);
        write_head(request, output);
        if request.head_only() {
            return Ok(());
        }
        // Trailers make it a chunked body: of one chunk.
        let chunked = request.response.chunked;
        if chunked {
            send::chunk_head(request, length, output).await?;
        }
        for range in ranges {
            send::put(request, output, |out| multipart.put_part_head(range, out)).await?;
            send::part(request, &Source::File(file, range), output).await?;
        }
        send::put(request, output, |out| multipart.put_end(out)).await?;
        if chunked {
            send::chunk_end(request, output).await?;
            send::last_chunk(request, output).await?;
        }
        Ok(())
    }
}

/// Whether the head depends on nothing but location and content, so that it can be kept.
fn is_usual(request: &Request<'_>) -> bool {
    request.err_status == 0
        && !request.body_only()
        && request.unsatisfied.is_none()
        && request.moved.is_none()
        && request.response.early.is_empty()
        && request.location.conf.precompressed.is_off()
        // Of one file, whatever the URI and so its type.
        && request.location.conf.core.root.alias != Alias::Whole
        && request.location.conf.headers.is_constant()
        && request.location.conf.charset.is_constant()
        && !request.http.variables.look_at_answers()
}

/// Writes the head that an earlier answer left, if it is the one for this request.
fn put_ready_head(
    request: &mut Request<'_>,
    ready: &RefCell<Option<ReadyHead>>,
    output: &mut Output,
) -> bool {
    let ready = ready.borrow();
    let Some(ready) = &*ready else { return false };
    if !Rc::ptr_eq(&ready.location, request.location) || !is_usual(request) {
        return false;
    }
    request.status = 200;
    request.set_rate();
    let before = output.len();
    let written = output.write(|out| ready.put(request.keep_alive, out));
    request.head_sent = (output.len() - before) as u64;
    written
}

/// A built-in page.
fn send_page(
    request: &mut Request<'_>,
    status: u16,
    output: &mut Output,
) -> impl Future<Output = Result<()>> {
    async move {
        let core = &request.location.conf.core;
        let server = response::server_name(core.server_tokens);
        let agent = request.header(Known::UserAgent);
        let padded = core.msie_padding
            && status >= 400
            && request.head.version >= Version::V10
            && agent.is_some_and(status::wants_padding);
        if put_ready_page(request, status, padded, output) {
            return Ok(());
        }
        let before = output.len();
        let page = status::page(status);
        let made = page.and_then(|page| {
            let len = status::page_len(page, server, padded);
            request.made(len, |out| status::put_page(page, server, padded, out))
        });
        let body = made.unwrap_or_default();
        request.response.status = request.status_of(status::sent(status));
        request.response.content_type = if page.is_some() { b"text/html" } else { b"" };
        request.response.set_length(body.len());
        write_head(request, output);
        send::whole(request, &Source::Bytes(body), output).await?;
        if is_usual_page(request) {
            let pages = &request.worker.pages;
            let answer = ReadyHead::of(request.location, request.keep_alive, output.tail(before));
            pages.keep(request.location, (status, padded), answer, body.len());
        }
        Ok(())
    }
}

/// Whether the whole answer depends on nothing but location and status.
fn is_usual_page(request: &Request<'_>) -> bool {
    is_usual(request)
        && request.head.method != Method::Head
        && !request.location.conf.gzip.gzip
        && request.limit_rate.rate == 0
        && !request.response.chunked
}

/// Writes an answer that an earlier request has left.
fn put_ready_page(
    request: &mut Request<'_>,
    status: u16,
    padded: bool,
    output: &mut Output,
) -> bool {
    request.set_rate();
    if !is_usual_page(request) {
        return false;
    }
    let (mut found, key) = (None, (status, padded));
    let keep_alive = request.keep_alive;
    let pages = &request.worker.pages;
    let written = output.write(|out| found = pages.put(request.location, key, keep_alive, out));
    let Some((len, body_len)) = found.filter(|_| written) else { return false };
    request.status = request.status_of(status::sent(status));
    request.body_sent = body_len as u64;
    request.head_sent = (len - body_len) as u64;
    true
}

/// Lets the filters at the head and writes it. What does not fit, or would break its
/// lines, becomes an empty 500 that closes the connection: a head is never cut, nor
/// carries bytes it must not.
fn write_head(request: &mut Request<'_>, output: &mut Output) {
    request.status = request.response.status;
    if request.body_only() {
        return;
    }
    let filtered = filter(request);
    let safe = request.response.is_safe()
        && request.moved.as_ref().is_none_or(|to| match to {
            Target::Text(text) => response::is_safe(text),
            Target::Directory => true,
        });
    let before = output.len();
    if !(filtered.is_some() && safe && output.write(|out| response::put(request, out))) {
        let uri = Shown(request.uri);
        let text = format_args!("the answer's head cannot be sent: \"{uri}\"");
        request.log(Level::Alert, None, text);
        request.keep_alive = false;
        (request.status, request.moved) = (500, None);
        request.filters = Filters::default();
        request.response =
            Response { status: 500, length: Some(0), refused: true, ..Response::default() };
        output.write(|out| response::put(request, out));
    }
    request.head_sent = (output.len() - before) as u64;
}

/// The header filters, in nginx's order; `None` when there is no room for what they say.
fn filter(request: &mut Request<'_>) -> Option<()> {
    request.set_rate();
    headers::filter(request)?;
    charset::filter(request)?;
    gzip::filter(request)?;
    frame(request);
    Some(())
}

/// How the end of the body is told: by its length, by its last chunk, or by the end of
/// the connection (ngx_http_chunked_header_filter).
fn frame(request: &mut Request<'_>) {
    let has_trailers = !request.response.trailers.is_empty();
    let status = request.response.status;
    // What has been made into another answer is not told by its own lines any more (nginx).
    if !matches!(status, 200 | 206 | 304) {
        request.response.last_modified = None;
    }
    if status == 204 {
        request.response.content_type = b"";
    }
    if matches!(status, 204 | 304) || status < 200 || request.head.method == Method::Head {
        return;
    }
    if request.response.length.is_some() && !has_trailers {
        return;
    }
    let core = &request.location.conf.core;
    if request.head.version == Version::V11 && core.chunked_transfer_encoding {
        request.response.length = None;
        request.response.chunked = true;
    } else if request.response.length.is_none() {
        request.keep_alive = false;
    }
}
