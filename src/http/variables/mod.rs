//! The variables of http: where each gets its value from.
//!
//! Built-in ones are read from the request at the moment they are asked for. Those that a
//! directive makes have a slot in the request: a `map` fills its slot when it is first
//! asked for, `set` and named groups of regular expressions when they run.
//!
//! To add a built-in variable, put it into the table of the module that knows it, and that
//! table into [`TABLES`].

mod absent;
mod answer;
pub mod connection;
mod head;
mod line;
mod process;
mod progress;

pub use head::{is_called, joined};
pub use line::argument;

use super::request::Request;
use super::{
    content, fastcgi, gzip, limit_conn, limit_req, paths, proxied, referer, request_body, upstream,
};
use crate::conf::{Cx, Entry, Error, Escape, VarId};
use crate::log::Level;
use crate::proto::request::Known;
use crate::sys::process as own;
use crate::text::distance;
use crate::text::escape::{self, Shown};
use crate::text::writer::Writer;
use crate::vars::{Subject, Value};
use std::cell::Cell;
use std::rc::Rc;

/// A built-in variable.
pub struct BuiltIn {
    name: &'static str,
    read: Read,
    /// What `set` does with it; `None`: it cannot be set.
    set: Option<Setter>,
    /// It is another one when the request ends: see [`Variables::told`].
    ends: bool,
}

/// How a value is had.
enum Read {
    /// It is there, or is made.
    Get(Getter),
    /// It is always there, written anew, and needs no escapes: so many bytes at most.
    Put(usize, Putter),
}

pub type Getter = for<'r> fn(&Request<'r>) -> Value<'r>;
pub type Putter = fn(&Request<'_>, &mut Writer<'_>);
pub type Setter = for<'r> fn(&mut Request<'r>, &'r [u8]);
/// The variables that begin with a prefix: what follows it is given.
pub type Prefixed = for<'r> fn(&Request<'r>, &'r [u8]) -> Value<'r>;

pub const fn built_in(name: &'static str, get: Getter) -> BuiltIn {
    BuiltIn { name, read: Read::Get(get), set: None, ends: false }
}

/// One that is what it is at the moment when the request ends.
pub const fn ending(name: &'static str, get: Getter) -> BuiltIn {
    BuiltIn { name, read: Read::Get(get), set: None, ends: true }
}

/// One that is written into its line of a log, and made a value of elsewhere.
pub const fn written(name: &'static str, most: usize, put: Putter) -> BuiltIn {
    BuiltIn { name, read: Read::Put(most, put), set: None, ends: true }
}

pub const fn settable(name: &'static str, get: Getter, set: Setter) -> BuiltIn {
    BuiltIn { name, read: Read::Get(get), set: Some(set), ends: false }
}

/// All built-in variables.
static TABLES: &[&[BuiltIn]] = &[
    absent::TABLE,
    answer::TABLE,
    connection::TABLE,
    gzip::VARIABLES,
    head::TABLE,
    limit_conn::VARIABLES,
    limit_req::VARIABLES,
    line::TABLE,
    paths::VARIABLES,
    process::TABLE,
    progress::TABLE,
    proxied::VARIABLES,
    content::VARIABLES,
    referer::VARIABLES,
    request_body::VARIABLES,
    fastcgi::VARIABLES,
    upstream::VARIABLES,
    upstream::attempts::VARIABLES,
];

/// Those that are made of the rest of their name.
static PREFIXES: &[(&str, Prefixed)] = &[
    ("arg_", line::argument),
    ("cookie_", head::cookie),
    ("http_", head::header),
    (proxied::TLV_PREFIX, proxied::tlv),
    ("sent_http_", answer::line),
    ("sent_trailer_", answer::trailer),
    ("upstream_cookie_", upstream::cookie),
    ("upstream_http_", upstream::header),
    ("upstream_trailer_", upstream::trailer),
];

/// A variable that a directive makes of others, when it is asked for (`map` and its like).
pub trait Computed {
    fn value<'r>(&'r self, request: &Request<'r>) -> Value<'r>;

    /// Whether it is made anew each time it is asked for.
    fn is_volatile(&self) -> bool {
        false
    }
}

/// Variables, and what makes them.
pub type Computes = Vec<(VarId, Rc<dyn Computed>)>;

/// Where a variable's value comes from.
enum Source {
    BuiltIn(&'static BuiltIn),
    Prefixed(Prefixed, Box<[u8]>),
    /// `$http_name` of a header whose place in the head is known.
    Header(Known),
    /// What was put there; `empty`: until then it is an empty text, else nothing.
    Slot {
        empty: bool,
    },
    Computed(Rc<dyn Computed>),
}

/// The variables of a configuration, by number.
#[derive(Default)]
pub struct Variables {
    sources: Vec<(Box<[u8]>, Source)>,
    look_at_answers: bool,
    /// What `$hostname` is.
    pub hostname: Box<[u8]>,
}

/// What a request knows of a variable that has a slot.
#[derive(Clone, Copy)]
pub enum Slot<'r> {
    Unknown,
    Is(Value<'r>),
}

pub type Slots<'r> = &'r [Cell<Slot<'r>>];

/// Calls that may be inside each other before it is a circle, as in nginx.
const DEPTH_MOST: u8 = 100;

impl Variables {
    /// All that the configuration has spoken of; those that nobody makes are errors.
    pub fn new(cx: &mut Cx, computed: Computes) -> Variables {
        let entries = std::mem::take(&mut cx.variables).entries;
        let mut sources: Vec<_> = entries
            .iter()
            .map(|entry| {
                let source = source(entry).unwrap_or_else(|error| {
                    cx.errors.push(error);
                    Source::Slot { empty: false }
                });
                (entry.name.clone(), source)
            })
            .collect();
        for (id, computed) in computed {
            if let Some((_, source)) = sources.get_mut(id.0 as usize) {
                *source = Source::Computed(computed);
            }
        }
        let look_at_answers = sources.iter().any(|(name, _)| name.starts_with(b"sent_"));
        let hostname = own::hostname().unwrap_or_default().to_ascii_lowercase().into();
        Variables { sources, look_at_answers, hostname }
    }

    /// The value at this moment.
    pub fn get<'r>(&'r self, request: &Request<'r>, id: VarId) -> Value<'r> {
        let (name, source) = self.sources.get(id.0 as usize)?;
        if request.was_told.get()
            && let Slot::Is(value) = request.slot(id)?.get()
        {
            return value;
        }
        match source {
            Source::BuiltIn(BuiltIn { read: Read::Get(get), .. }) => get(request),
            Source::BuiltIn(BuiltIn { read: Read::Put(most, put), .. }) => {
                request.made(*most, |out| put(request, out))
            }
            Source::Prefixed(get, rest) => get(request, rest),
            Source::Header(known) => head::known(request, *known),
            Source::Slot { empty } => match request.slot(id)?.get() {
                Slot::Is(value) => value,
                Slot::Unknown if *empty => {
                    request.tell_uninitialized(name);
                    Some(b"")
                }
                Slot::Unknown => None,
            },
            Source::Computed(computed) => self.computed(request, id, &**computed),
        }
    }

    fn computed<'r>(
        &'r self,
        request: &Request<'r>,
        id: VarId,
        computed: &'r dyn Computed,
    ) -> Value<'r> {
        let slot = request.slot(id)?;
        if let Slot::Is(value) = slot.get() {
            return value;
        }
        let depth = request.depth.get();
        if depth >= DEPTH_MOST {
            let name = Shown(self.name(id));
            let text = format_args!("cycle while evaluating variable \"{name}\"");
            request.log(Level::Error, None, text);
            return None;
        }
        request.depth.set(depth + 1);
        let value = computed.value(request);
        request.depth.set(depth);
        if !computed.is_volatile() {
            slot.set(Slot::Is(value));
        }
        value
    }

    /// Name and value of what another worker, which ends the request, has to be told; `None`: it
    /// finds out by itself.
    pub fn told<'r>(&'r self, request: &Request<'r>, id: VarId) -> Option<(&'r [u8], Value<'r>)> {
        let (name, source) = self.sources.get(id.0 as usize)?;
        let value = match source {
            Source::BuiltIn(BuiltIn { ends: true, .. }) | Source::Header(_) => return None,
            Source::Computed(computed) if computed.is_volatile() => return None,
            Source::Slot { .. } => match request.slot(id)?.get() {
                Slot::Is(value) => value,
                Slot::Unknown => return None,
            },
            Source::BuiltIn(_) | Source::Prefixed(..) | Source::Computed(_) => {
                self.get(request, id)
            }
        };
        Some((name, value))
    }

    /// Takes what another worker has told, if it is of any use here.
    pub fn learn<'r>(&'r self, request: &Request<'r>, name: &[u8], value: Value<'r>) {
        let Some(at) = self.sources.iter().position(|(own, _)| **own == *name) else { return };
        let of_its_own = match &self.sources[at].1 {
            Source::BuiltIn(own) => own.ends,
            Source::Header(_) => true,
            Source::Prefixed(..) | Source::Slot { .. } | Source::Computed(_) => false,
        };
        if let Some(slot) = request.slot(VarId(at as u32)).filter(|_| !of_its_own) {
            slot.set(Slot::Is(value));
            request.was_told.set(true);
        }
    }

    /// Writes the value into a line of a log.
    pub fn put<'r>(
        &'r self,
        request: &Request<'r>,
        id: VarId,
        escape: Escape,
        out: &mut Writer<'_>,
    ) {
        if let Some((_, Source::BuiltIn(BuiltIn { read: Read::Put(_, put), .. }))) =
            self.sources.get(id.0 as usize)
        {
            return put(request, out);
        }
        match (self.get(request, id), escape) {
            (None, Escape::Default) => out.put(b"-"),
            (None, _) => {}
            (Some(value), Escape::Default) => escape::log(value, out),
            (Some(value), Escape::Json) => escape::json(value, out),
            (Some(value), Escape::JsonText) => escape::json_text(value, out),
            (Some(value), Escape::None) => out.put(value),
        }
    }

    /// `set $name value`
    pub fn set<'r>(&'r self, request: &mut Request<'r>, id: VarId, value: &'r [u8]) {
        match self.sources.get(id.0 as usize) {
            Some((_, Source::BuiltIn(BuiltIn { set: Some(set), .. }))) => set(request, value),
            _ => {
                if let Some(slot) = request.slot(id) {
                    slot.set(Slot::Is(Some(value)));
                }
            }
        }
    }

    /// Whether one of them is made of the head of the answer: then it must be written down.
    pub fn look_at_answers(&self) -> bool {
        self.look_at_answers
    }

    /// Whether any of them begins so.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.sources.iter().any(|(name, _)| name.starts_with(prefix.as_bytes()))
    }

    pub fn len(&self) -> usize {
        self.sources.len()
    }

    fn name(&self, id: VarId) -> &[u8] {
        self.sources.get(id.0 as usize).map_or(b"", |(name, _)| name)
    }
}

/// Where the value comes from: from a directive, else from what limpet knows by itself.
fn source(entry: &Entry) -> Result<Source, Error> {
    let name = &*entry.name;
    let own = TABLES.iter().copied().flatten().find(|own| own.name.as_bytes() == name);
    match (own, entry.defined) {
        (Some(BuiltIn { set: None, .. }), Some(pos)) => {
            Err(Error::new(pos, format!("the duplicate \"{}\" variable", Shown(name))))
        }
        (Some(own), _) => Ok(Source::BuiltIn(own)),
        (None, Some(_)) => Ok(Source::Slot { empty: entry.empty }),
        (None, None) => match prefixed(name) {
            Some(source) => Ok(source),
            None => Err(unknown(entry)),
        },
    }
}

fn prefixed(name: &[u8]) -> Option<Source> {
    PREFIXES.iter().find_map(|(prefix, get)| {
        let rest = name.strip_prefix(prefix.as_bytes())?;
        Some(match *prefix {
            "http_" => header(rest),
            _ => Source::Prefixed(*get, rest.into()),
        })
    })
}

fn header(name: &[u8]) -> Source {
    let dashed: Vec<u8> = name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
    match Known::of(&dashed) {
        Some(known) => Source::Header(known),
        None => Source::Prefixed(head::header, name.into()),
    }
}

fn unknown(entry: &Entry) -> Error {
    let text = format!("unknown \"{}\" variable", Shown(&entry.name));
    let error = match entry.used {
        Some(pos) => Error::new(pos, text),
        None => Error::nowhere(text),
    };
    let names = TABLES.iter().copied().flatten().map(|own| own.name);
    match distance::nearest(&String::from_utf8_lossy(&entry.name), names) {
        Some(near) => error.hint(format!("did you mean \"${near}\"?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_in_one_table() {
        let mut names: Vec<_> = TABLES.iter().copied().flatten().map(|own| own.name).collect();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
