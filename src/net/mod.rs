//! Listeners, connections, addresses, names.

mod bind;
mod holder;
pub mod listen;
pub mod resolver;
pub mod upstream;
