//! `upstream_resolve strict`: a generation whose upstreams have no address does not come up.
//!
//! The workers find out, since the master waits for nobody. One that takes the place of a dead
//! one does not ask: what serves is not to end because DNS is ill.

use super::child::Seat;
use crate::event::{Conversations, Converse};
use crate::http;
use crate::log::{Level, log};
use crate::net::upstream::unresolved;
use std::cell::RefCell;
use std::rc::Rc;

/// Less than a generation may take to come up.
const WITHIN_MS: u64 = 4000;

/// Whether a worker may serve; if not, what is missing has been told.
pub fn are_found<M: Converse>(
    http: &http::Worker,
    events: &Conversations<M>,
    seat: &mut Seat,
) -> bool {
    let http = http.http();
    if !http.conf.upstreams.strict || !seat.is_coming {
        return true;
    }
    let outcome = Rc::new(RefCell::new(None));
    let (to, groups) = (Rc::clone(&outcome), http.upstreams.groups());
    events.spawn(async move {
        let missing = unresolved(groups, WITHIN_MS).await;
        to.replace(Some(missing));
    });
    loop {
        events.turn(None);
        seat.take_signals();
        if seat.wanted.terminate || seat.wanted.quit {
            return false;
        }
        if let Some(missing) = &*outcome.borrow() {
            missing.iter().for_each(|name| log!(Level::Emerg, "{}", name.at_start()));
            return missing.is_empty();
        }
    }
}
