//! Listeners, connections, addresses.

mod bind;
pub mod listen;
