//! A look-up on its way, and all that wait for it.
//!
//! There is no task for it: whoever waits and is polled polls it, too, and its sockets then
//! wake that task. So it lives as long as anybody waits, and ends with the last one.
//!
//! INVARIANT: while somebody waits and there is no outcome, a task that waits polled it last,
//! or has been woken to do so.

use super::failure::Failure;
use crate::event::{self, Deadline, TaskId};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

pub type Outcome<T> = Result<Rc<T>, Failure>;
pub type Asking<T> = Pin<Box<dyn Future<Output = Outcome<T>>>>;

pub struct Flight<T> {
    asking: RefCell<Option<Asking<T>>>,
    outcome: RefCell<Option<Outcome<T>>>,
    waiting: RefCell<Vec<TaskId>>,
    polled_by: Cell<Option<TaskId>>,
}

impl<T> Flight<T> {
    pub fn new(asking: Asking<T>) -> Flight<T> {
        Flight {
            asking: RefCell::new(Some(asking)),
            outcome: RefCell::default(),
            waiting: RefCell::default(),
            polled_by: Cell::new(None),
        }
    }

    /// Notes that `task` waits in place of another, or anew.
    fn enter(&self, task: TaskId, former: Option<TaskId>) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.iter_mut().find(|other| Some(**other) == former) {
            Some(other) => *other = task,
            None => waiting.push(task),
        }
    }

    fn leave(&self, task: TaskId) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(at) = waiting.iter().position(|other| *other == task) {
            waiting.swap_remove(at);
        }
    }

    fn poll(&self, task: TaskId, context: &mut Context<'_>) -> Option<Outcome<T>> {
        if let Some(outcome) = &*self.outcome.borrow() {
            return Some(outcome.clone());
        }
        // Taken out while it runs, since it may look up other names.
        let mut asking = self.asking.borrow_mut().take()?;
        self.polled_by.set(Some(task));
        match asking.as_mut().poll(context) {
            Poll::Pending => {
                self.asking.replace(Some(asking));
                None
            }
            Poll::Ready(outcome) => {
                self.outcome.replace(Some(outcome.clone()));
                let others = self.waiting.borrow();
                others.iter().filter(|other| **other != task).for_each(|other| event::wake(*other));
                Some(outcome)
            }
        }
    }
}

/// Waits for a flight until a deadline of its own.
pub struct Waiting<T> {
    flight: Rc<Flight<T>>,
    until: Deadline,
    task: Option<TaskId>,
}

impl<T> Waiting<T> {
    pub fn new(flight: Rc<Flight<T>>, until: Deadline) -> Waiting<T> {
        Waiting { flight, until, task: None }
    }
}

impl<T> Future for Waiting<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<T>> {
        let task = event::current();
        if self.task != Some(task) {
            self.flight.enter(task, self.task);
            self.task = Some(task);
        }
        if let Some(outcome) = self.flight.poll(task, context) {
            return Poll::Ready(outcome);
        }
        pin!(event::sleep(self.until)).poll(context).map(|()| Err(Failure::TimedOut))
    }
}

/// The next one takes it over.
impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        let Some(task) = self.task else { return };
        self.flight.leave(task);
        if self.flight.polled_by.get() == Some(task)
            && self.flight.outcome.borrow().is_none()
            && let Some(next) = self.flight.waiting.borrow().first()
        {
            event::wake(*next);
        }
    }
}
