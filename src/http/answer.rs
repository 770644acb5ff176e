//! From a request to its answer: the phases, in nginx's order, as one function.
//!
//! Nothing here waits: a phase that has to says for what, and the exchange comes back
//! when that is over. An internal redirect sets the phases back; ten are the most, as in
//! nginx.

use super::content::Handler;
use super::request::Request;
use super::step::{Answer, Phase, Step, Wait};
use super::{
    autoindex, error_pages, index, limit_conn, limit_req, mirror, permission, realip, rewrite,
    static_files, try_files, upstream,
};
use crate::log::Level;
use crate::proto::framing::Framing;
use crate::proto::request::{Bad, Form, Method};
use crate::text::escape::Shown;

/// How much of a bad header line is told.
const LINE_SHOWN: usize = 1700;

/// How far the phases have come.
pub enum Progress<'r> {
    Answer(Answer<'r>),
    /// To be waited for; then [`resume`] goes on.
    Wait(Wait),
}

/// Finds the answer to a request whose head is good.
pub fn find<'r>(request: &mut Request<'r>) -> Progress<'r> {
    match begin(request) {
        Ok(()) => {
            realip::settle(request);
            resume(request)
        }
        Err(status) => {
            if status == 400 {
                request.action = " while reading client request line";
                request.log_info(None, format_args!("client sent invalid request"));
                request.action = "";
            }
            request.keep_alive = false;
            conclude(request, Step::Status(status))
        }
    }
}

/// Goes on where the phases have stopped.
#[inline(always)]
pub fn resume<'r>(request: &mut Request<'r>) -> Progress<'r> {
    let step = phases(request);
    conclude(request, step)
}

/// Goes on with what a wait has come to.
pub fn go_on<'r>(request: &mut Request<'r>, step: Step<'r>) -> Progress<'r> {
    conclude(request, step)
}

/// The client has gone while the phases waited.
pub fn abandon<'r>(request: &mut Request<'r>) -> Progress<'r> {
    request.log_info(None, format_args!("client prematurely closed connection"));
    Progress::Answer(Answer::Close { status: 499 })
}

/// What the phases waited for has failed.
pub fn fail<'r>(request: &mut Request<'r>, status: u16) -> Progress<'r> {
    request.keep_alive = false;
    conclude(request, Step::Status(status))
}

/// The answer to a request that is refused before its phases.
pub fn refuse<'r>(request: &mut Request<'r>, bad: Bad, pipelined: bool) -> Progress<'r> {
    let line = request.head.last_line(request.bytes);
    // So that the context behind it fits the log's line, too (nginx).
    let (shown, cut) = match line.get(..LINE_SHOWN) {
        Some(shown) => (Shown(shown), "..."),
        None => (Shown(line), ""),
    };
    match (bad.quotes_line(), bad.directive()) {
        (true, Some(name)) => {
            let text = format_args!("{bad}: \"{shown}{cut}\", which \"{name}\" would allow");
            request.log_reading(pipelined, None, text);
        }
        (true, None) => {
            request.log_reading(pipelined, None, format_args!("{bad}: \"{shown}{cut}\""));
        }
        (false, _) => request.log_reading(pipelined, None, format_args!("{bad}")),
    }
    if request.head.has_line() {
        // For the log: it may be no path, which changes nothing any more.
        let _ = request.normalise();
    }
    request.keep_alive = false;
    conclude(request, Step::Status(bad.status()))
}

fn conclude<'r>(request: &mut Request<'r>, mut step: Step<'r>) -> Progress<'r> {
    loop {
        step = match step {
            Step::Answer(answer) => return Progress::Answer(answer),
            Step::Wait(wait) => return Progress::Wait(wait),
            Step::Status(status) => error_pages::answer(request, status),
            Step::Redirect | Step::Next => phases(request),
        }
    }
}

/// What is checked of the request itself, before any location.
fn begin(request: &mut Request<'_>) -> Result<(), u16> {
    match (request.method, request.head.form) {
        (Method::Trace, _) => {
            request.normalise()?;
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

/// The phases, from `Request::phase` on. Redirects are counted, so this ends.
fn phases<'r>(request: &mut Request<'r>) -> Step<'r> {
    loop {
        let (step, next) = match request.phase {
            Phase::ServerRewrite => (rewrite::of_server(request), Phase::FindLocation),
            Phase::FindLocation => (find_location(request), Phase::Rewrite),
            Phase::Rewrite => (rewrite::of_location(request), Phase::PostRewrite),
            Phase::PostRewrite => (rewrite::settle(request), Phase::PreAccess),
            Phase::PreAccess => (limits(request), Phase::Access),
            Phase::Access => (permission::check(request), Phase::PreContent),
            Phase::PreContent => (before_content(request), Phase::Content),
            Phase::Content => return content(request),
        };
        match step {
            Step::Next => request.phase = next,
            Step::Redirect => {}
            other => return other,
        }
    }
}

/// The location of the path, and what it says of the request as a whole.
fn find_location<'r>(request: &mut Request<'r>) -> Step<'r> {
    request.uri_changed = false;
    request.find_location();
    if request.location.conf.core.internal && !request.internal {
        return Step::Status(404);
    }
    request.settle_keep_alive();
    match body_allowed(request) {
        Ok(()) => Step::Next,
        Err(status) => Step::Status(status),
    }
}

fn before_content<'r>(request: &mut Request<'r>) -> Step<'r> {
    match mirror::note(request) {
        Step::Next => try_files::choose(request),
        other => other,
    }
}

fn limits<'r>(request: &mut Request<'r>) -> Step<'r> {
    // The location may know more of its proxies than the server.
    realip::settle(request);
    match limit_req::check(request) {
        Step::Next => limit_conn::check(request),
        other => other,
    }
}

fn content<'r>(request: &mut Request<'r>) -> Step<'r> {
    match &request.location.conf.content.handler {
        Some(Handler::Own(handler)) => return handler(request),
        Some(Handler::Upstream(_)) => return upstream::begin(request),
        None => {}
    }
    if !request.uri.ends_with(b"/") {
        return static_files::find(request);
    }
    for of_directory in [index::find, autoindex::list] {
        match of_directory(request) {
            Step::Next => {}
            other => return other,
        }
    }
    index::forbidden(request)
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
