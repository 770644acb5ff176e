//! Master, workers, helpers: the table, the channel, the policy.
//!
//! | file | what |
//! |---|---|
//! | `table` | every child, one slot each |
//! | `channel`, `outbox`, `siblings` | messages between master and children |
//! | `daemon` | leaving the terminal |
//! | `deadlines`, `termination`, `backoff`, `verdict` | when: rules without processes |

mod backoff;
mod channel;
mod daemon;
mod deadlines;
mod outbox;
mod siblings;
pub mod signals;
mod table;
mod termination;
mod verdict;
