//! Listeners, connections, addresses.

mod bind;
mod holder;
pub mod listen;
pub mod upstream;
