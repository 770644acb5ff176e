//! The head of an upstream's answer becomes the head of ours.

use super::fetch::keeps;
use super::{Rest, Upstream};
use super::{lines, ranges, stored, trailers};
use crate::http::error_pages;
use crate::http::request::Request;
use crate::http::step::{self, Answer, Step};
use crate::log::Level;
use crate::proto::request::Method;
use crate::proto::response::Known;
use crate::text::escape::{self, Shown};
use crate::time;
use crate::vars::Subject;

/// An answer's head is complete: what is done with it.
pub fn accept<'r>(request: &mut Request<'r>, upstream: &mut Upstream<'r>) -> Step<'r> {
    note(upstream);
    if cut(upstream).is_none() {
        return Step::Status(502);
    }
    let status = upstream.head.status;
    if upstream.conf.intercept_errors && status >= 300 && error_pages::has_page(request, status) {
        if status == 401 {
            lines::keep_challenge(request, upstream);
        }
        upstream.release(request);
        return Step::Status(status);
    }
    if !upstream.conf.ignore.redirect
        && let Some(to) = upstream.head.get(upstream.bytes, Known::XAccelRedirect)
    {
        return redirect(request, upstream, to);
    }
    match lines::take(request, upstream).map(|()| ranges::filter(request, upstream)) {
        Some(Ok(())) => {
            trailers::expect(request, upstream);
            stored::begin(request, upstream);
            Step::Answer(Answer::Upstream)
        }
        Some(Err(status)) => Step::Status(status),
        None => {
            let text = format_args!("no room for the head of an upstream's answer");
            request.log(Level::Alert, None, text);
            Step::Status(502)
        }
    }
}

/// Writes down what is known of the peer by now.
fn note(upstream: &mut Upstream<'_>) {
    let (Some(link), Some(attempt)) = (&mut upstream.link, upstream.attempt) else { return };
    let took = time::now_ms().saturating_sub(upstream.began);
    attempt.header_time.set(Some(took));
    attempt.status.set(upstream.head.status);
    link.lease.took_header(took, upstream.head.status);
    link.lease.succeeded();
}

/// Parts the head from what follows it, for the life of the request.
fn cut(upstream: &mut Upstream<'_>) -> Option<()> {
    let room = upstream.room.take()?;
    let (head, rest) = room.split_at_mut_checked(upstream.head.len as usize)?;
    let early = upstream.filled.checked_sub(head.len())?;
    upstream.bytes = head;
    upstream.early = rest.get_mut(..early)?;
    let method = if upstream.head_only { Method::Head } else { Method::Get };
    let body = upstream.head.body(method);
    let Some(link) = &mut upstream.link else { return None };
    if let Rest::Records(records) = &mut upstream.rest {
        records.set_framing(body.framing);
        keeps(link, records.keeps());
        return Some(());
    }
    upstream.rest = Rest::of(body.framing);
    // What came behind an answer without body belongs to nothing.
    let clean = !upstream.rest.is_over() || early == 0;
    keeps(link, body.keeps && clean);
    Some(())
}

/// `X-Accel-Redirect`: the answer is somewhere else here.
fn redirect<'r>(request: &mut Request<'r>, upstream: &mut Upstream<'r>, to: &'r [u8]) -> Step<'r> {
    upstream.release(request);
    upstream.link = None;
    if lines::keep_for_redirect(request, upstream).is_none() {
        return Step::Status(500);
    }
    if let Some(attempts) = request.attempts.get() {
        attempts.named.set(None);
    }
    if to.starts_with(b"@") {
        return step::named(request, to);
    }
    if request.method != Method::Head {
        request.method = Method::Get;
    }
    let (path, args) = step::split_args(to);
    let room = request.scratch().take(path.len());
    let Some(path) = room.and_then(|room| escape::unescape(path, room)) else {
        return Step::Status(500);
    };
    if !path.starts_with(b"/") || leads_out(path) {
        let shown = Shown(to);
        let text = format_args!("unsafe URI \"{shown}\" was detected in \"X-Accel-Redirect\"");
        request.log(Level::Error, None, text);
        return Step::Status(404);
    }
    step::redirect(request, path, args)
}

/// Whether a path leads out of where it begins (ngx_http_parse_unsafe_uri).
fn leads_out(path: &[u8]) -> bool {
    path.contains(&0) || path.split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// What is told of an answer that is not sent (a request inside another one).
pub fn describe(request: &mut Request<'_>) {
    let Some(mut upstream) = request.upstream.take() else { return };
    request.response.status = request.status_of(upstream.head.status);
    let rest = upstream.rest.is_over();
    if rest && upstream.early.is_empty() {
        upstream.release(request);
    }
    upstream.note_end();
    upstream.link = None;
    request.upstream = Some(upstream);
}
