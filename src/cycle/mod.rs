//! One configuration made live.
