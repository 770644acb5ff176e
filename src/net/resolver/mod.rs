//! Names into addresses, without making anybody wait but those who asked.
//!
//! A [`Resolver`] asks the servers of a `resolver` directive, or what this machine says:
//! its hosts file and resolv.conf. Each process has a cache of its own for each of them; a
//! name that is known costs a look into it and no allocation. Look-ups of the same name at
//! the same time are one ([`flight`]).

mod answers;
mod ask;
mod cache;
mod directive;
mod failure;
mod flight;
mod hosts;
mod machine;
mod resolv_conf;
mod servers;
#[cfg(test)]
pub(in crate::net) mod tests;
mod watched;

pub use answers::Families;
pub use failure::Failure;
pub use machine::Paths;

use crate::event;
use crate::log::{Level, log};
use crate::mem::sort::sort_by;
use crate::proto::dns::{Name, Service};
use crate::sys::addr::Ip;
use crate::text::ascii;
use crate::text::escape::Shown;
use crate::time;
use answers::{Answered, Missing};
use cache::Cache;
use flight::{Outcome, Waiting};
use machine::Machine;
use servers::{Pace, Server, Servers};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The longest name, with a dot at its end.
const NAME: usize = 256;
/// For how many seconds an answer is good, whatever it says.
const TTL: (u32, u32) = (1, 3600);
/// The same for the answer that there is nothing: a container may appear any moment.
const NEGATIVE_TTL: (u32, u32) = (1, 10);
/// If it says nothing about that.
const NEGATIVE_DEFAULT: u32 = 5;
/// How long a server's failure is believed, in milliseconds.
const FAILED_MS: u64 = 1000;
/// What is as new as this need not be asked again.
const NEW_MS: u64 = 1000;
/// Targets of one service that are looked up.
const TARGETS: usize = 64;
/// How long each of them may take, in milliseconds.
const TARGET_MS: u64 = 10_000;
/// How often a server of a `resolver` directive is asked again, in milliseconds (nginx).
const AGAIN_MS: u64 = 5000;

/// The addresses of a name.
#[derive(Debug)]
pub struct Found {
    /// At least one, those of IPv4 first.
    pub addresses: Box<[Ip]>,
    /// On the clock of `time::now_ms`.
    pub good_until_ms: u64,
}

/// The places of a service, those of the best (lowest) priority first.
#[derive(Debug)]
pub struct Services {
    /// At least one.
    pub places: Box<[ServicePlace]>,
    /// On the clock of `time::now_ms`.
    pub good_until_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServicePlace {
    pub ip: Ip,
    pub port: u16,
    pub priority: u16,
    pub weight: u16,
}

/// Made with the configuration; copies share one cache.
#[derive(Clone)]
pub struct Resolver(Rc<Inner>);

struct Inner {
    source: Source,
    wanted: Families,
    /// `valid=`
    valid_ms: Option<u64>,
    addresses: Cache<Found>,
    services: Cache<Services>,
}

enum Source {
    Servers(Servers),
    Machine(Box<Machine>),
}

thread_local! {
    static MACHINE: Resolver = Resolver::of_files(Paths::default());
}

impl Resolver {
    /// What this machine says: where there is no `resolver`.
    pub fn of_machine() -> Resolver {
        MACHINE.with(Resolver::clone)
    }

    pub fn of_files(paths: Paths) -> Resolver {
        let both = Families { v4: true, v6: true };
        Resolver::new(Source::Machine(Box::new(Machine::new(paths))), both, None)
    }

    fn of_servers(all: Vec<Server>, wanted: Families, valid_ms: Option<u64>) -> Resolver {
        let pace = Pace { most_ms: AGAIN_MS, total_ms: None };
        let servers = Servers { all, pace, takes_turns: true, next: Cell::new(0) };
        Resolver::new(Source::Servers(servers), wanted, valid_ms)
    }

    fn new(source: Source, wanted: Families, valid_ms: Option<u64>) -> Resolver {
        let (addresses, services) = (Cache::new(), Cache::new());
        Resolver(Rc::new(Inner { source, wanted, valid_ms, addresses, services }))
    }

    /// The addresses of a name: what is known, or what is found out within so many
    /// milliseconds. It begins at once; the future may live in any task.
    ///
    /// Cancellation: the others that wait for the same name go on.
    pub fn look_up(&self, name: &[u8], within_ms: u64) -> LookUp<Found> {
        let mut room = [0; NAME];
        let Some(name) = ascii::lower(name, &mut room) else { return LookUp::not_found() };
        match self.0.addresses.fresh(name) {
            Some(known) => LookUp::Known(Some(known)),
            None => self.ask_addresses(name, within_ms),
        }
    }

    /// The same, but what is known counts for a second only: for whoever found it wrong, or
    /// wants it before it is too old.
    pub fn look_up_again(&self, name: &[u8], within_ms: u64) -> LookUp<Found> {
        let mut room = [0; NAME];
        let Some(name) = ascii::lower(name, &mut room) else { return LookUp::not_found() };
        match self.0.addresses.newest(name, NEW_MS) {
            Some(known) => LookUp::Known(Some(known)),
            None => self.ask_addresses(name, within_ms),
        }
    }

    /// The addresses that a name had when it last had any, however old.
    pub fn last_known(&self, name: &[u8]) -> Option<Rc<Found>> {
        self.0.addresses.last(ascii::lower(name, &mut [0; NAME])?)
    }

    #[cold]
    fn ask_addresses(&self, name: &[u8], within_ms: u64) -> LookUp<Found> {
        if let Some(ip) = watched::ip(name) {
            let found = Found::new(vec![ip.into()], u64::MAX);
            return LookUp::Known(Some(Ok(Rc::new(found))));
        }
        if Name::parse(name).is_none() {
            return LookUp::not_found();
        }
        let flight = self.0.addresses.flight(name, || {
            let (inner, name) = (Rc::clone(&self.0), Box::<[u8]>::from(name));
            Box::pin(async move { inner.find_addresses(&name).await })
        });
        LookUp::Waiting(Waiting::new(flight, event::after(within_ms)))
    }

    /// The places of a service, with the addresses of each: nginx's `service=`, which is a
    /// name of a service (`http`), or the beginning of a name (`_http._tcp`).
    pub fn look_up_service(&self, service: &[u8], name: &[u8], within_ms: u64) -> LookUp<Services> {
        let name = match service.contains(&b'.') {
            true => [service, b".", name].concat(),
            false => [b"_", service, b"._tcp.", name].concat(),
        };
        let name = name.to_ascii_lowercase();
        if let Some(known) = self.0.services.fresh(&name) {
            return LookUp::Known(Some(known));
        }
        if Name::parse(&name).is_none() {
            return LookUp::not_found();
        }
        let flight = self.0.services.flight(&name, || {
            let (resolver, name) = (self.clone(), name.clone());
            Box::pin(async move { resolver.find_services(&name).await })
        });
        LookUp::Waiting(Waiting::new(flight, event::after(within_ms)))
    }

    async fn find_services(&self, name: &[u8]) -> Outcome<Services> {
        let inner = &*self.0;
        let outcome = match inner.services(name).await {
            Ok(answer) => {
                let until_ms = time::now_ms() + inner.good_ms(answer.ttl);
                self.places(answer.is, until_ms).await
            }
            Err(missing) => Err(missing),
        };
        let until_ms = match &outcome {
            Ok(found) => found.good_until_ms,
            Err(missing) => time::now_ms() + inner.missing_ms(missing),
        };
        tell(name, &outcome);
        let outcome = outcome.map(Rc::new).map_err(|missing| missing.failure);
        inner.services.put(name, outcome.clone(), until_ms);
        outcome
    }

    /// The services with the addresses of their targets, as far as they have any.
    async fn places(&self, mut all: Vec<Service>, until_ms: u64) -> Result<Services, Missing> {
        sort_by(&mut all, |a, b| a.priority.cmp(&b.priority));
        all.truncate(TARGETS);
        let (mut places, mut good_until_ms) = (Vec::new(), until_ms);
        let mut failure = Failure::NotFound;
        for Service { priority, weight, port, target } in all {
            // Absolute: the search list is not for what DNS itself has named.
            let target = [&target.text(), &b"."[..]].concat();
            match self.look_up(&target, TARGET_MS).await {
                Ok(found) => {
                    good_until_ms = good_until_ms.min(found.good_until_ms);
                    let place = |ip: &Ip| ServicePlace { ip: *ip, port, priority, weight };
                    places.extend(found.addresses.iter().map(place));
                }
                Err(why) => {
                    log!(Level::Error, "{} could not be resolved ({why})", Shown(&target));
                    failure = why;
                }
            }
        }
        match places.is_empty() {
            true => Err(failure.into()),
            false => Ok(Services { places: places.into(), good_until_ms }),
        }
    }
}

impl Inner {
    async fn find_addresses(&self, name: &[u8]) -> Outcome<Found> {
        let outcome = match &self.source {
            Source::Machine(machine) => machine.addresses(name, self.wanted).await,
            Source::Servers(servers) => match Name::parse(name) {
                Some(name) => answers::addresses(servers, &name, self.wanted).await,
                None => Err(Failure::NotFound.into()),
            },
        };
        let good_for = match &outcome {
            Ok(answer) => self.good_ms(answer.ttl),
            Err(missing) => self.missing_ms(missing),
        };
        tell(name, &outcome.as_ref().map(|answer| &answer.is).map_err(|missing| *missing));
        let until_ms = time::now_ms().saturating_add(good_for);
        let outcome = match outcome {
            Ok(answer) => Ok(Rc::new(Found::new(answer.is, until_ms))),
            Err(missing) => Err(missing.failure),
        };
        self.addresses.put(name, outcome.clone(), until_ms);
        outcome
    }

    async fn services(&self, name: &[u8]) -> Answered<Vec<Service>> {
        match &self.source {
            Source::Machine(machine) => machine.services(name).await,
            Source::Servers(servers) => match Name::parse(name) {
                Some(name) => answers::services(servers, &name).await,
                None => Err(Failure::NotFound.into()),
            },
        }
    }

    /// How long something is good.
    fn good_ms(&self, ttl: u32) -> u64 {
        let own = 1000 * u64::from(ttl.clamp(TTL.0, TTL.1));
        self.valid_ms.unwrap_or(own)
    }

    /// How long nothing is nothing.
    fn missing_ms(&self, missing: &Missing) -> u64 {
        if missing.failure != Failure::NotFound {
            return FAILED_MS;
        }
        let ttl = missing.ttl.unwrap_or(NEGATIVE_DEFAULT).clamp(NEGATIVE_TTL.0, NEGATIVE_TTL.1);
        let own = 1000 * u64::from(ttl);
        own.min(self.valid_ms.unwrap_or(own))
    }
}

impl Found {
    fn new(addresses: Vec<Ip>, good_until_ms: u64) -> Found {
        Found { addresses: addresses.into(), good_until_ms }
    }
}

/// What has come of a name, for the debug log.
fn tell<T: std::fmt::Debug>(name: &[u8], outcome: &Result<T, Missing>) {
    match outcome {
        Ok(found) => log!(Level::Debug, "looked up {}: {found:?}", Shown(name)),
        Err(Missing { failure, .. }) => {
            log!(Level::Debug, "looked up {}: nothing ({failure})", Shown(name));
        }
    }
}

/// A look-up: done already, or on its way.
pub enum LookUp<T> {
    /// Until it has been polled.
    Known(Option<Outcome<T>>),
    Waiting(Waiting<T>),
}

impl<T> LookUp<T> {
    fn not_found() -> LookUp<T> {
        LookUp::Known(Some(Err(Failure::NotFound)))
    }
}

impl<T> Future for LookUp<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<T>> {
        match &mut *self {
            LookUp::Known(known) => Poll::Ready(known.take().unwrap_or(Err(Failure::TimedOut))),
            LookUp::Waiting(waiting) => Pin::new(waiting).poll(context),
        }
    }
}
