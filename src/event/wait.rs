//! Waits that are not for a socket: a point in time, a turn of the loop, what another task
//! brings about.

use super::{Deadline, reactor};
use std::future::{Future, poll_fn};
use std::task::Poll;

/// Waits until the deadline.
pub async fn sleep(deadline: Deadline) {
    poll_fn(|_| if reactor().until(deadline.0) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Lets every other task have its turn: for loops that would not wait by themselves.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|_| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        let reactor = reactor();
        reactor.post(reactor.current.get());
        Poll::Pending
    })
    .await;
}

/// Has the task being polled polled at the deadline, too; true: that is past.
#[inline(always)]
pub fn is_due(deadline: Deadline) -> bool {
    reactor().until(deadline.0)
}

/// Waits until `look` finds something; whoever brings it about wakes the task. `None`: the
/// deadline came first.
///
/// Cancellation: nothing is found.
pub fn found<T>(
    deadline: Deadline,
    mut look: impl FnMut() -> Option<T>,
) -> impl Future<Output = Option<T>> {
    poll_fn(move |_| match look() {
        Some(found) => Poll::Ready(Some(found)),
        None if reactor().until(deadline.0) => Poll::Ready(None),
        None => Poll::Pending,
    })
}
