//! Receivers that do not answer: they are stopped (SIGSTOP), or in something that takes long.
//!
//! What was sent to one lies in its door, and nobody can take it out there. It is taken back by
//! shutting the place where it would say yes, which the kernel does at one moment for both: a yes
//! from before is there to be read, and later ones fail. So each connection is the one's or the
//! other's. A receiver that cannot say yes has to know whether its sender has gone, and the
//! connection is its own; that there is something for it to read means that it is not.

use std::os::fd::AsFd;

use super::{Handover, message};
use crate::event;
use crate::log::{Level, log};
use crate::sys::errno::{Errno, Result};
use crate::sys::socket::{self, Shutdown};
use crate::time;

/// How long one may be silent that has something to answer.
const ANSWER_MS: u64 = 500;
/// When one whose heart cannot be heard is tried again.
const AGAIN_MS: u64 = 1000;

/// All that is ever written to a receiver where it answers.
const TAKEN_BACK: &[u8] = b"b";

/// What is known of a receiver that does not answer.
#[derive(Default)]
pub struct Silence {
    /// Since when it has had something to answer and has not.
    since: Option<u64>,
    given_up: Option<GivenUp>,
}

struct GivenUp {
    at: u64,
    heartbeat: Option<u64>,
}

impl Silence {
    /// It has something to answer now.
    pub fn asked(&mut self) {
        self.since.get_or_insert(time::now_ms());
    }

    /// It has answered something.
    pub fn begins_anew(&mut self) {
        self.since = Some(time::now_ms());
    }

    /// It has nothing to answer any more.
    pub fn ends(&mut self) {
        self.since = None;
    }

    pub fn is_too_long(&self) -> bool {
        self.since.is_some_and(|since| time::now_ms().saturating_sub(since) >= ANSWER_MS)
    }

    fn give_up(&mut self, heartbeat: Option<u64>) {
        self.ends();
        self.given_up = Some(GivenUp { at: time::now_ms(), heartbeat });
    }

    /// Whether it was given up, and its heart has not beaten since.
    pub fn is_deaf(&self, heartbeat: Option<u64>) -> bool {
        self.given_up.as_ref().is_some_and(|then| match heartbeat {
            Some(_) => heartbeat == then.heartbeat,
            None => time::now_ms().saturating_sub(then.at) < AGAIN_MS,
        })
    }
}

impl Handover {
    /// Takes back what is with receivers that have been silent for too long.
    pub fn end_silence(&self) {
        loop {
            let Some(at) = self.receivers.borrow().overdue() else { return };
            // It may have answered while this process was away itself.
            self.hear(at);
            if self.receivers.borrow().overdue() == Some(at) {
                self.take_back(at);
            }
        }
    }

    fn take_back(&self, at: usize) {
        if let Err(e) = self.shut_answers(at) {
            log!(Level::Alert, errno e, "connections cannot be taken back");
            if let Some(receiver) = self.receivers.borrow_mut().get_mut(at) {
                receiver.silence.begins_anew();
            }
            return;
        }
        while !self.hear(at) {}
        let mut receivers = self.receivers.borrow_mut();
        let Some(receiver) = receivers.get_mut(at) else { return };
        let (count, pid) = (std::mem::take(&mut receiver.unacknowledged), receiver.pid);
        let level = if count > 0 { Level::Notice } else { Level::Debug };
        log!(level, "worker {pid} does not answer: {count} connections are taken back");
        receiver.silence.give_up(receiver.heartbeat());
        // What it answers from now on fails for good.
        receiver.answers = None;
        self.sent.borrow_mut().lose(receiver.serial, event::wake);
        drop(receivers);
        self.wake_all();
    }

    /// First it is told, and then shut: whoever finds it shut has been told.
    fn shut_answers(&self, at: usize) -> Result<()> {
        let receivers = self.receivers.borrow();
        let Some(answers) = receivers.answers(at) else { return Ok(()) };
        socket::send(&answers.here, TAKEN_BACK, 0)?;
        socket::shutdown(&answers.here, Shutdown::Read)
    }

    /// Reads what the receiver at this place has answered; false if there is more.
    pub fn hear(&self, at: usize) -> bool {
        let mut room = [0; message::HEAD];
        for _ in 0..super::AT_ONCE {
            let received = match self.receivers.borrow().answers(at) {
                Some(answers) => socket::recv(&answers.here, &mut room),
                None => return true,
            };
            match received {
                // Shut, and read to the end.
                Ok(0) | Err(Errno::EAGAIN) => return true,
                Ok(len) => self.answered(&room[..len]),
                Err(Errno::EINTR) => {}
                Err(e) => {
                    log!(Level::Alert, errno e, "recv() failed");
                    return true;
                }
            }
        }
        false
    }
}

/// Why a receiver cannot say yes here: its sender has the connection again. Else it has gone.
pub fn is_taken_back(there: impl AsFd) -> bool {
    let look = || socket::peek(&there, &mut [0]);
    // A sender that has gone with answers unread is told of first (unix(7): ECONNRESET).
    match look() {
        Err(Errno::ECONNRESET | Errno::EINTR) => look(),
        found => found,
    }
    .is_ok_and(|len| len > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_late_learns_why() {
        for (told, unread) in [(false, false), (true, false), (false, true), (true, true)] {
            let (here, there) = socket::socketpair(socket::SEQPACKET).unwrap();
            if unread {
                socket::send(&there, b"yes", 0).unwrap();
            }
            assert!(!is_taken_back(&there), "nobody is late yet");
            if told {
                socket::send(&here, TAKEN_BACK, 0).unwrap();
                socket::shutdown(&here, Shutdown::Read).unwrap();
                assert_eq!(socket::send(&there, b"yes", 0), Err(Errno::EPIPE));
                assert!(is_taken_back(&there) && is_taken_back(&there));
            }
            if unread && told {
                assert_eq!(socket::recv(&here, &mut [0; 9]), Ok(3), "a yes from before counts");
                assert_eq!(socket::recv(&here, &mut [0; 9]), Ok(0));
            }
            drop(here);
            assert!(socket::send(&there, b"yes", 0).is_err());
            assert_eq!(is_taken_back(&there), told, "told {told}, unread {unread}");
        }
    }

    #[test]
    fn one_that_was_given_up_is_deaf_until_its_heart_beats() {
        let mut silence = Silence::default();
        assert!(!silence.is_deaf(Some(7)) && !silence.is_deaf(None));
        silence.give_up(Some(7));
        assert!(silence.is_deaf(Some(7)) && !silence.is_deaf(Some(8)));
        assert!(silence.is_deaf(None), "for a while");
    }
}
