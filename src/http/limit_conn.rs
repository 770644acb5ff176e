//! `limit_conn`: how many requests of a kind may be in the making at a time.
//!
//! A zone has a record for each value of its key and each process that has such requests.
//! So what a process held can be taken out when it has died, which nginx cannot.

mod count;

use super::limits::{self, Key, Verdict};
use super::request::Request;
use super::step::Step;
use super::variables::{BuiltIn, built_in};
use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Word, name_and_size, parse_number, put, settings,
};
use crate::log::{Level, log};
use crate::mem::buffers::Scratch;
use crate::shm::directory::Handle;
use crate::shm::table::table;
use crate::shm::zone::Spec;
use crate::vars::Subject;
use count::{Count, Taken};
use std::cell::Cell;
use std::rc::Rc;

settings! {
    pub struct Main, MainRaw {
        pub zones: Rc<Vec<Zone>> = Rc::default(),
    }
}

settings! {
    pub struct Loc, LocRaw {
        pub limits: Rc<Vec<Limit>> = Rc::default(),
        pub status: u16 = 503,
        pub log_level: Level = Level::Error,
        pub dry_run: bool = false,
    }
}

/// `limit_conn_zone`
#[derive(Clone, Debug)]
pub struct Zone {
    zone: Handle,
    name: Box<str>,
    key: Key,
}

/// `limit_conn`
#[derive(Clone, Debug)]
pub struct Limit {
    zone: Handle,
    most: u32,
}

/// The longest key, as in nginx.
const LONGEST_KEY: usize = 255;

pub static MAIN: &[Directive<MainRaw>] =
    &[Directive::call("limit_conn_zone", Context::HTTP, Args::TWO, limit_conn_zone)];

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("limit_conn", Context::ALL, Args::TWO, limit_conn),
    Directive::call("limit_conn_status", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.status, node, limits::status(node))
    }),
    Directive::call("limit_conn_log_level", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.log_level, node, limits::level(node))
    }),
    Directive::flag("limit_conn_dry_run", Context::ALL, |raw| &mut raw.dry_run),
];

pub static VARIABLES: &[BuiltIn] =
    &[built_in("limit_conn_status", |request| request.limited.conn.map(Verdict::name))];

/// `limit_conn_zone KEY zone=NAME:SIZE;`
fn limit_conn_zone(raw: &mut MainRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let (key, word) = (node.arg(0), node.arg(1));
    let key = Key { value: cx.template(key)?, text: key.bytes().into() };
    if !word.starts_with(b"zone=") {
        return Err(Error::invalid_parameter(word));
    }
    let (name, size) = name_and_size(word, word.part(5))?;
    if name.is_empty() {
        return Err(limits::no_zone(node));
    }
    let zone = declare(cx, word, &name, size, &key.text)?;
    let zones = Rc::make_mut(raw.zones.get_or_insert_default());
    if let Some(other) = zones.iter().find(|other| other.zone == zone) {
        let bound = crate::conf::Shown(&other.key.text);
        let text = format!("limit_conn_zone \"{name}\" is already bound to key \"{bound}\"");
        return Err(Error::at(word, text));
    }
    zones.push(Zone { zone, name: name.into(), key });
    Ok(())
}

/// `limit_conn NAME N;`
fn limit_conn(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let (name, word) = (node.arg(0), node.arg(1));
    let zone = declare(cx, name, &name.to_string(), 0, b"")?;
    let limits = Rc::make_mut(raw.limits.get_or_insert_default());
    if limits.iter().any(|other| other.zone == zone) {
        return Err(Error::directive(node, "is duplicate"));
    }
    let most = match parse_number(&word) {
        None | Some(0) => {
            let text = format!("invalid number of connections \"{word}\"");
            return Err(Error::at(word, text));
        }
        Some(65536..) => return Err(Error::at(word, "connection limit must be less 65536")),
        Some(most) => most as u32,
    };
    limits.push(Limit { zone, most });
    Ok(())
}

fn declare(cx: &mut Cx, word: Word, name: &str, size: usize, key: &[u8]) -> Result<Handle, Error> {
    let spec = Spec {
        name: name.into(),
        size,
        owner: "limit_conn",
        key: String::from_utf8_lossy(key).into(),
        layout: 1,
        noreuse: false,
        verify: table::<Count>,
        forget: Some(count::forget),
    };
    cx.zone(word, spec)
}

/// What a request is counted in, until it ends: the last one, which knows those before it.
#[derive(Default)]
pub struct Held<'r>(Cell<Option<&'r Hold<'r>>>);

struct Hold<'r> {
    zone: &'r Handle,
    taken: Taken,
    before: Option<&'r Hold<'r>>,
}

impl<'r> Held<'r> {
    /// False: there is no room to remember it in.
    fn add(&self, scratch: &'r Scratch, zone: &'r Handle, taken: Taken) -> bool {
        let hold = scratch.place(Hold { zone, taken, before: self.0.get() });
        match hold {
            Some(hold) => self.0.set(Some(hold)),
            None => count::release(zone, taken),
        }
        hold.is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }

    /// For another request to hold.
    pub fn hand_over(&self) -> Held<'r> {
        Held(Cell::new(self.0.take()))
    }

    #[inline]
    fn release(&self) {
        let mut last = self.0.take();
        while let Some(hold) = last {
            count::release(hold.zone, hold.taken);
            last = hold.before;
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Why a request may not go on.
enum Refusal<'r> {
    TooMany(&'r Zone),
    NoRoom(&'r Zone),
    NoMemory,
}

/// The phase of the limits: goes on, or refuses.
pub fn check<'r>(request: &mut Request<'r>) -> Step<'r> {
    let conf = &request.location.conf.limit_conn;
    if conf.limits.is_empty() || request.limited.conn.is_some() {
        return Step::Next;
    }
    match take(request, &conf.limits, |limit| limit.most) {
        Ok(verdict) => {
            request.limited.conn = verdict;
            Step::Next
        }
        Err(refusal) => {
            request.limited.held.release();
            refuse(request, &refusal)
        }
    }
}

/// Counts one that another worker has let in.
pub fn count<'r>(request: &Request<'r>) {
    // Where it cannot be counted there may be one more than there should.
    let _ = take(request, &request.location.conf.limit_conn.limits, |_| u32::MAX);
}

/// Counts the request in each limit, if there are fewer than `most`.
fn take<'r>(
    request: &Request<'r>,
    limits: &'r [Limit],
    most: impl Fn(&Limit) -> u32,
) -> Result<Option<Verdict>, Refusal<'r>> {
    let mut verdict = None;
    for limit in limits {
        let mut zones = request.http.conf.limit_conn.zones.iter();
        let Some(zone) = zones.find(|zone| zone.zone == limit.zone) else { continue };
        let key = zone.key.of(request, LONGEST_KEY).ok_or(Refusal::NoMemory)?;
        if key.is_empty() {
            continue;
        }
        verdict = Some(Verdict::Passed);
        let taken = match count::take(&limit.zone, key, most(limit)) {
            Some(Some(taken)) => taken,
            Some(None) => return Err(Refusal::TooMany(zone)),
            None => return Err(Refusal::NoRoom(zone)),
        };
        if !request.limited.held.add(request.scratch(), &limit.zone, taken) {
            return Err(Refusal::NoMemory);
        }
    }
    Ok(verdict)
}

fn refuse<'r>(request: &mut Request<'r>, refusal: &Refusal<'r>) -> Step<'r> {
    let conf = &request.location.conf.limit_conn;
    match refusal {
        Refusal::NoMemory => return Step::Status(500),
        Refusal::NoRoom(Zone { name, .. }) => {
            log!(Level::Crit, "could not allocate node in limit_conn_zone \"{name}\"");
        }
        Refusal::TooMany(Zone { name, .. }) => {
            let dry = if conf.dry_run { ", dry run," } else { "" };
            let text = format_args!("limiting connections{dry} by zone \"{name}\"");
            request.log(conf.log_level, None, text);
        }
    }
    if conf.dry_run {
        request.limited.conn = Some(Verdict::RejectedDryRun);
        return Step::Next;
    }
    request.limited.conn = Some(Verdict::Rejected);
    Step::Status(conf.status)
}
