//! One check of one peer: a connection, a request, as much of the answer as matters.

use super::{Check, Match};
use crate::event::{self, Deadline, Io};
use crate::proto::chunked::Decoder;
use crate::proto::request::Method;
use crate::proto::response::{Framing, Head, Outcome, Rules};
use crate::sys::addr::Addr;
use crate::sys::errno::Errno;
use crate::sys::{socket, sockopt};
use std::rc::Rc;

/// The longest head, in bytes.
pub const HEAD: usize = 16 * 1024;
/// So much of a body is looked at, as in nginx.
const BODY: usize = 256 * 1024;

/// A head, and as much of a body as was asked for.
pub struct Answer {
    pub head: Head,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.head.len as usize..).unwrap_or_default()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// This process lacks something: it says nothing of the peer.
    Own(Errno),
    /// What the peer failed at.
    Peer(&'static str, Option<Errno>),
}

const CONNECTING: &str = "connecting to upstream";
const SENDING: &str = "sending request to upstream";
const READING: &str = "reading response from upstream";

/// Cancellation: the connection is closed.
pub async fn ask(check: Rc<Check>, addr: Addr) -> Result<Answer, Trouble> {
    let io = connect(&check, &addr).await?;
    send(&io, &check.request, event::after(check.send_timeout)).await?;
    let deadline = event::after(check.read_timeout);
    let mut answer = head(&io, &check.rules, deadline).await?;
    if check.condition.as_deref().is_some_and(Match::wants_body) {
        body(&io, &mut answer, deadline).await?;
    }
    Ok(answer)
}

async fn connect(check: &Check, addr: &Addr) -> Result<Io, Trouble> {
    let failed = |errno| Trouble::Peer(CONNECTING, Some(errno));
    let fd = socket::socket(addr.family(), socket::STREAM).map_err(Trouble::Own)?;
    let io = Io::connect(fd, addr).map_err(|errno| match errno {
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EADDRNOTAVAIL => Trouble::Own(errno),
        _ => failed(errno),
    })?;
    io.writable(event::after(check.connect_timeout)).await.map_err(failed)?;
    match sockopt::take_error(&io) {
        Ok(Some(errno)) | Err(errno) => Err(failed(errno)),
        Ok(None) => Ok(io),
    }
}

async fn send(io: &Io, request: &[u8], deadline: Deadline) -> Result<(), Trouble> {
    let failed = |errno| Trouble::Peer(SENDING, Some(errno));
    let mut left = request;
    while !left.is_empty() {
        match io.try_send(left, 0) {
            Ok(count) => left = left.get(count..).unwrap_or_default(),
            Err(Errno::EAGAIN) => io.writable(deadline).await.map_err(failed)?,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}

async fn head(io: &Io, rules: &Rules, deadline: Deadline) -> Result<Answer, Trouble> {
    let mut answer = Answer { head: Head::default(), bytes: Vec::new() };
    loop {
        match answer.head.parse(&answer.bytes, rules) {
            Outcome::Done if answer.head.is_interim() => {
                answer.bytes.drain(..answer.head.len as usize);
                answer.head = Head::default();
            }
            Outcome::Done => return Ok(answer),
            Outcome::Bad(_) => return Err(Trouble::Peer(READING, None)),
            Outcome::Partial if more(io, &mut answer.bytes, deadline).await? == 0 => {
                return Err(Trouble::Peer(READING, None));
            }
            Outcome::Partial => {}
        }
    }
}

async fn body(io: &Io, answer: &mut Answer, deadline: Deadline) -> Result<(), Trouble> {
    let framing = answer.head.body(Method::Get).framing;
    let mut chunks = Decoder::new();
    let mut fresh = answer.head.len as usize;
    let most = fresh + BODY;
    loop {
        if framing == Framing::Chunked {
            let part = answer.bytes.get_mut(fresh..).unwrap_or_default();
            let (data, _) = chunks.decode(part).map_err(|_| Trouble::Peer(READING, None))?;
            answer.bytes.truncate(fresh + data);
        }
        fresh = answer.bytes.len();
        let have = answer.body().len() as u64;
        let whole = match framing {
            Framing::None => true,
            Framing::Length(length) => have >= length,
            Framing::Chunked => chunks.is_at_end(),
            Framing::UntilClose => false,
        };
        if whole || fresh >= most {
            answer.bytes.truncate(most);
            return Ok(());
        }
        if more(io, &mut answer.bytes, deadline).await? == 0 {
            return match framing {
                Framing::UntilClose => Ok(()),
                _ => Err(Trouble::Peer(READING, None)),
            };
        }
    }
}

/// Reads what comes next; 0: nothing will.
async fn more(io: &Io, bytes: &mut Vec<u8>, deadline: Deadline) -> Result<usize, Trouble> {
    const STEP: usize = 4096;
    let had = bytes.len();
    bytes.resize(had + STEP, 0);
    let room = bytes.get_mut(had..).unwrap_or_default();
    let read = io.read(room, deadline).await;
    bytes.truncate(had + read.unwrap_or(0));
    read.map_err(|errno| Trouble::Peer(READING, Some(errno)))
}
