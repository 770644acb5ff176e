//! `add_header`, `add_trailer`, `expires`: lines that the configuration adds to answers.

use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Template, choice, parse_time, put, settings,
};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::text::date;
use crate::time;
use crate::vars::Subject;
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        pub expires: Expires = Expires::Is(Time::Off),
        pub headers: Rc<Vec<AddHeader>> = Rc::default(),
        pub trailers: Rc<Vec<AddHeader>> = Rc::default(),
        pub inherit_headers: Inherit = Inherit::On,
        pub inherit_trailers: Inherit = Inherit::On,
    }
    after(all, parent) {
        all.inherit_headers.settle(&mut all.headers, &parent.headers);
        all.inherit_trailers.settle(&mut all.trailers, &parent.trailers);
    }
}

impl Loc {
    /// Whether what is added does not depend on request and time.
    pub fn is_constant(&self) -> bool {
        let is_constant = |line: &AddHeader| line.value.literal().is_some();
        matches!(self.expires, Expires::Is(Time::Off | Time::Epoch | Time::Max))
            && self.trailers.is_empty()
            && self.headers.iter().all(is_constant)
    }
}

/// A line to be added.
#[derive(Clone)]
pub struct AddHeader {
    name: Box<[u8]>,
    value: Template,
    /// To errors, too.
    always: bool,
}

/// What becomes of the lines of the level above, where a level has its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Inherit {
    /// They are replaced (nginx).
    On,
    /// They are never inherited.
    Off,
    /// They stay, and the own ones follow.
    Merge,
}

impl Inherit {
    fn settle(self, own: &mut Rc<Vec<AddHeader>>, parent: &Rc<Vec<AddHeader>>) {
        let inherited = Rc::ptr_eq(own, parent);
        match self {
            Inherit::Off if inherited => *own = Rc::default(),
            Inherit::Merge if !inherited => {
                *own = Rc::new(parent.iter().chain(own.iter()).cloned().collect());
            }
            Inherit::On | Inherit::Off | Inherit::Merge => {}
        }
    }
}

/// For how long an answer may be kept.
#[derive(Clone)]
pub enum Expires {
    Is(Time),
    /// As the text says when it is asked; perhaps `modified`.
    Made(Rc<Template>, bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Time {
    Off,
    Epoch,
    Max,
    /// Seconds from now.
    Access(i64),
    /// Seconds from the last modification.
    Modified(i64),
    /// At this second of the day.
    Daily(i64),
}

const ADD: Context = Context::ALL.or(Context::LIF);

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("expires", ADD, Args::ONE_TWO, |raw, cx, node| {
        let expires = expires(cx, node);
        put(&mut raw.expires, node, expires)
    }),
    Directive::call("add_header", ADD, Args::TWO_THREE, |raw, cx, node| {
        let line = line(cx, node)?;
        Rc::make_mut(raw.headers.get_or_insert_default()).push(line);
        Ok(())
    }),
    Directive::call("add_trailer", ADD, Args::TWO_THREE, |raw, cx, node| {
        let line = line(cx, node)?;
        Rc::make_mut(raw.trailers.get_or_insert_default()).push(line);
        Ok(())
    }),
    Directive::call("add_header_inherit", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.inherit_headers, node, choice(node, 0, &INHERIT))
    }),
    Directive::call("add_trailer_inherit", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.inherit_trailers, node, choice(node, 0, &INHERIT))
    }),
];

const INHERIT: [(&str, Inherit); 3] =
    [("on", Inherit::On), ("off", Inherit::Off), ("merge", Inherit::Merge)];

fn line(cx: &mut Cx, node: Node) -> Result<AddHeader, Error> {
    let always = match node.args_len() {
        2 => false,
        _ if node.arg(2).bytes() == b"always" => true,
        _ => return Err(Error::invalid_parameter(node.arg(2))),
    };
    Ok(AddHeader { name: node.arg(0).bytes().into(), value: cx.template(node.arg(1))?, always })
}

fn expires(cx: &mut Cx, node: Node) -> Result<Expires, Error> {
    let modified = match node.args_len() {
        1 => false,
        _ if node.arg(0).bytes() == b"modified" => true,
        _ => return Err(Error::directive(node, "invalid value")),
    };
    let word = node.arg(usize::from(modified));
    let text = cx.template(word)?;
    match text.literal() {
        None => Ok(Expires::Made(Rc::new(text), modified)),
        Some(text) => match parse(text, modified) {
            Ok(time) => Ok(Expires::Is(time)),
            Err(what) => Err(Error::directive(node, what)),
        },
    }
}

/// One of nginx's forms (ngx_http_parse_expires).
fn parse(text: &[u8], modified: bool) -> Result<Time, &'static str> {
    if !modified {
        match text {
            b"epoch" => return Ok(Time::Epoch),
            b"max" => return Ok(Time::Max),
            b"off" => return Ok(Time::Off),
            _ => {}
        }
    }
    let (daily, rest) = match text {
        [b'@', _, ..] if modified => {
            return Err("daily time cannot be used with \"modified\" parameter");
        }
        [b'@', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (minus, digits) = match rest {
        [b'+', digits @ ..] if !daily => (false, digits),
        [b'-', digits @ ..] if !daily => (true, digits),
        _ => (false, rest),
    };
    let seconds = parse_time(digits, false).ok_or("invalid value")? as i64;
    const DAY: i64 = 24 * 60 * 60;
    Ok(match (daily, modified) {
        (true, _) if seconds > DAY => {
            return Err("daily time value must be less than 24 hours");
        }
        (true, _) => Time::Daily(seconds),
        (false, true) => Time::Modified(if minus { -seconds } else { seconds }),
        (false, false) => Time::Access(if minus { -seconds } else { seconds }),
    })
}

/// Answers that are what was asked for, more or less.
fn is_good(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308)
}

/// The header filter; `None` when there is no room for the lines.
pub fn filter(request: &mut Request<'_>) -> Option<()> {
    let conf = &request.location.conf.headers;
    // What a 416 says of its file was said before anybody looked for the range (nginx).
    let good = is_good(request.response.status) || request.unsatisfied.is_some();
    if good {
        set_expires(request, &conf.expires)?;
    }
    for line in conf.headers.iter().filter(|line| good || line.always) {
        let value = request.render(&line.value)?;
        match &*line.name {
            name if name.eq_ignore_ascii_case(b"last-modified") => {
                request.response.last_modified = None;
                if value.is_empty() {
                    request.response.early.remove(b"last-modified");
                } else {
                    set(request, name, value)?;
                }
            }
            name if name.eq_ignore_ascii_case(b"etag") => {
                request.response.early.remove(b"etag");
                request.response.etag = value;
            }
            _ if value.is_empty() => {}
            name => request.response.late.add(request.scratch(), name, value)?,
        }
    }
    let good = is_good(request.response.status);
    for line in conf.trailers.iter().filter(|line| good || line.always) {
        let value = request.render(&line.value)?;
        if value.is_empty() {
            continue;
        }
        request.response.trailers.add(request.scratch(), &line.name, value)?;
    }
    Some(())
}

/// `Expires` and `Cache-Control`.
fn set_expires<'r>(request: &mut Request<'r>, expires: &'r Expires) -> Option<()> {
    let time = match expires {
        Expires::Is(time) => *time,
        // What cannot be read is none, as in nginx.
        Expires::Made(text, modified) => {
            parse(request.render(text)?, *modified).unwrap_or(Time::Off)
        }
    };
    if time == Time::Off {
        return Some(());
    }
    let now = time::unix_secs();
    let told = || date::parse_http(request.response.early.find(b"last-modified")?);
    let (at, age) = match (time, request.response.last_modified.or_else(told)) {
        (Time::Off | Time::Epoch, _) => {
            return add(request, b"Thu, 01 Jan 1970 00:00:01 GMT", b"no-cache");
        }
        (Time::Max, _) => {
            return add(request, b"Thu, 31 Dec 2037 23:55:55 GMT", b"max-age=315360000");
        }
        (Time::Access(0) | Time::Modified(0), _) => (now, 0),
        (Time::Daily(second), _) => {
            let at = next_time(now, second);
            (at, at - now)
        }
        (Time::Modified(seconds), Some(modified)) => (modified + seconds, modified + seconds - now),
        (Time::Access(seconds) | Time::Modified(seconds), _) => (now + seconds, seconds),
    };
    let date = request.made(date::HTTP, |out| out.put(&date::http(at)))?;
    let control = match age {
        ..0 => b"no-cache".as_slice(),
        _ => request.made(32, |out| {
            out.put(b"max-age=");
            out.put_i64(age);
        })?,
    };
    add(request, date, control)
}

fn add<'r>(request: &mut Request<'r>, expires: &'r [u8], control: &'r [u8]) -> Option<()> {
    set(request, b"Expires", expires)?;
    set(request, b"Cache-Control", control)
}

/// In the place of what an upstream, or an earlier line, has said.
fn set<'r>(request: &mut Request<'r>, name: &'r [u8], value: &'r [u8]) -> Option<()> {
    let scratch = request.scratch();
    let Response { early, late, .. } = &mut request.response;
    if early.replace(name, value) || late.replace(name, value) {
        return Some(());
    }
    late.add(scratch, name, value)
}

/// When it is this second of a day next, in local time.
fn next_time(now: i64, second: i64) -> i64 {
    const DAY: i64 = 24 * 60 * 60;
    let today = (now + time::local_offset()).rem_euclid(DAY);
    let ahead = second - today;
    now + if ahead > 0 { ahead } else { ahead + DAY }
}
