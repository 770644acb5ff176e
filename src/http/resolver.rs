//! `resolver` and `resolver_timeout`: who is asked for names that are known only when a
//! request comes, and how long. Without `resolver` it is what this machine says.

use crate::conf::{Args, Context, Directive, Error, Node, put, settings, time_msec};
use crate::net::resolver::Resolver;

settings! {
    pub struct Loc, LocRaw {
        pub resolver: Resolver = Resolver::of_machine(),
        /// In milliseconds.
        pub timeout: u64 = 30_000,
    }
}

pub static LOC: &[Directive<LocRaw>] = &[
    Directive::call("resolver", Context::ALL, Args::ONE_MORE, |raw, _, node| {
        put(&mut raw.resolver, node, Resolver::configured(node))
    }),
    Directive::call("resolver_timeout", Context::ALL, Args::ONE, |raw, _, node| {
        put(&mut raw.timeout, node, timeout(node))
    }),
];

/// Of `resolver_timeout`, in milliseconds; with 0 it takes as long as it takes.
pub fn timeout(node: Node) -> Result<u64, Error> {
    time_msec(node, 0).map(|ms| if ms == 0 { u64::MAX } else { ms })
}
