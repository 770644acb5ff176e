//! The servers of a resolver: where they are, and in which order they are asked.

use super::{Resolver, failure::Failure};
use crate::log::{Level, log};
use crate::mem::sort::sort_by;
use crate::sys::addr::Addr;
use crate::text::escape::Shown;
use crate::time;
use std::cell::Cell;
use std::fmt;

/// How long one that said nothing comes last, in milliseconds.
const SILENT_MS: u64 = 30_000;

pub struct Server {
    place: Place,
    silent_until: Cell<u64>,
}

enum Place {
    At(Addr),
    /// This machine's own resolver knows where.
    Named(Box<[u8]>, u16),
}

impl Server {
    pub fn at(addr: Addr) -> Server {
        Server { place: Place::At(addr), silent_until: Cell::new(0) }
    }

    pub fn named(name: &[u8], port: u16) -> Server {
        Server { place: Place::Named(name.into(), port), silent_until: Cell::new(0) }
    }

    pub fn was_silent(&self) {
        self.silent_until.set(time::now_ms() + SILENT_MS);
    }

    pub fn spoke(&self) {
        self.silent_until.set(0);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::At(addr) => addr.fmt(f),
            Place::Named(name, port) => write!(f, "{}:{port}", Shown(name)),
        }
    }
}

/// Several servers that know the same.
#[derive(Debug)]
pub struct Servers {
    pub all: Vec<Server>,
    pub pace: Pace,
    /// Each query begins with the next one of them.
    pub takes_turns: bool,
    pub next: Cell<usize>,
}

/// How long servers are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest time until the next one is asked, too, in milliseconds.
    pub most_ms: u64,
    /// When all of it has failed; none: whoever waits says.
    pub total_ms: Option<u64>,
}

/// A server at an address of its own.
#[derive(Clone, Copy)]
pub struct Target<'s> {
    pub addr: Addr,
    pub server: &'s Server,
}

impl Servers {
    /// Whom to ask, in order: those that have just been silent come last.
    pub async fn targets(&self) -> Vec<Target<'_>> {
        let begin = match self.takes_turns {
            true => self.next.replace(self.next.get().wrapping_add(1)) % self.all.len().max(1),
            false => 0,
        };
        let (behind, first) = self.all.split_at(begin);
        let mut servers: Vec<&Server> = first.iter().chain(behind).collect();
        let now = time::now_ms();
        let is_silent = |server: &Server| server.silent_until.get() > now;
        sort_by(&mut servers, |a, b| is_silent(a).cmp(&is_silent(b)));
        let mut targets = Vec::new();
        for server in servers {
            match &server.place {
                Place::At(addr) => targets.push(Target { addr: *addr, server }),
                Place::Named(name, port) => match addresses(name, *port).await {
                    Ok(found) => {
                        targets.extend(found.into_iter().map(|addr| Target { addr, server }));
                    }
                    Err(failure) => {
                        let name = Shown(name);
                        log!(Level::Error, "resolver {name} could not be resolved ({failure})");
                        server.was_silent();
                    }
                },
            }
        }
        targets
    }
}

async fn addresses(name: &[u8], port: u16) -> Result<Vec<Addr>, Failure> {
    /// That of resolv.conf's servers ends earlier, as a rule.
    const MOST_MS: u64 = 10_000;
    let found = Resolver::of_machine().look_up(name, MOST_MS).await?;
    Ok(found.addresses.iter().filter_map(|ip| ip.at(port)).collect())
}
