//! HTTP: connections, requests, modules.

pub mod conf;
pub mod core;
pub mod index;
pub mod log;
pub mod rewrite;

mod output;

/* entry points, landing soon:
pub use worker::Worker;      // Worker::new(Rc<conf::Http>, connections, next_number: fn() -> u64) -> Option<Worker>; leak it
pub fn conversations(reactor: &'static Reactor, worker: &'static Worker, connections: usize, multi_accept: bool)
    -> Option<Conversations<impl Converse>>;
*/
