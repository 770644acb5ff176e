//! Listening sockets: what a configuration wants, and what is open.
//!
//! The set is opened by single attempts (`open`); how often and how far apart
//! they are tried is the caller's. A socket is shared by the cycles that know it:
//! a reload takes over what has the same address, and dropping a cycle closes
//! what only it had. So a roll-back is a drop.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use super::bind::Failure;
use super::holder;
use super::overlap::Neighbour;
use crate::log::{Level, log};
use crate::sys::addr::Addr;
use crate::sys::{Errno, Result, fd, socket, sockopt};

/// nginx's NGX_LISTEN_BACKLOG.
pub const BACKLOG: i32 = 511;

/// What a `listen` line says of its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    pub backlog: i32,
    pub rcvbuf: Option<i32>,
    pub sndbuf: Option<i32>,
    pub fastopen: Option<i32>,
    /// Wake only for connections whose first bytes have come (TCP_DEFER_ACCEPT).
    pub deferred: bool,
    /// One socket for each worker; the kernel deals connections out.
    pub reuseport: bool,
    pub ipv6only: bool,
    /// A socket of its own, even beside a wildcard of the same port.
    pub bind: bool,
    pub so_keepalive: Option<bool>,
    /// Seconds, seconds, probes; 0 leaves the system's.
    pub tcp_keepidle: i32,
    pub tcp_keepintvl: i32,
    pub tcp_keepcnt: i32,
}

/// A plain `listen ADDR;`.
impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: BACKLOG,
            rcvbuf: None,
            sndbuf: None,
            fastopen: None,
            deferred: false,
            reuseport: false,
            ipv6only: true,
            bind: false,
            so_keepalive: None,
            tcp_keepidle: 0,
            tcp_keepintvl: 0,
            tcp_keepcnt: 0,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Stream,
    Datagram,
}

impl Kind {
    pub(super) fn socket_type(self) -> i32 {
        match self {
            Kind::Stream => socket::STREAM,
            Kind::Datagram => socket::DGRAM,
        }
    }
}

pub struct Listener {
    pub addr: Addr,
    pub kind: Kind,
    pub options: ListenOptions,
    /// Which of the configuration's addresses this is: finds the servers behind it.
    pub index: usize,
    /// With reuseport, the number of the worker whose socket this is.
    pub worker: Option<usize>,
    pub(super) socket: Option<Rc<OwnedFd>>,
    /// Taken over from an older cycle or an older binary: its options may differ yet.
    pub(super) reused: bool,
    /// A supervisor's: its name in the file system is not ours to remove.
    pub(super) lent: bool,
    /// Sockets that it has to be bound beside.
    pub(super) beside: Vec<Neighbour>,
}

impl Listener {
    /// The open socket; None for one that was skipped (no IPv6 here).
    pub fn socket(&self) -> Option<&Rc<OwnedFd>> {
        self.socket.as_ref()
    }

    /// Whether worker `number` has to accept from it.
    pub fn is_for(&self, number: usize) -> bool {
        self.worker.is_none_or(|worker| worker == number)
    }
}

/// What became of one attempt to open all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    All,
    /// Somebody else has an address: worth another attempt.
    Busy,
    /// Logged; another attempt would fail as well.
    Failed,
}

pub struct Listening {
    pub(super) list: Vec<Listener>,
}

impl Listening {
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Wants an address, for that many workers; nothing is opened yet.
    pub fn want(
        &mut self,
        index: usize,
        addr: Addr,
        kind: Kind,
        options: &ListenOptions,
        workers: usize,
    ) {
        let numbers = if options.reuseport { 0..workers.max(1) } else { 0..1 };
        self.list.extend(numbers.map(|number| Listener {
            addr,
            kind,
            options: options.clone(),
            index,
            worker: options.reuseport.then_some(number),
            socket: None,
            reused: false,
            lent: false,
            beside: Vec::new(),
        }));
    }

    pub fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.list.iter()
    }

    /// One attempt to open what is not open yet.
    ///
    /// A tester disturbs nobody: it shares no port with a live socket, does not
    /// listen, takes EADDRINUSE for an answer, and removes what it has bound.
    pub fn open(&mut self, test: bool) -> Opened {
        let several = self.list.len() > 1;
        let mut result = Opened::All;
        for listener in self.list.iter_mut().filter(|listener| listener.socket.is_none()) {
            match listener.open(test) {
                Ok(()) => {}
                Err(Failure::Busy) if test => {}
                Err(Failure::Busy) => result = Opened::Busy,
                Err(Failure::NoIpv6(e)) if several => listener.skip(e),
                Err(Failure::NoIpv6(e)) => return listener.failed("socket()", e),
                Err(Failure::Fatal) => return Opened::Failed,
            }
        }
        result
    }

    /// The last attempt has failed as well: says who has what we want.
    pub fn give_up(&self) {
        log!(Level::Emerg, "still could not bind()");
        for listener in self.list.iter().filter(|listener| listener.socket.is_none()) {
            if let Some(holder) = holder::of(&listener.addr) {
                log!(Level::Emerg, "{} is held by {holder}", listener.addr);
            }
        }
    }

    /// Brings sockets that were taken over to the options they have now.
    pub fn configure(&mut self) {
        for listener in self.list.iter_mut().filter(|listener| listener.reused) {
            listener.reused = false;
            listener.reconfigure();
        }
    }

    /// Closes what `next` does not keep; `unlink` as for `close`.
    pub fn retire(&mut self, next: &Listening, unlink: bool) {
        for listener in &mut self.list {
            let kept = |other: &Listener| match (&other.socket, &listener.socket) {
                (Some(theirs), Some(ours)) => Rc::ptr_eq(theirs, ours),
                _ => false,
            };
            if !next.list.iter().any(kept) {
                listener.close(unlink);
            }
        }
    }

    /// Closes all; `unlink` is for the one process that owns the names of unix sockets.
    pub fn close(&mut self, unlink: bool) {
        for listener in &mut self.list {
            listener.close(unlink);
        }
    }

    /// The descriptors a new binary inherits.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.list.iter().filter_map(|listener| Some(listener.socket.as_ref()?.as_fd()))
    }

    /// They are a supervisor's, who will pass them again.
    pub fn of_supervisor(mut self) -> Self {
        self.list.iter_mut().for_each(|listener| listener.lent = true);
        self
    }

    /// A line for each address that is open, with the number of its sockets.
    pub fn told(&self) -> String {
        let mut all: Vec<(&Addr, usize)> = Vec::new();
        for listener in self.list.iter().filter(|listener| listener.socket.is_some()) {
            match all.iter_mut().find(|(addr, _)| **addr == listener.addr) {
                Some((_, sockets)) => *sockets += 1,
                None => all.push((&listener.addr, 1)),
            }
        }
        all.iter().map(|(addr, sockets)| format!("{addr} {sockets}\n")).collect()
    }

    /// Of what was inherited, what no configuration has taken over.
    pub fn tell_unused(&self) {
        for listener in &self.list {
            if let Some(socket) = listener.socket.as_ref().filter(|it| Rc::strong_count(it) == 1) {
                let (number, addr) = (socket.as_raw_fd(), listener.addr);
                log!(
                    Level::Warn,
                    "the inherited socket #{number} listens on {addr}, which no \"listen\" names: \
                     closed"
                );
            }
        }
    }

    /// The sockets that an environment variable names (`5;6;`), as an old cycle to `reuse`.
    ///
    /// Each must be a listening or a datagram socket, and is taken once. The rest
    /// of a variable that cannot be read is left alone, as in nginx.
    pub fn inherited(variable: &str, value: &str) -> Self {
        log!(Level::Notice, "using inherited sockets from \"{value}\"");
        let mut list = Vec::new();
        for word in value.split([';', ':']) {
            if word.is_empty() {
                continue;
            }
            let Ok(number) = word.parse::<RawFd>() else {
                log!(
                    Level::Emerg,
                    "invalid socket number \"{word}\" in {variable} environment variable, \
                     ignoring the rest of the variable"
                );
                break;
            };
            match inherit(number) {
                Ok(listener) => list.push(listener),
                Err(e) => {
                    log!(
                        Level::Alert,
                        errno e,
                        "the inherited socket #{number} is not a listening one, ignored"
                    );
                }
            }
        }
        Self { list }
    }

    /// Those that the image before this one has left, as an old cycle to `reuse`.
    /// Each says whether a supervisor has lent it.
    pub fn taken_over(sockets: impl Iterator<Item = (OwnedFd, bool)>) -> Self {
        let known = |(socket, lent)| Some(Listener { lent, ..known(socket).ok()? });
        Self { list: sockets.filter_map(known).collect() }
    }

    /// What `taken_over` wants to know.
    pub fn lent(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        self.list.iter().filter_map(|listener| {
            let socket = listener.socket.as_ref()?;
            Some((socket.as_fd(), listener.lent))
        })
    }
}

fn inherit(number: RawFd) -> Result<Listener> {
    known(fd::inherit(number)?)
}

fn known(socket: OwnedFd) -> Result<Listener> {
    let addr = socket::getsockname(&socket)?;
    let kind = match sockopt::kind(&socket)? {
        socket::STREAM if sockopt::is_listening(&socket)? => Kind::Stream,
        socket::DGRAM => Kind::Datagram,
        _ => return Err(Errno::EINVAL),
    };
    // We share it with nobody who waits on it: who opened it for us may have left it as it was.
    fd::set_nonblocking(&socket, true)?;
    let reuseport = sockopt::reuseport(&socket).unwrap_or(false);
    let options = ListenOptions { reuseport, ..ListenOptions::default() };
    let socket = Some(Rc::new(socket));
    let (reused, lent, beside) = (true, false, Vec::new());
    Ok(Listener { addr, kind, options, index: 0, worker: None, socket, reused, lent, beside })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::bind::unix_path;
    use crate::sys::file;

    fn listening(addrs: &[Addr], options: &ListenOptions, workers: usize) -> Listening {
        let mut listening = Listening::new();
        for (index, addr) in addrs.iter().enumerate() {
            listening.want(index, *addr, Kind::Stream, options, workers);
        }
        listening
    }

    /// An address of our own: the kernel picks the port, the first socket tells it.
    fn free_addr() -> Addr {
        let any = Addr::V4("127.0.0.1:0".parse().unwrap());
        let probe = socket::socket(any.family(), socket::STREAM).unwrap();
        socket::bind(&probe, &any).unwrap();
        socket::getsockname(&probe).unwrap()
    }

    fn number(listening: &Listening, at: usize) -> RawFd {
        listening.list[at].socket().unwrap().as_raw_fd()
    }

    #[test]
    fn what_is_busy_is_tried_again_and_the_rest_stays_open() {
        let (first, second) = (free_addr(), free_addr());
        let plain = ListenOptions::default();
        let mut holder = listening(&[second], &plain, 1);
        assert_eq!(holder.open(false), Opened::All);
        let mut wanted = listening(&[first, second], &plain, 1);
        assert_eq!(wanted.open(false), Opened::Busy);
        let kept = number(&wanted, 0);
        assert_eq!(wanted.open(false), Opened::Busy);
        holder.close(true);
        assert_eq!(wanted.open(false), Opened::All);
        assert_eq!(number(&wanted, 0), kept);
    }

    #[test]
    fn a_tester_disturbs_nobody() {
        let addr = free_addr();
        let reuseport = ListenOptions { reuseport: true, ..ListenOptions::default() };
        let mut live = listening(&[addr], &reuseport, 1);
        assert_eq!(live.open(false), Opened::All);
        let mut tester = listening(&[addr], &reuseport, 2);
        assert_eq!(tester.open(true), Opened::All);
        assert!(tester.iter().all(|listener| listener.socket().is_none()));
    }

    #[test]
    fn the_next_cycle_takes_over_and_a_roll_back_is_a_drop() {
        let (kept, dropped, added) = (free_addr(), free_addr(), free_addr());
        let plain = ListenOptions::default();
        let mut old = listening(&[dropped, kept], &plain, 1);
        assert_eq!(old.open(false), Opened::All);
        let next = || {
            let mut next = listening(&[kept, added], &plain, 1);
            next.reuse(&old);
            assert_eq!(next.open(false), Opened::All);
            assert_eq!(number(&next, 0), number(&old, 1));
            next
        };
        drop(next());
        assert!(sockopt::is_listening(old.list[1].socket().unwrap()).unwrap());
        let next = next();
        old.retire(&next, true);
        assert!(old.list[0].socket().is_none());
        assert!(old.list[1].socket().is_some(), "shared with the next");
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let name = format!("unix:{}/limpet-{}", std::env::temp_dir().display(), std::process::id());
        let addr = Addr::parse(&name, 0).unwrap();
        let plain = ListenOptions::default();
        let mut first = listening(&[addr], &plain, 1);
        assert_eq!(first.open(false), Opened::All);
        let mut second = listening(&[addr], &plain, 1);
        assert_eq!(second.open(false), Opened::Busy);
        first.close(false);
        assert_eq!(second.open(true), Opened::All, "a tester leaves it");
        assert_eq!(second.open(false), Opened::All);
        second.close(true);
        assert!(file::lstat(&unix_path(&addr).unwrap()).is_err());
    }

    #[test]
    fn the_variable_names_listening_sockets_once() {
        let mut held = listening(&[free_addr()], &ListenOptions::default(), 1);
        assert_eq!(held.open(false), Opened::All);
        let socket = Rc::into_inner(held.list[0].socket.take().unwrap()).unwrap();
        fd::set_cloexec(&socket, false).unwrap();
        let number = std::os::fd::IntoRawFd::into_raw_fd(socket);
        let inherited = Listening::inherited("LIMPET", &format!("{number};1;;{number};x;7;"));
        assert_eq!(inherited.list.len(), 1);
        held.reuse(&inherited);
        assert_eq!(super::tests::number(&held, 0), number);
    }
}
