//! How the steps of a request end: with an answer, a status, or another URI.

use super::file_cache::File;
use super::request::{Request, Uri};
use crate::mem::buffers::Buf;
use crate::proto::range::Parts;
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

/// Sends the request on to another URI of the same server.
pub fn redirect<'r>(request: &mut Request<'r>, uri: Uri<'r>, args: &'r [u8]) -> Step<'r> {
    request.uri = uri;
    request.args = args;
    request.internal = true;
    Step::Redirect
}

/// A redirect of the client, whose page may be another than the built-in one.
pub fn moved<'r>(request: &mut Request<'r>, status: u16, to: Target<'r>) -> Step<'r> {
    request.moved = Some(to);
    Step::Status(status)
}
