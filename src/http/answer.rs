//! From a request to its answer: the phases, in nginx's order, as one function.
//!
//! Nothing here waits. An internal redirect starts the phases again; ten are
//! the most, as in nginx.

use super::request::Request;
use super::rewrite::Return;
use super::step::{self, Answer, Step, Target};
use super::{error_pages, filters, index, static_files};
use crate::log::Level;
use crate::proto::framing::Framing;
use crate::proto::request::{Bad, Form, Method};
use crate::text::escape::Shown;

const REDIRECTS_MOST: u32 = 10;
/// How much of a bad header line is told.
const LINE_SHOWN: usize = 1700;

/// Finds the answer to a request whose head is good.
pub fn find<'r>(request: &mut Request<'r>) -> Answer<'r> {
    let step = match begin(request) {
        Ok(()) => phases(request),
        Err(status) => {
            if status == 400 {
                request.action = " while reading client request line";
                request.log_info(None, format_args!("client sent invalid request"));
                request.action = "";
            }
            request.keep_alive = false;
            Step::Status(status)
        }
    };
    conclude(request, step)
}

/// The answer to a request that is refused before its phases.
pub fn refuse<'r>(request: &mut Request<'r>, bad: Bad, pipelined: bool) -> Answer<'r> {
    let line = request.head.last_line(request.bytes);
    // So that the context behind it fits the log's line, too (nginx).
    let (shown, cut) = match line.get(..LINE_SHOWN) {
        Some(shown) => (Shown(shown), "..."),
        None => (Shown(line), ""),
    };
    match bad.quotes_line() {
        true => request.log_reading(pipelined, None, format_args!("{bad}: \"{shown}{cut}\"")),
        false => request.log_reading(pipelined, None, format_args!("{bad}")),
    }
    request.keep_alive = false;
    conclude(request, Step::Status(bad.status()))
}

fn conclude<'r>(request: &mut Request<'r>, mut step: Step<'r>) -> Answer<'r> {
    for redirects in 0..=REDIRECTS_MOST {
        while let Step::Status(status) = step {
            step = error_pages::answer(request, status);
        }
        if let Step::Answer(answer) = step {
            return answer;
        }
        if redirects < REDIRECTS_MOST {
            step = phases(request);
        }
    }
    let uri = Shown(&request.uri);
    let text = "rewrite or internal redirection cycle while internally redirecting to";
    request.log(Level::Error, None, format_args!("{text} \"{uri}\""));
    error_pages::built_in(request, 500)
}

/// What is checked of the request itself, before any location.
fn begin(request: &mut Request<'_>) -> Result<(), u16> {
    match (request.method, request.head.form) {
        (Method::Trace, _) => {
            request.log_reading(false, None, format_args!("client sent TRACE method"));
            return Err(405);
        }
        (Method::Connect, _) => {
            request.log_reading(false, None, format_args!("client sent CONNECT method"));
            return Err(405);
        }
        (_, Form::Asterisk) => return Err(400),
        _ => {}
    }
    request.normalise()
}

/// server rewrite, find location, rewrite, content.
fn phases<'r>(request: &mut Request<'r>) -> Step<'r> {
    let server = request.server;
    if !request.located {
        request.location = &server.location;
        if let Some(answer) = &server.location.conf.rewrite.answer {
            return returned(request, answer);
        }
        request.location = server.find_location(&request.uri);
    }
    request.located = false;
    let conf = &request.location.conf;
    if conf.core.internal && !request.internal {
        return Step::Status(404);
    }
    request.settle_keep_alive();
    if let Err(status) = body_allowed(request) {
        return Step::Status(status);
    }
    if let Some(answer) = &conf.rewrite.answer {
        return returned(request, answer);
    }
    if request.uri.ends_with(b"/") { index::find(request) } else { static_files::find(request) }
}

/// A body that is announced larger than `client_max_body_size` is not waited for.
fn body_allowed(request: &mut Request<'_>) -> Result<(), u16> {
    let most = request.location.conf.core.client_max_body_size;
    match request.head.framing {
        Framing::Length(length) if most > 0 && length > most && !request.body_refused => {
            request.body_refused = true;
            let text = format_args!("client intended to send too large body: {length} bytes");
            request.log(Level::Error, None, text);
            Err(413)
        }
        _ => Ok(()),
    }
}

fn returned<'r>(request: &mut Request<'r>, answer: &'r Return) -> Step<'r> {
    let (status, text) = (answer.status, answer.text.as_deref().unwrap_or_default());
    match status {
        301 | 302 | 303 | 307 | 308 => step::moved(request, status, Target::Text(text)),
        400.. if text.is_empty() => Step::Status(status),
        _ => filters::of_text(request, status, text),
    }
}
