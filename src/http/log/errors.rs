//! What a request tells the error log, and who it is for whoever reads that.

use crate::http::connection::not_sent;
use crate::http::request::Request;
use crate::log::{self, Entry, Field, Level};
use crate::proto::request::Known;
use crate::sys::addr::Ip;
use crate::sys::errno::Errno;
use crate::text::escape::Shown;
use std::fmt;

impl Request<'_> {
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

    /// The answer cannot be sent to its end.
    pub fn log_sending(&mut self, errno: Errno) {
        self.action = " while sending response to client";
        self.log_info(Some(errno), format_args!("{}", not_sent(errno)));
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
    #[inline(always)]
    pub fn log(&self, level: Level, errno: Option<Errno>, text: fmt::Arguments<'_>) {
        if self.would_log(level) {
            self.put_log(level, errno, text);
        }
    }

    #[cold]
    fn put_log(&self, level: Level, errno: Option<Errno>, text: fmt::Arguments<'_>) {
        let (connection, context) = (self.conn.number, Context(self));
        let entry = Entry { level, connection, errno, text, context: Some(&context) };
        self.location.conf.core.error_log.put(&entry, self.conn.peer.ip);
    }
}

/// What nginx adds to the lines of a connection without a request.
pub struct Doing<'a> {
    /// ` while waiting for request`
    pub action: &'static str,
    pub client: Ip,
    pub server: &'a dyn fmt::Display,
}

impl log::Context for Doing<'_> {
    fn action(&self) -> &str {
        self.action
    }

    fn fields(&self, put: &mut dyn FnMut(Field<'_>)) {
        put(Field { name: "client", value: &self.client, quoted: false });
        put(Field { name: "server", value: self.server, quoted: false });
    }
}

/// What nginx adds to the lines of a request.
struct Context<'a, 'r>(&'a Request<'r>);

impl log::Context for Context<'_, '_> {
    fn action(&self) -> &str {
        self.0.action
    }

    fn fields(&self, put: &mut dyn FnMut(Field<'_>)) {
        let request = self.0;
        let plain = |name, value| Field { name, value, quoted: false };
        put(plain("client", &request.client.ip));
        put(plain("server", &Shown(&request.server.name)));
        let mut quoted = |name, value: Option<&[u8]>| {
            if let Some(value) = value {
                put(Field { name, value: &Shown(value), quoted: true });
            }
        };
        quoted("request", Some(request.line()).filter(|line| !line.is_empty()));
        quoted("subrequest", Some(request.uri).filter(|_| request.is_inner));
        if let Some(attempts) = request.attempts.get() {
            attempts.tell(put);
        }
        let mut quoted = |name, value: Option<&[u8]>| {
            if let Some(value) = value {
                put(Field { name, value: &Shown(value), quoted: true });
            }
        };
        quoted("host", request.header(Known::Host));
        quoted("referrer", request.header(Known::Referer));
    }
}
