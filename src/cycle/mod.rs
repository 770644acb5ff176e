//! One configuration made live.

mod auto;
