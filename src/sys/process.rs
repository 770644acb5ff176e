//! Processes: fork, wait, kill, exec, exit, and what prctl decides about one.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use libc::{c_int, c_ulong};

use super::errno::{Errno, Result, check, done};
use super::fd::{own, raw};

/// A number, not a capability: the process may be gone, or another.
pub type Pid = libc::pid_t;

/// On which side of the fork we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    Parent(Pid),
    Child,
}

/// We have one thread, so the child may go on doing anything.
pub fn fork() -> Result<Fork> {
    // SAFETY: with one thread no lock can be held across the fork.
    match check(unsafe { libc::fork() })? {
        0 => {
            OWN_PID.store(0, Relaxed);
            Ok(Fork::Child)
        }
        pid => Ok(Fork::Parent(pid)),
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Exited(i32),
    Signaled { signo: i32, core: bool },
}

/// One child that has ended, if there is one. ECHILD: there is no child at all.
pub fn waitpid_any() -> Result<Option<(Pid, Status)>> {
    wait(-1, libc::WNOHANG)
}

/// Waits for that one (EINTR when a signal came).
pub fn waitpid(pid: Pid) -> Result<Status> {
    wait(pid, 0)?.map(|(_, status)| status).ok_or(Errno::ECHILD)
}

fn wait(pid: Pid, flags: c_int) -> Result<Option<(Pid, Status)>> {
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    let pid = check(unsafe { libc::waitpid(pid, &mut status, flags) })?;
    let status = if libc::WIFSIGNALED(status) {
        Status::Signaled { signo: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
    } else {
        Status::Exited(libc::WEXITSTATUS(status))
    };
    Ok((pid != 0).then_some((pid, status)))
}

/// Whether it is a child of ours that nobody has waited for yet.
pub fn is_child(pid: Pid) -> bool {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all zeroes is a valid siginfo, which is the kernel's to fill.
    unsafe {
        let mut found: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid.unsigned_abs(), &mut found, flags) == 0
    }
}

/// Signal 0 asks only whether it could be sent.
pub fn kill(pid: Pid, signo: c_int) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::kill(pid, signo) })
}

/// Ends a child that leads a session, or is about to, and all that it has started.
pub fn kill_session(leader: Pid) -> Result<()> {
    match kill(-leader, libc::SIGKILL) {
        Err(Errno::ESRCH) => kill(leader, libc::SIGKILL),
        result => result,
    }
}

/// A signal with a number in it.
pub fn sigqueue(pid: Pid, signo: c_int, value: i32) -> Result<()> {
    let value = libc::sigval { sival_ptr: value as usize as *mut _ };
    // SAFETY: the value is a number in a pointer's clothes and is never followed.
    done(unsafe { libc::sigqueue(pid, signo, value) })
}

/// Asked of the kernel once: locks want it often.
pub fn getpid() -> Pid {
    match OWN_PID.load(Relaxed) {
        0 => {
            // SAFETY: takes nothing, cannot fail.
            let pid = unsafe { libc::getpid() };
            OWN_PID.store(pid, Relaxed);
            pid
        }
        pid => pid,
    }
}

/// 0 until asked for; `fork` makes the child ask again.
static OWN_PID: AtomicI32 = AtomicI32::new(0);

/// 1, or a subreaper's, once the parent is gone.
pub fn getppid() -> Pid {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::getppid() }
}

/// What the host is called, at most as many bytes as Linux allows.
pub fn hostname() -> Result<Vec<u8>> {
    let mut name = [0_u8; 65];
    // SAFETY: at most `name.len()` bytes are written.
    done(unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) })?;
    Ok(name.into_iter().take_while(|byte| *byte != 0).collect())
}

/// The kernel and its release: `Linux 6.18.1`.
pub fn kernel() -> Result<String> {
    // SAFETY: utsname is arrays of characters: all zeroes are strings, and the call fills them.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is ours to fill.
    done(unsafe { libc::uname(&mut name) })?;
    let text = |field: &[c_char]| -> String {
        field.iter().take_while(|c| **c != 0).map(|c| char::from(*c as u8)).collect()
    };
    Ok(format!("{} {}", text(&name.sysname), text(&name.release)))
}

/// Readable once the process has ended. ENOSYS before Linux 5.3.
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: plain numbers; the kernel sets close-on-exec.
    own(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as c_int)
}

/// The path by which this program was executed, as the kernel has it (AT_EXECFN).
/// It may be relative to where we were then.
pub fn executable() -> Option<&'static CStr> {
    // SAFETY: takes a number.
    let at = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const c_char;
    // SAFETY: if not null, it is a string that the kernel put behind the
    // environment; it stays there, and no title reaches it.
    (!at.is_null()).then(|| unsafe { CStr::from_ptr(at) })
}

/// Becomes another program; returns only what went wrong.
pub fn execve(path: &CStr, argv: &[CString], env: &[CString]) -> Errno {
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: all strings end in NUL and both vectors in null; all live through the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    Errno::last()
}

/// The same for an executable that may have no name any more.
pub fn execve_fd(fd: impl AsFd, argv: &[CString], env: &[CString]) -> Errno {
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: as above; the empty path with AT_EMPTY_PATH means the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            raw(&fd),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::last()
}

/// As exec takes them: each as long as `strings` live.
pub(super) fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Ends without exit handlers: nothing of the parent's runs twice in a child.
pub fn exit(code: c_int) -> ! {
    // SAFETY: takes a number and never returns.
    unsafe { libc::_exit(code) }
}

/// Ends by SIGABRT, with a core where limits allow.
pub fn abort() -> ! {
    std::process::abort()
}

pub fn setsid() -> Result<()> {
    // SAFETY: takes nothing.
    done(unsafe { libc::setsid() })
}

/// Returns the old mask.
pub fn umask(mask: libc::mode_t) -> libc::mode_t {
    // SAFETY: plain numbers, cannot fail.
    unsafe { libc::umask(mask) }
}

pub fn chdir(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    done(unsafe { libc::chdir(path.as_ptr()) })
}

/// Stops the process where it stands, for a debugger (`debug_points stop`).
pub fn stop_self() -> Result<()> {
    kill(getpid(), libc::SIGSTOP)
}

/// May the process be traced, dump core, and be read through /proc by its user?
/// The kernel says no after a change of uid.
pub fn set_dumpable(on: bool) -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, c_ulong::from(on))
}

/// The signal to get when the parent ends. The kernel forgets it on a change
/// of uid; and if the parent has ended already none comes: check getppid after.
pub fn set_parent_death_signal(signo: c_int) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signo as c_ulong)
}

/// Keeps the permitted capabilities over the next setuid.
pub fn set_keepcaps(on: bool) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, c_ulong::from(on))
}

/// Orphaned grandchildren become our children.
pub fn set_child_subreaper(on: bool) -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, c_ulong::from(on))
}

/// No exec from here on gains privileges.
pub fn set_no_new_privs() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

fn prctl(what: c_int, value: c_ulong) -> Result<()> {
    const NONE: c_ulong = 0;
    // SAFETY: each of the options above takes one number and no pointer.
    done(unsafe { libc::prctl(what, value, NONE, NONE, NONE) })
}

/// Drops every capability but CAP_NET_RAW (transparent binds), kept by `set_keepcaps`.
pub fn keep_only_net_raw() -> Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    const NET_RAW: u32 = 1 << 13;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    let header = Header { version: VERSION_3, pid: 0 };
    // effective, permitted, inheritable; the low 32 capabilities, then the high
    let sets: [u32; 6] = [NET_RAW, NET_RAW, 0, 0, 0, 0];
    // SAFETY: version 3 reads a header and two triples of 32 bits, which these are.
    done(unsafe { libc::syscall(libc::SYS_capset, &header, &sets) } as c_int)
}

/// Runs a test in a process of its own, which has but one thread.
#[cfg(test)]
#[track_caller]
pub fn in_child(test: impl FnOnce()) {
    let Fork::Parent(pid) = fork().unwrap() else {
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)).is_ok();
        exit(c_int::from(!passed))
    };
    assert_eq!(waitpid(pid), Ok(Status::Exited(0)), "in the child");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::io;

    #[test]
    fn a_child_and_its_end() {
        let Fork::Parent(pid) = fork().unwrap() else { exit(7) };
        assert_eq!(waitpid(pid), Ok(Status::Exited(7)));
        assert_eq!(waitpid(pid), Err(Errno::ECHILD));
        assert_eq!(kill(pid, 0), Err(Errno::ESRCH));

        let Fork::Parent(pid) = fork().unwrap() else {
            kill(getpid(), libc::SIGKILL).ok();
            exit(0)
        };
        assert_eq!(waitpid(pid), Ok(Status::Signaled { signo: libc::SIGKILL, core: false }));
    }

    #[test]
    fn exec_by_path_and_by_descriptor() {
        let argv = [c"sh", c"-c", c"test \"$A\" = b && exit 3"].map(CString::from);
        let env = [CString::from(c"A=b")];
        let sh = crate::sys::file::open(c"/bin/sh", libc::O_RDONLY, 0).unwrap();
        let Fork::Parent(pid) = fork().unwrap() else {
            execve(c"/bin/sh", &argv, &env);
            exit(1)
        };
        assert_eq!(waitpid(pid), Ok(Status::Exited(3)));
        let Fork::Parent(pid) = fork().unwrap() else {
            execve_fd(&sh, &argv, &env);
            exit(1)
        };
        assert_eq!(waitpid(pid), Ok(Status::Exited(3)));
        assert_eq!(execve(c"/nonexistent", &argv, &env), Errno::ENOENT);
    }

    #[test]
    fn a_pidfd_tells_the_end() {
        let (reader, writer) = io::pipe().unwrap();
        crate::sys::fd::set_nonblocking(&reader, false).unwrap();
        let Fork::Parent(pid) = fork().unwrap() else {
            drop(writer);
            let _ = io::read(&reader, &mut [0]);
            exit(0)
        };
        let end = pidfd_open(pid).unwrap();
        let epoll = crate::sys::epoll::Epoll::new().unwrap();
        epoll.add(&end, crate::sys::epoll::IN, 1).unwrap();
        let mut events = [crate::sys::epoll::Event::NONE];
        assert_eq!(epoll.wait(&mut events, 0, None), Ok(0));
        drop(writer);
        assert_eq!(epoll.wait(&mut events, 5000, None), Ok(1));
        assert_eq!(waitpid(pid), Ok(Status::Exited(0)));
    }
}
