//! What `limit_req` and `limit_conn` have in common.

use super::limit_conn::Held;
use super::request::Request;
use crate::conf::{Error, Node, Template, choice, number};
use crate::log::Level;
use crate::text::escape::Shown;
use crate::vars::Subject;

/// What came of a request's limits: `$limit_req_status` and `$limit_conn_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Delayed,
    Rejected,
    DelayedDryRun,
    RejectedDryRun,
}

impl Verdict {
    pub fn name(self) -> &'static [u8] {
        match self {
            Verdict::Passed => b"PASSED",
            Verdict::Delayed => b"DELAYED",
            Verdict::Rejected => b"REJECTED",
            Verdict::DelayedDryRun => b"DELAYED_DRY_RUN",
            Verdict::RejectedDryRun => b"REJECTED_DRY_RUN",
        }
    }
}

/// What is known of a request's limits. Each is asked once, by the request or by one inside
/// it, and holds until the request ends.
#[derive(Default)]
pub struct Limited<'r> {
    pub req: Option<Verdict>,
    pub conn: Option<Verdict>,
    /// What it is counted in.
    pub held: Held<'r>,
}

impl<'r> Limited<'r> {
    /// For a request inside this one.
    pub fn inner(&self) -> Limited<'r> {
        Limited { req: self.req, conn: self.conn, held: Held::default() }
    }

    /// What the inner request has come to know, and holds no longer.
    pub fn hand_over(&self) -> Limited<'r> {
        Limited { req: self.req, conn: self.conn, held: self.held.hand_over() }
    }

    /// Takes it over.
    pub fn learn(&mut self, inner: Limited<'r>) {
        (self.req, self.conn) = (inner.req, inner.conn);
        if self.held.is_empty() {
            self.held = inner.held;
        }
    }
}

/// `limit_*_status`
pub fn status(node: Node) -> Result<u16, Error> {
    match number(node, 0)? {
        status @ 400..=599 => Ok(status as u16),
        _ => Err(Error::at(node.arg(0), "value must be between 400 and 599")),
    }
}

/// `limit_*_log_level`
pub fn level(node: Node) -> Result<Level, Error> {
    let levels = [
        ("info", Level::Info),
        ("notice", Level::Notice),
        ("warn", Level::Warn),
        ("error", Level::Error),
    ];
    choice(node, 0, &levels)
}

/// There is no `zone=NAME` with a name.
pub fn no_zone(node: Node) -> Error {
    Error::at(node.name(), format!("\"{}\" must have \"zone\" parameter", node.name()))
}

/// What the records of a zone are about.
#[derive(Clone, Debug)]
pub struct Key {
    pub value: Template,
    /// As it is written.
    pub text: Box<[u8]>,
}

impl Key {
    /// The key of this request; empty if it does not count, or is too long to. None: there
    /// is no room for it.
    pub fn of<'r>(&'r self, request: &Request<'r>, most: usize) -> Option<&'r [u8]> {
        let key = request.render(&self.value)?;
        if key.len() <= most {
            return Some(key);
        }
        let (text, key) = (Shown(&self.text), Shown(key));
        let text =
            format_args!("the value of the \"{text}\" key is more than {most} bytes: \"{key}\"");
        request.log(Level::Error, None, text);
        Some(b"")
    }
}

/// What stands in a log line of a limit that is only tried.
pub fn dry_run(is_dry: bool) -> &'static str {
    if is_dry { ", dry run" } else { "" }
}
