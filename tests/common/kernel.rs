//! What the tests need of the kernel and std does not offer: namespaces, signals,
//! pidfds, inotify, descriptors of other processes. The only unsafe code in `tests/`.
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub type Pid = i32;

/// Puts the calling thread, and all it will start, into a network of its own.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    raise_loopback()
}

/// Puts the calling thread into the network of another process.
pub fn enter_network(pid: Pid) -> io::Result<()> {
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    // SAFETY: no pointers.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// netdevice(7): `lo` of a new namespace is down.
fn raise_loopback() -> io::Result<()> {
    // SAFETY: no pointers; the result is checked before it is owned.
    let socket = owned(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) })?;
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    let flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: SIOCSIFFLAGS reads a struct ifreq of 40 bytes, which `request` is.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, request.as_ptr()) })?;
    Ok(())
}

pub fn is_root() -> bool {
    // SAFETY: no pointers.
    unsafe { libc::geteuid() == 0 }
}

/// Daemons become children of the test process, so that their exit codes are seen.
pub fn become_subreaper() {
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

pub fn kill(pid: Pid, signal: i32) -> io::Result<()> {
    assert!(pid > 1, "signal {signal} for pid {pid}");
    // SAFETY: no pointers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// A pidfd: readable once the process has ended, whoever's child it is.
pub fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is checked before it is owned.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as RawFd)
}

/// A duplicate of another process's descriptor (pidfd_getfd(2); needs ptrace rights).
pub fn descriptor_of(pid: Pid, fd: RawFd) -> io::Result<OwnedFd> {
    let pidfd = pidfd(pid)?;
    // SAFETY: no pointers; the result is checked before it is owned.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) } as RawFd)
}

/// An option that is an int.
pub fn socket_option(socket: &OwnedFd, level: i32, name: i32) -> i32 {
    let (mut value, mut length) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: `value` is as long as `length` says, and both outlive the call.
    let result = unsafe {
        let value = (&raw mut value).cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, value, &mut length)
    };
    check(result).expect("getsockopt");
    value
}

/// How many connections may wait to be accepted: as many, and one.
pub fn listen_for(socket: &impl AsRawFd, backlog: i32) {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).unwrap();
}

/// Closing will reset the connection: a lingering time of zero (socket(7)).
pub fn reset_on_close(socket: &impl AsRawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: `linger` is as long as said and outlives the call.
    let result = unsafe {
        let (value, length) = ((&raw const linger).cast(), size_of_val(&linger) as u32);
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, length)
    };
    check(result).expect("SO_LINGER");
}

/// So small that a big answer cannot be in flight as a whole.
pub fn shrink_receive_buffer(socket: &impl AsRawFd) {
    let size = 32768i32;
    // SAFETY: `size` is as long as said and outlives the call.
    let result = unsafe {
        let (value, length) = ((&raw const size).cast(), size_of_val(&size) as u32);
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, value, length)
    };
    check(result).expect("SO_RCVBUF");
}

pub fn make_fifo(path: &Path) {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: `path` is a C string that outlives the call.
    check(unsafe { libc::mkfifo(path.as_ptr(), 0o644) }).expect("mkfifo");
}

/// Sends bytes and descriptors over a unix socket, in one message and without waiting:
/// how many bytes went.
pub fn send_with(socket: &OwnedFd, bytes: &[u8], fds: &[RawFd]) -> io::Result<usize> {
    let mut control = [0u64; 32];
    let mut part = libc::iovec { iov_base: bytes.as_ptr() as _, iov_len: bytes.len() };
    // SAFETY: zeroes are a valid msghdr; its pointers are to values that outlive the call;
    // the control buffer is aligned and larger than CMSG_SPACE of the few fds used here.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        if !fds.is_empty() {
            let length = size_of_val(fds) as u32;
            assert!(libc::CMSG_SPACE(length) as usize <= size_of_val(&control));
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(length) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length) as _;
            let data = libc::CMSG_DATA(header).cast::<RawFd>();
            std::ptr::copy_nonoverlapping(fds.as_ptr(), data, fds.len());
        }
        libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Both ends of a socket pair that keeps messages apart.
pub fn seqpacket_pair() -> (OwnedFd, OwnedFd) {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: socketpair writes two ints.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }).unwrap();
    (owned(ends[0]).unwrap(), owned(ends[1]).unwrap())
}

/// A file in memory with these bytes; its size may be final.
pub fn memory_with(bytes: &[u8], is_final: bool) -> OwnedFd {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string.
    let fd = owned(unsafe { libc::memfd_create(c"test".as_ptr(), flags) }).unwrap();
    let mut file = File::from(fd);
    io::Write::write_all(&mut file, bytes).unwrap();
    if is_final {
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
        // SAFETY: no pointers.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }).unwrap();
    }
    file.into()
}

pub fn is_nonblocking(fd: &OwnedFd) -> bool {
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK != 0
}

/// For all who hold this open description.
pub fn set_blocking(fd: &OwnedFd) {
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: no pointers.
    let set = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) };
    check(set).expect("fcntl");
}

/// Waits until `fd` is readable; false when the deadline comes first.
pub fn wait_readable(fd: RawFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, as the count says.
        let ready = unsafe { libc::poll(&mut poll, 1, left.as_millis() as i32 + 1) };
        if ready > 0 {
            return true;
        }
        if left.is_zero() {
            return false;
        }
    }
}

/// Reaps a child of ours: its wait status, or None when it is not (or no longer) ours.
pub fn reap(pid: Pid) -> Option<Ended> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let reaped = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) };
    (reaped == pid).then_some(if libc::WIFEXITED(status) {
        Ended::Code(libc::WEXITSTATUS(status))
    } else {
        Ended::Signal(libc::WTERMSIG(status))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal(i32),
    /// Ended, but as the child of someone else, who has its status.
    Elsewhere,
}

/// Waits for the end of any process and reaps it when it is ours.
pub fn wait_end(pid: Pid, limit: Duration) -> Option<Ended> {
    match pidfd(pid) {
        Ok(fd) if !wait_readable(fd.as_raw_fd(), Instant::now() + limit) => None,
        Ok(_) => Some(reap(pid).unwrap_or(Ended::Elsewhere)),
        Err(_) => Some(Ended::Elsewhere),
    }
}

pub fn prlimit(pid: Pid, resource: i32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is what prlimit64(2) reads; no old value is asked for.
    check(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            resource,
            &raw const limit,
            std::ptr::null_mut::<libc::rlimit64>(),
        )
    } as i32)
    .map(drop)
}

/// Tells of every change in one directory, from its making on.
pub struct Watch {
    inotify: File,
}

impl Watch {
    pub fn new(dir: &Path) -> Self {
        let path = CString::new(dir.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: no pointers; the result is checked before it is owned.
        let inotify = owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })
            .expect("inotify");
        let events = libc::IN_CREATE | libc::IN_MODIFY | libc::IN_DELETE | libc::IN_MOVE;
        // SAFETY: `path` is a C string that outlives the call.
        let added = unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), events) };
        assert!(added >= 0, "inotify_add_watch({dir:?}): {}", io::Error::last_os_error());
        Self { inotify: File::from(inotify) }
    }

    /// Returns after the next change, or at the deadline.
    pub fn wait(&self, deadline: Instant) {
        wait_readable(self.inotify.as_raw_fd(), deadline);
        let mut events = [0; 4096];
        while io::Read::read(&mut &self.inotify, &mut events).is_ok() {}
    }
}

/// What a command does between fork and exec. By default it only frees itself of what the
/// test process was started with: descriptors of cargo, a signal mask.
#[derive(Clone, Default, Debug)]
pub struct Birth {
    pub close: Vec<RawFd>,
    pub limits: Vec<(i32, u64, u64)>,
    pub block: Vec<i32>,
    pub ignore: Vec<i32>,
    /// Becomes the root directory, and nothing in it can be written, not even by root.
    pub chroot: Option<std::path::PathBuf>,
    pub user: Option<(u32, u32)>,
    pub cpus: Vec<usize>,
    /// As on a machine without IPv6.
    pub no_ipv6: bool,
}

impl Birth {
    pub fn apply(&self, command: &mut Command) {
        let birth = self.clone();
        let chroot = birth
            .chroot
            .as_ref()
            .map(|path| CString::new(path.as_os_str().as_encoded_bytes()).unwrap());
        let run = move || birth.run(chroot.as_deref());
        // SAFETY: `run` makes system calls on memory prepared before the fork, nothing else.
        unsafe { command.pre_exec(run) };
    }

    fn run(&self, chroot: Option<&CStr>) -> io::Result<()> {
        for &(resource, soft, hard) in &self.limits {
            prlimit(0, resource, soft, hard)?;
        }
        let (from, flags) = (3, libc::CLOSE_RANGE_CLOEXEC);
        // SAFETY: plain calls; the set lives on this stack and is initialised by sigemptyset,
        // the path is a C string made before the fork.
        unsafe {
            libc::syscall(libc::SYS_close_range, from, u32::MAX, flags);
            // A test run that is killed leaves nothing behind.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if !self.cpus.is_empty() {
                let mut set = std::mem::zeroed();
                self.cpus.iter().for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
                check(libc::sched_setaffinity(0, size_of_val(&set), &set))?;
            }
            if self.no_ipv6 {
                refuse_ipv6()?;
            }
            for &signal in &self.ignore {
                libc::signal(signal, libc::SIG_IGN);
            }
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for &signal in &self.block {
                libc::sigaddset(&mut set, signal);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
            if let Some(path) = chroot {
                make_read_only(path)?;
                check(libc::chroot(path.as_ptr()))?;
                check(libc::chdir(c"/".as_ptr()))?;
            }
            if let Some((uid, gid)) = self.user {
                check(libc::setgroups(0, std::ptr::null()))?;
                check(libc::setgid(gid))?;
                check(libc::setuid(uid))?;
            }
            for &fd in &self.close {
                libc::close(fd);
            }
        }
        Ok(())
    }
}

/// A bind mount of a directory over itself, in a mount namespace of its own.
fn make_read_only(dir: &CStr) -> io::Result<()> {
    let mount = |from: &CStr, to: &CStr, flags| {
        let (kind, options) = (std::ptr::null(), std::ptr::null());
        // SAFETY: the paths are C strings that outlive the call; null is none.
        check(unsafe { libc::mount(from.as_ptr(), to.as_ptr(), kind, flags, options) })
    };
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(dir, dir, libc::MS_BIND)?;
    mount(dir, dir, libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY)?;
    Ok(())
}

/// A seccomp filter: socket(AF_INET6, …) gives EAFNOSUPPORT, all else is allowed.
fn refuse_ipv6() -> io::Result<()> {
    let load = |offset| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let equal = |k, jt, jf| libc::sock_filter { code: 0x15, jt, jf, k };
    let answer = |k| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
    let filter = [
        load(0), // seccomp_data.nr
        equal(libc::SYS_socket as u32, 0, 3),
        load(16), // the low half of args[0]
        equal(libc::AF_INET6 as u32, 0, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program points to `filter`, which outlives the calls and is only read.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        let (mode, program) = (libc::SECCOMP_MODE_FILTER, &raw const program);
        check(libc::prctl(libc::PR_SET_SECCOMP, mode, program))?;
    }
    Ok(())
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    let fd = check(fd)?;
    // SAFETY: the caller got `fd` from the kernel just now and keeps no copy.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
