//! One request: what was asked for, where it leads, and what came of it.

use super::browser;
use super::conf::{Location, Server, Site};
use super::connection::Conn;
use super::core::KeepaliveDisable;
use super::step::Target;
use super::worker::Worker;
use crate::event;
use crate::log::{Entry, Level};
use crate::mem::buffers::Buf;
use crate::proto::conditional::Conditions;
use crate::proto::request::{Head, Known, Method, Version};
use crate::proto::uri;
use crate::sys::errno::Errno;
use crate::sys::socket;
use crate::text::escape::{self, Shown};
use crate::text::writer::Writer;
use std::fmt::{self, Write as _};
use std::ops::Deref;
use std::rc::Rc;

pub struct Request<'r> {
    pub worker: &'static Worker,
    pub conn: &'r Conn,
    /// The bytes that `head` has spans of.
    pub bytes: &'r [u8],
    pub head: &'r Head,
    pub site: &'r Site,
    pub server: &'r Server,
    pub location: &'r Rc<Location>,
    /// The normalised path.
    pub uri: Uri<'r>,
    pub args: &'r [u8],
    pub method: Method,
    pub keep_alive: bool,
    /// Not what the client asked for any more: `internal` locations may be entered.
    pub internal: bool,
    /// `error_page` has been asked once, and is not to be asked again.
    pub error_page: bool,
    /// The status that overrules the one the content comes with; 0: none.
    pub err_status: u16,
    /// `location` was chosen by name: it is not looked up.
    pub located: bool,
    /// The body was found too large: it is not measured again.
    pub body_refused: bool,
    /// What `Location` says.
    pub moved: Option<Target<'r>>,
    /// The size of the file that no wanted range is in (416).
    pub unsatisfied: Option<u64>,
    /// What is being done, for the log, while the request is not understood.
    pub action: &'static str,
    /// What was answered, once it was.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub body_sent: u64,
}

/// A normalised path.
pub enum Uri<'r> {
    /// As it was sent, or as the configuration says.
    Plain(&'r [u8]),
    Made(Buf, usize),
}

impl Deref for Uri<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Uri::Plain(bytes) => bytes,
            Uri::Made(buffer, len) => &buffer[..*len],
        }
    }
}

impl<'r> Request<'r> {
    /// A request whose path is not known yet; see [`Request::normalise`].
    pub fn new(
        worker: &'static Worker,
        conn: &'r Conn,
        site: &'r Site,
        bytes: &'r [u8],
        head: &'r Head,
    ) -> Request<'r> {
        let server = server_of(site, bytes, head);
        Request {
            worker,
            conn,
            bytes,
            head,
            site,
            server,
            location: &server.location,
            uri: Uri::Plain(b"/"),
            args: head.args.of(bytes),
            method: head.method,
            keep_alive: head.keeps_alive() && !event::draining(),
            internal: false,
            error_page: false,
            err_status: 0,
            located: false,
            body_refused: false,
            moved: None,
            unsatisfied: None,
            action: "",
            status: 0,
            body_sent: 0,
        }
    }

    /// Sets the path; the error is the status to answer with.
    pub fn normalise(&mut self) -> Result<(), u16> {
        let path = self.head.path(self.bytes);
        if !self.head.complex {
            self.uri = Uri::Plain(path);
            return Ok(());
        }
        let mut room = self.worker.scratch(path.len()).ok_or(500_u16)?;
        let merge = self.server.conf.core.merge_slashes;
        let len = uri::normalise(path, merge, &mut room).ok_or(400_u16)?;
        self.uri = Uri::Made(room, len);
        Ok(())
    }

    /// The path with `file` behind it; `None` when no buffer is to be had.
    pub fn uri_with(&self, file: &[u8]) -> Option<Uri<'r>> {
        let len = self.uri.len() + file.len();
        let mut room = self.worker.scratch(len)?;
        room[..self.uri.len()].copy_from_slice(&self.uri);
        room[self.uri.len()..len].copy_from_slice(file);
        Some(Uri::Made(room, len))
    }

    /// The status that content of `status` leaves with.
    pub fn status_of(&self, status: u16) -> u16 {
        if self.err_status != 0 { self.err_status } else { status }
    }

    /// Writes down where a redirect leads before the path becomes another one.
    pub fn keep_target(&mut self) {
        if !matches!(self.moved, Some(Target::Directory)) {
            return;
        }
        // A byte of the path becomes three at most.
        let most = self.uri.len() * 3 + self.args.len() + 2;
        self.moved = self.worker.scratch(most).map(|mut room| {
            let mut out = Writer::new(&mut room);
            self.put_directory(&mut out);
            let len = out.len();
            Target::Made(room, len)
        });
    }

    /// The path with a slash behind it, for `Location`.
    pub fn put_directory(&self, out: &mut Writer<'_>) {
        escape::uri(&self.uri, escape::Uri::Path, out);
        out.put(b"/");
        if !self.args.is_empty() {
            out.put(b"?");
            out.put(self.args);
        }
    }

    /// The content type of the path's extension.
    pub fn content_type(&self) -> &'r [u8] {
        let core = &self.location.conf.core;
        let found = core.types.find(uri::extension(&self.uri));
        found.unwrap_or(&core.default_type)
    }

    /// The conditions that the request makes (RFC 9110 13.1).
    pub fn conditions(&self) -> Conditions<'r> {
        Conditions {
            if_match: self.header(Known::IfMatch),
            if_none_match: self.header(Known::IfNoneMatch),
            if_modified_since: self.header(Known::IfModifiedSince),
            if_unmodified_since: self.header(Known::IfUnmodifiedSince),
        }
    }

    /// The address the client connected to.
    pub fn put_local_ip(&self, out: &mut Writer<'_>) {
        if let Ok(addr) = socket::getsockname(&self.conn.io) {
            // A writer that is full remembers it by itself.
            let _ = write!(out, "{}", addr.peer().ip);
        }
    }

    /// The request line; of one that was not understood, what came of it.
    pub fn line(&self) -> &'r [u8] {
        match self.head.line.of(self.bytes) {
            [] => self.head.last_line(self.bytes),
            line => line,
        }
    }

    pub fn header(&self, known: Known) -> Option<&'r [u8]> {
        self.head.get(self.bytes, known)
    }

    /// The answer has a head only. Whatever a configuration makes of 204 and 304, a client
    /// takes what follows their heads for the next answer.
    pub fn head_only(&self) -> bool {
        self.head.method == Method::Head || matches!(self.status, 204 | 304) && !self.body_only()
    }

    /// HTTP/0.9: the answer has no head. (A line that was not understood is no such
    /// request, though it has no version either.)
    pub fn body_only(&self) -> bool {
        self.head.version == Version::V09 && self.head.len > 0
    }

    /// The location was chosen: do its settings let the connection live on? As in
    /// nginx each location that is entered may say no, none can say yes again.
    pub fn settle_keep_alive(&mut self) {
        let conf = &self.location.conf.core;
        let lived = self.conn.age();
        self.keep_alive &= conf.keepalive_timeout > 0
            && u64::from(self.conn.requests) < conf.keepalive_requests
            && lived <= conf.keepalive_time
            && !(self.keep_alive && self.is_disabled(conf.keepalive_disable));
    }

    /// `keepalive_disable`: is this one of the browsers that mistake kept connections?
    fn is_disabled(&self, disable: KeepaliveDisable) -> bool {
        let agent = || self.header(Known::UserAgent).unwrap_or_default();
        disable.msie6 && self.method == Method::Post && browser::is_msie6(agent())
            || disable.safari && browser::is_safari(agent())
    }

    pub fn log_info(&self, errno: Option<Errno>, text: fmt::Arguments<'_>) {
        self.log(Level::Info, errno, text);
    }

    /// The same while the head is being read.
    pub fn log_reading(&mut self, pipelined: bool, errno: Option<Errno>, text: fmt::Arguments<'_>) {
        self.action = match (self.head.has_line(), pipelined) {
            (true, _) => " while reading client request headers",
            (false, false) => " while reading client request line",
            (false, true) => " while reading client pipelined request line",
        };
        self.log_info(errno, text);
        self.action = "";
    }

    /// Header lines that are ignored for their names are told of.
    pub fn tell_left_out(&mut self) {
        for line in self.head.left_out(self.bytes) {
            let line = Shown(line);
            let text = format_args!("client sent invalid header line: \"{line}\"");
            self.log_reading(false, None, text);
        }
    }

    /// Whether [`Request::log`] would write anything at this level.
    pub fn would_log(&self, level: Level) -> bool {
        self.location.conf.core.error_log.enabled(level, self.conn.peer.ip)
    }

    /// Writes to the error log of the request's location, with its context.
    pub fn log(&self, level: Level, errno: Option<Errno>, text: fmt::Arguments<'_>) {
        let log = &self.location.conf.core.error_log;
        let client = self.conn.peer.ip;
        if log.enabled(level, client) {
            let context = Context(self);
            let connection = self.conn.number;
            log.put(&Entry { level, connection, errno, text, context: Some(&context) }, client);
        }
    }
}

/// The server whose name the request asks for.
fn server_of<'r>(site: &'r Site, bytes: &[u8], head: &Head) -> &'r Server {
    let host = head.host.of(bytes);
    if !head.host_has_upper {
        return site.server(host);
    }
    let mut lower = [0; 255];
    match lower.get_mut(..host.len()) {
        Some(lower) => {
            lower.copy_from_slice(host);
            lower.make_ascii_lowercase();
            site.server(lower)
        }
        // Longer than any name can be.
        None => &site.default_server,
    }
}

/// What nginx adds to the lines of a request.
struct Context<'a, 'r>(&'a Request<'r>);

impl fmt::Display for Context<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.0;
        write!(f, "{}, client: {}", request.action, request.conn.peer.ip)?;
        write!(f, ", server: {}", Shown(&request.server.name))?;
        let line = request.line();
        if !line.is_empty() {
            write!(f, ", request: \"{}\"", Shown(line))?;
        }
        if let Some(host) = request.header(Known::Host) {
            write!(f, ", host: \"{}\"", Shown(host))?;
        }
        if let Some(referer) = request.header(Known::Referer) {
            write!(f, ", referrer: \"{}\"", Shown(referer))?;
        }
        Ok(())
    }
}
