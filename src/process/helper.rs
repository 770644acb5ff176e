//! Helpers: the cache manager, the cache loader, the health checker.
//!
//! They run the worker's loop without listening sockets, with 512 connections,
//! and do the work of the configured caches: the manager at the time each cache
//! asks for, 1 ms to 1 h from now; the loader once, 60 s after its start, and then
//! it is done. The checker asks peers of upstreams how they are, for all workers.

use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::rc::Rc;

use super::child::Seat;
use super::privileges::{self, Fatal};
use super::reap::FATAL;
use super::set_title;
use super::worker::{Worker, reactor};
use crate::cycle::Cycle;
use crate::event::{self, Conversations};
use crate::http::health_check;
use crate::net::upstream::keep_fresh;

const CONNECTIONS: usize = 512;
const MANAGER_LONGEST_MS: u64 = 3_600_000;
const LOADER_AFTER_MS: u64 = 60_000;

/// At the caches' own pace, until it is told to leave. There are none yet: it only waits.
pub fn manager(cycle: Cycle, seat: Seat) -> i32 {
    run(cycle, seat, b"limpet: cache manager process", async {
        loop {
            event::sleep(event::after(MANAGER_LONGEST_MS)).await;
        }
    })
}

/// Once.
pub fn loader(cycle: Cycle, seat: Seat) -> i32 {
    run(cycle, seat, b"limpet: cache loader process", async {
        event::sleep(event::after(LOADER_AFTER_MS)).await;
    })
}

/// As long as the configuration has checks. It keeps names fresh for itself.
pub fn checker(cycle: Cycle, seat: Seat) -> i32 {
    let http = cycle.http();
    let checked = Rc::clone(&http);
    let groups = move || checked.checks.iter().map(|it| Rc::clone(&it.upstream.group)).collect();
    run(cycle, seat, b"limpet: health checker process", async move {
        let mut names = pin!(keep_fresh(groups));
        let mut checks = pin!(health_check::run(move || Rc::clone(&http)));
        poll_fn(|context| {
            let _never_ends = names.as_mut().poll(context);
            checks.as_mut().poll(context)
        })
        .await;
    })
}

fn run(
    mut cycle: Cycle,
    mut seat: Seat,
    name: &[u8],
    work: impl Future<Output = ()> + 'static,
) -> i32 {
    cycle.listening.close(false);
    match privileges::init(&cycle, &mut seat) {
        Ok(()) => serve(cycle, seat, name, work),
        Err(Fatal) => FATAL,
    }
}

fn serve(cycle: Cycle, seat: Seat, name: &[u8], work: impl Future<Output = ()> + 'static) -> i32 {
    set_title(name);
    let Some(reactor) = reactor(CONNECTIONS) else { return 1 };
    let Some(events) = Conversations::new(reactor, CONNECTIONS, false, |_| ready(())) else {
        return 1;
    };
    let worker = Worker::new(cycle, seat, reactor, events);
    let done = worker.done.clone();
    worker.events.spawn(async move {
        work.await;
        done.set(true);
    });
    worker.cycle()
}
