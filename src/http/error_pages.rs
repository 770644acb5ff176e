//! Answers that are not the content itself: `error_page`, and nginx's own pages.

use super::answer::{Answer, Step, Target, redirect};
use super::core::ErrorPage;
use super::request::{Request, Uri};
use crate::log::Level;
use crate::proto::request::Method;
use crate::proto::status;
use crate::text::escape::Shown;

/// What answers a status: a page that `error_page` names, else the built-in one.
pub fn answer<'r>(request: &mut Request<'r>, status: u16) -> Step<'r> {
    // After these the rest of the connection cannot be understood or trusted.
    if matches!(status, 400 | 413 | 414 | 494..=497 | 500 | 501) {
        request.keep_alive = false;
    }
    let conf = &request.location.conf.core;
    let again = request.error_page && !conf.recursive_error_pages;
    if !again && let Some(page) = conf.error_pages.iter().find(|page| page.status == status) {
        return custom(request, status, page);
    }
    request.err_status = 0;
    Step::Answer(Answer::Page { status })
}

fn custom<'r>(request: &mut Request<'r>, status: u16, page: &'r ErrorPage) -> Step<'r> {
    request.error_page = true;
    request.err_status = match page.overwrite {
        None => status::sent(status),
        Some(overwrite) => overwrite,
    };
    match page.uri.first() {
        Some(b'/') => {
            // The page is fetched, whatever the request wanted to do.
            if request.method != Method::Head {
                request.method = Method::Get;
            }
            redirect(request, Uri::Plain(&page.uri), &page.args)
        }
        Some(b'@') => match request.server.find_named(&page.uri) {
            Some(location) => {
                request.location = location;
                request.located = true;
                request.internal = true;
                Step::Redirect
            }
            None => {
                let name = Shown(&page.uri);
                request.log(
                    Level::Error,
                    None,
                    format_args!("could not find named location \"{name}\""),
                );
                Step::Answer(Answer::Page { status: 500 })
            }
        },
        _ => {
            let redirects = |status: &u16| matches!(status, 301 | 302 | 303 | 307 | 308);
            let status = page.overwrite.filter(redirects).unwrap_or(302);
            request.err_status = 0;
            Step::Answer(Answer::Moved { status, to: Target::Text(&page.uri) })
        }
    }
}
