//! The locations of one level: the longest prefix of a URI in O(log n).
//!
//! Names stand sorted. Let q be the greatest name that is not above the URI. Every name
//! that is a prefix of the URI stands at or before q, and all strings between a prefix
//! of the URI and the URI begin with that prefix; so it is a prefix of q too: q itself,
//! or on q's chain of ever shorter prefixes, which is stored.

use super::modules::LocConf;
use super::{Kind, Location};
use crate::conf::{Cx, Error, Node, Word};
use crate::http::content::{self, Handler};
use crate::http::step::{self, Target};
use crate::mem::sort::sort_by;
use crate::text::scan;
use std::rc::Rc;

#[derive(Default)]
pub struct Locations {
    names: Box<[Name]>,
    /// In the order of the text.
    pub patterns: Box<[Rc<Location>]>,
}

struct Name {
    /// How it begins, for comparison: most names differ there, and the search stays in one list.
    front: u64,
    name: Box<[u8]>,
    /// The longest other name that is a prefix of this one.
    shorter: Option<u32>,
    exact: Option<Rc<Location>>,
    prefix: Option<Rc<Location>>,
}

impl Locations {
    /// The location at this level that `uri` belongs to.
    pub fn find(&self, uri: &[u8]) -> Option<&Rc<Location>> {
        let front = scan::front(uri);
        let above = self.names.partition_point(|name| match name.front == front {
            false => name.front < front,
            // One is all of the other's beginning.
            true if name.name.len().min(uri.len()) <= 8 => name.name.len() <= uri.len(),
            true => is_not_above(&name.name, uri),
        });
        let mut name = self.names.get(above.checked_sub(1)?)?;
        // What the URI and the nearest name have in common decides for the whole chain.
        let common = scan::common(&name.name, uri);
        if common == uri.len() && common == name.name.len() && name.exact.is_some() {
            return name.exact.as_ref();
        }
        while name.name.len() > common || name.prefix.is_none() {
            name = self.names.get(name.shorter? as usize)?;
        }
        name.prefix.as_ref()
    }
}

/// Of two that begin alike.
#[inline(never)]
fn is_not_above(name: &[u8], uri: &[u8]) -> bool {
    let common = scan::common(name, uri);
    // They differ behind it, or the name ends there, or only the URI.
    name.get(common) <= uri.get(common)
}

/// `location [MODIFIER] NAME`, with the modifier before the name or at its front.
pub fn head(node: Node) -> Result<(Kind, Word), Error> {
    let (modifier, name) = match node.args_len() {
        2 => (node.arg(0), node.arg(1)),
        _ => {
            let word = node.arg(0);
            let len = match word.bytes() {
                [b'~', b'*', ..] => 2,
                [b'=', ..] | [b'~', ..] => 1,
                [b'^', b'~', ..] => 2,
                _ => 0,
            };
            (word.until(len), word.part(len))
        }
    };
    match modifier.bytes() {
        b"" if node.args_len() == 1 && name.starts_with(b"@") => Ok((Kind::Named, name)),
        b"" if node.args_len() == 1 => Ok((Kind::Prefix, name)),
        b"=" => Ok((Kind::Exact, name)),
        b"^~" => Ok((Kind::NoRegex, name)),
        b"~" | b"~*" => Ok((Kind::Regex, name)),
        _ => Err(Error::at(modifier, format!("invalid location modifier \"{modifier}\""))),
    }
}

/// `location ~* x`
pub fn is_caseless(node: Node) -> bool {
    node.arg(0).starts_with(b"~*")
}

/// Whether a location may stand inside another one.
pub fn fits((kind, name): (Kind, Word), parent: Option<(Kind, Word)>) -> Result<(), Error> {
    let Some((outer_kind, outer)) = parent else { return Ok(()) };
    let text = match (outer_kind, kind) {
        (Kind::Exact, _) => {
            format!("location \"{name}\" cannot be inside the exact location \"{outer}\"")
        }
        (Kind::Named, _) => {
            format!("location \"{name}\" cannot be inside the named location \"{outer}\"")
        }
        (_, Kind::Named) => {
            format!("named location \"{name}\" can be on the server level only")
        }
        (_, Kind::Regex) => return Ok(()),
        _ if !name.starts_with(&outer) => {
            format!("location \"{name}\" is outside location \"{outer}\"")
        }
        _ => return Ok(()),
    };
    Err(Error::at(name, text))
}

/// The locations of a level while it is read.
pub struct Sorter<'t> {
    found: Vec<(Word<'t>, Location)>,
}

impl<'t> Sorter<'t> {
    pub fn of(count: usize) -> Sorter<'t> {
        Sorter { found: Vec::with_capacity(count) }
    }

    pub fn add(&mut self, word: Word<'t>, location: Location) {
        self.found.push((word, location));
    }

    /// `/x` is sent on to `/x/` where that is passed on to an upstream and nothing else is
    /// called so (nginx: `auto_redirect`).
    pub fn add_slashes(&mut self, outer: &LocConf) {
        let is_passed = |location: &Location| {
            let handler = &location.conf.content.handler;
            matches!(location.kind, Kind::Prefix | Kind::NoRegex)
                && matches!(handler, Some(Handler::Upstream(_)))
        };
        let mut missing = Vec::new();
        for (word, location) in self.found.iter().filter(|(_, location)| is_passed(location)) {
            let name = location.name.strip_suffix(b"/").unwrap_or_default();
            let is_plain = |kind| matches!(kind, Kind::Exact | Kind::Prefix | Kind::NoRegex);
            let mut others = self.found.iter().map(|(_, other)| other);
            let taken = others.any(|other| *other.name == *name && is_plain(other.kind));
            if !name.is_empty() && !taken {
                missing.push((*word, Location::with_slash(name, outer)));
            }
        }
        self.found.extend(missing);
    }

    /// What is found by URI, and what by `@name`, sorted.
    pub fn finish(mut self, cx: &mut Cx) -> (Locations, Box<[Rc<Location>]>) {
        // Stable: of equal ones the first in the text comes first.
        sort_by(&mut self.found, |(_, a), (_, b)| a.name.cmp(&b.name));
        let mut names: Vec<Name> = Vec::with_capacity(self.found.len());
        let mut named: Vec<Rc<Location>> = Vec::new();
        let (mut patterns, found): (Vec<_>, Vec<_>) =
            self.found.into_iter().partition(|(_, location)| location.kind == Kind::Regex);
        sort_by(&mut patterns, |(a, _), (b, _)| a.pos().cmp(&b.pos()));
        let patterns = patterns.into_iter().map(|(_, location)| Rc::new(location)).collect();
        for (word, location) in found {
            if location.kind == Kind::Named {
                match named.last() {
                    // nginx takes the first one without a word.
                    Some(last) if last.name == location.name => cx.warn(word, duplicate(word)),
                    _ => named.push(Rc::new(location)),
                }
            } else if !put(&mut names, location) {
                cx.errors.push(Error::at(word, duplicate(word)));
            }
        }
        (Locations { names: names.into(), patterns }, named.into())
    }
}

impl Location {
    /// One that answers with a redirect to its own name with a slash behind it.
    fn with_slash(name: &[u8], outer: &LocConf) -> Location {
        let redirect = Handler::Own(|request| step::moved(request, 301, Target::Directory));
        let content = Rc::new(content::Loc { handler: Some(redirect) });
        Location {
            name: name.into(),
            kind: Kind::Exact,
            conf: LocConf { content, ..outer.clone() },
            pattern: None,
            locations: Locations::default(),
            except: None,
            inner: Box::default(),
        }
    }
}

/// Puts the next location behind the sorted names; false if its place is taken.
fn put(names: &mut Vec<Name>, location: Location) -> bool {
    if names.last().is_none_or(|last| last.name != location.name) {
        let mut shorter = names.len().checked_sub(1).map(|last| last as u32);
        while let Some(at) = shorter
            && !location.name.starts_with(&names[at as usize].name)
        {
            shorter = names[at as usize].shorter;
        }
        let name = location.name.clone();
        let front = scan::front(&name);
        names.push(Name { front, name, shorter, exact: None, prefix: None });
    }
    let Some(last) = names.last_mut() else { return false };
    let place = match location.kind {
        Kind::Exact => &mut last.exact,
        _ => &mut last.prefix,
    };
    let is_free = place.is_none();
    place.get_or_insert_with(|| Rc::new(location));
    is_free
}

fn duplicate(word: Word) -> String {
    format!("duplicate location \"{word}\"")
}
