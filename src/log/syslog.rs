//! `syslog:server=…`: one datagram a line, in RFC 3164's form, as nginx sends it.
//!
//! Nothing is queued: a datagram that the socket does not take now is dropped and
//! counted. A dead server is tried again once a second.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::os::fd::OwnedFd;

use super::{Level, log};
use crate::sys::addr::{Addr, BadAddr};
use crate::sys::{Errno, Result, process, socket};
use crate::text::writer::Writer;
use crate::time;

/// The longest header: `<190>`, date, host and tag, and what parts them.
const HEADER: usize = 5 + 15 + 1 + HOSTNAME_MAX + 1 + TAG_MAX + 2;
const HOSTNAME_MAX: usize = 64;
const TAG_MAX: usize = 32;
const RETRY_MS: u64 = 1000;

pub struct Syslog {
    server: Addr,
    facility: u8,
    /// Of access lines; error lines have their own.
    pub severity: u8,
    tag: Vec<u8>,
    /// Empty with `nohostname`.
    hostname: Vec<u8>,
    socket: RefCell<Option<OwnedFd>>,
    retry_at: Cell<u64>,
    failing: Cell<bool>,
}

impl Syslog {
    pub fn send(&self, severity: u8, line: &[u8]) {
        let mut room = [0; HEADER];
        let mut header = Writer::new(&mut room);
        self.header(severity, &mut header);
        match self.send_datagram(&[IoSlice::new(header.written()), IoSlice::new(line)]) {
            Ok(()) => self.failing.set(false),
            Err(e) => {
                super::count_dropped(1);
                self.failed(e);
            }
        }
    }

    /// `<190>Nov 21 21:56:56 host tag: `
    fn header(&self, severity: u8, message: &mut Writer<'_>) {
        message.put_byte(b'<');
        message.put_u64(u64::from(self.facility) * 8 + u64::from(severity));
        message.put_byte(b'>');
        message.put(&time::syslog_date());
        message.put_byte(b' ');
        if !self.hostname.is_empty() {
            message.put(&self.hostname);
            message.put_byte(b' ');
        }
        message.put(&self.tag);
        message.put(b": ");
    }

    fn send_datagram(&self, message: &[IoSlice<'_>]) -> Result<()> {
        if time::now_ms() < self.retry_at.get() {
            return Err(Errno::EAGAIN);
        }
        let mut socket = self.socket.borrow_mut();
        let open = match socket.take() {
            Some(open) => open,
            None => connect(&self.server)?,
        };
        // A UDP socket reports here that an earlier datagram met a closed port:
        // that is no reason to give up this one's socket, so it is kept.
        let sent = socket::send_parts(&open, message, socket::DONTWAIT);
        if sent.is_ok() || !self.server.is_unix() || sent == Err(Errno::EAGAIN) {
            *socket = Some(open);
        }
        sent.map(drop)
    }

    fn failed(&self, e: Errno) {
        if e == Errno::EAGAIN {
            return;
        }
        if self.server.is_unix() || self.socket.borrow().is_none() {
            self.retry_at.set(time::now_ms() + RETRY_MS);
        }
        if !self.failing.replace(true) {
            log!(Level::Alert, errno e, "send() to syslog server \"{}\" failed", self.server);
        }
    }

    /// Reads nginx's parameters, what follows `syslog:`.
    pub fn parse(parameters: &[u8]) -> std::result::Result<Syslog, String> {
        let mut words = Words::default();
        for word in String::from_utf8_lossy(parameters).split(',') {
            words.take(word)?;
        }
        let server = words.server.ok_or("no syslog server specified")?;
        let hostname = if words.nohostname { Vec::new() } else { hostname() };
        Ok(Syslog {
            server,
            facility: words.facility.unwrap_or(23),
            severity: words.severity.unwrap_or(Level::Info as u8),
            tag: words.tag.unwrap_or_else(|| b"limpet".to_vec()),
            hostname,
            socket: RefCell::new(None),
            retry_at: Cell::new(0),
            failing: Cell::new(false),
        })
    }
}

fn connect(server: &Addr) -> Result<OwnedFd> {
    let open = socket::socket(server.family(), socket::DGRAM)?;
    socket::connect(&open, server)?;
    Ok(open)
}

/// As nginx: lower case, at most 64 bytes.
fn hostname() -> Vec<u8> {
    let mut name = process::hostname().unwrap_or_default().to_ascii_lowercase();
    name.truncate(HOSTNAME_MAX);
    name
}

#[derive(Default)]
struct Words {
    server: Option<Addr>,
    facility: Option<u8>,
    severity: Option<u8>,
    tag: Option<Vec<u8>>,
    nohostname: bool,
}

impl Words {
    fn take(&mut self, word: &str) -> std::result::Result<(), String> {
        match word.split_once('=') {
            Some(("server", server)) => once(&mut self.server, "server", parse_server(server)),
            Some(("facility", name)) => {
                once(&mut self.facility, "facility", index(&FACILITIES, "facility", name))
            }
            Some(("severity", name)) => {
                once(&mut self.severity, "severity", index(&SEVERITIES, "severity", name))
            }
            Some(("tag", tag)) => once(&mut self.tag, "tag", parse_tag(tag)),
            _ if word == "nohostname" => {
                self.nohostname = true;
                Ok(())
            }
            _ => Err(format!("unknown syslog parameter \"{word}\"")),
        }
    }
}

type Parsed<T> = std::result::Result<T, String>;

fn once<T>(slot: &mut Option<T>, name: &str, value: Parsed<T>) -> Parsed<()> {
    if slot.is_some() {
        return Err(format!("duplicate syslog \"{name}\""));
    }
    *slot = Some(value?);
    Ok(())
}

fn parse_server(text: &str) -> Parsed<Addr> {
    let numeric = match text.strip_prefix("localhost") {
        Some(port) if port.is_empty() || port.starts_with(':') => format!("127.0.0.1{port}"),
        _ => text.to_string(),
    };
    Addr::parse(&numeric, 514).map_err(|e| match e {
        BadAddr::Name => format!("{e} in syslog server \"{text}\": give its address"),
        e => format!("{e} in syslog server \"{text}\""),
    })
}

/// RFC 3164: alphanumeric, not more than 32 characters.
fn parse_tag(tag: &str) -> Parsed<Vec<u8>> {
    if tag.len() > TAG_MAX {
        return Err("syslog tag length exceeds 32".into());
    }
    if !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("syslog \"tag\" only allows alphanumeric characters and underscore".into());
    }
    Ok(tag.into())
}

fn index(names: &[&str], what: &str, name: &str) -> Parsed<u8> {
    let at = names.iter().position(|known| *known == name);
    at.map(|at| at as u8).ok_or_else(|| format!("unknown syslog {what} \"{name}\""))
}

const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(parameters: &str, expected: &str) {
        assert_eq!(Syslog::parse(parameters.as_bytes()).err().as_deref(), Some(expected));
    }

    #[test]
    fn parameters_are_those_of_nginx() {
        let all = b"server=[::1]:1234,facility=local0,severity=warn,tag=a_1,nohostname";
        let syslog = Syslog::parse(all).unwrap();
        assert_eq!((syslog.facility, syslog.severity), (16, 4));
        assert_eq!(syslog.server.to_string(), "[::1]:1234");
        assert!(syslog.tag == b"a_1" && syslog.hostname.is_empty());
        let defaults = Syslog::parse(b"server=localhost").unwrap();
        assert_eq!((defaults.facility, defaults.severity), (23, 6));
        assert_eq!(defaults.server.to_string(), "127.0.0.1:514");
        refused("tag=x", "no syslog server specified");
        refused("", "unknown syslog parameter \"\"");
        refused("server=1.1.1.1,host=x", "unknown syslog parameter \"host=x\"");
        refused("server=1.1.1.1,server=1.1.1.1", "duplicate syslog \"server\"");
        refused("facility=x", "unknown syslog facility \"x\"");
        refused("severity=x", "unknown syslog severity \"x\"");
        refused("server=1.1.1.1:0", "invalid port in syslog server \"1.1.1.1:0\"");
        refused("tag=a-b", "syslog \"tag\" only allows alphanumeric characters and underscore");
    }

    #[test]
    fn a_line_is_a_datagram() {
        let server = socket::socket(libc_inet(), socket::DGRAM).unwrap();
        socket::bind(&server, &Addr::V4("127.0.0.1:0".parse().unwrap())).unwrap();
        let at = socket::getsockname(&server).unwrap();
        let syslog = Syslog::parse(format!("server={at},nohostname").as_bytes()).unwrap();
        time::start();
        syslog.send(Level::Error as u8, b"hello");
        let mut buf = [0; 256];
        let n = socket::recv(&server, &mut buf).unwrap();
        assert_eq!(&buf[..5], b"<187>");
        assert_eq!(&buf[20..n], b" limpet: hello");
    }

    fn libc_inet() -> i32 {
        Addr::V4("127.0.0.1:1".parse().unwrap()).family()
    }
}
