//! What a new set of listening sockets takes over from the one before, and what it has to bind
//! beside it.
//!
//! The same address keeps its socket. A socket that is not wanted by its address any more, but
//! whose connections are (a wildcard of its port is there now; there are fewer reuseport workers)
//! is kept and served as a part of what has taken its place: closing it would reset the
//! connections in its queue.
//!
//! An address that overlaps one that is open can only be bound if both sockets have SO_REUSEPORT
//! (nginx tries five times, and keeps the old configuration). So both get it, late. The kernel
//! deals connections to the more specific of the two. It wants both to be of one user.

use super::listen::{Listener, Listening};
use crate::log::{Level, log};
use crate::sys::addr::Addr;
use crate::sys::{file, sockopt, user};

/// An open socket whose address overlaps one that is wanted.
pub(super) struct Neighbour {
    addr: Addr,
    /// Who has opened it.
    uid: u32,
}

impl Listening {
    /// Takes over from `old`, by address, what is open there.
    pub fn reuse(&mut self, old: &Listening) {
        let mut taken = vec![false; old.list.len()];
        for listener in &mut self.list {
            let found = old.list.iter().enumerate().find(|(place, other)| {
                !taken[*place] && other.socket.is_some() && listener.is_like(other)
            });
            if let Some((place, other)) = found {
                taken[place] = true;
                listener.socket = other.socket.clone();
                listener.reused = true;
                listener.lent = other.lent;
                listener.allow_sharing();
            }
        }
        for (other, taken) in old.list.iter().zip(taken) {
            if other.socket.is_some() {
                self.bind_beside(other);
                if !taken {
                    self.keep(other);
                }
            }
        }
    }

    /// What is still to be opened may overlap a socket that is.
    fn bind_beside(&mut self, other: &Listener) {
        let Some(socket) = other.socket.as_deref() else { return };
        for listener in self.list.iter_mut().filter(|listener| listener.socket.is_none()) {
            if !listener.covers(other) && !other.covers(listener) {
                continue;
            }
            let addr = other.addr;
            match sockopt::set_reuseport(socket, true).and_then(|()| file::fstat(socket)) {
                Ok(stat) => listener.beside.push(Neighbour { addr, uid: stat.uid }),
                Err(e) => log!(Level::Alert, errno e, "setsockopt(SO_REUSEPORT) {addr} failed"),
            }
        }
    }

    /// Lets those who serve its address now serve this socket, too. Reuseport sockets are dealt to
    /// the workers with the fewest.
    fn keep(&mut self, other: &Listener) {
        let alike: Vec<&Listener> = self.list.iter().filter(|own| own.is_like(other)).collect();
        let heirs = match alike.is_empty() {
            true => self.list.iter().filter(|own| own.covers(other)).collect(),
            false => alike,
        };
        let Some(first) = heirs.first() else { return };
        let load = |number| heirs.iter().filter(|heir| heir.worker == number).count();
        let worker = heirs.iter().map(|heir| heir.worker).min_by_key(|number| load(*number));
        let kept = Listener {
            addr: other.addr,
            kind: other.kind,
            options: first.options.clone(),
            index: first.index,
            worker: worker.flatten(),
            socket: other.socket.clone(),
            reused: true,
            lent: other.lent,
            beside: Vec::new(),
        };
        self.list.push(kept);
    }
}

impl Listener {
    pub(super) fn is_like(&self, other: &Listener) -> bool {
        self.addr == other.addr && self.kind == other.kind
    }

    /// Whether connections to that address would come here if nobody else were there.
    fn covers(&self, other: &Listener) -> bool {
        let families = match (&self.addr, &other.addr) {
            (Addr::V4(_), Addr::V4(_)) | (Addr::V6(_), Addr::V6(_)) => true,
            (Addr::V6(_), Addr::V4(_)) => !self.options.ipv6only,
            _ => false,
        };
        families
            && self.addr.is_wildcard()
            && self.addr.port() == other.addr.port()
            && self.kind == other.kind
            && self.addr != other.addr
    }

    /// Says why an address that overlaps another user's socket cannot be had.
    pub(super) fn is_others(&self) -> bool {
        let own = user::geteuid();
        let Some(Neighbour { addr, uid }) = self.beside.iter().find(|it| it.uid != own) else {
            return false;
        };
        log!(
            Level::Emerg,
            "{} overlaps {addr}, whose socket was opened by uid {uid}: beside it only that uid \
             can bind, and this is uid {own}",
            self.addr
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listen::{Kind, ListenOptions, Opened};
    use crate::sys::socket;

    fn plain() -> ListenOptions {
        ListenOptions::default()
    }

    fn shared() -> ListenOptions {
        ListenOptions { reuseport: true, ..plain() }
    }

    fn wanted(addr: &str, port: u16, options: &ListenOptions, workers: usize) -> Listening {
        let mut listening = Listening::new();
        let addr = Addr::parse(&format!("{addr}:{port}"), 0).unwrap();
        listening.want(7, addr, Kind::Stream, options, workers);
        listening
    }

    fn free_port() -> u16 {
        let any = Addr::V4("127.0.0.1:0".parse().unwrap());
        let probe = socket::socket(any.family(), socket::STREAM).unwrap();
        socket::bind(&probe, &any).unwrap();
        socket::getsockname(&probe).unwrap().port()
    }

    fn addrs(listening: &Listening) -> Vec<String> {
        let open = listening.iter().filter(|listener| listener.socket().is_some());
        open.map(|listener| listener.addr.to_string()).collect()
    }

    #[test]
    fn a_wildcard_is_bound_over_an_address_and_serves_it_too() {
        let port = free_port();
        let mut old = wanted("127.0.0.1", port, &plain(), 1);
        assert_eq!(old.open(false), Opened::All);
        let mut next = wanted("*", port, &plain(), 1);
        next.reuse(&old);
        assert_eq!(next.open(false), Opened::All);
        assert_eq!(addrs(&next), [format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}")]);
        assert!(next.iter().all(|listener| listener.index == 7 && listener.is_for(3)));
        old.retire(&next, true);
        assert_eq!(addrs(&old).len(), 1, "it stays open");

        // Once more the same, and then the address alone.
        let mut again = wanted("*", port, &plain(), 1);
        again.reuse(&next);
        assert_eq!((again.open(false), addrs(&again).len()), (Opened::All, 2));
        let mut back = wanted("127.0.0.1", port, &plain(), 1);
        back.reuse(&again);
        assert_eq!((back.open(false), addrs(&back).len()), (Opened::All, 1));
        again.retire(&back, true);
        assert_eq!(addrs(&again), [format!("127.0.0.1:{port}")]);
    }

    #[test]
    fn an_address_is_bound_beside_a_wildcard_that_goes() {
        let port = free_port();
        let mut old = wanted("*", port, &plain(), 1);
        assert_eq!(old.open(false), Opened::All);
        let mut next = wanted("127.0.0.1", port, &plain(), 1);
        next.reuse(&old);
        assert_eq!(next.open(false), Opened::All);
        assert_eq!(addrs(&next), [format!("127.0.0.1:{port}")]);
    }

    #[test]
    fn others_do_not_overlap() {
        let port = free_port();
        let mut old = wanted("127.0.0.1", port, &plain(), 1);
        assert_eq!(old.open(false), Opened::All);
        for (addr, port) in [("*", port ^ 1), ("127.0.0.2", port), ("[::]", port)] {
            let mut next = wanted(addr, port, &plain(), 1);
            next.reuse(&old);
            assert_eq!(addrs(&next), [""; 0], "{addr}");
            assert!(next.list.iter().all(|listener| listener.beside.is_empty()), "{addr}");
        }
        let both = ListenOptions { ipv6only: false, ..plain() };
        let mut next = wanted("[::]", port, &both, 1);
        next.reuse(&old);
        assert_eq!(addrs(&next), [format!("127.0.0.1:{port}")]);
    }

    #[test]
    fn surplus_sockets_are_dealt_to_the_workers_that_remain() {
        let port = free_port();
        let mut old = wanted("127.0.0.1", port, &shared(), 5);
        assert_eq!(old.open(false), Opened::All);
        let mut next = wanted("127.0.0.1", port, &shared(), 2);
        next.reuse(&old);
        let workers: Vec<_> = next.iter().filter_map(|listener| listener.worker).collect();
        assert_eq!(workers, [0, 1, 0, 1, 0]);
        old.retire(&next, true);
        assert!(old.iter().all(|listener| listener.socket().is_some()));
        // Without reuseport all of them have to accept from each.
        let mut plain = wanted("127.0.0.1", port, &plain(), 2);
        plain.reuse(&next);
        assert_eq!(addrs(&plain).len(), 5);
        assert!(plain.iter().all(|listener| listener.worker.is_none()));
        next.retire(&plain, true);
        assert_eq!(addrs(&next).len(), 5);
    }

    #[test]
    fn another_users_socket_is_named() {
        let mut next = wanted("*", 80, &plain(), 1);
        let addr = Addr::parse("127.0.0.1:80", 0).unwrap();
        assert!(!next.list[0].is_others());
        next.list[0].beside.push(Neighbour { addr, uid: user::geteuid() });
        assert!(!next.list[0].is_others());
        next.list[0].beside.push(Neighbour { addr, uid: user::geteuid() + 1 });
        assert!(next.list[0].is_others());
    }
}
