//! Descriptors as messages: sendmsg and recvmsg with SCM_RIGHTS, the control
//! message built and read by hand (unix(7), cmsg(3)).
//!
//! A control message is `size_t length; int level; int type;` and then its
//! bytes. The length counts the header and the bytes (CMSG_LEN); the room it
//! takes is that rounded up to a size_t (CMSG_SPACE). C's `sizeof(cmsg)` is
//! neither. Without descriptors there is no control data at all.
//!
//! Whatever comes in is owned before it is judged: nothing a sender does leaks
//! a descriptor here.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, msghdr};

use super::errno::{Errno, Result, count};
use super::fd::raw;

/// The most descriptors one message carries.
pub const FDS: usize = 16;

const HEADER: usize = 16;
const ALIGN: usize = 8;
const ROOM: usize = HEADER + FDS * size_of::<RawFd>();
const _: () = assert!(size_of::<usize>() == ALIGN && ROOM.is_multiple_of(ALIGN));

/// Aligned as the kernel wants it, zeroed because musl's struct has padding.
#[repr(C, align(8))]
struct Control([u8; ROOM]);

/// What came, and whether it came as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes; 0 when the other end has closed.
    pub len: usize,
    /// The message was longer than the buffer (MSG_TRUNC).
    pub truncated: bool,
    /// There was more control data than room, and its descriptors are gone (MSG_CTRUNC).
    pub control_truncated: bool,
    /// Control data of another kind, of a wrong length, or more descriptors than
    /// were asked for; the surplus ones are closed.
    pub stray: bool,
}

impl Received {
    pub fn is_clean(&self) -> bool {
        !(self.truncated || self.control_truncated || self.stray)
    }
}

/// The descriptors of one message, at most `N`.
pub struct FdBuf<const N: usize>([Option<OwnedFd>; N]);

impl<const N: usize> FdBuf<N> {
    pub const fn new() -> FdBuf<N> {
        const { assert!(N <= FDS) };
        FdBuf([const { None }; N])
    }

    pub fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one out; those that stay are closed on drop or on the next receipt.
    pub fn take(&mut self, index: usize) -> Option<OwnedFd> {
        self.0.get_mut(index)?.take()
    }

    pub fn clear(&mut self) {
        self.0.fill_with(|| None);
    }

    /// False, and closes it, when there is no room.
    fn push(&mut self, fd: OwnedFd) -> bool {
        let room = self.0.iter_mut().find(|slot| slot.is_none());
        room.map(|slot| *slot = Some(fd)).is_some()
    }
}

/// Sends bytes and descriptors as one message. `flags` as for `socket::send`. It never waits:
/// whoever holds a copy of the descriptor can change O_NONBLOCK, which is why nobody here
/// relies on it; the same holds for `recv_fds`.
///
/// On a stream up to some 36 KB go whole or not at all; of more, a part may go,
/// with all the descriptors.
pub fn send_fds(
    socket: impl AsFd,
    parts: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
    flags: c_int,
) -> Result<usize> {
    let mut control = Control([0; ROOM]);
    let len = write_rights(&mut control.0, fds).ok_or(Errno::EINVAL)?;
    // SAFETY: all zeroes is a valid msghdr; musl's has padding that must be zero.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    if len > 0 {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = len as _;
    }
    let flags = flags | libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: IoSlice has the layout of iovec; all that the message points to
    // is only read and lives through the call.
    count(unsafe { libc::sendmsg(raw(&socket), &message, flags) })
}

/// Receives one message into `buf` and its descriptors, close-on-exec, into `fds`
/// (what was there before is closed).
pub fn recv_fds<const N: usize>(
    socket: impl AsFd,
    buf: &mut [u8],
    fds: &mut FdBuf<N>,
) -> Result<Received> {
    fds.clear();
    let mut control = Control([0; ROOM]);
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: all zeroes is a valid msghdr; musl's has padding that must be zero.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = ROOM as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the kernel writes at most `buf.len()` bytes into `buf` and ROOM
    // into `control`; both live through the call.
    let len = count(unsafe { libc::recvmsg(raw(&socket), &mut message, flags) })?;

    let filled = &control.0[..(message.msg_controllen as usize).min(ROOM)];
    let mut stray = false;
    let well_formed = read_rights(filled, |number| {
        // SAFETY: the kernel has just opened this descriptor for us, in this message.
        stray |= !fds.push(unsafe { OwnedFd::from_raw_fd(number) });
    });
    Ok(Received {
        len,
        truncated: message.msg_flags & libc::MSG_TRUNC != 0,
        control_truncated: message.msg_flags & libc::MSG_CTRUNC != 0,
        stray: stray || !well_formed,
    })
}

/// Returns the room taken: 0 for no descriptors, none for too many.
fn write_rights(control: &mut [u8; ROOM], fds: &[BorrowedFd<'_>]) -> Option<usize> {
    if fds.is_empty() {
        return Some(0);
    }
    let bytes = size_of_val(fds);
    let length = HEADER + bytes;
    control[..8].copy_from_slice(&length.to_ne_bytes());
    control[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    let room = control.get_mut(HEADER..length)?;
    for (place, fd) in room.chunks_exact_mut(size_of::<RawFd>()).zip(fds) {
        place.copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
    }
    Some(length.next_multiple_of(ALIGN))
}

/// Gives each descriptor number in turn; false if anything else was there.
fn read_rights(mut control: &[u8], mut each: impl FnMut(RawFd)) -> bool {
    let mut clean = true;
    while let Some((header, _)) = control.split_first_chunk::<HEADER>() {
        let word = |at: usize| i32::from_ne_bytes([0, 1, 2, 3].map(|i| header[at + i]));
        let length = usize::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| header[i]));
        let Some(body) = control.get(HEADER..length) else { return false };
        if (word(8), word(12)) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            let (numbers, rest) = body.as_chunks::<4>();
            numbers.iter().for_each(|&number| each(RawFd::from_ne_bytes(number)));
            clean &= rest.is_empty();
        } else {
            clean = false;
        }
        control = control.get(length.next_multiple_of(ALIGN)..).unwrap_or(&[]);
    }
    clean && control.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{epoll, fd, file, io, process, socket};

    fn bytes() -> [IoSlice<'static>; 1] {
        [IoSlice::new(b"message")]
    }

    #[test]
    fn our_layout_is_the_platforms() {
        // SAFETY: pure arithmetic.
        let (len, space) = unsafe { (libc::CMSG_LEN(4), libc::CMSG_SPACE(4)) };
        let (reader, _writer) = io::pipe().unwrap();
        let mut control = [0; ROOM];
        assert_eq!(write_rights(&mut control, &[reader.as_fd()]), Some(space as usize));
        assert_eq!(control[..8], (len as usize).to_ne_bytes());
        assert_eq!(size_of::<libc::cmsghdr>(), HEADER);
        assert_eq!(write_rights(&mut control, &[reader.as_fd(); FDS + 1]), None);
    }

    #[test]
    fn descriptors_travel() {
        for kind in [socket::STREAM, socket::SEQPACKET] {
            let (a, b) = socket::socketpair(kind).unwrap();
            let (reader, writer) = io::pipe().unwrap();
            let memory = file::memfd(c"limpet:test").unwrap();
            assert_eq!(send_fds(&a, &bytes(), &[writer.as_fd(), memory.as_fd()], 0), Ok(7));
            drop(writer);
            let (mut buf, mut fds) = ([0; 16], FdBuf::<2>::new());
            let got = recv_fds(&b, &mut buf, &mut fds).unwrap();
            assert!(got.is_clean() && got.len == 7 && fds.len() == 2);
            let writer = fds.take(0).unwrap();
            let number = writer.as_raw_fd();
            assert_eq!(fd::inherit(number).unwrap_err(), Errno::EBADF, "close-on-exec");
            io::write(&writer, b"x").unwrap();
            assert_eq!(io::read(&reader, &mut buf), Ok(1));
            let original = file::fstat(&memory).unwrap();
            assert!(file::fstat(fds.take(1).unwrap()).unwrap().same_file(&original));
            assert!(fds.take(2).is_none());
        }
    }

    #[test]
    fn no_descriptors_no_control_data() {
        let (a, b) = socket::socketpair(socket::STREAM).unwrap();
        send_fds(&a, &bytes(), &[], 0).unwrap();
        let (mut buf, mut fds) = ([0; 16], FdBuf::<1>::new());
        let got = recv_fds(&b, &mut buf, &mut fds).unwrap();
        assert!(got.is_clean() && got.len == 7 && fds.is_empty());
        assert_eq!(recv_fds(&b, &mut buf, &mut fds), Err(Errno::EAGAIN));
        drop(a);
        assert_eq!(recv_fds(&b, &mut buf, &mut fds).unwrap().len, 0);
    }

    /// The write end of a pipe is the witness: once all copies are closed, its
    /// reader sees the end.
    #[test]
    fn surplus_descriptors_are_closed() {
        for surplus in [2, FDS, FDS + 4] {
            let (a, b) = socket::socketpair(socket::SEQPACKET).unwrap();
            let (reader, writer) = io::pipe().unwrap();
            send_many(&a, &vec![writer.as_fd(); surplus]);
            drop(writer);
            let (mut buf, mut fds) = ([0; 16], FdBuf::<1>::new());
            let got = recv_fds(&b, &mut buf, &mut fds).unwrap();
            assert!(got.stray && !got.is_clean() && fds.len() == 1);
            assert_eq!(got.control_truncated, surplus > FDS);
            assert_eq!(io::read(&reader, &mut buf), Err(Errno::EAGAIN), "one is still held");
            fds.clear();
            assert!(ended(&reader));
        }
    }

    /// Waits: another test's child may hold a copy for as long as it lives.
    fn ended(reader: &OwnedFd) -> bool {
        let epoll = epoll::Epoll::new().unwrap();
        epoll.add(reader, 0, 0).unwrap();
        epoll.wait(&mut [epoll::Event::NONE], 5000, None) == Ok(1)
    }

    /// As `send_fds`, for more than we ever send.
    fn send_many(socket: &OwnedFd, fds: &[BorrowedFd<'_>]) {
        let mut control = vec![0u64; 32];
        control[0] = (HEADER + size_of_val(fds)) as u64;
        control[1] = (libc::SCM_RIGHTS as u64) << 32 | libc::SOL_SOCKET as u64;
        for (i, fd) in fds.iter().enumerate() {
            control[2 + i / 2] |= (fd.as_raw_fd() as u64) << (i % 2 * 32);
        }
        // SAFETY: all zeroes is a valid msghdr.
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        let parts = bytes();
        message.msg_iov = parts.as_ptr().cast_mut().cast();
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = (HEADER + size_of_val(fds)).next_multiple_of(ALIGN) as _;
        // SAFETY: all that the message points to lives through the call.
        assert!(count(unsafe { libc::sendmsg(raw(socket), &message, 0) }).is_ok());
    }

    #[test]
    fn a_long_message_is_told() {
        let (a, b) = socket::socketpair(socket::SEQPACKET).unwrap();
        send_fds(&a, &bytes(), &[a.as_fd()], 0).unwrap();
        let (mut buf, mut fds) = ([0; 3], FdBuf::<1>::new());
        let got = recv_fds(&b, &mut buf, &mut fds).unwrap();
        assert!(got.truncated && !got.is_clean() && got.len == 3);
    }

    /// At its descriptor limit the kernel opens none of them and says MSG_CTRUNC.
    #[test]
    fn no_room_for_a_descriptor_is_told() {
        use crate::sys::limits::{Limit, Resource, setrlimit};
        let (a, b) = socket::socketpair(socket::SEQPACKET).unwrap();
        send_fds(&a, &bytes(), &[a.as_fd()], 0).unwrap();
        process::in_child(|| {
            setrlimit(Resource::Nofile, Limit { soft: 3, hard: 3 }).unwrap();
            let mut fds = FdBuf::<1>::new();
            let got = recv_fds(&b, &mut [0; 16], &mut fds).unwrap();
            assert!(got.control_truncated && got.len == 7 && fds.is_empty());
        });
    }

    #[test]
    fn other_control_data_is_stray() {
        let message = |length: usize, level: c_int, kind: c_int, body: &[u8]| {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(level.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(body);
            bytes
        };
        let rights =
            |length, body: &[u8]| message(length, libc::SOL_SOCKET, libc::SCM_RIGHTS, body);
        let credentials = message(28, libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &[0; 16]);
        let good = rights(20, &[7, 0, 0, 0, 0, 0, 0, 0]);
        let cases: [(Vec<u8>, &[RawFd], bool); 8] = [
            (vec![], &[], true),
            (good.clone(), &[7], true),
            (good.repeat(2), &[7, 7], true),
            ([credentials, good.clone()].concat(), &[7], false),
            (rights(22, &[7, 0, 0, 0, 1, 1, 0, 0]), &[7], false),
            (rights(15, &[7, 0, 0, 0]), &[], false),
            (rights(usize::MAX, &[7, 0, 0, 0]), &[], false),
            (good[..12].to_vec(), &[], false),
        ];
        for (bytes, numbers, clean) in cases {
            let mut found = Vec::new();
            assert_eq!(read_rights(&bytes, |number| found.push(number)), clean, "{bytes:?}");
            assert_eq!(found, numbers, "{bytes:?}");
        }
    }
}
