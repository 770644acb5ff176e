//! Shared memory: zones, their locks and slabs, the scoreboard.
