//! Sockets that a supervisor has opened for us (sd_listen_fds(3)): systemd, podman, s6.
//!
//! So a port below 1024 needs no right of ours, clients wait instead of being refused while we
//! restart, and a rootless container sees who its clients really are. LISTEN_FDS is how many
//! there are, from 3 on; LISTEN_PID is whom they are for; LISTEN_FDNAMES is what they are
//! called. A `listen` line takes the socket of its address, once.
//!
//! (`NGINX=3;` and `LIMPET=3;` do the same as if from an older binary: see `upgrade`.)

use crate::log::{Level, log};
use crate::net::listen::Listening;
use crate::sys::{env, process};

const FIRST: u32 = 3;
/// What sd_listen_fds would take, and nobody needs.
const MOST: u32 = 1024;
const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The sockets, if there are any for us. The variables go: our children are not meant.
pub fn sockets() -> Option<Listening> {
    let [pid, count, names] = VARIABLES.map(|name| env::get(name)?.into_string().ok());
    VARIABLES.iter().for_each(env::remove);
    let count: u32 = count?.parse().ok()?;
    if pid?.parse() != Ok(process::getpid()) || count == 0 {
        return None;
    }
    if let Some(names) = names {
        log!(Level::Info, "the inherited sockets are called \"{names}\"");
    }
    let numbers = FIRST..FIRST + count.min(MOST);
    let list: String = numbers.map(|number| format!("{number};")).collect();
    Some(Listening::inherited("LISTEN_FDS", &list).of_supervisor())
}
