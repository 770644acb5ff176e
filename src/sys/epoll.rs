//! epoll: who is interested in what, and what the kernel said.

use std::os::fd::{AsFd, OwnedFd};

use libc::c_int;

use super::errno::{Result, check, done};
use super::fd::{own, raw};
use super::signal::SigSet;

pub const IN: u32 = libc::EPOLLIN as u32;
pub const OUT: u32 = libc::EPOLLOUT as u32;
pub const PRI: u32 = libc::EPOLLPRI as u32;
pub const ERR: u32 = libc::EPOLLERR as u32;
pub const HUP: u32 = libc::EPOLLHUP as u32;
pub const RDHUP: u32 = libc::EPOLLRDHUP as u32;
/// Edge-triggered.
pub const ET: u32 = libc::EPOLLET as u32;
/// One waiter of several is woken; goes with IN, OUT, ET alone and cannot be modified later.
pub const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;

pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> Result<Epoll> {
        // SAFETY: no memory is involved.
        own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Epoll)
    }

    pub fn add(&self, fd: impl AsFd, interest: u32, token: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, token)
    }

    pub fn modify(&self, fd: impl AsFd, interest: u32, token: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, token)
    }

    /// Needed before a descriptor is passed on: closing ours would not remove it.
    pub fn delete(&self, fd: impl AsFd) -> Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, op: c_int, fd: impl AsFd, interest: u32, token: u64) -> Result<()> {
        let mut event = libc::epoll_event { events: interest, u64: token };
        // SAFETY: `event` is valid for the length of the call.
        done(unsafe { libc::epoll_ctl(raw(&self.0), op, raw(&fd), &mut event) })
    }

    /// Waits with `mask` in place of the thread's own, atomically (none: unchanged),
    /// and returns how many events were filled in. -1 milliseconds is for ever.
    ///
    /// With events at hand the kernel returns them without looking for signals.
    #[inline(always)]
    pub fn wait(
        &self,
        events: &mut [Event],
        timeout_ms: c_int,
        mask: Option<&SigSet>,
    ) -> Result<usize> {
        let mask = mask.map_or(std::ptr::null(), SigSet::as_ptr);
        let room = c_int::try_from(events.len()).unwrap_or(c_int::MAX);
        // SAFETY: Event is a transparent epoll_event, `room` of them may be
        // written; the mask is null or points to a whole set.
        let ready = check(unsafe {
            libc::epoll_pwait(raw(&self.0), events.as_mut_ptr().cast(), room, timeout_ms, mask)
        })?;
        Ok(ready as usize)
    }
}

#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Event(libc::epoll_event);

impl Event {
    pub const NONE: Event = Event(libc::epoll_event { events: 0, u64: 0 });

    pub fn token(&self) -> u64 {
        self.0.u64
    }

    pub fn flags(&self) -> u32 {
        self.0.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::io;

    #[test]
    fn readiness_comes_with_its_token() {
        let epoll = Epoll::new().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        epoll.add(&reader, IN | ET, 7 << 40).unwrap();
        let mut events = [Event::NONE; 4];
        assert_eq!(epoll.wait(&mut events, 0, None), Ok(0));
        io::write(&writer, b"x").unwrap();
        assert_eq!(epoll.wait(&mut events, 1000, Some(&SigSet::empty())), Ok(1));
        assert_eq!((events[0].token(), events[0].flags()), (7 << 40, IN));
        assert_eq!(epoll.wait(&mut events, 0, None), Ok(0), "edge-triggered: told once");
        epoll.delete(&reader).unwrap();
    }
}
