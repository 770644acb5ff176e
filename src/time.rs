//! Time, read once per loop turn.
