//! `access_log` and `log_format`: what a request leaves behind, and where.

mod errors;
mod named;

pub use errors::Doing;

use crate::conf::{
    self, Args, Context, Cx, Directive, Error, Escape, Hold, LogFormat, LogPath, Node, Part,
    Template, VarId, Word, parse_number, parse_size, parse_time, settings,
};
use crate::http::conf::Location;
use crate::http::request::Request;
use crate::log;
use crate::text::writer::Writer;
use crate::vars::Subject;
use named::Named;
use std::rc::Rc;

/// nginx's own.
const COMBINED: &str = concat!(
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "#,
    r#""$http_referer" "$http_user_agent""#,
);

/// What sites written for nginx's image refer to: its nginx.conf has it.
const MAIN: &str = concat!(
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "#,
    r#""$http_referer" "$http_user_agent" "$http_x_forwarded_for""#,
);

/// limpet's own: an object for each request.
const JSON: &str = concat!(
    r#"{"time":"$time_iso8601","remote_addr":"$remote_addr","remote_user":"$remote_user","#,
    r#""request":"$request","method":"$request_method","scheme":"$scheme","host":"$host","#,
    r#""uri":"$request_uri","protocol":"$server_protocol","status":$status,"#,
    r#""body_bytes_sent":$body_bytes_sent,"bytes_sent":$bytes_sent,"#,
    r#""request_length":$request_length,"request_time":$request_time,"#,
    r#""referer":"$http_referer","user_agent":"$http_user_agent","#,
    r#""forwarded_for":"$http_x_forwarded_for","request_id":"$request_id","#,
    r#""connection":$connection,"connection_requests":$connection_requests,"#,
    r#""server_name":"$server_name","pid":$pid}"#,
);

settings! {
    pub struct Loc, LocRaw {
        pub access_logs: Rc<AccessLogs> = Rc::default(),
        /// Logs whose names have variables stay open.
        pub open_log_file_cache: Option<Rc<log::Cache>> = None,
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
    to: To,
    format: Rc<LogFormat>,
    /// `if=`
    condition: Option<Rc<Template>>,
}

#[derive(Clone)]
enum To {
    Log(Rc<LogPath>),
    Named(Rc<Named>),
}

impl AccessLog {
    /// Where lines go when no level says anything.
    fn stdout(cx: &mut Cx) -> AccessLog {
        let to = To::Log(cx.default_log(b"stdout"));
        AccessLog { to, format: combined(cx), condition: None }
    }

    /// `if=`: neither empty nor `0`. A line too many rather than none.
    fn is_wanted<'r>(&'r self, request: &Request<'r>) -> bool {
        match &self.condition {
            None => true,
            Some(text) => !matches!(request.render(text), Some(b"" | b"0")),
        }
    }

    /// The texts that its lines, and whether and where there are any, are made of.
    fn texts(&self) -> impl Iterator<Item = &Template> {
        let name = match &self.to {
            To::Log(_) => None,
            To::Named(named) => Some(named.path()),
        };
        [Some(&self.format.text), self.condition.as_deref(), name].into_iter().flatten()
    }

    fn write<'r>(&'r self, request: &Request<'r>, line: &[u8]) {
        match &self.to {
            To::Log(log) => {
                if let Some(file) = log.file() {
                    file.line(line);
                }
            }
            To::Named(named) => named.write(request, line),
        }
    }
}

const LOGGED: Context = Context::ALL.or(Context::LIF).or(Context::LMT);

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("access_log", LOGGED, Args::ONE_MORE, access_log),
    Directive::call("log_format", Context::HTTP, Args::TWO_MORE, |_, cx, node| {
        let name = node.arg(0);
        if name.bytes() == b"combined" {
            let text = "duplicate \"log_format\" name \"combined\"";
            return Err(Error::at(name, text));
        }
        cx.log_format(node)
    }),
    Directive::call("open_log_file_cache", Context::ALL, Args::ONE_TO_FOUR, |raw, _, node| {
        conf::put(&mut raw.open_log_file_cache, node, open_log_file_cache(node))
    }),
];

/// `access_log off;` or
/// `access_log PATH [FORMAT [buffer=SIZE] [flush=TIME] [if=CONDITION]];`
fn access_log(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let path = node.arg(0);
    if path.bytes() == b"off" {
        Rc::make_mut(raw.access_logs.get_or_insert_default()).off = true;
        return match node.args_len() {
            1 => Ok(()),
            _ => Err(Error::invalid_parameter(node.arg(1))),
        };
    }
    let is_syslog = path.starts_with(b"syslog:");
    let has_variables = !is_syslog && path.contains(&b'$');
    let format = if node.args_len() > 1 { format(cx, node.arg(1))? } else { combined(cx) };
    let Parameters { hold, condition } = parameters(cx, node)?;
    let to = match hold {
        Some(_) if has_variables => {
            return Err(Error::at(path, "buffered logs cannot have variables in name"));
        }
        Some(_) if is_syslog => {
            return Err(Error::at(path, "logs to syslog cannot be buffered"));
        }
        _ if has_variables => To::Named(Rc::new(Named::read(cx, path)?)),
        _ => To::Log(cx.log_path(path, hold)?),
    };
    let logs = Rc::make_mut(raw.access_logs.get_or_insert_default());
    logs.lines.push(AccessLog { to, format, condition });
    Ok(())
}

fn format(cx: &mut Cx, word: Word) -> Result<Rc<LogFormat>, Error> {
    match (cx.log_formats.get(word.bytes()), word.bytes()) {
        (Some(format), _) => Ok(Rc::clone(format)),
        (None, b"combined") => Ok(combined(cx)),
        (None, b"main") => Ok(cx.own_log_format("main", Escape::Default, MAIN)),
        (None, b"json") => Ok(cx.own_log_format("json", Escape::JsonText, JSON)),
        _ => Err(Error::at(word, format!("unknown log format \"{word}\""))),
    }
}

fn combined(cx: &mut Cx) -> Rc<LogFormat> {
    match cx.log_formats.get(b"combined".as_slice()) {
        Some(format) => Rc::clone(format),
        None => cx.own_log_format("combined", Escape::Default, COMBINED),
    }
}

/// What may follow the format.
struct Parameters {
    /// `buffer=` and `flush=`: how much may wait, and how long.
    hold: Option<Hold>,
    condition: Option<Rc<Template>>,
}

fn parameters(cx: &mut Cx, node: Node) -> Result<Parameters, Error> {
    let (mut buffer, mut flush, mut condition) = (None, None, None);
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
            b"if=" => condition = Some(Rc::new(cx.template(value)?)),
            b"gzip" | b"gzip=" => {
                let text = format!("\"{word}\" is not supported by limpet");
                let hint =
                    "leave it out: what is written here can be compressed when it is rotated";
                return Err(Error::at(word, text).hint(hint));
            }
            _ => return Err(Error::invalid_parameter(word)),
        }
    }
    match (buffer, flush) {
        (None, Some(_)) => {
            let text = format!("no buffer is defined for access_log \"{}\"", node.arg(0));
            Err(Error::at(node.arg(0), text))
        }
        _ => {
            let hold = buffer.map(|bytes| Hold { bytes: bytes as usize, ms: flush });
            Ok(Parameters { hold, condition })
        }
    }
}

/// `open_log_file_cache off | max=N [inactive=TIME] [min_uses=N] [valid=TIME];`
fn open_log_file_cache(node: Node) -> Result<Option<Rc<log::Cache>>, Error> {
    let (mut limits, mut off) = (log::CacheLimits::default(), false);
    for word in node.args() {
        let equals = word.iter().position(|byte| *byte == b'=').map_or(word.len(), |at| at + 1);
        let value = word.part(equals);
        let number = |field: &mut u64| parse_number(&value).map(|n| *field = n);
        let time = |field: &mut u64| parse_time(&value, false).map(|secs| *field = secs * 1000);
        let read = match word.until(equals).bytes() {
            b"max=" => number(&mut limits.max),
            b"min_uses=" => number(&mut limits.min_uses),
            b"inactive=" => time(&mut limits.inactive_ms),
            b"valid=" => time(&mut limits.valid_ms),
            b"off" => {
                off = true;
                Some(())
            }
            _ => None,
        };
        if read.is_none() {
            let text = format!("invalid \"open_log_file_cache\" parameter \"{word}\"");
            return Err(Error::at(word, text));
        }
    }
    match limits.max {
        _ if off => Ok(None),
        0 => {
            let text = "\"open_log_file_cache\" must have \"max\" parameter";
            Err(Error::at(node.name(), text))
        }
        _ => Ok(Some(Rc::new(log::Cache::new(limits)))),
    }
}

/// The variables that the lines of a request will need, some of them several times.
pub fn variables<'r>(request: &Request<'r>) -> impl Iterator<Item = VarId> + use<'r> {
    let location: &'r Location = request.location;
    let texts = location.conf.log.access_logs.iter().flat_map(AccessLog::texts);
    texts.flat_map(Template::parts).filter_map(|part| match part {
        Part::Variable(id) => Some(*id),
        Part::Text(_) | Part::Capture(_) => None,
    })
}

/// Writes the lines of a request that has been answered.
pub fn record<'r>(request: &Request<'r>) {
    let location: &'r Location = request.location;
    let logs = &location.conf.log.access_logs;
    if logs.is_empty() {
        return;
    }
    let mut room = request.worker.line.borrow_mut();
    let mut len = 0;
    let mut written: Option<&Rc<LogFormat>> = None;
    for log in logs.iter().filter(|log| log.is_wanted(request)) {
        if written.is_none_or(|format| !Rc::ptr_eq(format, &log.format)) {
            let mut out = Writer::new(&mut room);
            put(request, &log.format, &mut out);
            len = out.len();
            written = Some(&log.format);
        }
        log.write(request, room.get(..len).unwrap_or_default());
    }
}

/// Writes a line. What does not fit is cut off: a request that nobody hears of is worse.
fn put<'r>(request: &Request<'r>, format: &'r LogFormat, out: &mut Writer<'_>) {
    for part in format.text.parts() {
        match part {
            Part::Text(text) => out.put(text),
            Part::Variable(id) => request.http.variables.put(request, *id, format.escape, out),
            Part::Capture(_) => {}
        }
    }
}
