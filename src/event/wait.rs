//! Waits that are not for one socket: time, a turn, the first or both of two.

use super::{Deadline, reactor};
use std::future::{Future, poll_fn};
use std::pin::pin;
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

/// The first of two to finish; the other is cancelled.
pub async fn race<A: Future, B: Future<Output = A::Output>>(a: A, b: B) -> A::Output {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| match a.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(value),
        Poll::Pending => b.as_mut().poll(context),
    })
    .await
}

/// Both, side by side, until both have finished.
pub async fn both<A: Future<Output = ()>, B: Future<Output = ()>>(a: A, b: B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (false, false);
    poll_fn(|context| {
        a_done = a_done || a.as_mut().poll(context).is_ready();
        b_done = b_done || b.as_mut().poll(context).is_ready();
        if a_done && b_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
