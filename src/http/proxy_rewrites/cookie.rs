//! `proxy_cookie_domain`, `proxy_cookie_path`, `proxy_cookie_flags`: cookies of an upstream
//! as the client is to keep them.

use super::{Applied, From, Loc, NoRoom, Rule, apply};
use crate::conf::{Cx, Error, Node, Pattern, Template};
use crate::text::ascii;
use crate::vars::Subject;
use std::cell::Cell;
use std::rc::Rc;

/// What becomes of the flags of a cookie.
#[derive(Clone)]
pub struct Flags {
    cookie: Name,
    flags: Box<[Template]>,
}

#[derive(Clone)]
enum Name {
    /// This name, case aside.
    Is(Template),
    Pattern(Rc<Pattern>),
}

/// `off`, or `DOMAIN TO`; dots in front do not count.
pub(super) fn read_domain(cx: &mut Cx, node: Node) -> Result<Option<Rule>, Error> {
    if node.args_len() == 1 {
        return off(node);
    }
    let (from, to) = (node.arg(0), node.arg(1));
    let dot = |text: &[u8]| usize::from(text.first() == Some(&b'.'));
    Ok(Some(match from.bytes() {
        // Domains have no case.
        [b'~', ..] => {
            let pattern = cx.pattern(from.part(1), true)?;
            Rule { from: From::Pattern(pattern), to: cx.template(to)? }
        }
        _ => Rule {
            from: From::Domain(cx.template(from.part(dot(&from)))?),
            to: cx.template(to.part(dot(&to)))?,
        },
    }))
}

/// `off`, or `PATH TO`.
pub(super) fn read_path(cx: &mut Cx, node: Node) -> Result<Option<Rule>, Error> {
    match node.args_len() {
        1 => off(node),
        _ => Rule::read(cx, node.arg(0), node.arg(1)).map(Some),
    }
}

/// `off`, or `COOKIE FLAG...`.
pub(super) fn read_flags(cx: &mut Cx, node: Node) -> Result<Option<Flags>, Error> {
    if node.args_len() == 1 {
        return off(node);
    }
    let name = node.arg(0);
    let cookie = match name.bytes() {
        [b'~', ..] => Name::Pattern(cx.pattern(name.part(1), true)?),
        _ => Name::Is(cx.template(name)?),
    };
    let mut flags = Vec::new();
    for word in node.args().skip(1) {
        let flag = cx.template(word)?;
        if let Some(text) = flag.literal()
            && !text.is_empty()
            && Flag::of(text).is_none()
        {
            cx.warn(word, format!("invalid proxy_cookie_flags flag \"{word}\""));
        }
        flags.push(flag);
    }
    Ok(Some(Flags { cookie, flags: flags.into() }))
}

fn off<T>(node: Node) -> Result<Option<T>, Error> {
    match node.arg(0).bytes() {
        b"off" => Ok(None),
        _ => Err(Error::invalid_parameter(node.arg(0))),
    }
}

/// Something that a cookie has or has not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Secure(bool),
    HttpOnly(bool),
    /// `None`: it is not there.
    SameSite(Option<&'static str>),
}

impl Flag {
    fn of(text: &[u8]) -> Option<Flag> {
        const ALL: [(&[u8], Flag); 8] = [
            (b"secure", Flag::Secure(true)),
            (b"nosecure", Flag::Secure(false)),
            (b"httponly", Flag::HttpOnly(true)),
            (b"nohttponly", Flag::HttpOnly(false)),
            (b"samesite=strict", Flag::SameSite(Some("Strict"))),
            (b"samesite=lax", Flag::SameSite(Some("Lax"))),
            (b"samesite=none", Flag::SameSite(Some("None"))),
            (b"nosamesite", Flag::SameSite(None)),
        ];
        let found = ALL.iter().find(|(name, _)| ascii::eq_ignore_case(name, text));
        found.map(|(_, flag)| *flag)
    }
}

/// What is wanted of a cookie; `None`: as it is.
#[derive(Clone, Copy, Default)]
struct Wanted {
    secure: Option<bool>,
    http_only: Option<bool>,
    same_site: Option<Option<&'static str>>,
}

/// What stands between two semicolons.
#[derive(Clone, Copy)]
struct Attribute<'r> {
    /// `None`: it is left out.
    name: Option<&'r [u8]>,
    value: Option<&'r [u8]>,
}

/// Attributes that flags may add.
const ADDED_MOST: usize = 3;

/// The value of a `Set-Cookie` for the client; `None` when there is no room for it.
pub fn cookie<'r>(subject: &impl Subject<'r>, conf: &'r Loc, value: &'r [u8]) -> Option<&'r [u8]> {
    if conf.domains.is_empty() && conf.paths.is_empty() && conf.flags.is_empty() {
        return Some(value);
    }
    match rewrite(subject, conf, value) {
        Ok(text) => Some(text.unwrap_or(value)),
        Err(NoRoom) => None,
    }
}

fn rewrite<'r>(subject: &impl Subject<'r>, conf: &'r Loc, value: &'r [u8]) -> Applied<'r> {
    let mut pieces = value.split(|&byte| byte == b';').map(Attribute::read);
    let count = 1 + value.iter().filter(|&&byte| byte == b';').count();
    let scratch = subject.scratch();
    let nothing = Attribute { name: None, value: None };
    let next = || Cell::new(pieces.next().unwrap_or(nothing));
    let all = scratch.fill(count + ADDED_MOST, next).ok_or(NoRoom)?;
    let Some((first, others)) = all.split_first() else { return Ok(None) };
    // Without a value it is no cookie.
    let Attribute { name: Some(name), value: Some(_) } = first.get() else { return Ok(None) };
    let mut rewritten = false;
    for attribute in others {
        rewritten |= attribute_rewritten(subject, conf, attribute)?;
    }
    if let Some(wanted) = wanted(subject, &conf.flags, name)? {
        let (there, free) = others.split_at_checked(count - 1).unwrap_or_default();
        edit(wanted, there, free);
        rewritten = true;
    }
    if !rewritten {
        return Ok(None);
    }
    join(subject, all).map(Some)
}

impl<'r> Attribute<'r> {
    fn read(text: &'r [u8]) -> Attribute<'r> {
        let equals = text.iter().position(|&byte| byte == b'=');
        let (name, value) = match equals {
            Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
            None => (text, None),
        };
        Attribute { name: Some(trim(name)), value: value.map(trim) }
    }

    fn is(&self, name: &[u8]) -> bool {
        self.name.is_some_and(|own| ascii::eq_ignore_case(own, name))
    }
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

/// Whether it is a domain or a path, and became another one.
fn attribute_rewritten<'r>(
    subject: &impl Subject<'r>,
    conf: &'r Loc,
    attribute: &Cell<Attribute<'r>>,
) -> Result<bool, NoRoom> {
    let was = attribute.get();
    let Some(value) = was.value else { return Ok(false) };
    let rules = match () {
        () if was.is(b"domain") => &conf.domains,
        () if was.is(b"path") => &conf.paths,
        () => return Ok(false),
    };
    let Some(value) = apply(rules, subject, None, value)? else { return Ok(false) };
    attribute.set(Attribute { value: Some(value), ..was });
    Ok(true)
}

/// What the first entry for a cookie wants of it.
fn wanted<'r>(
    subject: &impl Subject<'r>,
    entries: &'r [Flags],
    name: &'r [u8],
) -> Result<Option<Wanted>, NoRoom> {
    for entry in entries {
        let fits = match &entry.cookie {
            Name::Pattern(pattern) => subject.matches(pattern, name),
            Name::Is(text) => ascii::eq_ignore_case(subject.render(text).ok_or(NoRoom)?, name),
        };
        if !fits {
            continue;
        }
        let (mut wanted, mut any) = (Wanted::default(), false);
        for flag in &entry.flags {
            // What is no flag asks for nothing.
            let Some(flag) = Flag::of(subject.render(flag).ok_or(NoRoom)?) else { continue };
            wanted.note(flag);
            any = true;
        }
        return Ok(any.then_some(wanted));
    }
    Ok(None)
}

impl Wanted {
    /// Of flags that contradict each other the one that gives the more counts, as in
    /// nginx; of several kinds of `SameSite` the strictest.
    fn note(&mut self, flag: Flag) {
        const KINDS: [Option<&str>; 4] = [None, Some("None"), Some("Lax"), Some("Strict")];
        let rank = |kind| KINDS.iter().position(|known| *known == kind);
        match flag {
            Flag::Secure(on) => self.secure = Some(on || self.secure == Some(true)),
            Flag::HttpOnly(on) => self.http_only = Some(on || self.http_only == Some(true)),
            Flag::SameSite(kind) => {
                let best = self
                    .same_site
                    .map_or(kind, |own| if rank(own) > rank(kind) { own } else { kind });
                self.same_site = Some(best);
            }
        }
    }
}

/// Sets and removes flags; what is missing goes to the free places.
fn edit<'r>(mut wanted: Wanted, there: &[Cell<Attribute<'r>>], free: &[Cell<Attribute<'r>>]) {
    for place in there {
        let was = place.get();
        let gone = Attribute { name: None, value: None };
        if was.is(b"secure") {
            keep_or_drop(&mut wanted.secure, place);
        } else if was.is(b"httponly") {
            keep_or_drop(&mut wanted.http_only, place);
        } else if was.is(b"samesite") {
            match wanted.same_site {
                Some(Some(kind)) => {
                    place.set(same_site(kind));
                    // A second one stays as it is.
                    wanted.same_site = None;
                }
                Some(None) => place.set(gone),
                None => {}
            }
        }
    }
    let flag = |name: &'static str| Attribute { name: Some(name.as_bytes()), value: None };
    let missing = [
        (wanted.secure == Some(true)).then(|| flag("Secure")),
        (wanted.http_only == Some(true)).then(|| flag("HttpOnly")),
        wanted.same_site.flatten().map(same_site),
    ];
    missing.into_iter().flatten().zip(free).for_each(|(attribute, place)| place.set(attribute));
}

/// A flag that is there needs not be added.
fn keep_or_drop(wanted: &mut Option<bool>, place: &Cell<Attribute<'_>>) {
    match *wanted {
        Some(true) => *wanted = None,
        Some(false) => place.set(Attribute { name: None, value: None }),
        None => {}
    }
}

fn same_site(kind: &'static str) -> Attribute<'static> {
    Attribute { name: Some(b"SameSite"), value: Some(kind.as_bytes()) }
}

/// The attributes as a text.
fn join<'r>(subject: &impl Subject<'r>, all: &[Cell<Attribute<'r>>]) -> Result<&'r [u8], NoRoom> {
    let kept = || all.iter().filter_map(|place| Some((place.get().name?, place.get().value)));
    let len = kept().map(|(name, value)| name.len() + value.map_or(0, |value| value.len() + 1) + 2);
    let text = subject.made(len.sum(), |out| {
        for (name, value) in kept() {
            if out.len() > 0 {
                out.put(b"; ");
            }
            out.put(name);
            if let Some(value) = value {
                out.put(b"=");
                out.put(value);
            }
        }
    });
    text.ok_or(NoRoom)
}
