//! Who asks: one task for all checks of a configuration. It alone writes how peers are.

use super::probe::{self, Answer, Trouble};
use super::{Check, condition};
use crate::event::{self, TaskId};
use crate::http::conf::Http;
use crate::log::{Level, log};
use crate::net::upstream::{Health, Peer};
use crate::proto::regex;
use crate::sys::addr::Addr;
use crate::text::escape::Shown;
use crate::{random, time};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

/// Checks on their way at the same time.
const AT_ONCE: usize = 256;
/// How soon a new address of a name is noticed, in milliseconds.
const LOOK_MS: u64 = 1000;

thread_local! {
    static TASK: Cell<Option<TaskId>> = const { Cell::new(None) };
}

/// The configuration has other checks now.
pub fn changed() {
    if let Some(task) = TASK.get() {
        event::wake(task);
    }
}

/// The task; it never ends.
pub fn run(http: impl Fn() -> Rc<Http>) -> impl Future<Output = ()> {
    let mut checker = Checker::default();
    poll_fn(move |context| {
        TASK.set(Some(event::current()));
        checker.follow(http());
        if let Some(due_ms) = checker.poll(context) {
            let wait = due_ms.saturating_sub(time::now_ms()).max(1);
            // It is over only if the time has been set meanwhile: then it is asked once more.
            if pin!(event::sleep(event::after(wait))).poll(context).is_ready() {
                event::wake(event::current());
            }
        }
        Poll::Pending
    })
}

#[derive(Default)]
struct Checker {
    http: Option<Rc<Http>>,
    /// For each check the changes of its group that are known here.
    known: Vec<Option<u32>>,
    probes: Vec<Probe>,
}

impl Checker {
    /// Has a probe for each check of each peer that there is now.
    fn follow(&mut self, http: Rc<Http>) {
        if self.http.as_ref().is_none_or(|known| !Rc::ptr_eq(known, &http)) {
            self.probes.clear();
            self.known = vec![None; http.checks.len()];
        }
        for (known, check) in self.known.iter_mut().zip(&http.checks) {
            let group = &check.upstream.group;
            group.start();
            let changes = Some(group.changes());
            if std::mem::replace(known, changes) == changes {
                continue;
            }
            let mut peers = Vec::new();
            group.each(|peer| peers.push(Rc::clone(peer)));
            peers.retain(|peer| !peer.server.down);
            let is_there = |probe: &Probe| peers.iter().any(|peer| Rc::ptr_eq(peer, &probe.peer));
            self.probes.retain(|probe| !Rc::ptr_eq(&probe.check, check) || is_there(probe));
            for peer in peers {
                let has = |probe: &Probe| probe.is_of(check, &peer);
                if !self.probes.iter().any(has) {
                    self.probes.push(Probe::new(Rc::clone(check), peer));
                }
            }
        }
        self.http = Some(http);
    }

    /// Goes on with each; when it is to be called again, besides.
    fn poll(&mut self, context: &mut Context<'_>) -> Option<u64> {
        let http = self.http.clone()?;
        let mut asking = self.probes.iter().filter(|probe| probe.asking.is_some()).count();
        for at in 0..self.probes.len() {
            let probe = &mut self.probes[at];
            if probe.asking.is_none() && time::now_ms() >= probe.due_ms && asking < AT_ONCE {
                probe.begin();
                asking += 1;
            }
            if probe.poll(context, &mut http.regex_room.borrow_mut()) {
                asking -= 1;
                self.tell(at);
            }
        }
        let named = |check: &Rc<Check>| check.upstream.group.servers().iter().any(|s| s.is_named());
        let look = http.checks.iter().any(named).then(|| time::now_ms() + LOOK_MS);
        let resting = self.probes.iter().filter(|probe| probe.asking.is_none());
        let due = resting.map(|probe| probe.due_ms).min().filter(|_| asking < AT_ONCE);
        due.into_iter().chain(look).min()
    }

    /// A peer is what the worst of its checks says.
    fn tell(&self, at: usize) {
        let peer = &self.probes[at].peer;
        let own = self.probes.iter().filter(|probe| Rc::ptr_eq(&probe.peer, peer));
        let worst = own.map(|probe| probe.health).max_by_key(|health| match health {
            Health::Healthy | Health::Draining => 0,
            Health::Checking => 1,
            Health::Unhealthy => 2,
        });
        let record = peer.record();
        let is = worst.unwrap_or(Health::Healthy);
        if is == Health::Healthy && peer.health() == Health::Unhealthy {
            record.forgive();
            record.recovered_ms.store(time::now_ms(), Relaxed);
        }
        peer.set_health(is);
    }
}

type Asking = Pin<Box<dyn Future<Output = Result<Answer, Trouble>>>>;

/// A check of a peer.
struct Probe {
    check: Rc<Check>,
    peer: Rc<Peer>,
    health: Health,
    /// So many in a row.
    fails: u64,
    passes: u64,
    due_ms: u64,
    asking: Option<Asking>,
}

impl Probe {
    /// It goes on where another process has ended.
    fn new(check: Rc<Check>, peer: Rc<Peer>) -> Probe {
        let (health, due_ms) = (peer.health(), time::now_ms());
        Probe { check, peer, health, fails: 0, passes: 0, due_ms, asking: None }
    }

    fn is_of(&self, check: &Rc<Check>, peer: &Rc<Peer>) -> bool {
        Rc::ptr_eq(&self.check, check) && Rc::ptr_eq(&self.peer, peer)
    }

    fn begin(&mut self) {
        let addr = match (self.check.wanted.port, self.peer.addr) {
            (Some(port), Addr::V4(mut addr)) => {
                addr.set_port(port);
                Addr::V4(addr)
            }
            (Some(port), Addr::V6(mut addr)) => {
                addr.set_port(port);
                Addr::V6(addr)
            }
            (_, addr) => addr,
        };
        self.asking = Some(Box::pin(probe::ask(Rc::clone(&self.check), addr)));
    }

    /// True: something has come out.
    fn poll(&mut self, context: &mut Context<'_>, room: &mut regex::Scratch) -> bool {
        let Some(asking) = &mut self.asking else { return false };
        let Poll::Ready(outcome) = asking.as_mut().poll(context) else { return false };
        self.asking = None;
        let wanted = &self.check.wanted;
        let jitter = random::number().checked_rem(wanted.jitter_ms.saturating_add(1)).unwrap_or(0);
        let pause = wanted.interval_ms.saturating_add(jitter);
        self.due_ms = time::now_ms().saturating_add(pause);
        let verdict = outcome.and_then(|answer| {
            let verdict = condition::judge(self.check.condition.as_deref(), &answer, room);
            verdict.map_err(|what| Trouble::Peer(what, None))
        });
        if !matches!(verdict, Err(Trouble::Own(_))) {
            self.peer.record().checked(verdict.is_ok());
        }
        match verdict {
            Ok(()) => self.passed(),
            Err(trouble) => self.failed(&trouble),
        }
        true
    }

    fn passed(&mut self) {
        self.fails = 0;
        self.passes = self.passes.saturating_add(1);
        let enough = self.passes >= self.check.wanted.passes || self.health == Health::Checking;
        if self.health != Health::Healthy && enough {
            self.health = Health::Healthy;
            log!(Level::Notice, "peer is healthy, {}", self.shown());
        }
    }

    fn failed(&mut self, trouble: &Trouble) {
        let (what, errno) = match trouble {
            Trouble::Own(errno) => {
                log!(Level::Alert, errno * errno, "cannot check, {}", self.shown());
                return;
            }
            Trouble::Peer(what, errno) => (what, errno),
        };
        if errno.is_some() {
            self.check.upstream.group.doubt(&self.peer);
        }
        self.passes = 0;
        self.fails = self.fails.saturating_add(1);
        if self.health == Health::Unhealthy {
            return;
        }
        let (level, is) = match self.fails < self.check.wanted.fails {
            true => (Level::Info, "failed"),
            false => (Level::Warn, "is unhealthy"),
        };
        if level == Level::Warn {
            self.health = Health::Unhealthy;
            self.peer.record().unhealthy.fetch_add(1, Relaxed);
        }
        let shown = self.shown();
        match errno {
            Some(errno) => log!(level, errno * errno, "peer {is} while {what}, {shown}"),
            None => log!(level, "peer {is} while {what}, {shown}"),
        }
    }

    /// Whom a line of the log is about.
    fn shown(&self) -> String {
        let name = self.check.condition.as_ref().map_or(&b""[..], |block| &block.name);
        let (name, peer) = (Shown(name), Shown(&self.peer.name));
        let group = Shown(&self.check.upstream.group.name);
        format!("health check \"{name}\" of peer {peer} in upstream \"{group}\"")
    }
}
