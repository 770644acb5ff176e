//! One request: what was asked for, where it leads, and what came of it.

use super::body_filter::Filters;
use super::browser;
use super::conf::{Http, Location, Server, Site};
use super::connection::Conn;
use super::core::KeepaliveDisable;
use super::limits::Limited;
use super::permission::SoFar;
use super::request_body::Received;
use super::response::Response;
use super::send::Rate;
use super::step::{Phase, Target};
use super::subrequest::Ask;
use super::upstream::Upstream;
use super::upstream::attempts::Attempts;
use super::variables::{Slot, Slots};
use super::worker::Worker;
use crate::conf::{Pattern, VarId};
use crate::log::Level;
use crate::mem::arena::Held;
use crate::mem::buffers::Scratch;
use crate::proto::conditional::Conditions;
use crate::proto::regex::Captures;
use crate::proto::request::{Head, Known, Method, Version};
use crate::proto::uri;
use crate::sys::addr::Peer;
use crate::sys::socket;
use crate::text::escape::{self, Shown};
use crate::text::writer::Writer;
use crate::time;
use crate::vars::{Subject, Value};
use std::cell::{Cell, OnceCell};
use std::fmt::Write as _;
use std::rc::Rc;

mod choose;

use choose::Captured;

pub struct Request<'r> {
    pub worker: &'static Worker,
    pub conn: &'r Conn,
    /// Who asks: the other end of the connection, or whom it speaks for (`realip`).
    pub client: Peer,
    /// The bytes that `head` has spans of.
    pub bytes: &'r [u8],
    pub head: &'r Head,
    pub http: &'r Http,
    pub site: &'r Site,
    pub server: &'r Server,
    pub location: &'r Rc<Location>,
    /// What comes next.
    pub phase: Phase,
    /// How often the path may yet change; 0: it has changed too often.
    pub changes_left: u8,
    /// `rewrite` has changed the path: its location is to be found.
    pub uri_changed: bool,
    /// `rewrite` has changed the path and stayed: it is not below its location's name.
    pub left_location: bool,
    /// `try_files` has found the path below the `alias` of a regular expression.
    pub added_to_alias: bool,
    /// Path and arguments are those that the client has sent.
    pub raw_uri: bool,
    /// The normalised path.
    pub uri: &'r [u8],
    pub args: &'r [u8],
    pub method: Method,
    pub keep_alive: bool,
    /// Not what the client asked for any more: `internal` locations may be entered.
    pub internal: bool,
    /// `error_page` has been asked once, and is not to be asked again.
    pub error_page: bool,
    /// The status that overrules the one the content comes with; 0: none.
    pub err_status: u16,
    /// The body was found too large: it is not measured again.
    pub body_refused: bool,
    /// What `Location` says.
    pub moved: Option<Target<'r>>,
    /// How the file is compressed that stands for the one asked for; empty: as it is.
    pub precompressed: &'static [u8],
    /// The size of the file that no wanted range is in (416).
    pub unsatisfied: Option<u64>,
    /// What came of its limits, once they were asked.
    pub limited: Limited<'r>,
    /// It has waited for its 401 (`auth_delay`).
    pub unauthorized: bool,
    /// How far it has been found out whether it may.
    pub permission: SoFar,
    /// The status that `auth_request` was told.
    pub asked: Option<u16>,
    /// It is a request of another request, and its answer is not sent.
    pub is_inner: bool,
    /// It is one that has the body of the other, too.
    pub repeats_body: bool,
    /// The peers that were asked.
    pub attempts: Cell<Option<&'r Attempts<'r>>>,
    /// The exchange with an upstream, once there was one.
    pub upstream: Option<Held<'r, Upstream<'r>>>,
    /// Where it is to go as well.
    pub mirrors: Option<&'r super::mirror::Loc>,
    /// Its body, once somebody wanted it.
    pub body: &'r OnceCell<Received>,
    /// What stood behind its last chunk, if that is passed on.
    pub trailers: Cell<&'r [u8]>,
    /// What is being done, for the log, while the request is not understood.
    pub action: &'static str,
    /// What was answered, once it was.
    pub status: u16,
    /// The head of the answer.
    pub response: Response<'r>,
    /// What the body goes through on its way.
    pub filters: Filters,
    /// How fast the body may leave.
    pub limit_rate: Rate,
    /// What `set $limit_rate` said, in place of the location's.
    pub own_rate: Option<u64>,
    /// When its first byte came, in ms since 1970.
    pub started_at: u64,
    /// It came together with the one before.
    pub pipelined: bool,
    /// Bytes of the head that were sent.
    pub head_sent: u64,
    /// Bytes of the body that were sent.
    pub body_sent: u64,
    /// All of the answer was sent.
    pub complete: bool,
    /// Another worker goes on with it, and tells of it.
    pub is_gone: bool,
    /// Another worker had it: what is not to be seen of it here has been told.
    pub was_told: Cell<bool>,
    /// `$request_id`, once somebody has asked for it.
    pub id: Cell<Value<'r>>,
    /// Values that directives have made; see `http::variables`.
    slots: OnceCell<Slots<'r>>,
    /// Variables being evaluated inside each other.
    pub depth: Cell<u8>,
    /// What the last regular expression matched.
    captures: Cell<Option<&'r Captured<'r>>>,
    /// Room for all that the request makes of itself.
    scratch: &'r Scratch,
}

/// Changes of the path, internal redirects among them, the last of which is an error: as
/// in nginx ten are good.
const CHANGES_MOST: u8 = 11;

/// What a request is a request of.
#[derive(Clone, Copy)]
pub struct Origin<'r> {
    pub worker: &'static Worker,
    pub conn: &'r Conn,
    pub http: &'r Http,
    pub site: &'r Site,
    pub scratch: &'r Scratch,
    pub started_at: u64,
    pub pipelined: bool,
    /// Where its body will be.
    pub body: &'r OnceCell<Received>,
}

impl<'r> Request<'r> {
    /// A request that goes through the phases for this one; `None` when there is no room.
    /// Variables are those of both, what regular expressions matched is not.
    pub fn inner(&self, ask: Ask<'r>) -> Option<Request<'r>> {
        let Request { worker, conn, http, site, scratch, started_at, pipelined, body, .. } = *self;
        let origin = Origin { worker, conn, http, site, scratch, started_at, pipelined, body };
        let slots = OnceCell::new();
        let _ = slots.set(self.slots()?);
        Some(Request {
            client: self.client,
            server: self.server,
            location: &self.server.location,
            uri: ask.uri,
            args: ask.args,
            method: if ask.same_method { self.method } else { Method::Get },
            internal: true,
            raw_uri: false,
            is_inner: true,
            repeats_body: ask.same_method && self.mirrors.is_some_and(|it| it.request_body),
            trailers: if ask.same_method { self.trailers.clone() } else { Cell::default() },
            limited: self.limited.inner(),
            slots,
            ..Request::new(origin, self.bytes, self.head)
        })
    }

    /// A request whose path is not known yet, nor its server: see [`Request::normalise`] and
    /// [`Request::find_server`].
    pub fn new(origin: Origin<'r>, bytes: &'r [u8], head: &'r Head) -> Request<'r> {
        let Origin { worker, conn, http, site, scratch, started_at, pipelined, body } = origin;
        let server = &*site.default_server;
        Request {
            worker,
            conn,
            client: conn.peer,
            bytes,
            head,
            http,
            site,
            server,
            location: &server.location,
            phase: Phase::ServerRewrite,
            changes_left: CHANGES_MOST,
            uri_changed: false,
            left_location: false,
            added_to_alias: false,
            raw_uri: true,
            uri: b"/",
            args: head.args.of(bytes),
            method: head.method,
            keep_alive: head.keeps_alive() && conn.may_live_on(worker),
            internal: false,
            error_page: false,
            err_status: 0,
            body_refused: false,
            moved: None,
            precompressed: b"",
            unsatisfied: None,
            limited: Limited::default(),
            unauthorized: false,
            permission: SoFar::default(),
            asked: None,
            is_inner: false,
            repeats_body: false,
            attempts: Cell::new(None),
            upstream: None,
            mirrors: None,
            body,
            trailers: Cell::default(),
            action: "",
            status: 0,
            response: Response::default(),
            filters: Filters::default(),
            limit_rate: Rate::default(),
            own_rate: None,
            started_at,
            pipelined,
            head_sent: 0,
            body_sent: 0,
            complete: false,
            is_gone: false,
            was_told: Cell::new(false),
            id: Cell::new(None),
            slots: OnceCell::new(),
            depth: Cell::new(0),
            captures: Cell::new(None),
            scratch,
        }
    }

    /// Sets the path; the error is the status to answer with.
    pub fn normalise(&mut self) -> Result<(), u16> {
        let path = self.head.path(self.bytes);
        self.uri = path;
        if !self.head.complex {
            return Ok(());
        }
        let merge = self.server.conf.core.merge_slashes;
        let room = self.scratch.take(path.len()).ok_or(500_u16)?;
        let len = uri::normalise(path, merge, room).ok_or(400_u16)?;
        self.uri = room.get(..len).ok_or(500_u16)?;
        Ok(())
    }

    /// The same for `rewrite` and `if`: one that does not match leaves no `$1` behind.
    pub fn tests(&self, pattern: &'r Pattern, text: &'r [u8]) -> bool {
        let matches = self.matches(pattern, text);
        if !matches {
            self.captures.set(None);
        }
        matches
    }

    /// The place of a variable that a directive makes.
    pub fn slot(&self, id: VarId) -> Option<&'r Cell<Slot<'r>>> {
        self.slots()?.get(id.0 as usize)
    }

    fn slots(&self) -> Option<Slots<'r>> {
        if let Some(slots) = self.slots.get() {
            return Some(*slots);
        }
        let count = self.http.variables.len();
        let made = self.scratch.fill(count, || Cell::new(Slot::Unknown))?;
        Some(*self.slots.get_or_init(|| made))
    }

    /// A variable is used that no `set` has run for.
    pub fn tell_uninitialized(&self, name: &[u8]) {
        if self.location.conf.rewrite.uninitialized_variable_warn {
            let name = Shown(name);
            let text = format_args!("using uninitialized \"{name}\" variable");
            self.log(Level::Warn, None, text);
        }
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
        self.moved = self.made(most, |out| self.put_directory(out)).map(Target::Text);
    }

    /// The path with a slash behind it, for `Location`.
    pub fn put_directory(&self, out: &mut Writer<'_>) {
        escape::uri(self.uri, escape::Uri::Path, out);
        out.put(b"/");
        if !self.args.is_empty() {
            out.put(b"?");
            out.put(self.args);
        }
    }

    /// When it began, in seconds since 1970.
    pub fn started_sec(&self) -> i64 {
        (self.started_at / 1000) as i64
    }

    /// Finds out how fast the answer may leave.
    #[inline(always)]
    pub fn set_rate(&mut self) {
        let core = &self.location.conf.core;
        if self.own_rate.is_none() && core.limit_rate.is_zero() {
            return;
        }
        let rate = self.own_rate.unwrap_or_else(|| core.limit_rate.of(self));
        let after = core.limit_rate_after.of(self);
        self.limit_rate = Rate { rate, after };
    }

    /// The content type of the path's extension.
    #[inline]
    pub fn content_type(&self) -> &'r [u8] {
        // An upstream that led here has said it (`X-Accel-Redirect`).
        if !self.response.content_type.is_empty() {
            return self.response.content_type;
        }
        let core = &self.location.conf.core;
        let found = core.types.find(uri::extension(self.uri));
        found.unwrap_or(&core.default_type)
    }

    /// The conditions that the request makes (RFC 9110 13.1); a subrequest makes none.
    #[inline(always)]
    pub fn conditions(&self) -> Conditions<'r> {
        if self.is_inner {
            return Conditions::default();
        }
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

    /// Bytes of the request that were read for it.
    pub fn length(&self) -> u64 {
        u64::from(self.head.consumed()) + self.body.get().map_or(0, |body| body.raw)
    }

    /// Milliseconds since it began to arrive.
    pub fn age(&self) -> u64 {
        time::unix_ms().saturating_sub(self.started_at)
    }

    #[inline(always)]
    pub fn header(&self, known: Known) -> Option<&'r [u8]> {
        self.head.get(self.bytes, known)
    }

    /// The answer has a head only. Whatever a configuration makes of 204 and 304, a client
    /// takes what follows their heads for the next answer.
    #[inline(always)]
    pub fn head_only(&self) -> bool {
        self.head.method == Method::Head
            || self.response.refused
            || matches!(self.status, 204 | 304) && !self.body_only()
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
}

impl<'r> Subject<'r> for Request<'r> {
    fn scratch(&self) -> &'r Scratch {
        self.scratch
    }

    fn variable(&self, id: VarId) -> Value<'r> {
        self.http.variables.get(self, id)
    }

    fn capture(&self, number: u8) -> Value<'r> {
        let captured = self.captures.get()?;
        captured.text.get(captured.groups.get(number.into())?)
    }

    fn matches(&self, pattern: &'r Pattern, text: &'r [u8]) -> bool {
        let mut groups = Captures::default();
        if !pattern.regex.exec(&mut self.http.regex_room.borrow_mut(), text, &mut groups) {
            return false;
        }
        for (id, group) in &pattern.names {
            let value = groups.get(*group).and_then(|range| text.get(range));
            if let Some(slot) = self.slot(*id) {
                slot.set(Slot::Is(value));
            }
        }
        self.captures.set(self.scratch.place(Captured { text, groups }));
        true
    }
}
