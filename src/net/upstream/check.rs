//! Every name of a configuration, looked up once: for `-t`, and for who will not start without.

use super::refresh::{AT_ONCE, Asking, Unresolved};
use super::{Group, Server};
use crate::event::{self, Accepted, Conversations, Deadline, Reactor};
use crate::net::resolver::Failure;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

/// The names that have no address, or of which nobody knows in time; the addresses of the
/// others are theirs.
pub async fn unresolved(groups: Vec<Rc<Group>>, within_ms: u64) -> Vec<Unresolved> {
    let until = event::after(within_ms);
    let mut lines = Vec::new();
    for group in &groups {
        for (index, server) in group.servers.iter().enumerate() {
            if server.is_named() {
                lines.push((group, index, server));
            }
        }
    }
    let mut missing = Vec::new();
    for lines in lines.chunks(AT_ONCE) {
        missing.extend(together(lines, until).await);
    }
    missing
}

type Line<'g> = (&'g Rc<Group>, usize, &'g Rc<Server>);

async fn together(lines: &[Line<'_>], until: Deadline) -> Vec<Unresolved> {
    let begin = |(group, index, _): &Line<'_>| Some(Asking::begin(group, *index, false));
    let mut asking: Vec<_> = lines.iter().map(begin).collect();
    let mut missing = Vec::new();
    poll_fn(|context| {
        let is_late = pin!(event::sleep(until)).poll(context).is_ready();
        for ((group, index, server), place) in lines.iter().zip(&mut asking) {
            let Some(asked) = place else { continue };
            let outcome = match Pin::new(asked).poll(context) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending if is_late => Err(Failure::TimedOut),
                Poll::Pending => continue,
            };
            *place = None;
            match outcome {
                Ok((spots, _)) => group.set_spots(*index, &spots),
                Err(failure) => missing.push(Unresolved { server: Rc::clone(server), failure }),
            }
        }
        if asking.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    missing
}

/// The same in a process that has no loop and needs none later. `None`: it cannot be told.
pub fn unresolved_now(groups: Vec<Rc<Group>>, within_ms: u64) -> Option<Vec<Unresolved>> {
    /// Each look-up has a few sockets at a time.
    const SOCKETS: usize = 8 * AT_ONCE;
    let reactor = Reactor::install(SOCKETS).ok().flatten()?;
    let talk = |accepted: Accepted| async move { drop(accepted) };
    let conversations = Conversations::new(reactor, 1, false, talk)?;
    let outcome = Rc::new(RefCell::new(None));
    let to = Rc::clone(&outcome);
    conversations.spawn(async move {
        let missing = unresolved(groups, within_ms).await;
        to.replace(Some(missing));
    });
    while outcome.borrow().is_none() {
        conversations.turn(None);
    }
    outcome.take()
}
