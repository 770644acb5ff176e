//! Connections that leave this worker for another one, and those that come
//! (`net::handover`): what of HTTP travels with them.

use super::connection::Conn;
use super::input::Input;
use super::upstream::Resumed;
use super::worker::Worker;
use crate::event::{self, Conversations, Converse, Deadline, Io, Reserved};
use crate::log::{Level, log};
use crate::net::handover::message::{Connection, INPUT_MOST, Reason};
use crate::net::handover::{Carried, Host, Passed, Purpose, Traveller, Why};
use crate::sys::addr::{Addr, Peer};
use crate::sys::socket;
use crate::text::writer::Writer;
use std::cell::OnceCell;
use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};

/// A connection that is to go, with what was read of its next request.
struct Leaving<'a> {
    worker: &'static Worker,
    conn: &'a Conn,
    input: &'a [u8],
    deadline: Deadline,
    /// If it has become a tunnel.
    tunnel: Option<Other<'a>>,
}

/// The other end of a tunnel, and the parcel that goes along.
struct Other<'a> {
    io: &'a Io,
    pack: &'a dyn Fn() -> Option<OwnedFd>,
    packed: OnceCell<OwnedFd>,
}

impl Traveller for Leaving<'_> {
    fn io(&self) -> &Io {
        &self.conn.io
    }

    fn other(&self) -> Option<&Io> {
        self.tunnel.as_ref().map(|other| other.io)
    }

    fn parcel(&self) -> Option<&OwnedFd> {
        let Other { pack, packed, .. } = self.tunnel.as_ref()?;
        if packed.get().is_none() {
            let _ = packed.set(pack()?);
        }
        packed.get()
    }

    fn number(&self) -> u64 {
        self.conn.number
    }

    fn put(&self, out: &mut Writer<'_>) {
        let Leaving { worker, conn, input, deadline, .. } = self;
        let http = worker.http();
        let Some(listening) = http.listening.get(usize::from(conn.listening)) else { return };
        worker.headers.bytes(conn, |proxied| {
            let connection = Connection {
                number: conn.number,
                requests: conn.requests,
                age_ms: u32::try_from(conn.age()).unwrap_or(u32::MAX),
                left_ms: deadline.left_ms(),
                nodelay: conn.nodelay.get(),
                peer: conn.peer,
                listener: listening.addr,
                proxied,
                input,
            };
            connection.put(out);
        });
    }
}

/// Whether so much of a request may travel.
pub fn may_leave(conn: &Conn, input: &Input) -> bool {
    !conn.stays.get() && input.bytes().len() <= INPUT_MOST
}

/// Gives a connection that owes nothing to another worker, until the deadline. `Some(false)`: it
/// stays, for good (`Conn::stays`) or for what it has to say now; else it is not ours any more,
/// and is to be closed without a word. `input`: what was read of its next request; nothing is of
/// a type that takes no room.
///
/// Cancellation: closes the connection here; if it was on its way it is the receiver's.
pub fn pass<'a>(
    worker: &'static Worker,
    conn: &'a Conn,
    input: impl AsRef<[u8]> + 'a,
    deadline: Deadline,
) -> impl Future<Output = Option<bool>> + 'a {
    let mut passage = worker.handover.passage(Purpose::Leave);
    event::found(deadline, move || {
        let leaving = Leaving { worker, conn, input: input.as_ref(), deadline, tunnel: None };
        passage.go_on(&leaving).map(|passed| is_gone(conn, passed))
    })
}

/// Gives a connection that has just been accepted to a worker that has fewer. `Some(false)`: it
/// stays; else it is to be closed without a word.
///
/// Cancellation: as that of [`pass`].
pub fn balance<'a>(
    worker: &'static Worker,
    conn: &'a Conn,
    deadline: Deadline,
) -> impl Future<Output = Option<bool>> + 'a {
    let mut passage = worker.handover.passage(Purpose::Balance);
    event::found(deadline, move || {
        let leaving = Leaving { worker, conn, input: b"", deadline, tunnel: None };
        passage.go_on(&leaving).map(|passed| passed == Passed::Taken)
    })
}

/// Gives a tunnel to another worker, until the deadline; true: it is not ours any more. `pack`
/// makes its parcel.
///
/// Cancellation: as that of [`pass`].
pub async fn pass_tunnel(
    worker: &'static Worker,
    conn: &Conn,
    (io, pack): (&Io, &dyn Fn() -> Option<OwnedFd>),
    deadline: Deadline,
) -> bool {
    let mut passage = worker.handover.passage(Purpose::Leave);
    let tunnel = Some(Other { io, pack, packed: OnceCell::new() });
    let leaving = Leaving { worker, conn, input: b"", deadline, tunnel };
    match event::found(deadline, || passage.go_on(&leaving)).await {
        Some(passed) => is_gone(conn, passed),
        None => passage.is_on_its_way(),
    }
}

fn is_gone(conn: &Conn, passed: Passed) -> bool {
    let Passed::Stays(why) = passed else { return true };
    // A tunnel is offered again and again.
    if why != Why::Deaf && !conn.stays.replace(true) {
        tell(conn, why);
    }
    false
}

fn tell(conn: &Conn, why: Why) {
    let (level, text) = match why {
        Why::Nobody | Why::Deaf => (Level::Debug, "nobody is there"),
        Why::Refused(Reason::Draining) => (Level::Debug, "all others leave, too"),
        Why::Refused(Reason::NoListener) => (Level::Info, "nobody listens there any more"),
        Why::Refused(Reason::Full) => (Level::Warn, "no worker has room"),
        Why::Refused(Reason::Invalid) => (Level::Alert, "it is not understood"),
    };
    let (number, client) = (conn.number, conn.peer);
    log!(level, "*{number} is not taken over: {text}, client: {client}");
}

/// What a sibling has told of a connection.
pub struct Arrived {
    pub number: u64,
    pub requests: u32,
    pub age_ms: u32,
    pub left_ms: u32,
    pub nodelay: bool,
    /// What was read of its next request.
    pub input: Option<Input>,
    /// The header of the PROXY protocol, empty without.
    pub proxied: Box<[u8]>,
    /// If it has become a tunnel.
    pub tunnel: Option<Box<Resumed>>,
}

/// What a sibling's connection comes to.
struct Arrivals<'a, M: Converse> {
    worker: &'static Worker,
    events: &'a Conversations<M>,
}

struct Place<'a, M: Converse> {
    reserved: Reserved<'a, M>,
    listening: usize,
    peer: Peer,
    arrived: Arrived,
}

impl<'a, M: Converse> Host for Arrivals<'a, M> {
    type Place = Place<'a, M>;

    fn place(
        &self,
        about: &Connection<'_>,
        socket: OwnedFd,
        carried: Option<Carried<'_>>,
    ) -> Result<Place<'a, M>, Reason> {
        if event::draining() {
            return Err(Reason::Draining);
        }
        let listening = self.listening(about, &socket).ok_or(Reason::NoListener)?;
        let input = match about.input {
            b"" => None,
            bytes => Some(self.worker.input().ok_or(Reason::Full)?.with(bytes)),
        };
        let Connection { number, requests, age_ms, left_ms, nodelay, .. } = *about;
        let proxied = about.proxied.into();
        let reserved = self.events.reserve(socket).ok_or(Reason::Full)?;
        let tunnel = carried.map(|carried| Resumed::new(self.worker, carried, left_ms));
        let tunnel = tunnel.transpose()?;
        let arrived =
            Arrived { number, requests, age_ms, left_ms, nodelay, input, proxied, tunnel };
        Ok(Place { reserved, listening, peer: about.peer, arrived })
    }

    fn begin(&self, place: Place<'a, M>) {
        self.worker.arrived.replace(Some(place.arrived));
        place.reserved.begin(place.listening, place.peer);
    }
}

impl<M: Converse> Arrivals<'_, M> {
    /// The listening socket of our configuration that the connection would have come in by.
    fn listening(&self, about: &Connection<'_>, socket: impl AsFd) -> Option<usize> {
        let http = self.worker.http();
        let same = http.listening.iter().position(|listening| listening.addr == about.listener);
        same.or_else(|| {
            let local = socket::getsockname(socket).ok()?;
            let place = |addr: &Addr| http.listening.iter().position(|it| it.addr == *addr);
            place(&local).or_else(|| {
                http.listening.iter().position(|listening| {
                    let addr = &listening.addr;
                    let like = (addr.family(), addr.port()) == (local.family(), local.port());
                    addr.is_wildcard() && like
                })
            })
        })
    }
}

impl Worker {
    /// Works off what siblings have sent.
    pub fn receive<M: Converse>(&'static self, events: &Conversations<M>) -> bool {
        self.handover.receive(&Arrivals { worker: self, events })
    }
}
