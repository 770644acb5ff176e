//! The peers that were asked for one request, and what came of it: `$upstream_addr` and its
//! like, which list all of them.

use super::target::Protocol;
use crate::http::request::Request;
use crate::http::variables::{BuiltIn, ending};
use crate::log::Field;
use crate::mem::buffers::Scratch;
use crate::net::handover::fields::{Reader, put_flag, put_text};
use crate::text::escape::Shown;
use crate::text::number::DECIMAL;
use crate::text::writer::Writer;
use crate::vars::{Subject, Value};
use std::cell::Cell;
use std::fmt;

/// One peer, asked once. Times are milliseconds from the moment it was chosen.
pub struct Attempt<'r> {
    /// As `$upstream_addr` has it.
    pub addr: &'r [u8],
    /// It is the first one of another group.
    begins_group: bool,
    /// 0: there was no answer.
    pub status: Cell<u16>,
    pub connect_time: Cell<Option<u64>>,
    pub header_time: Cell<Option<u64>>,
    pub response_time: Cell<Option<u64>>,
    /// Bytes of the answer's body.
    pub length: Cell<u64>,
    pub received: Cell<u64>,
    pub sent: Cell<u64>,
    next: Cell<Option<&'r Attempt<'r>>>,
}

/// All of them, in order.
#[derive(Default)]
pub struct Attempts<'r> {
    first: Cell<Option<&'r Attempt<'r>>>,
    last: Cell<Option<&'r Attempt<'r>>>,
    /// What is asked for, behind `http://` and the address: for the log.
    scheme: Cell<&'static str>,
    uri: Cell<&'r [u8]>,
    new_group: Cell<bool>,
    /// Host and port, as the configuration names them.
    pub named: Cell<Option<(&'r [u8], u16)>>,
}

impl<'r> Attempts<'r> {
    /// Another group is to be asked, for `uri`.
    pub fn begin(&self, scheme: &'static str, uri: &'r [u8]) {
        self.scheme.set(scheme);
        self.uri.set(uri);
        self.new_group.set(true);
    }

    /// Notes a peer; `None` when there is no room for it.
    pub fn add(&self, scratch: &'r Scratch, addr: &'r [u8]) -> Option<&'r Attempt<'r>> {
        let attempt = scratch.place(Attempt {
            addr,
            begins_group: self.new_group.replace(false),
            status: Cell::new(0),
            connect_time: Cell::new(None),
            header_time: Cell::new(None),
            response_time: Cell::new(None),
            length: Cell::new(0),
            received: Cell::new(0),
            sent: Cell::new(0),
            next: Cell::new(None),
        })?;
        match self.last.replace(Some(attempt)) {
            Some(last) => last.next.set(Some(attempt)),
            None => self.first.set(Some(attempt)),
        }
        Some(attempt)
    }

    fn iter(&self) -> impl Iterator<Item = &'r Attempt<'r>> + use<'r> {
        std::iter::successors(self.first.get(), |attempt| attempt.next.get())
    }

    /// For another worker, which [`Attempts::learn`]s it.
    pub fn put(&self, out: &mut Writer<'_>) {
        put_text(self.uri.get(), out);
        let (host, port) = self.named.get().unwrap_or_default();
        put_text(host, out);
        out.put(&port.to_ne_bytes());
        out.put(&(self.iter().count() as u32).to_ne_bytes());
        for it in self.iter() {
            put_text(it.addr, out);
            put_flag(it.begins_group, out);
            out.put(&it.status.get().to_ne_bytes());
            let times = [&it.connect_time, &it.header_time, &it.response_time];
            let times = times.map(|time| time.get().unwrap_or(NEVER));
            let counts = [it.length.get(), it.received.get(), it.sent.get()];
            times.iter().chain(&counts).for_each(|number| out.put(&number.to_ne_bytes()));
        }
    }

    /// What another worker has put; `None`: it has not, or there is no room.
    pub fn learn(&self, scratch: &'r Scratch, rest: &mut Reader<'r>) -> Option<()> {
        self.begin(Protocol::Http.scheme(), rest.text()?);
        self.new_group.set(false);
        self.named.set(Some((rest.text()?, rest.u16()?)));
        for _ in 0..rest.u32()? {
            let addr = rest.text()?;
            self.new_group.set(rest.flag()?);
            let attempt = self.add(scratch, addr)?;
            attempt.status.set(rest.u16()?);
            for time in [&attempt.connect_time, &attempt.header_time, &attempt.response_time] {
                time.set(Some(rest.u64()?).filter(|ms| *ms != NEVER));
            }
            for count in [&attempt.length, &attempt.received, &attempt.sent] {
                count.set(rest.u64()?);
            }
        }
        Some(())
    }

    /// The one that was asked last.
    pub fn last(&self) -> Option<&'r Attempt<'r>> {
        self.last.get()
    }

    /// `upstream: "http://127.0.0.1:8080/path"`, for lines of the error log.
    pub fn tell(&self, put: &mut dyn FnMut(Field<'_>)) {
        if let Some(last) = self.last.get() {
            let url = Url { scheme: self.scheme.get(), addr: last.addr, uri: self.uri.get() };
            put(Field { name: "upstream", value: &url, quoted: true });
        }
    }
}

/// The time of what has not happened, between workers.
const NEVER: u64 = u64::MAX;

struct Url<'a> {
    scheme: &'static str,
    addr: &'a [u8],
    uri: &'a [u8],
}

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path and what follows it are told apart by a colon (nginx).
        let colon = if self.addr.starts_with(b"unix:") && !self.uri.is_empty() { ":" } else { "" };
        let (addr, uri) = (Shown(self.addr), Shown(self.uri));
        write!(f, "{}{addr}{colon}{uri}", self.scheme)
    }
}

/// One text of all attempts: `a, b : c`, a colon before another group.
fn list<'r>(
    request: &Request<'r>,
    each: usize,
    put: impl Fn(&Attempt<'r>, &mut Writer<'_>),
) -> Value<'r> {
    let attempts = request.attempts.get()?;
    let most = attempts.iter().map(|attempt| attempt.addr.len().max(each) + 3).sum::<usize>();
    if most == 0 {
        return None;
    }
    request.made(most, |out| {
        for (i, attempt) in attempts.iter().enumerate() {
            out.put(match (i, attempt.begins_group) {
                (0, _) => b"",
                (_, true) => b" : ",
                (_, false) => b", ",
            });
            put(attempt, out);
        }
    })
}

/// Seconds, or a dash for what has not happened.
fn put_time(time: Option<u64>, out: &mut Writer<'_>) {
    match time {
        Some(ms) => out.put_seconds(ms),
        None => out.put(b"-"),
    }
}

const SECONDS: usize = DECIMAL + 4;

pub static VARIABLES: &[BuiltIn] = &[
    ending("upstream_addr", |request| list(request, 0, |it, out| out.put(it.addr))),
    ending("upstream_status", |request| {
        list(request, DECIMAL, |it, out| match it.status.get() {
            0 => out.put(b"-"),
            status => out.put_padded(u64::from(status), 3),
        })
    }),
    ending("upstream_connect_time", |request| {
        list(request, SECONDS, |it, out| put_time(it.connect_time.get(), out))
    }),
    ending("upstream_header_time", |request| {
        list(request, SECONDS, |it, out| put_time(it.header_time.get(), out))
    }),
    ending("upstream_response_time", |request| {
        list(request, SECONDS, |it, out| put_time(it.response_time.get(), out))
    }),
    ending("upstream_response_length", |request| {
        list(request, DECIMAL, |it, out| out.put_u64(it.length.get()))
    }),
    ending("upstream_bytes_received", |request| {
        list(request, DECIMAL, |it, out| out.put_u64(it.received.get()))
    }),
    ending("upstream_bytes_sent", |request| {
        list(request, DECIMAL, |it, out| out.put_u64(it.sent.get()))
    }),
];
