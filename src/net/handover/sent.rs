//! Connections on their way: which receiver has each, who waits for the answer, and what it is.
//!
//! A connection is known to its receiver by a ticket that nobody else can guess, so that no
//! other sibling can answer for it.

use super::Why;
use super::message::Reason;
use super::receivers::Tried;
use crate::event::TaskId;
use crate::random;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Taken,
    Refused(Reason),
    /// The receiver has died without a word.
    Lost,
}

/// A connection that is to go.
struct Letter {
    /// The task that waits for the answer.
    task: TaskId,
    /// Who does not get it any more.
    tried: Tried,
    why: Why,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Here,
    /// With a receiver, under this ticket's upper half.
    Sent {
        nonce: u32,
        serial: u32,
    },
    Answered(Verdict),
}

#[derive(Default)]
pub struct Sent {
    letters: Vec<Option<Letter>>,
    vacant: Vec<u32>,
}

/// Who has to hear of a verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    pub serial: u32,
    pub task: TaskId,
}

impl Sent {
    /// Its place.
    pub fn open(&mut self, task: TaskId) -> u32 {
        let letter = Letter { task, tried: Tried::default(), why: Why::Nobody, state: State::Here };
        match self.vacant.pop() {
            Some(at) => {
                self.letters[at as usize] = Some(letter);
                at
            }
            None => {
                self.letters.push(Some(letter));
                (self.letters.len() - 1) as u32
            }
        }
    }

    fn letter(&mut self, at: u32) -> Option<&mut Letter> {
        self.letters.get_mut(at as usize)?.as_mut()
    }

    /// It goes to this receiver: the ticket that it travels with.
    pub fn send(&mut self, at: u32, serial: u32) -> u64 {
        let nonce = (random::number() >> 32) as u32;
        if let Some(letter) = self.letter(at) {
            letter.state = State::Sent { nonce, serial };
        }
        u64::from(nonce) << 32 | u64::from(at)
    }

    /// It has not gone, after all; this receiver does not get it any more.
    pub fn keep(&mut self, at: u32, tried: Option<u32>) {
        if let Some(letter) = self.letter(at) {
            letter.state = State::Here;
            tried.inspect(|serial| letter.tried.add(*serial));
        }
    }

    pub fn tried(&mut self, at: u32) -> Tried {
        self.letter(at).map_or(Tried::default(), |letter| letter.tried)
    }

    pub fn why(&mut self, at: u32) -> Why {
        self.letter(at).map_or(Why::Nobody, |letter| letter.why)
    }

    pub fn is_on_its_way(&mut self, at: u32) -> bool {
        self.letter(at).is_some_and(|letter| matches!(letter.state, State::Sent { .. }))
    }

    /// The answer, once; what was refused is here again.
    pub fn take_verdict(&mut self, at: u32) -> Option<Verdict> {
        let letter = self.letter(at)?;
        let State::Answered(verdict) = letter.state else { return None };
        letter.state = State::Here;
        if let Verdict::Refused(reason) = verdict {
            letter.why = Why::Refused(reason);
        }
        Some(verdict)
    }

    /// Nobody waits for it any more. Its receiver, if that has not answered.
    pub fn close(&mut self, at: u32) -> Option<u32> {
        let letter = self.letters.get_mut(at as usize)?.take()?;
        self.vacant.push(at);
        match letter.state {
            State::Sent { serial, .. } => Some(serial),
            State::Here | State::Answered(_) => None,
        }
    }

    /// An answer has come; `None`: to nothing that we have sent and still wait for.
    pub fn settle(&mut self, ticket: u64, verdict: Verdict) -> Option<Settled> {
        let (at, theirs) = (ticket as u32, (ticket >> 32) as u32);
        let letter = self.letter(at)?;
        let State::Sent { nonce, serial } = letter.state else { return None };
        if nonce != theirs {
            return None;
        }
        letter.state = State::Answered(verdict);
        if verdict != Verdict::Taken {
            letter.tried.add(serial);
        }
        Some(Settled { serial, task: letter.task })
    }

    /// The receiver is gone: what it has not answered comes back.
    pub fn lose(&mut self, gone: u32, mut each: impl FnMut(TaskId)) {
        for letter in self.letters.iter_mut().flatten() {
            if matches!(letter.state, State::Sent { serial, .. } if serial == gone) {
                letter.state = State::Answered(Verdict::Lost);
                each(letter.task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId::NONE;

    fn send(sent: &mut Sent, serial: u32) -> (u32, u64) {
        let at = sent.open(TASK);
        (at, sent.send(at, serial))
    }

    #[test]
    fn an_answer_counts_once_and_only_with_its_ticket() {
        let mut sent = Sent::default();
        let (at, ticket) = send(&mut sent, 7);
        let (other, _) = send(&mut sent, 8);
        assert_eq!(sent.settle(ticket ^ 1 << 40, Verdict::Taken), None, "another nonce");
        assert_eq!(sent.settle(ticket + 2, Verdict::Taken), None, "nobody's place");
        assert_eq!(sent.take_verdict(at), None);
        let full = Verdict::Refused(Reason::Full);
        assert_eq!(sent.settle(ticket, full), Some(Settled { serial: 7, task: TASK }));
        assert_eq!(sent.settle(ticket, Verdict::Taken), None, "it has been answered");
        assert_eq!((sent.take_verdict(at), sent.take_verdict(other)), (Some(full), None));
        assert_eq!(sent.take_verdict(at), None);
        assert_eq!(sent.why(at), Why::Refused(Reason::Full));
        let again = sent.send(at, 9);
        assert_eq!(sent.settle(ticket, Verdict::Taken), None, "it travels with another ticket");
        assert!(sent.settle(again, Verdict::Taken).is_some());
        assert_eq!((sent.close(at), sent.close(other), sent.close(other)), (None, Some(8), None));
        let (next, fresh) = send(&mut sent, 9);
        assert!(next == at || next == other);
        assert_eq!(sent.settle(again, Verdict::Taken), None, "a former tenant's ticket");
        assert!(sent.is_on_its_way(next));
        assert!(sent.settle(fresh, Verdict::Taken).is_some());
    }

    #[test]
    fn what_the_dead_have_not_answered_comes_back() {
        let mut sent = Sent::default();
        let letters: Vec<_> = [1, 1, 2].map(|serial| send(&mut sent, serial)).into();
        sent.settle(letters[0].1, Verdict::Taken).unwrap();
        let mut lost = 0;
        sent.lose(1, |_| lost += 1);
        assert_eq!(lost, 1);
        let verdicts: Vec<_> = letters.iter().map(|(at, _)| sent.take_verdict(*at)).collect();
        assert_eq!(verdicts, [Some(Verdict::Taken), Some(Verdict::Lost), None]);
    }
}
