//! HTTP: connections, requests, modules.
//!
//! Begin at `connection` (a client's connection from accept to close), then
//! `exchange` (one request after the other), `answer` (the phases of a request, in
//! nginx's order) and `respond` (what leaves). A module is one file: its directives,
//! its settings, its code.

pub mod access;
mod answer;
pub mod auth_basic;
pub mod auth_request;
pub mod autoindex;
mod body;
mod body_filter;
mod browser;
pub mod charset;
pub mod conf;
mod connection;
pub mod content;
pub mod core;
mod error_pages;
mod exchange;
pub mod fastcgi;
pub mod fastcgi_exchange;
mod file_cache;
mod filters;
mod forwarded;
pub mod geo;
pub mod gzip;
mod handover;
pub mod headers;
mod health;
pub mod health_check;
pub mod index;
mod input;
pub mod limit_conn;
pub mod limit_req;
mod limits;
mod linger;
pub mod log;
pub mod map;
pub mod mirror;
mod output;
mod paths;
mod permission;
pub mod precompressed;
mod proxied;
pub mod proxy;
pub mod proxy_cache;
pub mod proxy_exchange;
pub mod proxy_rewrites;
mod ready;
pub mod realip;
pub mod referer;
mod request;
pub mod request_body;
pub mod resolver;
mod respond;
mod response;
pub mod rewrite;
mod send;
pub mod split_clients;
mod static_files;
mod step;
mod subrequest;
mod trailers;
pub mod try_files;
mod upstream;
pub mod upstreams;
mod variables;
mod worker;

pub use worker::Worker;

use connection::Service;

use crate::event::{Accepted, Conversations, Converse, Reactor};
use crate::log::Level;
use crate::mem::arena::Arena;
use crate::net;
use std::future::Future;

/// The conversations of a worker with room for `connections` of them; `None` when
/// the address space cannot be had.
pub fn conversations(
    reactor: &'static Reactor,
    worker: &'static Worker,
    connections: usize,
    multi_accept: bool,
) -> Option<Conversations<impl Converse>> {
    let service = service_for(exchange::run, worker, connections)?;
    let make = move |accepted: Accepted| connection::serve(service, accepted, exchange::run);
    let conversations = Conversations::new(reactor, connections, multi_accept, make)?;
    conversations.spawn(worker.files.sweep());
    let groups = || worker.http().upstreams.groups();
    conversations.spawn(net::upstream::keep_fresh(groups));
    conversations.spawn(worker.pool.watch());
    tell_sizes(&conversations, &service.exchanges);
    Some(conversations)
}

/// What `make sizes` reads.
fn tell_sizes<M: Converse, E: Future>(_: &Conversations<M>, _: &Arena<E>) {
    const { assert!(size_of::<M::Talk>() <= 128, "an idle connection takes too much memory") }
    let (connection, request) = (Conversations::<M>::SLOT, Arena::<E>::SLOT);
    crate::log::log!(Level::Debug, "slots: {connection} bytes a connection, {request} a request");
}

/// A service whose arena holds the futures of `_run`; it lives as long as the process.
fn service_for<A, B, C, E: Future>(
    _run: impl Fn(A, B, C) -> E,
    worker: &'static Worker,
    connections: usize,
) -> Option<&'static Service<E>> {
    const { assert!(size_of::<E>() <= 2048, "a request in flight takes too much memory") }
    let exchanges = Arena::new(connections)?;
    Some(Box::leak(Box::new(Service { worker, exchanges })))
}
