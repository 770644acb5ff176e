//! From a request to its answer: the phases, in nginx's order, as one function.
//!
//! Nothing here waits. An internal redirect starts the phases again; ten are
//! the most, as in nginx.

use super::file_cache::File;
use super::request::{Request, Uri};
use super::{error_pages, index, static_files};
use crate::log::Level;
use crate::proto::conditional::{self, Validators, Verdict};
use crate::proto::framing::Framing;
use crate::proto::range::{self, Parts, Ranges};
use crate::proto::request::{Bad, Form, Known, Method};
use crate::text::escape::Shown;
use std::rc::Rc;

const REDIRECTS_MOST: u32 = 10;

/// What is to be sent.
pub enum Answer<'r> {
    File {
        file: Rc<File>,
        part: Part<'r>,
    },
    NotModified(Rc<File>),
    /// `return` with a text.
    Text {
        status: u16,
        text: &'r [u8],
    },
    /// A redirect of the client, with its built-in page.
    Moved {
        status: u16,
        to: Target<'r>,
    },
    /// A built-in page, or an empty answer for those that have none.
    Page {
        status: u16,
    },
    /// Nothing at all: the connection is closed (444).
    Close,
}

/// Which of a file's bytes are wanted.
pub enum Part<'r> {
    Whole,
    /// One or several ranges.
    Ranges(Parts<'r>),
}

/// Where a redirect leads.
pub enum Target<'r> {
    Text(&'r [u8]),
    /// The request's own path with a slash behind it.
    Directory,
}

/// How a step of the phases ended.
pub enum Step<'r> {
    Answer(Answer<'r>),
    /// An error or a special status, for which `error_page` may have an answer.
    Status(u16),
    /// The URI has changed: find its location and begin again.
    Redirect,
}

/// Finds the answer to a request whose head is good.
pub fn find<'r>(request: &mut Request<'r>) -> Answer<'r> {
    let step = match begin(request) {
        Ok(()) => phases(request),
        Err(status) => Step::Status(status),
    };
    conclude(request, step)
}

/// The answer to a request that is refused before its phases.
pub fn refuse<'r>(request: &mut Request<'r>, bad: Bad) -> Answer<'r> {
    let line = Shown(request.head.last_line(request.bytes));
    if bad.quotes_line() {
        request.log_info(None, format_args!("{bad}: \"{line}\""));
    } else {
        request.log_info(None, format_args!("{bad}"));
    }
    request.keep_alive = false;
    conclude(request, Step::Status(bad.status()))
}

fn conclude<'r>(request: &mut Request<'r>, mut step: Step<'r>) -> Answer<'r> {
    for _ in 0..=REDIRECTS_MOST {
        step = match step {
            Step::Answer(answer) => return answer,
            Step::Status(status) => match error_pages::answer(request, status) {
                Step::Redirect => phases(request),
                step => step,
            },
            Step::Redirect => phases(request),
        };
    }
    request.log(
        Level::Error,
        None,
        format_args!(
            "rewrite or internal redirection cycle while internally redirecting to \"{}\"",
            Shown(&request.uri)
        ),
    );
    Answer::Page { status: 500 }
}

/// What is checked of the request itself, before any location.
fn begin(request: &mut Request<'_>) -> Result<(), u16> {
    match (request.method, request.head.form) {
        (Method::Trace, _) => {
            request.log(Level::Info, None, format_args!("client sent TRACE method"));
            request.keep_alive = false;
            return Err(405);
        }
        (Method::Connect, _) => {
            request.log(Level::Info, None, format_args!("client sent CONNECT method"));
            request.keep_alive = false;
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
fn body_allowed(request: &Request<'_>) -> Result<(), u16> {
    let most = request.location.conf.core.client_max_body_size;
    match request.head.framing {
        Framing::Length(length) if most > 0 && length > most && !request.error_page => {
            let text = format_args!("client intended to send too large body: {length} bytes");
            request.log(Level::Error, None, text);
            Err(413)
        }
        _ => Ok(()),
    }
}

fn returned<'r>(request: &Request<'r>, answer: &'r super::rewrite::Return) -> Step<'r> {
    match (answer.status, &answer.text) {
        (444, None) => Step::Answer(Answer::Close),
        (status @ (301 | 302 | 303 | 307 | 308), Some(text)) => {
            Step::Answer(Answer::Moved { status, to: Target::Text(text) })
        }
        (status, Some(text)) => {
            let _ = request;
            Step::Answer(Answer::Text { status, text })
        }
        (status @ 200..=299, None) => Step::Answer(Answer::Text { status, text: b"" }),
        (status, None) => Step::Status(status),
    }
}

/// Sends the request on to another URI of the same server.
pub fn redirect<'r>(request: &mut Request<'r>, uri: Uri<'r>, args: &'r [u8]) -> Step<'r> {
    request.uri = uri;
    request.args = args;
    request.internal = true;
    Step::Redirect
}

/// What the client already has, and how much of the rest it wants: the header
/// filters of nginx that a file passes.
pub fn of_file<'r>(request: &mut Request<'r>, file: Rc<File>) -> Step<'r> {
    let core = &request.location.conf.core;
    let plain = request.err_status == 0 || request.err_status == 200;
    if !plain {
        return Step::Answer(Answer::File { file, part: Part::Whole });
    }
    let validators =
        Validators { etag: core.etag.then_some(&*file.etag), last_modified: Some(file.stat.mtime) };
    let conditions = request.conditions();
    if !conditions.is_empty() {
        match conditional::evaluate(&conditions, &validators, core.if_modified_since) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Step::Answer(Answer::NotModified(file)),
            Verdict::PreconditionFailed => return Step::Status(412),
        }
    }
    let Some(wanted) = request.header(Known::Range).filter(|_| core.max_ranges > 0) else {
        return Step::Answer(Answer::File { file, part: Part::Whole });
    };
    if !conditional::range_applies(request.header(Known::IfRange), &validators) {
        return Step::Answer(Answer::File { file, part: Part::Whole });
    }
    let most = u32::try_from(core.max_ranges).unwrap_or(u32::MAX);
    let part = match range::parse(wanted, file.stat.size, most) {
        Ranges::Whole => Part::Whole,
        Ranges::Parts(parts) => Part::Ranges(parts),
        Ranges::Unsatisfiable => {
            request.unsatisfied = Some(file.stat.size);
            return Step::Status(416);
        }
    };
    Step::Answer(Answer::File { file, part })
}
