//! Master, workers, helpers: the table, the channel, the policy.
//!
//! | file | what |
//! |---|---|
//! | `table` | every child, one slot each |
//! | `channel`, `outbox`, `siblings` | messages between master and children |
//! | `daemon` | leaving the terminal |
//! | `signaller`, `status` | `-s`: another process that tells or asks the master |
//! | `deadlines`, `termination`, `backoff`, `verdict` | when: rules without processes |

mod backoff;
mod channel;
mod daemon;
mod deadlines;
mod outbox;
mod siblings;
pub mod signaller;
pub mod signals;
pub mod status;
mod table;
mod termination;
mod verdict;
