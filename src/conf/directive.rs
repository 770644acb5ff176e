//! Directive tables: what a directive is called, where it may stand, what it takes
//! and how it is stored. Each table stands in the file of the module that owns it.

use super::error::Error;
use super::tree::{Node, Nodes};
use super::value::{self, Msec};
use super::{Cx, unsupported};
use crate::text::{distance, hash};
use std::ops::BitOr;

/// Where a directive may stand: bits, as in nginx.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context(pub u32);

#[allow(dead_code, reason = "the contexts are nginx's, all of them")]
impl Context {
    pub const MAIN: Context = Context(1);
    pub const EVENTS: Context = Context(1 << 1);
    pub const HTTP: Context = Context(1 << 2);
    pub const SERVER: Context = Context(1 << 3);
    pub const LOCATION: Context = Context(1 << 4);
    /// `if` in a server.
    pub const SIF: Context = Context(1 << 5);
    /// `if` in a location.
    pub const LIF: Context = Context(1 << 6);
    /// `limit_except`.
    pub const LMT: Context = Context(1 << 7);
    pub const UPSTREAM: Context = Context(1 << 8);
    pub const STREAM: Context = Context(1 << 9);
    pub const STREAM_SERVER: Context = Context(1 << 10);
    pub const STREAM_UPSTREAM: Context = Context(1 << 11);
    pub const MAIL: Context = Context(1 << 12);
    pub const ANY: Context = Context(u32::MAX);
    /// `http`, `server` and `location`, where most settings may stand.
    pub const ALL: Context = Context(1 << 2 | 1 << 3 | 1 << 4);

    pub const fn or(self, other: Context) -> Context {
        Context(self.0 | other.0)
    }

    pub const fn meets(self, other: Context) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Context {
    type Output = Context;
    fn bitor(self, other: Context) -> Context {
        self.or(other)
    }
}

/// How many arguments a directive takes: bit N for N of them, up to 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Args(u32);

#[allow(dead_code, reason = "the arities are nginx's, all of them")]
impl Args {
    pub const NONE: Args = Args(1);
    pub const NONE_ONE: Args = Args(1 | 1 << 1);
    pub const ONE: Args = Args(1 << 1);
    pub const TWO: Args = Args(1 << 2);
    pub const THREE: Args = Args(1 << 3);
    pub const FOUR: Args = Args(1 << 4);
    pub const UP_TO_TWO: Args = Args(1 | 1 << 1 | 1 << 2);
    pub const ONE_TWO: Args = Args(1 << 1 | 1 << 2);
    pub const ONE_THREE: Args = Args(1 << 1 | 1 << 3);
    pub const TWO_THREE: Args = Args(1 << 2 | 1 << 3);
    pub const ONE_TO_THREE: Args = Args(1 << 1 | 1 << 2 | 1 << 3);
    pub const ONE_TO_FOUR: Args = Args(1 << 1 | 1 << 2 | 1 << 3 | 1 << 4);
    pub const ONE_MORE: Args = Args(Self::FROM_ONE);
    pub const TWO_MORE: Args = Args(Self::FROM_TWO);
    pub const ANY: Args = Args(Self::FROM_NONE);

    const FROM_NONE: u32 = 1 << 8;
    const FROM_ONE: u32 = 1 << 9;
    const FROM_TWO: u32 = 1 << 10;

    const fn allows(self, count: usize) -> bool {
        match self.0 {
            Self::FROM_NONE => true,
            Self::FROM_ONE => count >= 1,
            Self::FROM_TWO => count >= 2,
            bits => count < 8 && bits & (1 << count) != 0,
        }
    }
}

/// A directive as far as it can be checked without running it.
#[derive(Debug)]
pub struct Shape {
    pub name: &'static str,
    pub contexts: Context,
    pub args: Args,
    pub block: bool,
}

/// A directive of a table over `S`, the raw settings its values go into.
pub struct Directive<S: 'static> {
    pub shape: Shape,
    pub set: Set<S>,
}

/// How a directive's value is stored. The plain kinds refuse a second value with
/// `is duplicate`.
pub enum Set<S: 'static> {
    Flag(fn(&mut S) -> &mut Option<bool>),
    Number(fn(&mut S) -> &mut Option<u64>),
    Size(fn(&mut S) -> &mut Option<u64>),
    Off(fn(&mut S) -> &mut Option<u64>),
    Msec(fn(&mut S) -> &mut Option<Msec>),
    Sec(fn(&mut S) -> &mut Option<u64>),
    Call(fn(&mut S, &mut Cx, Node) -> Result<(), Error>),
    /// A block that is a level of its own; its reader knows it by name.
    Level,
    /// Checked and then ignored: it changes nothing that limpet does, and why.
    #[expect(dead_code, reason = "the reason is for whoever reads the table")]
    Ignored(fn(Node) -> Result<(), Error>, &'static str),
}

impl<S> Directive<S> {
    const fn plain(name: &'static str, contexts: Context, set: Set<S>) -> Directive<S> {
        Directive { shape: Shape { name, contexts, args: Args::ONE, block: false }, set }
    }

    /// `name on|off;`
    pub const fn flag(
        name: &'static str,
        contexts: Context,
        field: fn(&mut S) -> &mut Option<bool>,
    ) -> Directive<S> {
        Self::plain(name, contexts, Set::Flag(field))
    }

    /// `name 3;`
    pub const fn number(
        name: &'static str,
        contexts: Context,
        field: fn(&mut S) -> &mut Option<u64>,
    ) -> Directive<S> {
        Self::plain(name, contexts, Set::Number(field))
    }

    /// `name 8k;`: bytes with k or m.
    pub const fn size(
        name: &'static str,
        contexts: Context,
        field: fn(&mut S) -> &mut Option<u64>,
    ) -> Directive<S> {
        Self::plain(name, contexts, Set::Size(field))
    }

    /// `name 2g;`: bytes with k, m or g.
    pub const fn off(
        name: &'static str,
        contexts: Context,
        field: fn(&mut S) -> &mut Option<u64>,
    ) -> Directive<S> {
        Self::plain(name, contexts, Set::Off(field))
    }

    /// `name 60s;`: a time, kept in milliseconds.
    pub const fn msec(
        name: &'static str,
        contexts: Context,
        field: fn(&mut S) -> &mut Option<Msec>,
    ) -> Directive<S> {
        Self::plain(name, contexts, Set::Msec(field))
    }

    /// `name 1d;`: a time, kept in seconds.
    pub const fn sec(
        name: &'static str,
        contexts: Context,
        field: fn(&mut S) -> &mut Option<u64>,
    ) -> Directive<S> {
        Self::plain(name, contexts, Set::Sec(field))
    }

    /// Anything else: the function stores the value, and says what is wrong with it.
    pub const fn call(
        name: &'static str,
        contexts: Context,
        args: Args,
        set: fn(&mut S, &mut Cx, Node) -> Result<(), Error>,
    ) -> Directive<S> {
        Directive { shape: Shape { name, contexts, args, block: false }, set: Set::Call(set) }
    }

    /// As `call`, with a block that the function reads (`types { }`).
    pub const fn block(
        name: &'static str,
        contexts: Context,
        args: Args,
        set: fn(&mut S, &mut Cx, Node) -> Result<(), Error>,
    ) -> Directive<S> {
        Directive { shape: Shape { name, contexts, args, block: true }, set: Set::Call(set) }
    }

    /// A block that is a level: `http`, `server`, `location`.
    pub const fn level(name: &'static str, contexts: Context, args: Args) -> Directive<S> {
        Directive { shape: Shape { name, contexts, args, block: true }, set: Set::Level }
    }

    /// A directive that may stand in a config and has nothing to do here: it tunes
    /// what limpet does not have. `check` is for its value, `why` for the documents.
    pub const fn ignored(
        name: &'static str,
        contexts: Context,
        args: Args,
        check: fn(Node) -> Result<(), Error>,
        why: &'static str,
    ) -> Directive<S> {
        Directive {
            shape: Shape { name, contexts, args, block: false },
            set: Set::Ignored(check, why),
        }
    }

    /// Stores the value of `node`, whose shape has been checked.
    pub fn set(&self, scope: &mut S, cx: &mut Cx, node: Node) -> Result<(), Error> {
        match self.set {
            Set::Flag(field) => once(field(scope), node, value::flag),
            Set::Number(field) => once(field(scope), node, value::number),
            Set::Size(field) => once(field(scope), node, value::size),
            Set::Off(field) => once(field(scope), node, value::off),
            Set::Msec(field) => once(field(scope), node, value::time_msec),
            Set::Sec(field) => once(field(scope), node, value::time_sec),
            Set::Call(set) => set(scope, cx, node),
            Set::Level => Ok(()),
            Set::Ignored(check, _) => ignored(check, node),
        }
    }
}

fn ignored(check: fn(Node) -> Result<(), Error>, node: Node) -> Result<(), Error> {
    check(node)?;
    // Of thread pools, which have names, each is one.
    let same = |other: Node| other.args_len() == 1 || *other.arg(0) == *node.arg(0);
    match node.earlier().any(same) {
        true => Err(Error::directive(node, "is duplicate")),
        false => Ok(()),
    }
}

/// Puts the one argument of `node` into an empty `field`.
#[inline(never)]
fn once<T>(
    field: &mut Option<T>,
    node: Node,
    parse: fn(Node, usize) -> Result<T, Error>,
) -> Result<(), Error> {
    put(field, node, parse(node, 0))
}

/// Puts the value of `node` into a `field` that had none.
pub fn put<T>(field: &mut Option<T>, node: Node, value: Result<T, Error>) -> Result<(), Error> {
    if field.is_some() {
        return Err(Error::directive(node, "is duplicate"));
    }
    *field = Some(value?);
    Ok(())
}

/// Directives by name: which of several tables, and which entry, `T` says. Each start makes
/// some, so they are two flat tables rather than a map of lists.
pub struct Index<T: Copy> {
    /// Each with the place behind its own of the next entry whose name has the same hash.
    entries: Vec<(&'static Shape, T, Link)>,
    /// The first entry of each hash.
    first: Vec<Link>,
}

/// A place in a list, counted from 1; 0 is none.
type Link = u16;

impl<T: Copy> Index<T> {
    pub fn new(all: impl ExactSizeIterator<Item = (&'static Shape, T)>) -> Index<T> {
        let slots = all.len().next_power_of_two();
        let mut first = vec![0; slots];
        let mut entries: Vec<_> = all.map(|(shape, tag)| (shape, tag, 0)).collect();
        // From behind, so that what comes first is found first.
        for (at, (shape, _, next)) in entries.iter_mut().enumerate().rev() {
            let same = &mut first[slot_of(shape.name.as_bytes(), slots)];
            *next = std::mem::replace(same, at as Link + 1);
        }
        Index { entries, first }
    }

    /// The entry that `node` means in this context, its shape checked.
    pub fn find(&self, cx: &Cx, context: Context, node: Node) -> Result<T, Error> {
        let name = node.name();
        let at = |link: Link| self.entries.get(usize::from(link).wrapping_sub(1));
        let mut next = at(self.first[slot_of(&name, self.first.len())]);
        while let Some((shape, tag, link)) = next {
            if shape.contexts.meets(context) && shape.name.as_bytes() == &*name {
                return shape.check(node).map(|()| *tag);
            }
            next = at(*link);
        }
        Err(cx.refusal(context, node))
    }
}

/// Of `slots`, a power of two, that of a name.
fn slot_of(name: &[u8], slots: usize) -> usize {
    hash::hash(name) as usize & (slots - 1)
}

impl Shape {
    fn check(&self, node: Node) -> Result<(), Error> {
        let error = |text: String| Err(Error::at(node.name(), text));
        match (self.block, node.block().is_some()) {
            (false, true) => {
                error(format!("directive \"{}\" is not terminated by \";\"", self.name))
            }
            (true, false) => error(format!("directive \"{}\" has no opening \"{{\"", self.name)),
            _ if !self.args.allows(node.args_len()) => {
                error(format!("invalid number of arguments in \"{}\" directive", self.name))
            }
            _ => Ok(()),
        }
    }
}

/// Where a directive may stand; `None` if there is no such directive.
pub fn contexts_of(known: &[&Shape], name: &[u8]) -> Option<Context> {
    let same_name = known.iter().filter(|shape| shape.name.as_bytes() == name);
    same_name.map(|shape| shape.contexts).reduce(Context::or)
}

impl Cx {
    /// Why no table of this level has the directive.
    pub fn refusal(&self, context: Context, node: Node) -> Error {
        let name = node.name();
        let text = String::from_utf8_lossy(&name);
        if let Some(places) = contexts_of(&self.known, &name) {
            // The reader has followed every `include` but one with a block.
            if places.meets(context) {
                let text = format!("directive \"{name}\" is not terminated by \";\"");
                return Error::at(name, text);
            }
            return Error::directive(node, "is not allowed here")
                .hint(format!("its context is {}", places.names()));
        }
        if let Some(remedy) = unsupported::remedy(&text) {
            return Error::directive(node, "is not supported by limpet").hint(remedy);
        }
        let error = Error::at(name, format!("unknown directive \"{name}\""));
        let here = self.known.iter().filter(|shape| shape.contexts.meets(context));
        let all = self.known.iter().chain(here.clone()).map(|shape| shape.name);
        let near = distance::nearest(&text, here.map(|shape| shape.name));
        let near = near.or_else(|| distance::nearest(&text, all)).map(str::to_string);
        let absent: Vec<String> = unsupported::names().collect();
        let near = near.or_else(|| {
            distance::nearest(&text, absent.iter().map(String::as_str)).map(str::to_string)
        });
        match near {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    }

    /// Notes what went wrong with a directive.
    pub fn report(&mut self, node: Node, done: Result<(), Error>) {
        let Err(mut error) = done else { return };
        // What cannot be read makes no sense either, and that was said.
        if self.errors.has_one_in(node) {
            return;
        }
        if error.hint.is_none() {
            error.hint = self.missing_semicolon(node);
        }
        self.errors.push(error);
    }

    /// A line that begins with a directive, inside another directive's arguments.
    fn missing_semicolon(&self, node: Node) -> Option<String> {
        let mut before = node.name();
        let mut words = node.args().map(|word| (std::mem::replace(&mut before, word), word));
        let (before, _) = words.find(|(before, word)| {
            let begins_line = before.pos().line < word.pos().line;
            begins_line && self.known.iter().any(|shape| shape.name.as_bytes() == word.bytes())
        })?;
        Some(format!("is a \";\" missing after \"{before}\" in line {}?", before.pos().line))
    }
}

#[allow(dead_code, reason = "the contexts are nginx's, all of them")]
impl Context {
    /// The contexts by name, for a sentence.
    pub fn names(self) -> String {
        if self == Context::ANY {
            return "any".into();
        }
        const NAMES: [(Context, &str); 8] = [
            (Context::MAIN, "main"),
            (Context::EVENTS, "events"),
            (Context::HTTP, "http"),
            (Context::SERVER, "server"),
            (Context::LOCATION, "location"),
            (Context::SIF.or(Context::LIF), "if"),
            (Context::LMT, "limit_except"),
            (Context::UPSTREAM, "upstream"),
        ];
        let names = NAMES.iter().filter(|(context, _)| self.meets(*context));
        names.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// Runs a level that has one table.
pub fn apply<S>(
    table: &'static [Directive<S>],
    context: Context,
    scope: &mut S,
    cx: &mut Cx,
    nodes: Nodes,
) {
    let index = Index::new(table.iter().map(|d| (&d.shape, d)));
    for node in nodes {
        let done = index.find(cx, context, node).and_then(|d| d.set(scope, cx, node));
        cx.report(node, done);
    }
}
