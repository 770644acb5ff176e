//! Sockets: making, connecting, accepting, and moving bytes through them.
//! Their options are in sockopt.rs, descriptors as messages in msg.rs.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use libc::c_int;

use super::addr::{Addr, Ip, Peer, RawAddr};
use super::errno::{Errno, Result, check, count, done};
use super::fd::{own, raw};

pub const STREAM: c_int = libc::SOCK_STREAM;
pub const DGRAM: c_int = libc::SOCK_DGRAM;
pub const SEQPACKET: c_int = libc::SOCK_SEQPACKET;

/// More is to come: do not send a short segment yet.
pub const MORE: c_int = libc::MSG_MORE;
/// Do not wait, whatever O_NONBLOCK says.
pub const DONTWAIT: c_int = libc::MSG_DONTWAIT;

const FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

/// `kind` is STREAM or DGRAM, the family that of an `Addr`.
pub fn socket(family: c_int, kind: c_int) -> Result<OwnedFd> {
    // SAFETY: plain numbers.
    own(unsafe { libc::socket(family, kind | FLAGS, 0) })
}

/// Two ends joined to each other, AF_UNIX.
pub fn socketpair(kind: c_int) -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: socketpair writes two ints.
    done(unsafe { libc::socketpair(libc::AF_UNIX, kind | FLAGS, 0, ends.as_mut_ptr()) })?;
    Ok((own(ends[0])?, own(ends[1])?))
}

pub fn bind(fd: impl AsFd, addr: &Addr) -> Result<()> {
    let addr = RawAddr::from(addr);
    // SAFETY: `addr` holds `len` bytes of an address.
    done(unsafe { libc::bind(raw(&fd), addr.as_ptr(), addr.len()) })
}

pub fn listen(fd: impl AsFd, backlog: c_int) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::listen(raw(&fd), backlog) })
}

/// EINPROGRESS is the usual answer: writable, then `sockopt::take_error`, tells the end.
pub fn connect(fd: impl AsFd, addr: &Addr) -> Result<()> {
    let addr = RawAddr::from(addr);
    // SAFETY: `addr` holds `len` bytes of an address.
    done(unsafe { libc::connect(raw(&fd), addr.as_ptr(), addr.len()) })
}

pub fn accept(listener: impl AsFd) -> Result<OwnedFd> {
    let none = std::ptr::null_mut();
    // SAFETY: null means that no address is wanted.
    own(unsafe { libc::accept4(raw(&listener), none, std::ptr::null_mut(), FLAGS) })
}

pub fn accept_with_peer(listener: impl AsFd) -> Result<(OwnedFd, Peer)> {
    let mut addr = RawAddr::room();
    let (to, len) = (addr.as_mut_ptr(), &raw mut *addr.len_mut());
    // SAFETY: `to` has room for `len` bytes, both live through the call.
    let fd = own(unsafe { libc::accept4(raw(&listener), to, len, FLAGS) })?;
    // A peer without a name of any family we know can only be AF_UNIX.
    Ok((fd, addr.decode().map_or(Peer { ip: Ip::Unix, port: 0 }, |addr| addr.peer())))
}

/// The local address.
pub fn getsockname(fd: impl AsFd) -> Result<Addr> {
    let mut addr = RawAddr::room();
    let (to, len) = (addr.as_mut_ptr(), &raw mut *addr.len_mut());
    // SAFETY: `to` has room for `len` bytes, both live through the call.
    done(unsafe { libc::getsockname(raw(&fd), to, len) })?;
    addr.decode().ok_or(Errno::EAFNOSUPPORT)
}

/// The remote address.
pub fn getpeername(fd: impl AsFd) -> Result<Addr> {
    let mut addr = RawAddr::room();
    let (to, len) = (addr.as_mut_ptr(), &raw mut *addr.len_mut());
    // SAFETY: `to` has room for `len` bytes, both live through the call.
    done(unsafe { libc::getpeername(raw(&fd), to, len) })?;
    addr.decode().ok_or(Errno::EAFNOSUPPORT)
}

#[inline(always)]
pub fn recv(fd: impl AsFd, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `buf.len()` bytes into `buf`.
    count(unsafe { libc::recv(raw(&fd), buf.as_mut_ptr().cast(), buf.len(), 0) })
}

/// As `recv`, but what is read stays to be read again, and it never waits.
pub fn peek(fd: impl AsFd, buf: &mut [u8]) -> Result<usize> {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the kernel writes at most `buf.len()` bytes into `buf`.
    count(unsafe { libc::recv(raw(&fd), buf.as_mut_ptr().cast(), buf.len(), flags) })
}

/// Whether nobody holds the other end any more.
pub fn is_hung_up(fd: impl AsFd) -> bool {
    let mut asked = libc::pollfd { fd: raw(&fd), events: 0, revents: 0 };
    // SAFETY: one pollfd, which is ours; it does not wait.
    unsafe { libc::poll(&mut asked, 1, 0) };
    asked.revents & libc::POLLHUP != 0
}

/// Reads and throws away up to `len` bytes; TCP copies them nowhere (MSG_TRUNC).
pub fn discard(fd: impl AsFd, len: usize) -> Result<usize> {
    // SAFETY: with MSG_TRUNC, TCP does not write to the buffer (tcp(7)), and
    // a null one makes any other kind of socket fail with EFAULT.
    count(unsafe { libc::recv(raw(&fd), std::ptr::null_mut(), len, libc::MSG_TRUNC) })
}

/// A datagram and its sender.
pub fn recv_from(fd: impl AsFd, buf: &mut [u8]) -> Result<(usize, Option<Addr>)> {
    let mut addr = RawAddr::room();
    let (to, len) = (addr.as_mut_ptr(), &raw mut *addr.len_mut());
    // SAFETY: the kernel writes at most `buf.len()` bytes into `buf` and `len` into `to`.
    let got =
        count(unsafe { libc::recvfrom(raw(&fd), buf.as_mut_ptr().cast(), buf.len(), 0, to, len) })?;
    Ok((got, addr.decode()))
}

/// `flags`: MORE, DONTWAIT. A broken connection is EPIPE, never SIGPIPE.
#[inline(always)]
pub fn send(fd: impl AsFd, bytes: &[u8], flags: c_int) -> Result<usize> {
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads at most `bytes.len()` bytes from `bytes`.
    count(unsafe { libc::send(raw(&fd), bytes.as_ptr().cast(), bytes.len(), flags) })
}

pub fn send_to(fd: impl AsFd, bytes: &[u8], addr: &Addr) -> Result<usize> {
    let addr = RawAddr::from(addr);
    // SAFETY: `bytes` and `addr` are read for their own lengths.
    count(unsafe {
        libc::sendto(
            raw(&fd),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
            addr.as_ptr(),
            addr.len(),
        )
    })
}

/// `send` from several places at once.
pub fn send_parts(fd: impl AsFd, parts: &[IoSlice<'_>], flags: c_int) -> Result<usize> {
    // SAFETY: all zeroes is a valid msghdr; musl's has padding that must be zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    // SAFETY: IoSlice is documented to have the layout of iovec; sendmsg only
    // reads the vector and the slices, which live through the call.
    count(unsafe { libc::sendmsg(raw(&fd), &message, flags | libc::MSG_NOSIGNAL) })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    Read,
    Write,
    Both,
}

pub fn shutdown(fd: impl AsFd, how: Shutdown) -> Result<()> {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: plain numbers.
    check(unsafe { libc::shutdown(raw(&fd), how) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sockopt;

    fn listener(text: &str) -> (OwnedFd, Addr) {
        let addr = match text {
            "v4" => Addr::V4("127.0.0.1:0".parse().unwrap()),
            text => Addr::parse(text, 0).unwrap(),
        };
        let fd = socket(addr.family(), STREAM).unwrap();
        bind(&fd, &addr).unwrap();
        listen(&fd, 8).unwrap();
        let addr = getsockname(&fd).unwrap();
        (fd, addr)
    }

    fn join(listening: &OwnedFd, addr: &Addr) -> (OwnedFd, OwnedFd, Peer) {
        let client = socket(addr.family(), STREAM).unwrap();
        match connect(&client, addr) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(e) => panic!("connect: {e}"),
        }
        let (server, peer) = accept_with_peer(listening).unwrap();
        assert_eq!(sockopt::take_error(&client), Ok(None));
        (client, server, peer)
    }

    #[test]
    fn tcp_conversation() {
        let (listening, addr) = listener("v4");
        let (client, server, peer) = join(&listening, &addr);
        assert_eq!(getsockname(&client).unwrap().peer(), peer);
        assert_eq!(getpeername(&client), Ok(addr));
        assert_eq!(accept(&listening).unwrap_err(), Errno::EAGAIN);
        let mut buf = [0; 16];
        assert_eq!(recv(&server, &mut buf), Err(Errno::EAGAIN));
        assert_eq!(send_parts(&client, &[IoSlice::new(b"ab"), IoSlice::new(b"cde")], 0), Ok(5));
        assert_eq!(peek(&server, &mut buf), Ok(5));
        assert_eq!(discard(&server, 2), Ok(2));
        assert_eq!(recv(&server, &mut buf), Ok(3));
        assert_eq!(&buf[..3], b"cde");
        shutdown(&client, Shutdown::Write).unwrap();
        assert_eq!(recv(&server, &mut buf), Ok(0));
        drop(client);
        let _ = send(&server, b"x", 0);
        assert!(matches!(send(&server, b"x", MORE), Err(Errno::EPIPE | Errno::ECONNRESET)));
    }

    #[test]
    fn abstract_unix_conversation() {
        let (listening, addr) = listener(&format!("unix:@limpet-{}", std::process::id()));
        let (client, server, peer) = join(&listening, &addr);
        assert_eq!(peer, Peer { ip: Ip::Unix, port: 0 });
        assert_eq!(send(&server, b"hi", 0), Ok(2));
        let mut buf = [0; 4];
        assert_eq!(recv(&client, &mut buf), Ok(2));
        assert_eq!(discard(&client, 8), Err(Errno::EAGAIN));
    }

    #[test]
    fn datagrams_know_their_sender() {
        let any = Addr::V4("127.0.0.1:0".parse().unwrap());
        let (a, b) = (socket(libc::AF_INET, DGRAM).unwrap(), socket(libc::AF_INET, DGRAM).unwrap());
        bind(&a, &any).unwrap();
        bind(&b, &any).unwrap();
        assert_eq!(send_to(&a, b"query", &getsockname(&b).unwrap()), Ok(5));
        let mut buf = [0; 16];
        assert_eq!(recv_from(&b, &mut buf), Ok((5, Some(getsockname(&a).unwrap()))));
    }
}
