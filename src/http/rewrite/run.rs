//! Running the programs of the rewrite module.

use super::replace::value;
use super::{Code, Return, Rewrite, Then};
use crate::conf::Pattern;
use crate::http::conf::Location;
use crate::http::filters;
use crate::http::request::Request;
use crate::http::step::{self, Phase, Step, Target};
use crate::log::Level;
use crate::text::escape::Shown;
use crate::vars::Subject;
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;

/// The program of the server.
pub fn of_server<'r>(request: &mut Request<'r>) -> Step<'r> {
    request.location = &request.server.location;
    run(request)
}

/// The program of the location; one that matched no location has run its own already.
pub fn of_location<'r>(request: &mut Request<'r>) -> Step<'r> {
    match Rc::ptr_eq(request.location, &request.server.location) {
        true => Step::Next,
        false => run(request),
    }
}

/// A path that was rewritten in a location belongs to another one.
pub fn settle<'r>(request: &mut Request<'r>) -> Step<'r> {
    if !request.uri_changed {
        return Step::Next;
    }
    request.changes_left = request.changes_left.saturating_sub(1);
    if request.changes_left == 0 {
        let uri = Shown(request.uri);
        let text = "rewrite or internal redirection cycle while processing";
        request.log(Level::Error, None, format_args!("{text} \"{uri}\""));
        return Step::Status(500);
    }
    request.phase = Phase::FindLocation;
    Step::Redirect
}

#[inline(always)]
fn run<'r>(request: &mut Request<'r>) -> Step<'r> {
    let location: &'r Location = request.location;
    match codes(request, location, &location.conf.rewrite.codes, &mut true) {
        Continue(()) => Step::Next,
        Break(step) => step,
    }
}

/// Runs until something ends it, which says what comes of it. Until a `rewrite` has matched,
/// values get groups of an encoded path encoded (`quotes`), as in nginx.
fn codes<'r>(
    request: &mut Request<'r>,
    location: &'r Location,
    program: &'r [Code],
    quotes: &mut bool,
) -> ControlFlow<Step<'r>> {
    for code in program {
        match code {
            Code::Set(id, text) => match value(request, text, *quotes) {
                Some(value) => {
                    let variables = &request.http.variables;
                    variables.set(request, *id, value);
                }
                None => return Break(Step::Status(500)),
            },
            Code::Return(answer) => return Break(returned(request, answer)),
            Code::Break => {
                request.left_location |= request.uri_changed;
                request.uri_changed = false;
                return Break(Step::Next);
            }
            Code::If(condition, block) => match condition.holds(request, *quotes) {
                None => return Break(Step::Status(500)),
                Some(false) => {}
                Some(true) => {
                    let Some(inner) = location.inner.get(*block) else { continue };
                    // Of the server the block is a program only (nginx).
                    if !location.name.is_empty() {
                        request.location = inner;
                    }
                    codes(request, location, &inner.conf.rewrite.codes, quotes)?;
                }
            },
            Code::Rewrite(rewrite) => *quotes &= !rewritten(request, rewrite)?,
        }
    }
    Continue(())
}

fn returned<'r>(request: &mut Request<'r>, answer: &'r Return) -> Step<'r> {
    let is_empty = answer.text.literal() == Some(b"");
    // The text may name it.
    request.status = request.status_of(answer.status);
    let Some(text) = request.render(&answer.text) else { return Step::Status(500) };
    match answer.status {
        status @ (301 | 302 | 303 | 307 | 308) => step::moved(request, status, Target::Text(text)),
        status @ 400.. if is_empty => Step::Status(status),
        status => filters::of_text(request, status, text),
    }
}

/// Whether a text matches, which `rewrite_log` tells.
pub fn matches<'r>(request: &Request<'r>, pattern: &'r Pattern, text: &'r [u8]) -> bool {
    let matches = request.tests(pattern, text);
    if request.location.conf.rewrite.rewrite_log {
        let (pattern, text) = (Shown(&pattern.text), Shown(text));
        let verb = if matches { "matches" } else { "does not match" };
        request.log(Level::Notice, None, format_args!("\"{pattern}\" {verb} \"{text}\""));
    }
    matches
}

/// Whether it has matched, if the program goes on.
fn rewritten<'r>(request: &mut Request<'r>, rewrite: &'r Rewrite) -> ControlFlow<Step<'r>, bool> {
    let told = request.location.conf.rewrite.rewrite_log;
    if !matches(request, &rewrite.pattern, request.uri) {
        return Continue(false);
    }
    if let Then::Redirect(status) = rewrite.then {
        let Some(target) = rewrite.replacement.of_redirect(request) else {
            return Break(Step::Status(500));
        };
        if told {
            let text = format_args!("rewritten redirect: \"{}\"", Shown(target));
            request.log(Level::Notice, None, text);
        }
        return Break(step::moved(request, status, Target::Text(target)));
    }
    let Some(replaced) = rewrite.replacement.of_path(request) else {
        return Break(Step::Status(500));
    };
    (request.uri, request.args) = (replaced.path, replaced.args);
    if told {
        let (uri, args) = (Shown(request.uri), Shown(request.args));
        let text = format_args!("rewritten data: \"{uri}\", args: \"{args}\"");
        request.log(Level::Notice, None, text);
    }
    (request.internal, request.raw_uri) = (true, false);
    request.uri_changed = rewrite.then != Then::Break;
    request.left_location |= rewrite.then == Then::Break;
    if request.uri.is_empty() {
        request.log(Level::Error, None, format_args!("the rewritten URI has a zero length"));
        return Break(Step::Status(500));
    }
    match rewrite.then {
        Then::Last | Then::Break => Break(Step::Next),
        Then::Next | Then::Redirect(_) => Continue(true),
    }
}
