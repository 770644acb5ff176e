//! Opening one listening socket: address, options, and the names of unix sockets.
//!
//! The words of the errors are those of ngx_open_listening_sockets and
//! ngx_configure_listening_sockets.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use super::listen::{Kind, Listener, Opened};
use crate::log::{Level, log};
use crate::sys::addr::Addr;
use crate::sys::{Errno, Result, file, socket, sockopt};

pub(super) enum Failure {
    /// The address is in use.
    Busy,
    /// This system has no IPv6.
    NoIpv6(Errno),
    /// Logged.
    Fatal,
}

impl Listener {
    pub(super) fn open(&mut self, test: bool) -> std::result::Result<(), Failure> {
        let addr = self.addr;
        let ipv6 = matches!(addr, Addr::V6(_));
        let socket = match socket::socket(addr.family(), self.kind.socket_type()) {
            Ok(socket) => socket,
            Err(e @ Errno::EAFNOSUPPORT) if ipv6 => return Err(Failure::NoIpv6(e)),
            Err(e) => return Err(self.fatal("socket()", e)),
        };
        self.share_address(&socket, test)?;
        if ipv6 && let Err(e) = sockopt::set_ipv6only(&socket, self.options.ipv6only) {
            log!(Level::Emerg, errno e, "setsockopt(IPV6_V6ONLY) {addr} failed, ignored");
        }
        self.configure(&socket);
        match bind(&socket, &addr, test) {
            Ok(()) => {}
            Err(e @ Errno::EADDRNOTAVAIL) if ipv6 && addr.is_wildcard() => {
                return Err(Failure::NoIpv6(e));
            }
            Err(e) => return Err(self.not_bound(e, test)),
        }
        log!(Level::Debug, "bind() {addr} #{}", socket.as_raw_fd());
        if test {
            unlink(&addr);
            return Ok(());
        }
        if self.kind == Kind::Stream {
            self.listen(&socket)?;
        }
        self.socket = Some(Rc::new(socket));
        Ok(())
    }

    /// A restart binds over TIME_WAIT; reuseport sockets over each other. A tester's socket
    /// shares with nobody: datagrams, or connections of a reuseport group, would come to it.
    fn share_address(&self, socket: &OwnedFd, test: bool) -> std::result::Result<(), Failure> {
        if !(test && self.kind == Kind::Datagram)
            && let Err(e) = sockopt::set_reuseaddr(socket)
        {
            return Err(self.fatal("setsockopt(SO_REUSEADDR)", e));
        }
        if (self.options.reuseport || !self.beside.is_empty())
            && !test
            && let Err(e) = sockopt::set_reuseport(socket, true)
        {
            return Err(self.fatal("setsockopt(SO_REUSEPORT)", e));
        }
        Ok(())
    }

    fn listen(&self, socket: &OwnedFd) -> std::result::Result<(), Failure> {
        let (addr, backlog) = (self.addr, self.options.backlog);
        socket::listen(socket, backlog).map_err(|e| {
            log!(Level::Emerg, errno e, "listen() to {addr}, backlog {backlog} failed");
            if e == Errno::EADDRINUSE { Failure::Busy } else { Failure::Fatal }
        })
    }

    fn not_bound(&self, e: Errno, test: bool) -> Failure {
        let addr = self.addr;
        if e == Errno::EADDRINUSE && test {
            return Failure::Busy;
        }
        let others = e == Errno::EADDRINUSE && self.is_others();
        log!(Level::Emerg, errno e, "bind() to {addr} failed");
        match e {
            // Another attempt would be no better.
            Errno::EADDRINUSE if others => {}
            Errno::EADDRINUSE => return Failure::Busy,
            Errno::EACCES if (1..1024).contains(&addr.port()) => log!(
                Level::Emerg,
                "a port below 1024 needs root, CAP_NET_BIND_SERVICE or a lower \
                 net.ipv4.ip_unprivileged_port_start; or listen on 8080"
            ),
            _ => {}
        }
        Failure::Fatal
    }

    fn fatal(&self, call: &str, e: Errno) -> Failure {
        self.failed(call, e);
        Failure::Fatal
    }

    pub(super) fn failed(&self, call: &str, e: Errno) -> Opened {
        log!(Level::Emerg, errno e, "{call} {} failed", self.addr);
        Opened::Failed
    }

    pub(super) fn skip(&self, e: Errno) {
        log!(Level::Warn, errno e, "no IPv6 here: not listening on {}", self.addr);
    }

    /// A socket that was alone so far lets the others of its new group in.
    pub(super) fn allow_sharing(&self) {
        let Some(socket) = self.socket.as_deref().filter(|_| self.options.reuseport) else {
            return;
        };
        if let Err(e) = sockopt::set_reuseport(socket, true) {
            let addr = self.addr;
            log!(Level::Alert, errno e, "setsockopt(SO_REUSEPORT) {addr} failed, ignored");
        }
    }

    pub(super) fn reconfigure(&self) {
        let Some(socket) = self.socket.as_deref() else { return };
        let (addr, backlog) = (self.addr, self.options.backlog);
        self.configure(socket);
        if self.kind == Kind::Stream
            && let Err(e) = socket::listen(socket, backlog)
        {
            log!(Level::Alert, errno e, "listen() to {addr}, backlog {backlog} failed, ignored");
        }
    }

    pub(super) fn close(&mut self, unlink_name: bool) {
        let Some(socket) = self.socket.take() else { return };
        log!(Level::Debug, "close listening {} #{}", self.addr, socket.as_raw_fd());
        if unlink_name && !self.lent {
            unlink(&self.addr);
        }
    }
}

/// A unix socket whose file is left over from a server that was killed is replaced: nobody
/// answers there. Any answer but a refusal means that it is live.
fn bind(socket: &OwnedFd, addr: &Addr, test: bool) -> Result<()> {
    match socket::bind(socket, addr) {
        Err(Errno::EADDRINUSE) if !test && is_stale(addr) => {
            log!(Level::Notice, "{addr} is left over from a server that is gone, replaced");
            unlink(addr);
        }
        result => return result.and_then(|()| open_to_all(addr)),
    }
    socket::bind(socket, addr).and_then(|()| open_to_all(addr))
}

fn is_stale(addr: &Addr) -> bool {
    let Some(path) = unix_path(addr) else { return false };
    let is_socket = file::lstat(&path).is_ok_and(|stat| stat.is_socket());
    let probe = socket::socket(addr.family(), socket::STREAM);
    is_socket && probe.and_then(|probe| socket::connect(probe, addr)) == Err(Errno::ECONNREFUSED)
}

/// As nginx: who may connect is for the folder to say.
fn open_to_all(addr: &Addr) -> Result<()> {
    unix_path(addr).map_or(Ok(()), |path| file::chmod(&path, 0o666))
}

fn unlink(addr: &Addr) {
    let Some(path) = unix_path(addr) else { return };
    if let Err(e) = file::unlink(&path) {
        log!(Level::Emerg, errno e, "unlink() {addr} failed");
    }
}

pub(super) fn unix_path(addr: &Addr) -> Option<CString> {
    match addr {
        Addr::Unix(name) => CString::new(name.path()?).ok(),
        _ => None,
    }
}

impl Listener {
    /// What setsockopt can say at any time. A socket without an option is no reason not to
    /// serve.
    fn configure(&self, socket: &OwnedFd) {
        let (addr, options) = (self.addr, &self.options);
        let set = |option: &str, value: i32, result: Result<()>| {
            if let Err(e) = result {
                log!(Level::Alert, errno e, "setsockopt({option}, {value}) {addr} failed, ignored");
            }
        };
        if let Some(bytes) = options.rcvbuf {
            set("SO_RCVBUF", bytes, sockopt::set_rcvbuf(socket, bytes));
        }
        if let Some(bytes) = options.sndbuf {
            set("SO_SNDBUF", bytes, sockopt::set_sndbuf(socket, bytes));
        }
        if let Some(on) = options.so_keepalive {
            set("SO_KEEPALIVE", i32::from(on), sockopt::set_keepalive(socket, on));
        }
        if let secs @ 1.. = options.tcp_keepidle {
            set("TCP_KEEPIDLE", secs, sockopt::set_keepidle(socket, secs));
        }
        if let secs @ 1.. = options.tcp_keepintvl {
            set("TCP_KEEPINTVL", secs, sockopt::set_keepintvl(socket, secs));
        }
        if let probes @ 1.. = options.tcp_keepcnt {
            set("TCP_KEEPCNT", probes, sockopt::set_keepcnt(socket, probes));
        }
        if let Some(queue) = options.fastopen {
            set("TCP_FASTOPEN", queue, sockopt::set_fastopen(socket, queue));
        }
        if self.kind == Kind::Stream && !addr.is_unix() {
            // For every connection at once; a location may switch it off again.
            set("TCP_NODELAY", 1, sockopt::set_nodelay(socket, true));
        }
        let deferring = sockopt::defer_accept(socket).is_ok_and(|secs| secs > 0);
        if options.deferred != deferring && !addr.is_unix() {
            let secs = i32::from(options.deferred);
            set("TCP_DEFER_ACCEPT", secs, sockopt::set_defer_accept(socket, secs));
        }
    }
}
