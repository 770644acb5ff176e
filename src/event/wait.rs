//! Waits that are not for a socket: a point in time, a turn of the loop.

use super::{Deadline, reactor};
use std::future::poll_fn;
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
