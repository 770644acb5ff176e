//! Answers that are not the content itself: `error_page`, and nginx's own pages.

use super::core::ErrorPage;
use super::request::Request;
use super::step::{self, Answer, Step, Target};
use crate::proto::request::Method;
use crate::proto::status;
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
    if !request.error_page && !conf.error_pages.is_empty() {
        request.error_page = !conf.recursive_error_pages;
        if let Some(page) = conf.error_pages.iter().find(|page| page.status == status) {
            return custom(request, status, page);
        }
    }
    Step::Answer(built_in(request, status))
}

/// nginx's own page.
pub fn built_in<'r>(request: &mut Request<'r>, status: u16) -> Answer<'r> {
    request.keep_alive &= status != 500;
    request.err_status = 0;
    Answer::Page { status }
}

fn custom<'r>(request: &mut Request<'r>, status: u16, page: &'r ErrorPage) -> Step<'r> {
    request.err_status = page.overwrite.unwrap_or(status::sent(status));
    let Some(uri) = request.render(&page.uri) else {
        return Step::Answer(built_in(request, 500));
    };
    match uri.first() {
        Some(b'/') => {
            request.keep_target();
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
            Step::Answer(built_in(request, status))
        }
    }
}
