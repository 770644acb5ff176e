//! From a request to its answer: the phases, in nginx's order, as one function.
//!
//! Nothing here waits. An internal redirect starts the phases again; ten are
//! the most, as in nginx.

use super::file_cache::File;
use super::request::{Request, Uri};
use super::rewrite::Return;
use super::{error_pages, index, static_files};
use crate::log::Level;
use crate::mem::buffers::Buf;
use crate::proto::conditional::{self, Validators, Verdict};
use crate::proto::framing::Framing;
use crate::proto::range::{self, Parts, Ranges};
use crate::proto::request::{Bad, Form, Known, Method};
use crate::text::escape::Shown;
use std::rc::Rc;

const REDIRECTS_MOST: u32 = 10;
/// How much of a bad header line is told.
const LINE_SHOWN: usize = 1700;

/// What is to be sent.
pub enum Answer<'r> {
    File {
        file: Rc<File>,
        part: Part<'r>,
    },
    /// 304, for a file or for a text that has no validators.
    NotModified(Option<Rc<File>>),
    /// `return` with a text.
    Text {
        status: u16,
        text: &'r [u8],
    },
    /// A built-in page, or an empty answer for those that have none.
    Page {
        status: u16,
    },
    /// Nothing at all: the connection is closed, and the log says this (408, 444, 499).
    Close {
        status: u16,
    },
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
    /// The same, written down before the path became another one.
    Made(Buf, usize),
}

impl Target<'_> {
    /// Without scheme and host.
    pub fn is_path(&self) -> bool {
        match self {
            Target::Text(text) => text.first() == Some(&b'/'),
            Target::Directory | Target::Made(..) => true,
        }
    }
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
        301 | 302 | 303 | 307 | 308 => moved(request, status, Target::Text(text)),
        400.. if text.is_empty() => Step::Status(status),
        _ => of_text(request, status, text),
    }
}

/// A redirect of the client, whose page may be another than the built-in one.
pub fn moved<'r>(request: &mut Request<'r>, status: u16, to: Target<'r>) -> Step<'r> {
    request.moved = Some(to);
    Step::Status(status)
}

/// A text has no validators, yet conditions are about it too, as in nginx.
fn of_text<'r>(request: &Request<'r>, status: u16, text: &'r [u8]) -> Step<'r> {
    let conditions = request.conditions();
    if request.status_of(status) == 200 && !conditions.is_empty() {
        let rule = request.location.conf.core.if_modified_since;
        match conditional::evaluate(&conditions, &Validators::default(), rule) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Step::Answer(Answer::NotModified(None)),
            Verdict::PreconditionFailed => return Step::Status(412),
        }
    }
    Step::Answer(Answer::Text { status, text })
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
    if request.status_of(200) != 200 {
        return Step::Answer(Answer::File { file, part: Part::Whole });
    }
    let validators =
        Validators { etag: core.etag.then_some(&*file.etag), last_modified: Some(file.stat.mtime) };
    let conditions = request.conditions();
    if !conditions.is_empty() {
        match conditional::evaluate(&conditions, &validators, core.if_modified_since) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Step::Answer(Answer::NotModified(Some(file))),
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
