//! The way back of an image that was executed in the place of another: a crash, or a hang,
//! executes the one before, which goes on with the descriptors that were left.
//!
//! All is made ready beforehand. The handler does what signal-safety(7) allows: kill, fcntl,
//! setitimer, sigprocmask, execveat. What it starts from may be anything, so it uses nothing else
//! of the process.

use std::ffi::{CString, c_char};
use std::os::fd::RawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering::Relaxed};

use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, c_int};

use super::errno::{Result, done};
use super::process::{self, Pid};
use super::signal::{self, SigSet};

/// What a program dies of that goes wrong.
const CRASHES: [c_int; 5] = [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT];
/// What the timer sends. No other one of ours does.
const LATE: c_int = libc::SIGVTALRM;

/// Of the handler: a crash may be the end of the stack.
const STACK: usize = 64 * 1024;
/// Children that are ended before going back; more than these live on.
const CHILDREN: usize = 1024;

/// Where a way back leads to.
pub struct Way {
    /// A descriptor of what is executed.
    pub executable: RawFd,
    /// What it is to find open.
    pub descriptors: Vec<RawFd>,
    pub args: Vec<CString>,
    /// Its environment after a crash, and when the time is up.
    pub crashed: Vec<CString>,
    pub late: Vec<CString>,
}

/// As long as it lives, the process goes back instead of dying.
pub struct Guard(());

struct Armed {
    pid: Pid,
    way: Way,
    /// The strings as exec takes them.
    args: Vec<*const c_char>,
    crashed: Vec<*const c_char>,
    late: Vec<*const c_char>,
    mask: SigSet,
    timer: libc::timer_t,
    _stack: Vec<u8>,
}

static ARMED: AtomicPtr<Armed> = AtomicPtr::new(null_mut());
static BORN: [AtomicI32; CHILDREN] = [const { AtomicI32::new(0) }; CHILDREN];

impl Guard {
    /// What is blocked now will be blocked then.
    pub fn arm(way: Way, within_ms: u64) -> Result<Guard> {
        let mut stack = vec![0; STACK];
        let place =
            libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
        // SAFETY: the stack lives until the guard is dropped, which gives it up first.
        done(unsafe { libc::sigaltstack(&place, null_mut()) })?;
        let armed = Armed {
            pid: process::getpid(),
            args: process::pointers(&way.args),
            crashed: process::pointers(&way.crashed),
            late: process::pointers(&way.late),
            way,
            mask: signal::mask(),
            timer: start_timer(within_ms)?,
            _stack: stack,
        };
        BORN.iter().for_each(|child| child.store(0, Relaxed));
        ARMED.store(Box::into_raw(Box::new(armed)), Relaxed);
        for signo in CRASHES.into_iter().chain([LATE]) {
            // SAFETY: all zeroes is a valid sigaction.
            let mut what: libc::sigaction = unsafe { std::mem::zeroed() };
            let handler: extern "C" fn(c_int) = go_back;
            what.sa_sigaction = handler as libc::sighandler_t;
            what.sa_flags = libc::SA_ONSTACK;
            // SAFETY: the set is ours to fill.
            unsafe { libc::sigfillset(&mut what.sa_mask) };
            // SAFETY: `what` is whole; the handler is async-signal-safe (see there).
            done(unsafe { libc::sigaction(signo, &what, null_mut()) })?;
        }
        Ok(Guard(()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let armed = ARMED.swap(null_mut(), Relaxed);
        for signo in CRASHES.into_iter().chain([LATE]) {
            // It fails for no signal of these.
            let _ = signal::install(signo, signal::Action::Default);
        }
        // SAFETY: all zeroes is a valid stack_t; it says that there is none any more.
        let mut none: libc::stack_t = unsafe { std::mem::zeroed() };
        none.ss_flags = libc::SS_DISABLE;
        // SAFETY: `none` is whole.
        unsafe { libc::sigaltstack(&none, null_mut()) };
        if !armed.is_null() {
            // SAFETY: it came from `Box::into_raw`, and no handler finds it any more.
            let armed = unsafe { Box::from_raw(armed) };
            // SAFETY: in a child there is no such timer, which is an error and nothing else.
            unsafe { libc::timer_delete(armed.timer) };
        }
    }
}

fn start_timer(ms: u64) -> Result<libc::timer_t> {
    // SAFETY: all zeroes is a valid sigevent.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = LATE;
    let mut timer: libc::timer_t = null_mut();
    // SAFETY: the event is whole, and the number is ours to fill.
    done(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) })?;
    let first = libc::timespec { tv_sec: (ms / 1000) as _, tv_nsec: (ms % 1000 * 1_000_000) as _ };
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let span = libc::itimerspec { it_interval: never, it_value: first };
    // SAFETY: the timer was just made; the old value is not wanted.
    done(unsafe { libc::timer_settime(timer, 0, &span, null_mut()) })?;
    Ok(timer)
}

/// A child that the image before would not know: it ends with this one.
pub fn born(pid: Pid) {
    if !ARMED.load(Relaxed).is_null() {
        replace(0, pid);
    }
}

/// It has ended: its number may be another's.
pub fn ended(pid: Pid) {
    if !ARMED.load(Relaxed).is_null() {
        replace(pid, 0);
    }
}

fn replace(from: Pid, to: Pid) {
    if let Some(place) = BORN.iter().find(|child| child.load(Relaxed) == from) {
        place.store(to, Relaxed);
    }
}

/// Runs at any instruction, on a stack of its own, with all signals blocked. A child that was
/// just forked dies as ever.
extern "C" fn go_back(signo: c_int) {
    let armed = ARMED.swap(null_mut(), Relaxed);
    // SAFETY: what is armed stays where it is until it is swapped out, which was done here.
    if let Some(armed) = unsafe { armed.as_ref() } {
        // SAFETY: takes nothing.
        if unsafe { libc::getpid() } == armed.pid {
            armed.exec(signo);
        }
    }
    // SAFETY: plain numbers; it is blocked until this returns, and then does what it always did.
    unsafe {
        libc::signal(signo, libc::SIG_DFL);
        libc::raise(signo);
    }
}

impl Armed {
    fn exec(&self, signo: c_int) {
        for child in BORN.iter().map(|child| child.load(Relaxed)).filter(|pid| *pid > 0) {
            // SAFETY: plain numbers.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        for fd in &self.way.descriptors {
            // SAFETY: plain numbers.
            unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) };
        }
        let env = if signo == LATE { &self.late } else { &self.crashed };
        // SAFETY: all zeroes is a timer that is not set; both sets are whole; the strings and
        // vectors were made for this and nobody else has them.
        unsafe {
            let never: libc::itimerval = std::mem::zeroed();
            libc::setitimer(libc::ITIMER_REAL, &never, null_mut());
            libc::sigprocmask(libc::SIG_SETMASK, self.mask.as_ptr(), null_mut());
            libc::syscall(
                libc::SYS_execveat,
                self.way.executable,
                c"".as_ptr(),
                self.args.as_ptr(),
                env.as_ptr(),
                libc::AT_EMPTY_PATH,
            );
        }
    }
}
