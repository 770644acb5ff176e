//! The variables of http: where each gets its value from.
//!
//! Built-in ones are read from the request at the moment they are asked for. Those that a
//! directive makes have a slot in the request: a `map` fills its slot when it is first
//! asked for, `set` and named groups of regular expressions when they run.
//!
//! To add a built-in variable, put it into the table of the module that knows it, and that
//! table into [`TABLES`].

pub mod connection;
mod head;
mod line;

pub use line::argument;

use super::request::Request;
use super::{limit_conn, limit_req, paths, proxied};
use crate::conf::{Cx, Entry, Error, VarId};
use crate::log::Level;
use crate::text::distance;
use crate::text::escape::Shown;
use crate::vars::Value;
use std::cell::Cell;
use std::rc::Rc;

/// A built-in variable.
pub struct BuiltIn {
    pub name: &'static str,
    pub get: Getter,
    /// What `set` does with it; `None`: it cannot be set.
    pub set: Option<Setter>,
}

pub type Getter = for<'r> fn(&Request<'r>) -> Value<'r>;
pub type Setter = for<'r> fn(&mut Request<'r>, &'r [u8]);
/// The variables that begin with a prefix: what follows it is given.
pub type Prefixed = for<'r> fn(&Request<'r>, &'r [u8]) -> Value<'r>;

pub const fn built_in(name: &'static str, get: Getter) -> BuiltIn {
    BuiltIn { name, get, set: None }
}

/// All built-in variables.
static TABLES: &[&[BuiltIn]] = &[
    connection::TABLE,
    head::TABLE,
    line::TABLE,
    limit_conn::VARIABLES,
    limit_req::VARIABLES,
    paths::VARIABLES,
    proxied::VARIABLES,
];

/// Those that are made of the rest of their name.
static PREFIXES: &[(&str, Prefixed)] = &[
    ("arg_", line::argument),
    ("cookie_", head::cookie),
    ("http_", head::header),
    (proxied::TLV_PREFIX, proxied::tlv),
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
        Variables { sources, look_at_answers }
    }

    /// The value at this moment.
    pub fn get<'r>(&'r self, request: &Request<'r>, id: VarId) -> Value<'r> {
        let (name, source) = self.sources.get(id.0 as usize)?;
        match source {
            Source::BuiltIn(built_in) => (built_in.get)(request),
            Source::Prefixed(get, rest) => get(request, rest),
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
        Some(Source::Prefixed(*get, rest.into()))
    })
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
