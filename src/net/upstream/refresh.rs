//! Keeps the addresses of names fresh: one task for all groups of a process.
//!
//! Each name is looked up before what is known of it is too old, at once when a peer of it
//! refused a connection, and again and again when it has no address. Nobody waits for that;
//! a request that finds a group without any address looks it up itself ([`Group::resolve`]).

use super::place::Spot;
use super::server::{Server, Target};
use super::{Group, Peer};
use crate::event::{self, Deadline, TaskId};
use crate::log::{Level, log};
use crate::net::resolver::{Failure, Found, LookUp, ServicePlace, Services};
use crate::text::escape::Shown;
use crate::time;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Names are looked up again after so many milliseconds, whatever their TTL says: Docker says
/// ten minutes, and gives the address of a container to the next one at once.
const LONGEST_MS: u64 = 30_000;
/// And not before so many.
const LEAST_MS: u64 = 1000;
/// The longest pause while a name has no address, in milliseconds.
const FAILED_MS: u64 = 8000;
/// A name that has been gone for so long has lost its addresses, in milliseconds. One with
/// `resolve` loses them at once, as in nginx.
const GONE_MS: u64 = 60_000;
/// Look-ups on their way at the same time.
pub(super) const AT_ONCE: usize = 16;

thread_local! {
    /// The task, once it runs, and whether it is to read the groups anew.
    static TASK: Cell<Option<TaskId>> = const { Cell::new(None) };
    static CHANGED: Cell<bool> = const { Cell::new(true) };
}

/// Somebody doubts an address: the task looks at once.
pub(super) fn wake() {
    if let Some(task) = TASK.get() {
        event::wake(task);
    }
}

/// The configuration has other groups now.
pub fn groups_changed() {
    CHANGED.set(true);
    wake();
}

/// The task; it never ends.
pub fn keep_fresh(groups: impl Fn() -> Vec<Rc<Group>>) -> impl Future<Output = ()> {
    let mut lines = Vec::new();
    poll_fn(move |context| {
        TASK.set(Some(event::current()));
        if CHANGED.take() {
            lines = groups().iter().flat_map(lines_of).collect();
        }
        if let Some(due_ms) = poll_lines(&mut lines, context) {
            let wait = due_ms.saturating_sub(time::now_ms()).max(1);
            // It is over only if the time has been set meanwhile: then it is asked once more.
            if pin!(event::sleep(event::after(wait))).poll(context).is_ready() {
                event::wake(event::current());
            }
        }
        Poll::Pending
    })
}

fn lines_of(group: &Rc<Group>) -> impl Iterator<Item = Line> {
    let named = |(_, server): &(usize, &Rc<Server>)| server.is_named();
    let named = group.servers.iter().enumerate().filter(named);
    named.map(|(index, _)| Line::new(Rc::clone(group), index))
}

/// Goes on with each; when the first of those that rest is due.
fn poll_lines(lines: &mut [Line], context: &mut Context<'_>) -> Option<u64> {
    let mut asking = lines.iter().filter(|line| line.asking.is_some()).count();
    let mut earliest = None;
    for line in lines {
        let was_asking = line.asking.is_some();
        if !was_asking && line.is_due() && asking < AT_ONCE {
            line.begin();
        }
        line.poll(context);
        asking = asking + usize::from(line.asking.is_some()) - usize::from(was_asking);
        if line.asking.is_none() {
            earliest = earliest.into_iter().chain([line.due_ms]).min();
        }
    }
    earliest
}

/// A name, and when it is looked up next.
struct Line {
    group: Rc<Group>,
    index: usize,
    due_ms: u64,
    asked_ms: u64,
    failures: u32,
    gone_since: Option<u64>,
    asking: Option<Asking>,
}

impl Line {
    fn new(group: Rc<Group>, index: usize) -> Line {
        Line { group, index, due_ms: 0, asked_ms: 0, failures: 0, gone_since: None, asking: None }
    }

    fn is_due(&mut self) -> bool {
        if self.group.servers[self.index].take_doubt() {
            self.due_ms = self.due_ms.min(self.asked_ms + LEAST_MS);
        }
        time::now_ms() >= self.due_ms
    }

    fn begin(&mut self) {
        self.asked_ms = time::now_ms();
        self.asking = Some(Asking::begin(&self.group, self.index, true));
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        let Some(asking) = &mut self.asking else { return };
        let Poll::Ready(outcome) = Pin::new(asking).poll(context) else { return };
        self.asking = None;
        let now = time::now_ms();
        match outcome {
            Ok((spots, good_until_ms)) => {
                self.found(&spots);
                self.due_ms = good_until_ms.clamp(now + LEAST_MS, now + LONGEST_MS);
            }
            Err(failure) => {
                self.missed(failure);
                let pause = (LEAST_MS << self.failures.min(8)).min(FAILED_MS);
                self.due_ms = now + pause;
            }
        }
    }

    fn found(&mut self, spots: &[Spot]) {
        if std::mem::take(&mut self.failures) > 0 {
            let name = Shown(&self.group.servers[self.index].text);
            log!(Level::Notice, "host found in upstream \"{name}\": {spots:?}");
        }
        self.gone_since = None;
        self.group.set_spots(self.index, spots);
    }

    fn missed(&mut self, failure: Failure) {
        let server = &self.group.servers[self.index];
        let (name, now) = (Shown(&server.text), time::now_ms());
        if self.failures == 0 {
            log!(Level::Warn, "host not found in upstream \"{name}\" ({failure})");
        } else {
            log!(Level::Debug, "host still not found in upstream \"{name}\" ({failure})");
        }
        self.failures += 1;
        let since = *self.gone_since.get_or_insert(now);
        match failure {
            Failure::NotFound if server.resolve || now >= since + GONE_MS => {
                self.group.set_addresses(self.index, &[]);
            }
            Failure::NotFound => {}
            // It may be there.
            _ => self.gone_since = None,
        }
    }
}

/// A look-up of a name or of a service.
pub(super) enum Asking {
    Name(LookUp<Found>, u16),
    /// And whether only the best places are wanted.
    Service(LookUp<Services>, bool),
}

impl Asking {
    /// `anew`: what is known of it does not count.
    pub fn begin(group: &Group, index: usize, anew: bool) -> Asking {
        let server = &group.servers[index];
        let (resolver, within_ms) = (group.names.resolver_of(server), group.names.within_ms);
        match &server.target {
            Target::Name { host, service: Some(service), .. } => {
                let look_up = resolver.look_up_service(service, host, within_ms);
                Asking::Service(look_up, server.backup)
            }
            Target::Name { host, port, .. } if anew => {
                Asking::Name(resolver.look_up_again(host, within_ms), *port)
            }
            Target::Name { host, port, .. } => {
                Asking::Name(resolver.look_up(host, within_ms), *port)
            }
            Target::Address(addr) => {
                Asking::Name(resolver.look_up(addr.to_string().as_bytes(), 0), addr.port())
            }
        }
    }
}

/// Addresses, and how long they are good.
type Looked = Result<(Vec<Spot>, u64), Failure>;

impl Future for Asking {
    type Output = Looked;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Asking::Name(look_up, port) => {
                let port = *port;
                Pin::new(look_up).poll(context).map_ok(|found| {
                    let addresses = found.addresses.iter().filter_map(|ip| ip.at(port));
                    (addresses.map(Spot::from).collect(), found.good_until_ms)
                })
            }
            Asking::Service(look_up, best_only) => {
                let best_only = *best_only;
                Pin::new(look_up).poll(context).map_ok(|found| {
                    let mut spots = spots(&found.places);
                    spots.retain(|spot| !(best_only && spot.is_second));
                    (spots, found.good_until_ms)
                })
            }
        }
    }
}

/// Those of the best priority serve, all others are backups; with `backup` the best are backups
/// and nobody needs the others (nginx). An address that is there twice is there once.
fn spots(places: &[ServicePlace]) -> Vec<Spot> {
    let best = places.iter().map(|place| place.priority).min();
    let mut spots: Vec<Spot> = Vec::new();
    for place in places {
        let Some(addr) = place.ip.at(place.port) else { continue };
        let is_second = Some(place.priority) != best;
        if spots.iter().all(|spot| spot.addr != addr) {
            spots.push(Spot { addr, weight: place.weight, is_second });
        }
    }
    spots
}

/// No name of a group has an address: which name was looked up last, and why not.
pub struct Unresolved {
    pub server: Rc<Server>,
    pub failure: Failure,
}

impl Unresolved {
    /// As nginx says when it starts.
    pub fn at_start(&self) -> String {
        let name = Shown(&self.server.text);
        format!("host not found in upstream \"{name}\" ({})", self.failure)
    }
}

/// As nginx says of a name that a request brings.
impl std::fmt::Display for Unresolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match &self.server.target {
            Target::Name { host, .. } => host,
            Target::Address(_) => &self.server.text,
        };
        write!(f, "{} could not be resolved ({})", Shown(name), self.failure)
    }
}

impl Group {
    /// Looks up the name of a peer that could not be reached; whether it has left its address
    /// for others.
    ///
    /// Cancellation: the look-up goes on if others wait for it.
    pub fn has_moved(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        within_ms: u64,
    ) -> impl Future<Output = bool> {
        // In a box: a request has no room for what it rarely needs.
        Box::pin(has_moved(Rc::clone(self), Rc::clone(peer), within_ms))
    }

    /// Looks up the names of a group that has no address, until one has: for a request that
    /// would be refused. What is known to be missing is not asked for again.
    ///
    /// Cancellation: the look-up goes on if others wait for it.
    pub fn resolve(
        self: &Rc<Self>,
        within_ms: u64,
    ) -> impl Future<Output = Result<(), Unresolved>> {
        Box::pin(find_first(Rc::clone(self), within_ms))
    }
}

/// What is found until then.
fn within(mut asking: Asking, until: Deadline) -> impl Future<Output = Looked> {
    poll_fn(move |context| {
        if let Poll::Ready(outcome) = Pin::new(&mut asking).poll(context) {
            return Poll::Ready(outcome);
        }
        pin!(event::sleep(until)).poll(context).map(|()| Err(Failure::TimedOut))
    })
}

async fn has_moved(group: Rc<Group>, peer: Rc<Peer>, within_ms: u64) -> bool {
    let is_meant = |it: &Rc<Server>| Rc::ptr_eq(it, &peer.server);
    let Some(index) = group.servers.iter().position(is_meant) else { return false };
    let asking = Asking::begin(&group, index, true);
    match within(asking, event::after(within_ms)).await {
        Ok((spots, _)) => {
            group.set_spots(index, &spots);
            spots.iter().all(|spot| spot.addr != peer.addr)
        }
        Err(_) => false,
    }
}

async fn find_first(group: Rc<Group>, within_ms: u64) -> Result<(), Unresolved> {
    let mut outcome = Ok(());
    let until = event::after(within_ms);
    for (index, server) in group.servers.iter().enumerate().filter(|(_, it)| it.is_named()) {
        match within(Asking::begin(&group, index, false), until).await {
            Ok((spots, _)) => {
                group.set_spots(index, &spots);
                return Ok(());
            }
            Err(failure) => outcome = Err(Unresolved { server: Rc::clone(server), failure }),
        }
    }
    outcome
}
