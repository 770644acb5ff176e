//! How the steps of a request end: with an answer, a status, or another URI.

use super::error_pages;
use super::file_cache::File;
use super::request::Request;
use crate::log::Level;
use crate::proto::range::Parts;
use crate::text::escape::Shown;
use std::rc::Rc;

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
    /// What a module has to say.
    Own {
        content_type: &'static [u8],
        text: &'r [u8],
    },
    /// What an upstream has answered.
    Upstream,
    /// A body that was made for this answer alone.
    Made(Box<Made>),
    /// A built-in page, or an empty answer for those that have none.
    Page {
        status: u16,
    },
    /// Nothing at all: the connection is closed, and the log says this (408, 444, 499).
    Close {
        status: u16,
    },
}

/// A body, and what is told of it.
pub struct Made {
    pub content_type: &'static [u8],
    /// Empty: not told.
    pub charset: &'static [u8],
    /// The head tells its length.
    pub counted: bool,
    pub body: Vec<u8>,
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

impl Target<'_> {
    /// Bytes of its own.
    pub fn len(&self) -> usize {
        match self {
            Target::Text(text) => text.len(),
            Target::Directory => 0,
        }
    }

    /// Without scheme and host.
    pub fn is_path(&self) -> bool {
        match self {
            Target::Text(text) => text.first() == Some(&b'/'),
            Target::Directory => true,
        }
    }
}

/// What is done with a request, in nginx's order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// `rewrite` and its like at the server level.
    ServerRewrite,
    FindLocation,
    /// `rewrite` and its like of the location.
    Rewrite,
    /// The path has changed: back to its location, but not for ever.
    PostRewrite,
    /// Limits.
    PreAccess,
    /// Who may, and who says so.
    Access,
    /// `try_files`, `mirror`.
    PreContent,
    Content,
}

/// What a request waits for before its phases go on.
pub enum Wait {
    /// So many milliseconds.
    For(u64),
    /// What another request says (`auth_request`).
    Permission,
    /// The request's body.
    Body,
    /// What another server answers.
    Upstream,
}

/// How a step of the phases ended.
pub enum Step<'r> {
    /// Nothing to say: the next phase.
    Next,
    /// The phases go on, in `Request::phase`, when this is over.
    Wait(Wait),
    Answer(Answer<'r>),
    /// An error or a special status, for which `error_page` may have an answer.
    Status(u16),
    /// `Request::phase` has been set back: go on there.
    Redirect,
}

/// Sends the request on to another URI of the same server.
pub fn redirect<'r>(request: &mut Request<'r>, uri: &'r [u8], args: &'r [u8]) -> Step<'r> {
    request.uri = uri;
    request.args = args;
    request.raw_uri = false;
    (request.left_location, request.added_to_alias) = (false, false);
    request.asked = None;
    request.phase = Phase::ServerRewrite;
    internally(request)
}

/// A path and, behind its first `?`, its arguments.
pub fn split_args(uri: &[u8]) -> (&[u8], &[u8]) {
    match uri.iter().position(|byte| *byte == b'?') {
        Some(at) => (&uri[..at], &uri[at + 1..]),
        None => (uri, b""),
    }
}

/// Sends the request on to the location `@name`.
pub fn named<'r>(request: &mut Request<'r>, name: &[u8]) -> Step<'r> {
    match request.server.find_named(name) {
        Some(location) => {
            request.enter(location);
            request.phase = Phase::Rewrite;
            internally(request)
        }
        None => {
            let name = Shown(name);
            let text = format_args!("could not find named location \"{name}\"");
            request.log(Level::Error, None, text);
            Step::Status(500)
        }
    }
}

/// Redirects are counted, since they may go round in circles.
fn internally<'r>(request: &mut Request<'r>) -> Step<'r> {
    request.internal = true;
    request.changes_left = request.changes_left.saturating_sub(1);
    if request.changes_left == 0 {
        let uri = Shown(request.uri);
        let text = "rewrite or internal redirection cycle while internally redirecting to";
        request.log(Level::Error, None, format_args!("{text} \"{uri}\""));
        return Step::Answer(error_pages::built_in(request, 500));
    }
    Step::Redirect
}

/// A redirect of the client, whose page may be another than the built-in one.
pub fn moved<'r>(request: &mut Request<'r>, status: u16, to: Target<'r>) -> Step<'r> {
    request.moved = Some(to);
    Step::Status(status)
}
