//! `access_log`: where a request's line goes.

use crate::conf::{
    Args, Context, Cx, Directive, Error, Hold, LogPath, Node, literal, parse_size, parse_time,
    settings,
};
use crate::http::request::Request;
use crate::proto::request::Known;
use crate::sys::addr::Ip;
use crate::text::writer::Writer;
use crate::text::{ascii, base64, escape};
use crate::time;
use std::fmt::Write as _;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        pub access_logs: Rc<AccessLogs> = Rc::default(),
    }
    defaults(cx) {
        access_logs: Rc::new(AccessLogs { off: false, lines: vec![AccessLog::stdout(cx)] }),
    }
}

/// The `access_log` lines of a level; none if one of them is `off`.
#[derive(Clone, Default)]
pub struct AccessLogs {
    off: bool,
    lines: Vec<AccessLog>,
}

impl std::ops::Deref for AccessLogs {
    type Target = [AccessLog];

    fn deref(&self) -> &[AccessLog] {
        if self.off { &[] } else { &self.lines }
    }
}

/// One `access_log` line.
#[derive(Clone)]
pub struct AccessLog {
    pub log: Rc<LogPath>,
}

impl AccessLog {
    /// Where lines go when no level says anything.
    fn stdout(cx: &mut Cx) -> AccessLog {
        AccessLog { log: cx.default_log(b"stdout") }
    }
}

pub static LOC: &[Directive<LocRaw>] = &[Directive::call(
    "access_log",
    Context::ALL.or(Context::LIF).or(Context::LMT),
    Args::ONE_MORE,
    access_log,
)];

/// `access_log off;` or `access_log PATH [combined [buffer=SIZE] [flush=TIME]];`
fn access_log(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let (path, logs) = (node.arg(0), Rc::make_mut(raw.access_logs.get_or_insert_default()));
    if path.bytes() == b"off" {
        logs.off = true;
        return match node.args_len() {
            1 => Ok(()),
            _ => Err(Error::invalid_parameter(node.arg(1))),
        };
    }
    literal(path)?;
    if node.args_len() > 1 && node.arg(1).bytes() != b"combined" {
        return Err(Error::at(node.arg(1), format!("unknown log format \"{}\"", node.arg(1))));
    }
    let hold = hold(node)?;
    if hold.is_some() && path.starts_with(b"syslog:") {
        return Err(Error::at(path, "logs to syslog cannot be buffered"));
    }
    let log = cx.log_path(path, hold)?;
    logs.lines.push(AccessLog { log });
    Ok(())
}

/// `buffer=` and `flush=`: how much may wait, and how long.
fn hold(node: Node) -> Result<Option<Hold>, Error> {
    let (mut buffer, mut flush) = (None, None);
    for word in node.args().skip(2) {
        let equals = word.iter().position(|byte| *byte == b'=').map_or(word.len(), |at| at + 1);
        let (name, value) = (word.until(equals), word.part(equals));
        match name.bytes() {
            b"buffer=" => {
                let size = parse_size(&value).filter(|size| *size > 0);
                let invalid = || Error::at(word, format!("invalid buffer size \"{value}\""));
                buffer = Some(size.ok_or_else(invalid)?);
            }
            b"flush=" => {
                let time = parse_time(&value, true).filter(|time| *time > 0);
                let invalid = || Error::at(word, format!("invalid flush time \"{value}\""));
                flush = Some(time.ok_or_else(invalid)?);
            }
            b"gzip" | b"gzip=" | b"if=" => {
                let text = format!("\"{word}\" is not supported by limpet: it is not built yet");
                return Err(Error::at(word, text));
            }
            _ => return Err(Error::invalid_parameter(word)),
        }
    }
    match (buffer, flush) {
        (None, Some(_)) => {
            let text = format!("no buffer is defined for access_log \"{}\"", node.arg(0));
            Err(Error::at(node.arg(0), text))
        }
        _ => Ok(buffer.map(|bytes| Hold { bytes: bytes as usize, ms: flush })),
    }
}

/// Writes the line of a request that has been answered (`combined`).
pub fn record(request: &Request<'_>) {
    let logs = &request.location.conf.log.access_logs;
    if logs.is_empty() {
        return;
    }
    let mut room = request.worker.line.borrow_mut();
    let mut out = Writer::new(&mut room);
    put_combined(request, &mut out);
    for log in logs.iter() {
        if let Some(file) = log.log.file() {
            file.line(out.written());
        }
    }
}

fn put_combined(request: &Request<'_>, out: &mut Writer<'_>) {
    put_ip(request.client.ip, out);
    out.put(b" - ");
    put_user(request, out);
    out.put(b" [");
    out.put(&time::log_local());
    out.put(b"] \"");
    escape::log(request.line(), out);
    out.put(b"\" ");
    out.put_padded(u64::from(request.status), 3);
    out.put(b" ");
    out.put_u64(request.body_sent);
    out.put(b" \"");
    put_header(request, Known::Referer, out);
    out.put(b"\" \"");
    put_header(request, Known::UserAgent, out);
    out.put(b"\"");
}

/// Octet by octet: the formatting machinery costs more than the rest of the line.
fn put_ip(ip: Ip, out: &mut Writer<'_>) {
    match ip {
        Ip::V4(ip) => {
            let [a, rest @ ..] = ip.octets();
            out.put_u64(u64::from(a));
            for octet in rest {
                out.put(b".");
                out.put_u64(u64::from(octet));
            }
        }
        other => {
            // A writer that is full remembers it by itself.
            let _ = write!(out, "{other}");
        }
    }
}

fn put_header(request: &Request<'_>, known: Known, out: &mut Writer<'_>) {
    match request.header(known) {
        None => out.put(b"-"),
        Some(value) => escape::log(value, out),
    }
}

/// The name in `Authorization: Basic`, whether or not anybody checks it.
fn put_user(request: &Request<'_>, out: &mut Writer<'_>) {
    let value = request.header(Known::Authorization).unwrap_or_default();
    let mut room = [0; 256];
    let user = value
        .split_at_checked(6)
        .filter(|(scheme, _)| ascii::eq_ignore_case(scheme, b"basic "))
        .and_then(|(_, text)| base64::decode(text.trim_ascii(), &mut room))
        .and_then(|pair| Some(pair.split_at(pair.iter().position(|&byte| byte == b':')?).0));
    match user {
        None | Some(b"") => out.put(b"-"),
        Some(user) => escape::log(user, out),
    }
}
