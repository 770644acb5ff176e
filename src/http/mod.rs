//! HTTP: connections, requests, modules.

pub mod conf;
pub mod core;
pub mod index;
pub mod log;
pub mod rewrite;

mod output;
