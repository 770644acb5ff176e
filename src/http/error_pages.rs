//! Answers that are not the content itself: `error_page`, and nginx's own pages.

use super::browser;
use super::core::ErrorPage;
use super::request::Request;
use super::step::{self, Answer, Made, Step, Target};
use crate::proto::request::{Known, Method};
use crate::proto::status;
use crate::text::escape;
use crate::text::writer::Writer;
use crate::vars::Subject;

/// What answers a status: a page that `error_page` names, else the built-in one.
pub fn answer<'r>(request: &mut Request<'r>, status: u16) -> Step<'r> {
    match status {
        // Too late, or not wanted: nginx says nothing.
        408 | 444 | 499 => return Step::Answer(Answer::Close { status }),
        // After these the rest of the connection cannot be understood or trusted.
        400 | 413 | 414 | 495..=497 | 500 | 501 => request.keep_alive = false,
        _ => {}
    }
    let conf = &request.location.conf.core;
    if !request.error_page && !conf.error_pages.is_empty() && request.changes_left > 0 {
        request.error_page = !conf.recursive_error_pages;
        if let Some(page) = conf.error_pages.iter().find(|page| page.status == status) {
            return custom(request, status, page);
        }
    }
    Step::Answer(match status {
        301 | 302 => moved(request, status),
        _ => built_in(request, status),
    })
}

/// A built-in page, or for a redirect of MSIE one that leads on by itself.
fn moved<'r>(request: &mut Request<'r>, status: u16) -> Answer<'r> {
    let agent = request.header(Known::UserAgent).unwrap_or_default();
    let refreshes = request.location.conf.core.msie_refresh && browser::is_msie(agent);
    match &request.moved {
        Some(_) if refreshes => refresh(request),
        _ => built_in(request, status),
    }
}

/// `msie_refresh`: 200, and a page in place of `Location`.
fn refresh<'r>(request: &mut Request<'r>) -> Answer<'r> {
    request.keep_target();
    let target = match request.moved.take() {
        Some(Target::Text(target)) => target,
        _ => return built_in(request, 500),
    };
    let mut url = vec![0; escape::uri_len(target, escape::Uri::Refresh)];
    escape::uri(target, escape::Uri::Refresh, &mut Writer::new(&mut url));
    let head: &[u8] = b"<html><head><meta http-equiv=\"Refresh\" content=\"0; URL=";
    let body = [head, &url, b"\"></head><body></body></html>\r\n"].concat();
    request.err_status = 200;
    Answer::Made(Box::new(Made { content_type: b"text/html", charset: b"", counted: true, body }))
}

/// nginx's own page.
pub fn built_in<'r>(request: &mut Request<'r>, status: u16) -> Answer<'r> {
    request.keep_alive &= status != 500;
    request.err_status = 0;
    Answer::Page { status }
}

/// Whether `error_page` speaks of this status.
pub fn has_page(request: &Request<'_>, status: u16) -> bool {
    let pages = &request.location.conf.core.error_pages;
    pages.iter().any(|page| page.status == status)
}

fn custom<'r>(request: &mut Request<'r>, status: u16, page: &'r ErrorPage) -> Step<'r> {
    request.err_status = page.overwrite.unwrap_or(status::sent(status));
    let Some(uri) = request.render(&page.uri) else {
        return Step::Answer(built_in(request, 500));
    };
    request.keep_target();
    match uri.first() {
        Some(b'/') => {
            // The page is fetched, whatever the request wanted to do.
            if request.method != Method::Head {
                request.method = Method::Get;
            }
            let (uri, args) = step::split_args(uri);
            step::redirect(request, uri, args)
        }
        Some(b'@') => step::named(request, uri),
        _ => {
            let redirects = |status: &u16| matches!(status, 301 | 302 | 303 | 307 | 308);
            let status = page.overwrite.filter(redirects).unwrap_or(302);
            request.moved = Some(Target::Text(uri));
            Step::Answer(moved(request, status))
        }
    }
}
