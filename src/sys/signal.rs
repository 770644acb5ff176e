//! Signals: sets and masks, and handlers that only take notes.
//!
//! A handler stores that its signal came, how often, from whom and with which
//! value, in atomics of that signal, and returns; `take` reads the notes. What
//! a signal means is for the loops to say, and they wait for one in
//! `sigsuspend` or in epoll's wait, with everything blocked elsewhere.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::Relaxed};

pub use libc::{
    SIGABRT as ABRT, SIGALRM as ALRM, SIGCHLD as CHLD, SIGCONT as CONT, SIGHUP as HUP,
    SIGINT as INT, SIGIO as IO, SIGKILL as KILL, SIGPIPE as PIPE, SIGQUIT as QUIT, SIGSYS as SYS,
    SIGTERM as TERM, SIGUSR1 as USR1, SIGUSR2 as USR2, SIGWINCH as WINCH,
};
use libc::{c_int, c_void, siginfo_t, sigset_t};

use super::errno::{Errno, Result, done};
use super::process::Pid;

/// What is known of a signal that has come since it was last taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    pub count: u32,
    /// Who sent the last of them; none when the kernel did, or somebody outside
    /// our pid namespace.
    pub pid: Option<Pid>,
    /// What came along with sigqueue; none with kill.
    pub value: Option<i32>,
}

/// Reads and clears the notes of one signal.
#[inline(always)]
pub fn take(signo: c_int) -> Option<Caught> {
    let note = NOTES.get(signo as usize)?;
    if note.count.load(Relaxed) == 0 {
        return None;
    }
    let (code, pid) = (note.code.load(Relaxed), note.pid.load(Relaxed));
    let value = note.value.load(Relaxed);
    Some(Caught {
        count: note.count.swap(0, Relaxed),
        pid: (pid != 0).then_some(pid),
        value: (code == libc::SI_QUEUE).then_some(value),
    })
}

/// Forgets all notes: a child has not been told what its parent was.
pub fn forget_all() {
    for note in &NOTES {
        note.count.store(0, Relaxed);
    }
}

struct Note {
    count: AtomicU32,
    code: AtomicI32,
    pid: AtomicI32,
    value: AtomicI32,
}

static NOTES: [Note; 65] = [const {
    Note {
        count: AtomicU32::new(0),
        code: AtomicI32::new(0),
        pid: AtomicI32::new(0),
        value: AtomicI32::new(0),
    }
}; 65];

/// One of them has been written since somebody asked.
static ANY: AtomicBool = AtomicBool::new(false);

/// Whether a signal has come since the last question. Who asks takes all of them: what comes
/// meanwhile is told the next time, too.
#[inline(always)]
pub fn any_came() -> bool {
    ANY.load(Relaxed) && ANY.swap(false, Relaxed)
}

/// Runs between any two instructions of the process: nothing here allocates,
/// locks or calls, and errno is as it was.
extern "C" fn take_note(signo: c_int, from: *mut siginfo_t, _context: *mut c_void) {
    let errno = Errno::last();
    if let Some(note) = NOTES.get(signo as usize) {
        // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
        let from = unsafe { &*from };
        // Only a sender's signals and SIGCHLD have a pid where si_pid looks for it.
        let has_pid = from.si_code <= 0 || signo == libc::SIGCHLD;
        // SAFETY: as checked; the fields are plain integers.
        let (pid, value) = unsafe { (from.si_pid(), from.si_value().sival_ptr as usize as i32) };
        note.code.store(from.si_code, Relaxed);
        note.pid.store(if has_pid { pid } else { 0 }, Relaxed);
        note.value.store(value, Relaxed);
        note.count.fetch_add(1, Relaxed);
        ANY.store(true, Relaxed);
    }
    errno.restore();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take a note.
    Catch,
    Ignore,
    Default,
}

pub fn install(signo: c_int, action: Action) -> Result<()> {
    // SAFETY: all zeroes is a valid sigaction: default, empty mask, no flags.
    let mut what: libc::sigaction = unsafe { std::mem::zeroed() };
    match action {
        Action::Catch => {
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = take_note;
            what.sa_sigaction = handler as libc::sighandler_t;
            what.sa_flags = libc::SA_SIGINFO;
        }
        Action::Ignore => what.sa_sigaction = libc::SIG_IGN,
        Action::Default => what.sa_sigaction = libc::SIG_DFL,
    }
    // SAFETY: `what` is whole; the handler is async-signal-safe (see there).
    done(unsafe { libc::sigaction(signo, &what, std::ptr::null_mut()) })
}

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SigSet(sigset_t);

impl SigSet {
    pub fn empty() -> SigSet {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset fills the whole set and cannot fail.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            SigSet(set.assume_init())
        }
    }

    pub fn all() -> SigSet {
        let mut set = SigSet::empty();
        // SAFETY: the set is initialised.
        unsafe { libc::sigfillset(&mut set.0) };
        set
    }

    pub fn with(mut self, signo: c_int) -> SigSet {
        // SAFETY: the set is initialised; a number that is no signal changes nothing.
        unsafe { libc::sigaddset(&mut self.0, signo) };
        self
    }

    pub fn contains(&self, signo: c_int) -> bool {
        // SAFETY: the set is initialised.
        unsafe { libc::sigismember(&self.0, signo) == 1 }
    }

    pub(super) fn as_ptr(&self) -> *const sigset_t {
        &self.0
    }
}

impl FromIterator<c_int> for SigSet {
    fn from_iter<I: IntoIterator<Item = c_int>>(signals: I) -> SigSet {
        signals.into_iter().fold(SigSet::empty(), SigSet::with)
    }
}

/// What is blocked now.
pub fn mask() -> SigSet {
    change(libc::SIG_BLOCK, &SigSet::empty())
}

/// Blocks exactly these; returns what was blocked before.
pub fn set_mask(set: &SigSet) -> SigSet {
    change(libc::SIG_SETMASK, set)
}

pub fn block(set: &SigSet) -> SigSet {
    change(libc::SIG_BLOCK, set)
}

pub fn unblock(set: &SigSet) -> SigSet {
    change(libc::SIG_UNBLOCK, set)
}

fn change(how: c_int, set: &SigSet) -> SigSet {
    let mut old = SigSet::empty();
    // SAFETY: both sets are whole. With a valid `how` the call cannot fail.
    unsafe { libc::sigprocmask(how, &set.0, &mut old.0) };
    old
}

/// Waits for a signal with `mask` in place of the blocked set, atomically.
pub fn sigsuspend(mask: &SigSet) {
    // SAFETY: the set is whole. Always returns EINTR: a handler ran.
    unsafe { libc::sigsuspend(&mask.0) };
}

/// Lets pending signals in for a moment: a ppoll(2) of nothing, without waiting.
pub fn let_in() {
    let (none, now) = (std::ptr::null_mut(), libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: no descriptors are looked at; `now` and the set live through the call.
    unsafe { libc::ppoll(none, 0, &now, SigSet::empty().as_ptr()) };
}

/// SIGALRM after `first_ms` (0: none, disarms), then every `every_ms` (0: once).
pub fn setitimer_real(first_ms: u64, every_ms: u64) -> Result<()> {
    let timer = libc::itimerval { it_value: timeval(first_ms), it_interval: timeval(every_ms) };
    // SAFETY: `timer` is whole; the old one is not wanted.
    done(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) })
}

fn timeval(ms: u64) -> libc::timeval {
    libc::timeval {
        tv_sec: (ms / 1000).min(i64::MAX as u64) as i64,
        tv_usec: (ms % 1000) as i64 * 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    #[test]
    fn notes_hold_count_sender_and_value() {
        process::in_child(|| {
            let signo = libc::SIGRTMIN();
            let only = SigSet::empty().with(signo);
            install(signo, Action::Catch).unwrap();
            block(&only);
            for value in [5, 6, -7] {
                process::sigqueue(process::getpid(), signo, value).unwrap();
            }
            assert_eq!(take(signo), None, "blocked");
            Errno::EBADF.restore();
            unblock(&only);
            assert_eq!(Errno::last(), Errno::EBADF, "the handler keeps errno");
            let me = process::getpid();
            assert_eq!(take(signo), Some(Caught { count: 3, pid: Some(me), value: Some(-7) }));
            assert_eq!(take(signo), None, "taken");
            process::kill(me, signo).unwrap();
            assert_eq!(take(signo), Some(Caught { count: 1, pid: Some(me), value: None }));
            process::kill(me, signo).unwrap();
            forget_all();
            assert_eq!(take(signo), None);
        });
    }

    #[test]
    fn an_alarm_ends_the_suspension() {
        process::in_child(|| {
            install(libc::SIGALRM, Action::Catch).unwrap();
            set_mask(&SigSet::all());
            setitimer_real(5, 0).unwrap();
            sigsuspend(&SigSet::empty());
            assert_eq!(take(libc::SIGALRM), Some(Caught { count: 1, pid: None, value: None }));
        });
    }

    #[test]
    fn an_ended_child_is_named() {
        process::in_child(|| {
            set_mask(&SigSet::all());
            install(libc::SIGCHLD, Action::Catch).unwrap();
            let process::Fork::Parent(pid) = process::fork().unwrap() else { process::exit(0) };
            sigsuspend(&SigSet::empty());
            assert_eq!(take(libc::SIGCHLD).unwrap().pid, Some(pid));
            assert_eq!(process::waitpid_any(), Ok(Some((pid, process::Status::Exited(0)))));
            assert_eq!(process::waitpid_any(), Err(Errno::ECHILD));
        });
    }

    #[test]
    fn sets() {
        let set: SigSet = [libc::SIGHUP, libc::SIGTERM].into_iter().collect();
        assert!(set.contains(libc::SIGHUP) && !set.contains(libc::SIGINT));
        assert!(SigSet::all().contains(libc::SIGINT));
        let old = block(&set);
        assert!(mask().contains(libc::SIGTERM));
        assert!(set_mask(&old).contains(libc::SIGTERM));
        assert_eq!(install(0, Action::Ignore), Err(Errno::EINVAL));
        assert_eq!(install(libc::SIGKILL, Action::Catch), Err(Errno::EINVAL));
    }
}
