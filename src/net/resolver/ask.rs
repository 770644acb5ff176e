//! One question, to one server after the other until one has an answer.
//!
//! Each query has a socket of its own, connected, so that the kernel chooses its port and
//! lets nobody but the server answer; and an id that nobody can guess. A server that says
//! nothing is listened to while the next ones are asked.

use super::failure::Failure;
use super::servers::{Servers, Target};
use crate::event::{self, Deadline, Io};
use crate::log::{Level, log};
use crate::proto::dns::{Bad, Query, Question, Reply};
use crate::sys::errno::{Errno, Result as Sys};
use crate::sys::socket;
use crate::{random, time};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

/// How long the first round gives each server; every other one gives twice as much.
const FIRST_MS: u64 = 1000;
/// Rounds in which nobody could be reached.
const DEAD_ROUNDS: u32 = 3;
/// How long an answer over TCP may take.
const TCP_MS: u64 = 5000;
/// The longest datagram; without EDNS they are 512 bytes.
const DATAGRAM: usize = 4096;
/// Queries that are listened for.
const TRIES: usize = 8;
/// Wrong answers to one query that are borne.
const WRONG: u32 = 64;

/// Servers are asked until one of them answers.
///
/// Cancellation: the sockets are closed, nothing is left.
pub async fn ask(servers: &Servers, question: &Question) -> Result<Reply, Failure> {
    let targets = servers.targets().await;
    let give_up = servers.pace.total_ms.map(|ms| time::now_ms() + ms);
    let room = vec![0; DATAGRAM];
    let mut asking = Asking { question, tries: Vec::new(), room, failure: None };
    if targets.is_empty() {
        return Err(Failure::ServerFailed);
    }
    for round in 0.. {
        let mut wait = (FIRST_MS << round.min(8)).min(servers.pace.most_ms);
        for target in &targets {
            if let Some(at) = give_up {
                match at.saturating_sub(time::now_ms()) {
                    0 => return Err(asking.failure.unwrap_or(Failure::TimedOut)),
                    left => wait = wait.min(left),
                }
            }
            if let Some(reply) = asking.turn(target, event::after(wait)).await {
                return Ok(reply);
            }
        }
        if let Some(failure) = asking.failure
            && (asking.tries.is_empty() || round > 0)
        {
            return Err(failure);
        }
        if asking.tries.is_empty() {
            if round + 1 >= DEAD_ROUNDS {
                break;
            }
            event::sleep(event::after(wait)).await;
        }
    }
    Err(Failure::ServerFailed)
}

struct Asking<'a> {
    question: &'a Question,
    tries: Vec<Try<'a>>,
    /// For a datagram.
    room: Vec<u8>,
    /// What a server has said that could not answer.
    failure: Option<Failure>,
}

/// A query that has left, and where its reply comes.
struct Try<'a> {
    target: Target<'a>,
    io: Io,
    id: u16,
    wrong: u32,
}

enum Heard {
    /// By the query of that index.
    Reply(usize, Reply),
    Broken(usize, Errno),
    Silence,
}

impl<'a> Asking<'a> {
    /// Asks one server, and listens to it and to those asked before. `None`: ask the next.
    async fn turn(&mut self, target: &Target<'a>, until: Deadline) -> Option<Reply> {
        self.begin(target);
        while !self.tries.is_empty() {
            match self.hear(until).await {
                Heard::Reply(at, Reply::Truncated) => {
                    let target = self.tries.remove(at).target;
                    match self.over_tcp(&target).await {
                        Ok(Reply::Failed(rcode)) => return self.failed(&target, rcode),
                        Ok(reply) => return Some(reply),
                        Err(errno) => broken(&target, errno),
                    }
                }
                Heard::Reply(at, Reply::Failed(rcode)) => {
                    let target = self.tries.remove(at).target;
                    return self.failed(&target, rcode);
                }
                Heard::Reply(at, reply) => {
                    self.tries[at].target.server.spoke();
                    return Some(reply);
                }
                Heard::Broken(at, errno) => broken(&self.tries.remove(at).target, errno),
                Heard::Silence => {
                    target.server.was_silent();
                    return None;
                }
            }
        }
        None
    }

    fn failed(&mut self, target: &Target<'_>, rcode: u8) -> Option<Reply> {
        let failure = Failure::of_rcode(rcode);
        let (question, addr) = (&self.question.name, target.addr);
        let kind = self.question.kind.name();
        log!(Level::Debug, "resolver {addr}: {kind} of {question}: DNS error ({failure})");
        self.failure = Some(failure);
        None
    }

    fn begin(&mut self, target: &Target<'a>) {
        let (name, kind) = (&self.question.name, self.question.kind.name());
        log!(Level::Debug, "resolver {}: asked for {kind} of {name}", target.addr);
        let id = random::number() as u16;
        let begun = Io::exchange_with(&target.addr).and_then(|io| {
            let query = Query::new(id, self.question);
            io.try_send(query.datagram(), 0).map(|_| io)
        });
        match begun {
            Ok(io) => {
                if self.tries.len() == TRIES {
                    self.tries.remove(0);
                }
                self.tries.push(Try { target: *target, io, id, wrong: 0 });
            }
            Err(errno) => broken(target, errno),
        }
    }

    /// Waits until any of the queries has a reply.
    fn hear(&mut self, until: Deadline) -> impl Future<Output = Heard> {
        poll_fn(move |context| {
            for (at, query) in self.tries.iter_mut().enumerate() {
                match query.poll(self.question, &mut self.room, until, context) {
                    Poll::Ready(Ok(reply)) => return Poll::Ready(Heard::Reply(at, reply)),
                    Poll::Ready(Err(Errno::ETIMEDOUT)) => return Poll::Ready(Heard::Silence),
                    Poll::Ready(Err(errno)) => return Poll::Ready(Heard::Broken(at, errno)),
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
    }

    /// The same question over TCP, for an answer that fits no datagram.
    async fn over_tcp(&self, target: &Target<'_>) -> Sys<Reply> {
        let addr = &target.addr;
        log!(Level::Debug, "resolver {addr}: asked for {} again, over TCP", self.question.name);
        let until = event::after(TCP_MS);
        let id = random::number() as u16;
        let query = Query::new(id, self.question);
        let io = Io::connect(socket::socket(addr.family(), socket::STREAM)?, addr)?;
        let mut rest = query.segment();
        while !rest.is_empty() {
            io.writable(until).await?;
            match io.try_send(rest, 0) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        let mut len = [0; 2];
        read_all(&io, &mut len, until).await?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        read_all(&io, &mut message, until).await?;
        match Reply::read(&message, id, self.question) {
            Ok(Reply::Truncated) => Ok(wrong(target, Bad::Malformed("truncation over TCP"))),
            Ok(reply) => Ok(reply),
            Err(bad) => Ok(wrong(target, bad)),
        }
    }
}

impl Try<'_> {
    /// The reply, if it has come; what is none is passed over.
    fn poll(
        &mut self,
        question: &Question,
        room: &mut [u8],
        until: Deadline,
        context: &mut Context<'_>,
    ) -> Poll<Sys<Reply>> {
        loop {
            match self.io.try_read(room) {
                Ok(len) => {
                    let message = room.get(..len).unwrap_or_default();
                    match Reply::read(message, self.id, question) {
                        Ok(reply) => return Poll::Ready(Ok(reply)),
                        Err(bad @ Bad::Malformed(_)) => {
                            return Poll::Ready(Ok(wrong(&self.target, bad)));
                        }
                        Err(bad) => {
                            wrong(&self.target, bad);
                            self.wrong += 1;
                        }
                    }
                    // Somebody tries all ids: the next query has another port.
                    if self.wrong == WRONG {
                        return Poll::Ready(Err(Errno::EBADMSG));
                    }
                }
                Err(Errno::EAGAIN) => match pin!(self.io.readable(until)).poll(context) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(errno)) => return Poll::Ready(Err(errno)),
                    Poll::Pending => return Poll::Pending,
                },
                Err(Errno::EINTR) => {}
                Err(errno) => return Poll::Ready(Err(errno)),
            }
        }
    }
}

/// A message that is not what was asked for; as a reply it says nothing.
fn wrong(target: &Target<'_>, bad: Bad) -> Reply {
    log!(Level::Error, "{bad}, resolver: {}", target.addr);
    Reply::Failed(2)
}

fn broken(target: &Target<'_>, errno: Errno) {
    let addr = &target.addr;
    log!(Level::Error, "recv() failed ({errno}) while resolving, resolver: {addr}");
    target.server.was_silent();
}

async fn read_all(io: &Io, room: &mut [u8], until: Deadline) -> Sys<()> {
    let mut len = 0;
    while let Some(rest) = room.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match io.read(rest, until).await? {
            0 => return Err(Errno::ECONNRESET),
            count => len += count,
        }
    }
    Ok(())
}
