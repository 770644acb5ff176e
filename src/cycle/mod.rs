//! One configuration made live.

mod auto;
pub mod source;
