//! One configuration made live.

mod auto;
pub mod config;
pub mod core_conf;
mod debug_connection;
pub mod source;
pub mod user;
