//! `limit_req`: how many requests of a kind may come in a time (a leaky bucket).
//!
//! Of several limits each is asked before any but the last is charged; unlike nginx's
//! records ours are not held meanwhile, so a death between the two holds none for ever.

mod bucket;

use super::limits::{self, Key, Verdict, dry_run};
use super::request::Request;
use super::step::{Step, Wait};
use super::variables::{BuiltIn, built_in};
use crate::conf::{
    Args, Context, Cx, Directive, Error, Node, Word, name_and_size, parse_number, put, settings,
};
use crate::log::{Level, log};
use crate::shm::directory::{Handle, Origin};
use crate::shm::table::{self, LONGEST_KEY, table};
use crate::shm::zone::{Spec, Zone};
use bucket::{Asked, Bucket, ask};
use std::rc::Rc;

/// Whose its zones are.
const OWNER: &str = "limit_req";

settings! {
    pub struct Main, MainRaw {
        pub zones: Rc<Vec<Rate>> = Rc::default(),
    }
}

settings! {
    pub struct Loc, LocRaw {
        pub limits: Rc<Vec<Limit>> = Rc::default(),
        pub status: u16 = 503,
        /// Of refusals; delays are told one level lower.
        pub log_level: Level = Level::Error,
        pub dry_run: bool = false,
    }
}

/// `limit_req_zone`
#[derive(Clone, Debug)]
pub struct Rate {
    zone: Handle,
    name: Box<str>,
    key: Key,
    /// Thousandths of a request in a second.
    rate: i64,
}

/// `limit_req`; thousandths of a request, too.
#[derive(Clone, Debug)]
pub struct Limit {
    zone: Handle,
    burst: i64,
    /// Beyond this requests wait.
    delay: i64,
}

pub static MAIN: &[Directive<MainRaw>] =
    &[Directive::call("limit_req_zone", Context::HTTP, Args::THREE, limit_req_zone)];

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("limit_req", Context::ALL, Args::ONE_TO_THREE, limit_req),
    Directive::call("limit_req_status", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.status, node, limits::status(node))
    }),
    Directive::call("limit_req_log_level", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.log_level, node, limits::level(node))
    }),
    Directive::flag("limit_req_dry_run", Context::ALL, |raw| &mut raw.dry_run),
];

pub static VARIABLES: &[BuiltIn] =
    &[built_in("limit_req_status", |request| request.limited.req.map(Verdict::name))];

/// `limit_req_zone KEY zone=NAME:SIZE rate=Nr/s;`
fn limit_req_zone(raw: &mut MainRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let word = node.arg(0);
    let key = Key { value: cx.template(word)?, text: word.bytes().into() };
    let (mut zone, mut rate) = (None, 1000);
    for word in node.args().skip(1) {
        if word.starts_with(b"zone=") {
            let (name, size) = name_and_size(word, word.part(5))?;
            zone = (!name.is_empty()).then_some((word, name, size));
        } else if word.starts_with(b"rate=") {
            rate = parse_rate(&word.part(5))
                .ok_or_else(|| Error::at(word, format!("invalid rate \"{word}\"")))?;
        } else {
            return Err(Error::invalid_parameter(word));
        }
    }
    let Some((word, name, size)) = zone else {
        return Err(limits::no_zone(node));
    };
    let zone = declare(cx, word, &name, size, &key.text)?;
    let zones = Rc::make_mut(raw.zones.get_or_insert_default());
    if let Some(other) = zones.iter().find(|other| other.zone == zone) {
        let bound = crate::conf::Shown(&other.key.text);
        let text = format!("limit_req_zone \"{name}\" is already bound to key \"{bound}\"");
        return Err(Error::at(word, text));
    }
    zones.push(Rate { zone, name: name.into(), key, rate });
    Ok(())
}

/// `Nr/s` or `Nr/m`.
fn parse_rate(text: &[u8]) -> Option<i64> {
    let (number, scale) = match (text.strip_suffix(b"r/s"), text.strip_suffix(b"r/m")) {
        (_, Some(number)) => (number, 60),
        (Some(number), _) => (number, 1),
        (None, None) => (text, 1),
    };
    thousandths(number).map(|rate| rate / scale)
}

/// At least 1, and not so much that sums of it overflow.
fn thousandths(text: &[u8]) -> Option<i64> {
    let number = parse_number(text).and_then(|number| u32::try_from(number).ok());
    number.filter(|number| *number > 0).map(|number| i64::from(number) * 1000)
}

/// `limit_req zone=NAME [burst=N] [nodelay | delay=N];`
fn limit_req(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let (mut zone, mut burst, mut delay) = (None, 0, 0);
    for word in node.args() {
        let value = |what: &str, len| {
            let value = thousandths(&word.part(len));
            value.ok_or_else(|| Error::at(word, format!("invalid {what} value \"{word}\"")))
        };
        if word.starts_with(b"zone=") {
            let name = word.part(5).to_string();
            zone = Some(declare(cx, word, &name, 0, b"")?);
        } else if word.starts_with(b"burst=") {
            burst = value("burst", 6)?;
        } else if word.starts_with(b"delay=") {
            delay = value("delay", 6)?;
        } else if word.bytes() == b"nodelay" {
            delay = i64::MAX;
        } else {
            return Err(Error::invalid_parameter(word));
        }
    }
    let Some(zone) = zone else {
        return Err(limits::no_zone(node));
    };
    let limits = Rc::make_mut(raw.limits.get_or_insert_default());
    if limits.iter().any(|other| other.zone == zone) {
        return Err(Error::directive(node, "is duplicate"));
    }
    limits.push(Limit { zone, burst, delay });
    Ok(())
}

fn declare(cx: &mut Cx, word: Word, name: &str, size: usize, key: &[u8]) -> Result<Handle, Error> {
    let spec = Spec {
        name: name.into(),
        size,
        owner: OWNER,
        key: String::from_utf8_lossy(key).into(),
        layout: 1,
        noreuse: false,
        verify: table::<Bucket>,
        forget: None,
    };
    cx.zone(word, spec)
}

/// A zone of another size begins with what was counted, as much of it as has room.
pub fn refill(zone: &Zone, origin: Origin) {
    let Origin::Replaces(old) = origin else { return };
    let is_one = |spec: &Spec| spec.owner == OWNER;
    if is_one(&zone.spec)
        && is_one(&old.spec)
        && (&zone.spec.key, zone.spec.layout) == (&old.spec.key, old.spec.layout)
    {
        let count = table::refill::<Bucket>(zone, &old);
        log!(Level::Notice, "zone \"{}\" is made anew with {count} records", zone.spec.name);
    }
}

/// The longest delay that the limits ask for, and the one that asks.
struct Delay<'r> {
    ms: i64,
    excess: i64,
    rate: &'r Rate,
}

/// Why a request may not go on.
enum Refusal<'r> {
    Beyond(i64, &'r Rate),
    NoRoom(&'r Rate),
    NoKey,
}

/// The phase of the limits: goes on, waits, or refuses.
pub fn check<'r>(request: &mut Request<'r>) -> Step<'r> {
    let conf = &request.location.conf.limit_req;
    if conf.limits.is_empty() || request.limited.req.is_some() {
        return Step::Next;
    }
    match pass(request, &conf.limits) {
        Ok(None) => Step::Next,
        Ok(Some(Delay { ms: ..=0, .. })) => {
            request.limited.req = Some(Verdict::Passed);
            Step::Next
        }
        Ok(Some(delay)) => wait(request, &delay),
        Err(refusal) => refuse(request, &refusal),
    }
}

/// Asks each limit in turn, and charges those before the last when the last has agreed.
fn pass<'r>(request: &Request<'r>, limits: &'r [Limit]) -> Result<Option<Delay<'r>>, Refusal<'r>> {
    let Some((limit, rest)) = limits.split_first() else { return Ok(None) };
    let zones = &request.http.conf.limit_req.zones;
    let Some(rate) = zones.iter().find(|rate| rate.zone == limit.zone) else {
        return pass(request, rest);
    };
    let key = rate.key.of(request, LONGEST_KEY).ok_or(Refusal::NoKey)?;
    if key.is_empty() {
        return pass(request, rest);
    }
    let excess = match ask(&limit.zone, key, rate.rate, limit.burst, rest.is_empty()) {
        Asked::Within(excess) => excess,
        Asked::Beyond(excess) => return Err(Refusal::Beyond(excess, rate)),
        Asked::NoRoom => return Err(Refusal::NoRoom(rate)),
    };
    let later = pass(request, rest)?;
    let excess = match rest {
        [] => excess,
        // It has been asked: now it is charged whatever came between, as in nginx.
        _ => match ask(&limit.zone, key, rate.rate, i64::MAX, true) {
            Asked::Within(excess) => excess,
            Asked::Beyond(_) | Asked::NoRoom => 0,
        },
    };
    let over = excess.saturating_sub(limit.delay).max(0);
    let own = Delay { ms: over.saturating_mul(1000) / rate.rate, excess, rate };
    Ok(Some(later.filter(|later| later.ms >= own.ms).unwrap_or(own)))
}

fn wait<'r>(request: &mut Request<'r>, delay: &Delay<'r>) -> Step<'r> {
    let conf = &request.location.conf.limit_req;
    let level = match conf.log_level {
        Level::Error => Level::Warn,
        Level::Warn => Level::Notice,
        _ => Level::Info,
    };
    let (dry, excess, name) = (dry_run(conf.dry_run), Requests(delay.excess), &delay.rate.name);
    let text = format_args!("delaying request{dry}, excess: {excess}, by zone \"{name}\"");
    request.log(level, None, text);
    if conf.dry_run {
        request.limited.req = Some(Verdict::DelayedDryRun);
        return Step::Next;
    }
    request.limited.req = Some(Verdict::Delayed);
    Step::Wait(Wait::For(delay.ms.cast_unsigned()))
}

fn refuse<'r>(request: &mut Request<'r>, refusal: &Refusal<'r>) -> Step<'r> {
    let conf = &request.location.conf.limit_req;
    match refusal {
        Refusal::NoKey => return Step::Status(500),
        Refusal::NoRoom(rate) => {
            log!(Level::Alert, "could not allocate node in limit_req zone \"{}\"", rate.name);
        }
        Refusal::Beyond(excess, rate) => {
            let (dry, excess, name) = (dry_run(conf.dry_run), Requests(*excess), &rate.name);
            let text = format_args!("limiting requests{dry}, excess: {excess} by zone \"{name}\"");
            request.log(conf.log_level, None, text);
        }
    }
    if conf.dry_run {
        request.limited.req = Some(Verdict::RejectedDryRun);
        return Step::Next;
    }
    request.limited.req = Some(Verdict::Rejected);
    Step::Status(conf.status)
}

/// Thousandths of a request, as nginx tells them.
struct Requests(i64);

impl std::fmt::Display for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}
