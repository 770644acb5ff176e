//! Socket options, one function each: those of nginx's `listen`, those of a
//! connection, and the questions asked of an inherited socket.

use std::os::fd::AsFd;

use libc::{c_int, socklen_t};

use super::errno::{Errno, Result, done};
use super::fd::raw;

/// Lets a restart bind over connections in TIME_WAIT.
pub fn set_reuseaddr(fd: impl AsFd) -> Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)
}

pub fn set_reuseport(fd: impl AsFd, on: bool) -> Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, c_int::from(on))
}

pub fn set_rcvbuf(fd: impl AsFd, bytes: c_int) -> Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)
}

pub fn set_sndbuf(fd: impl AsFd, bytes: c_int) -> Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)
}

pub fn set_keepalive(fd: impl AsFd, on: bool) -> Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, c_int::from(on))
}

pub fn set_keepidle(fd: impl AsFd, secs: c_int) -> Result<()> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, secs)
}

pub fn set_keepintvl(fd: impl AsFd, secs: c_int) -> Result<()> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, secs)
}

pub fn set_keepcnt(fd: impl AsFd, probes: c_int) -> Result<()> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, probes)
}

pub fn set_ipv6only(fd: impl AsFd, on: bool) -> Result<()> {
    set(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, c_int::from(on))
}

/// Seconds to wait for the first bytes before accept; 0 is off.
pub fn set_defer_accept(fd: impl AsFd, secs: c_int) -> Result<()> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, secs)
}

/// Length of the queue of connections whose SYN carried bytes; 0 is off.
pub fn set_fastopen(fd: impl AsFd, queue: c_int) -> Result<()> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, queue)
}

/// On a listening socket it is inherited by what is accepted.
pub fn set_nodelay(fd: impl AsFd, on: bool) -> Result<()> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, c_int::from(on))
}

/// nginx's `tcp_nopush`.
pub fn set_cork(fd: impl AsFd, on: bool) -> Result<()> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_CORK, c_int::from(on))
}

pub fn set_quickack(fd: impl AsFd, on: bool) -> Result<()> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_QUICKACK, c_int::from(on))
}

/// Makes close(2) send RST and forget what is unsent (`reset_timedout_connection`).
pub fn set_linger_reset(fd: impl AsFd) -> Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set(fd, libc::SOL_SOCKET, libc::SO_LINGER, linger)
}

/// Takes any source address for `proxy_bind … transparent`; needs CAP_NET_RAW.
pub fn set_transparent(fd: impl AsFd, family: c_int) -> Result<()> {
    match family {
        libc::AF_INET6 => set(fd, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT, 1),
        _ => set(fd, libc::IPPROTO_IP, libc::IP_TRANSPARENT, 1),
    }
}

/// Chooses a source port at connect, not at bind: more ports than 64 k in all.
pub fn set_bind_address_no_port(fd: impl AsFd) -> Result<()> {
    set(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// What went wrong on the socket since it was last asked; asking clears it.
pub fn take_error(fd: impl AsFd) -> Result<Option<Errno>> {
    let error: c_int = get(fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
    Ok(if error == 0 { None } else { Some(Errno(error)) })
}

pub fn is_listening(fd: impl AsFd) -> Result<bool> {
    get(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN).map(|on: c_int| on != 0)
}

/// STREAM, DGRAM or SEQPACKET; ENOTSOCK tells that it is no socket at all.
pub fn kind(fd: impl AsFd) -> Result<c_int> {
    get(fd, libc::SOL_SOCKET, libc::SO_TYPE)
}

pub fn family(fd: impl AsFd) -> Result<c_int> {
    get(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)
}

pub fn reuseport(fd: impl AsFd) -> Result<bool> {
    get(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT).map(|on: c_int| on != 0)
}

pub fn rcvbuf(fd: impl AsFd) -> Result<c_int> {
    get(fd, libc::SOL_SOCKET, libc::SO_RCVBUF)
}

pub fn sndbuf(fd: impl AsFd) -> Result<c_int> {
    get(fd, libc::SOL_SOCKET, libc::SO_SNDBUF)
}

pub fn fastopen(fd: impl AsFd) -> Result<c_int> {
    get(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN)
}

pub fn defer_accept(fd: impl AsFd) -> Result<c_int> {
    get(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT)
}

/// What `$tcpinfo_*` tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    pub rtt_us: u32,
    pub rttvar_us: u32,
    pub snd_cwnd: u32,
    pub rcv_space: u32,
}

pub fn tcp_info(fd: impl AsFd) -> Result<TcpInfo> {
    let info: libc::tcp_info = get(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(TcpInfo {
        rtt_us: info.tcpi_rtt,
        rttvar_us: info.tcpi_rttvar,
        snd_cwnd: info.tcpi_snd_cwnd,
        rcv_space: info.tcpi_rcv_space,
    })
}

/// Who is at the other end of an AF_UNIX socket: (pid, uid), as the kernel saw at connect.
pub fn peer_credentials(fd: impl AsFd) -> Result<(i32, u32)> {
    let who: libc::ucred = get(fd, libc::SOL_SOCKET, libc::SO_PEERCRED)?;
    Ok((who.pid, who.uid))
}

fn set<T>(fd: impl AsFd, level: c_int, name: c_int, value: T) -> Result<()> {
    let len = size_of::<T>() as socklen_t;
    // SAFETY: `value` is `len` bytes long and only read.
    done(unsafe { libc::setsockopt(raw(&fd), level, name, (&raw const value).cast(), len) })
}

/// `T` is a plain struct of integers, as all options are.
fn get<T: Copy>(fd: impl AsFd, level: c_int, name: c_int) -> Result<T> {
    // SAFETY: all zeroes is a valid struct of integers.
    let mut value: T = unsafe { std::mem::zeroed() };
    let mut len = size_of::<T>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes; a shorter answer (older
    // kernel) leaves zeroes.
    done(unsafe { libc::getsockopt(raw(&fd), level, name, (&raw mut value).cast(), &mut len) })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::addr::Addr;
    use crate::sys::socket;

    #[test]
    fn options_of_a_listener() {
        let fd = socket::socket(libc::AF_INET, socket::STREAM).unwrap();
        set_reuseaddr(&fd).unwrap();
        set_reuseport(&fd, true).unwrap();
        set_rcvbuf(&fd, 16384).unwrap();
        set_sndbuf(&fd, 16384).unwrap();
        set_keepalive(&fd, true).unwrap();
        set_keepidle(&fd, 30).unwrap();
        set_keepintvl(&fd, 5).unwrap();
        set_keepcnt(&fd, 3).unwrap();
        set_defer_accept(&fd, 1).unwrap();
        assert_eq!(is_listening(&fd), Ok(false));
        socket::bind(&fd, &Addr::V4("127.0.0.1:0".parse().unwrap())).unwrap();
        socket::listen(&fd, 8).unwrap();
        set_fastopen(&fd, 8).unwrap();
        assert_eq!(is_listening(&fd), Ok(true));
        assert_eq!(kind(&fd), Ok(socket::STREAM));
        assert_eq!(family(&fd), Ok(libc::AF_INET));
        assert_eq!(reuseport(&fd), Ok(true));
        assert_eq!(fastopen(&fd), Ok(8));
        assert!(defer_accept(&fd).unwrap() > 0);
        assert!(rcvbuf(&fd).unwrap() >= 16384 && sndbuf(&fd).unwrap() >= 16384);
        assert!(tcp_info(&fd).is_ok());
    }

    #[test]
    fn a_pipe_is_no_socket() {
        let (reader, _writer) = crate::sys::io::pipe().unwrap();
        assert_eq!(kind(&reader), Err(Errno::ENOTSOCK));
    }
}
