//! Master, workers, helpers: the table, the channel, the policy.
//!
//! | file | what |
//! |---|---|
//! | `master` | its loop; begin reading here |
//! | `spawn`, `reap`, `orders` | making children, burying them, telling them what to do |
//! | `reload`, `generations`, `upgrade` | the next generation; the next binary |
//! | `stopping`, `supervise` | the end of a master; workers that hang or are lost |
//! | `child`, `privileges`, `affinity`, `names` | the first moments of a child |
//! | `worker`, `helper`, `single`, `accept_mutex` | loops that serve |
//! | `table` | every child, one slot each |
//! | `signals` | what each signal is called and asks for |
//! | `channel`, `outbox`, `siblings` | messages between master and children |
//! | `daemon`, `activation`, `notify` | leaving the terminal; what supervisors give and want |
//! | `signaller`, `outcome`, `status` | `-s`: another process that tells or asks the master |
//! | `config_watch` | a configuration that changes is taken up |
//! | `deadlines`, `termination`, `backoff`, `verdict` | when: rules without processes |

mod accept_mutex;
mod activation;
mod affinity;
mod backoff;
mod channel;
mod child;
mod config_watch;
mod daemon;
mod deadlines;
mod generations;
mod helper;
mod master;
mod names;
mod notify;
mod orders;
mod outbox;
mod outcome;
mod privileges;
mod reap;
mod reload;
mod siblings;
pub mod signaller;
pub mod signals;
mod single;
mod spawn;
mod start;
pub mod status;
mod stopping;
mod supervise;
mod table;
mod termination;
pub mod upgrade;
mod verdict;
mod worker;

pub use start::start;

use crate::log::{Level, log};
use crate::sys::title;
use crate::text::escape::Shown;

/// What `ps` shows of this process.
fn set_title(title: &[u8]) {
    title::set(title);
    log!(Level::Debug, "setproctitle: \"{}\"", Shown(title));
}
