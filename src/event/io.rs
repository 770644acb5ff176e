//! A connected socket in the loop: try first, wait only on EAGAIN.
//!
//! A socket enters the epoll set when a task first has to wait for it, once, for
//! its life, edge-triggered in both directions. Until the kernel says EAGAIN (or
//! a read comes back short, which means the same) it counts as ready.

use super::reactor::{Reactor, Slot};
use super::{Deadline, TaskId, reactor};
use crate::sys::addr::Addr;
use crate::sys::epoll;
use crate::sys::errno::{Errno, Result};
use crate::sys::socket;
use std::future::{Future, poll_fn};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::Poll;

pub const READ: u8 = 1;
pub const WRITE: u8 = 2;
/// The other side has closed, or the socket is broken: reads end at once.
pub const CLOSED: u8 = 4;
/// Urgent data splits reads, and so do datagrams: a short one does not mean drained.
const URGENT: u8 = 8;

const INTEREST: u32 = epoll::IN | epoll::OUT | epoll::RDHUP | epoll::PRI | epoll::ET;

/// An owned socket; dropping it closes it.
pub struct Io {
    fd: OwnedFd,
    slot: u32,
}

/// Why an idle wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dismissal {
    /// Bytes, or the end of them, are there.
    Readable,
    TimedOut,
    /// The worker drains: close now.
    Draining,
}

/// The readiness an epoll event stands for.
#[inline]
pub(super) fn readiness(flags: u32) -> u8 {
    let mut ready = 0;
    if flags & (epoll::IN | epoll::RDHUP | epoll::HUP | epoll::ERR) != 0 {
        ready |= READ;
    }
    if flags & (epoll::OUT | epoll::HUP | epoll::ERR) != 0 {
        ready |= WRITE;
    }
    if flags & (epoll::RDHUP | epoll::HUP | epoll::ERR) != 0 {
        ready |= CLOSED;
    }
    if flags & epoll::PRI != 0 {
        ready |= URGENT;
    }
    ready
}

impl Io {
    /// Takes a non-blocking socket into the loop, for the task being polled;
    /// `None` when all slots are taken.
    #[inline]
    pub fn adopt(fd: OwnedFd) -> Option<Io> {
        let reactor = reactor();
        let slot = reactor.take_slot()?;
        reactor.slots[slot as usize].ready.set(READ | WRITE);
        Some(Io { fd, slot })
    }

    /// Begins to connect a socket of the task being polled; when it is writable that has
    /// ended, and the first send tells how.
    pub fn connect(fd: OwnedFd, addr: &Addr) -> Result<Io> {
        let begun = match socket::connect(&fd, addr) {
            Ok(()) => READ | WRITE,
            Err(Errno::EINPROGRESS) => 0,
            Err(errno) => return Err(errno),
        };
        let io = Io::adopt(fd).ok_or(Errno::EMFILE)?;
        io.slot().ready.set(begun);
        Ok(io)
    }

    /// A socket for datagrams, of the task being polled: it hears and speaks to `addr` only.
    pub fn exchange_with(addr: &Addr) -> Result<Io> {
        let io = Io::connect(socket::socket(addr.family(), socket::DGRAM)?, addr)?;
        io.slot().ready.set(READ | WRITE | URGENT);
        Ok(io)
    }

    /// What happens to it wakes this task from now on.
    #[inline(always)]
    pub fn belongs_to(&self, task: TaskId) {
        self.slot().task.set(task.0 + 1);
    }

    /// Leaves it to a task that watches over connections nobody uses; false: bytes or the
    /// end of them are there, so that nobody can use it again.
    pub fn rests_with(&self, task: TaskId) -> bool {
        self.belongs_to(task);
        let is_quiet = self.try_read(&mut [0]) == Err(Errno::EAGAIN);
        is_quiet && self.armed(reactor()).is_ok()
    }

    /// Nothing has come since it was left to rest, as far as the loop has heard.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.slot().ready.get() & (READ | CLOSED) == 0
    }

    /// The kernel knows more than the loop has heard: the next read asks it.
    pub fn look_again(&self) {
        let ready = &self.slot().ready;
        ready.set(ready.get() | READ);
    }

    /// Whether it may have any of this: [`READ`], [`WRITE`], [`CLOSED`].
    #[inline]
    pub fn may(&self, want: u8) -> bool {
        self.slot().ready.get() & want != 0
    }

    /// The other side has gone, as far as the loop has heard.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.slot().ready.get() & CLOSED != 0
    }

    #[inline(always)]
    fn slot(&self) -> &'static Slot {
        &reactor().slots[self.slot as usize]
    }

    #[inline(always)]
    fn spent(&self, what: u8) {
        let ready = &self.slot().ready;
        ready.set(ready.get() & !what);
    }

    /// A number that no other open socket has, below that of connections.
    #[inline]
    pub fn place(&self) -> usize {
        self.slot as usize
    }

    /// Its descriptor and slot, if the worker leaves and this is still open.
    #[inline]
    pub fn left_open(&self) -> Option<(RawFd, u32)> {
        reactor().leaving().then(|| (self.fd.as_raw_fd(), self.slot))
    }

    /// Reads once; EAGAIN when there is nothing. 0 is the end.
    #[inline]
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize> {
        let ready = self.slot().ready.get();
        if ready & READ == 0 {
            return Err(Errno::EAGAIN);
        }
        let outcome = socket::recv(&self.fd, buffer);
        match outcome {
            Ok(count) if count < buffer.len() && ready & (CLOSED | URGENT) == 0 => self.spent(READ),
            Err(Errno::EAGAIN) => self.spent(READ),
            _ => {}
        }
        outcome
    }

    /// Tries an operation that reads from the socket by itself (splice). `is_told`: EAGAIN says
    /// that there is nothing to read, and not that it has no place to go.
    pub fn try_take(
        &self,
        is_told: bool,
        read: impl FnOnce(BorrowedFd<'_>) -> Result<usize>,
    ) -> Result<usize> {
        if self.slot().ready.get() & READ == 0 {
            return Err(Errno::EAGAIN);
        }
        let outcome = read(self.fd.as_fd());
        if outcome == Err(Errno::EAGAIN) && is_told {
            self.spent(READ);
        }
        outcome
    }

    /// Reads what there is, waiting for it until the deadline.
    ///
    /// Cancellation: nothing is lost, nothing was read.
    pub async fn read(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        loop {
            match self.try_read(buffer) {
                Err(Errno::EAGAIN) => self.wait(READ, deadline).await?,
                Err(Errno::EINTR) => {}
                outcome => return outcome,
            }
        }
    }

    /// Sends once what fits; EAGAIN when nothing does. `flags`: `socket::MORE`.
    #[inline]
    pub fn try_send(&self, bytes: &[u8], flags: i32) -> Result<usize> {
        if self.slot().ready.get() & WRITE == 0 {
            return Err(Errno::EAGAIN);
        }
        let outcome = socket::send(&self.fd, bytes, flags);
        if outcome == Err(Errno::EAGAIN) {
            self.spent(WRITE);
        }
        outcome
    }

    /// Tries an operation that writes to the socket by itself (sendfile, splice).
    #[inline]
    pub fn try_with(&self, write: impl FnOnce(BorrowedFd<'_>) -> Result<usize>) -> Result<usize> {
        if self.slot().ready.get() & WRITE == 0 {
            return Err(Errno::EAGAIN);
        }
        let outcome = write(self.fd.as_fd());
        if outcome == Err(Errno::EAGAIN) {
            self.spent(WRITE);
        }
        outcome
    }

    /// Waits until the socket may be read.
    pub fn readable(&self, deadline: Deadline) -> impl Future<Output = Result<()>> {
        self.wait(READ, deadline)
    }

    /// Waits until the socket may be written.
    pub fn writable(&self, deadline: Deadline) -> impl Future<Output = Result<()>> {
        self.wait(WRITE, deadline)
    }

    // Not `async fn`, here and below: that would store each argument twice.
    fn wait(&self, want: u8, deadline: Deadline) -> impl Future<Output = Result<()>> {
        poll_fn(move |_| {
            let reactor = reactor();
            // Of several tasks that wait for the same work, the last one that was polled.
            self.slot().task.set(reactor.current.get() + 1);
            if self.armed(reactor)? & want != 0 {
                return Poll::Ready(Ok(()));
            }
            if reactor.until(deadline.0) {
                return Poll::Ready(Err(Errno::ETIMEDOUT));
            }
            Poll::Pending
        })
    }

    /// Whether bytes or the end of them are there, as far as the loop has heard; from now on it
    /// wakes the task being polled.
    pub fn has_something(&self) -> bool {
        self.armed(reactor()).is_ok_and(|ready| ready & READ != 0)
    }

    /// Waits until the deadline; false: the other side has gone before.
    pub fn outlasts(&self, deadline: Deadline) -> impl Future<Output = bool> {
        poll_fn(move |_| {
            let reactor = reactor();
            match self.armed(reactor) {
                Ok(ready) if ready & CLOSED == 0 => {}
                _ => return Poll::Ready(false),
            }
            if reactor.until(deadline.0) { Poll::Ready(true) } else { Poll::Pending }
        })
    }

    /// Waits between requests: for bytes, the deadline, or a worker that drains.
    /// While it waits the connection counts as idle and may be closed to make room.
    pub fn idle(&self, deadline: Deadline) -> impl Future<Output = Dismissal> {
        let idle = IdleMark::set();
        poll_fn(move |_| {
            let (reactor, _held) = (reactor(), &idle);
            match self.armed(reactor) {
                Ok(ready) if ready & READ == 0 => {}
                _ => return Poll::Ready(Dismissal::Readable),
            }
            if reactor.draining() {
                return Poll::Ready(Dismissal::Draining);
            }
            if reactor.until(deadline.0) {
                return Poll::Ready(Dismissal::TimedOut);
            }
            Poll::Pending
        })
    }

    /// Leaves the epoll set: what is passed on must, since closing it here would leave its
    /// description there. Nothing is known of it any more; a later wait takes it in again.
    pub fn leave(&self) -> Result<()> {
        let slot = self.slot();
        if slot.registered.replace(false) {
            reactor().epoll.delete(&self.fd)?;
        }
        slot.ready.set(READ | WRITE);
        Ok(())
    }

    /// Reads as [`Io::read`] does; with `dismissable` it gives up, with ECANCELED, when the
    /// worker drains.
    ///
    /// Cancellation: nothing is lost, nothing was read.
    pub async fn read_until_drain(
        &self,
        buffer: &mut [u8],
        deadline: Deadline,
        dismissable: bool,
    ) -> Result<usize> {
        loop {
            match self.try_read(buffer) {
                Err(Errno::EAGAIN) if dismissable && reactor().draining() => {
                    return Err(Errno::ECANCELED);
                }
                Err(Errno::EAGAIN) => self.wait_or_drain(deadline, dismissable).await?,
                Err(Errno::EINTR) => {}
                outcome => return outcome,
            }
        }
    }

    fn wait_or_drain(
        &self,
        deadline: Deadline,
        dismissable: bool,
    ) -> impl Future<Output = Result<()>> {
        poll_fn(move |_| {
            let reactor = reactor();
            if self.armed(reactor)? & READ != 0 || dismissable && reactor.draining() {
                return Poll::Ready(Ok(()));
            }
            if reactor.until(deadline.0) {
                return Poll::Ready(Err(Errno::ETIMEDOUT));
            }
            Poll::Pending
        })
    }

    /// Enters the epoll set when it has not yet, and says what is ready. The
    /// kernel reports at once what became ready before, so nothing is missed.
    #[inline(always)]
    fn armed(&self, reactor: &Reactor) -> Result<u8> {
        let slot = &reactor.slots[self.slot as usize];
        if !slot.registered.get() {
            let token = u64::from(slot.generation.get()) << 32 | u64::from(self.slot);
            reactor.epoll.add(&self.fd, INTEREST, token)?;
            slot.registered.set(true);
        }
        Ok(slot.ready.get())
    }
}

/// Waits until one of the sockets has any of what is wanted of it: [`READ`], [`WRITE`],
/// [`CLOSED`] or several of them.
pub fn any_of<const N: usize>(
    wanted: [(&Io, u8); N],
    deadline: Deadline,
) -> impl Future<Output = Result<()>> {
    poll_fn(move |_| {
        let reactor = reactor();
        for (io, want) in wanted {
            if want != 0 && io.armed(reactor)? & want != 0 {
                return Poll::Ready(Ok(()));
            }
        }
        if reactor.until(deadline.0) {
            return Poll::Ready(Err(Errno::ETIMEDOUT));
        }
        Poll::Pending
    })
}

impl AsFd for Io {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        reactor().give_slot_back(self.slot);
    }
}

/// The task is idle while this lives, however the wait ends.
struct IdleMark(u32);

impl IdleMark {
    fn set() -> IdleMark {
        let reactor = reactor();
        let task = reactor.current.get();
        reactor.tasks[task as usize].idle.set(true);
        reactor.idle.set(reactor.idle.get() + 1);
        IdleMark(task)
    }
}

impl Drop for IdleMark {
    fn drop(&mut self) {
        let reactor = reactor();
        reactor.tasks[self.0 as usize].idle.set(false);
        reactor.idle.set(reactor.idle.get() - 1);
    }
}
