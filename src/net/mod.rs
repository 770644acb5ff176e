//! Listeners, connections, addresses, names.

mod bind;
pub mod handover;
mod holder;
pub mod listen;
mod overlap;
pub mod pipe;
pub mod pool;
pub mod resolver;
pub mod tunnel;
pub mod upstream;
