//! The error log and every other file that lines go to.
//!
//! `log!(Level::Notice, "…")` writes to the process's own log, the one of the main
//! context; a connection has an `ErrorLog` of its own and says its number with each
//! line. Before a config is read, and until the master says `console(false)`, what
//! is a warning or worse also goes to stderr as `limpet: [emerg] text`, as in nginx.
//!
//! Invariants: one entry is one line, in nginx's form; formatting allocates nothing;
//! no log ever makes the process wait, or ends it. In a worker (`batch(true)`) lines
//! of one loop turn leave together in `flush`; elsewhere at once.

mod bounded;
mod cache;
mod clients;
mod file;
mod files;
mod json;
mod level;
mod line;
mod lines;
mod output;
mod reason;
mod syslog;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

pub use bounded::admits;
pub use cache::{Cache, CacheLimits, append};
pub use clients::{debug_clients, is_debugged};
pub use file::LogFile;
pub use files::{Files, Refused};
pub use level::Level;
pub use line::{Context, Entry, Field};
pub use reason::reason_of;

use crate::sys::{Errno, clock, fd, io, process};
use crate::time;
use line::Line;

/// Where entries go: one target for each `error_log` of a context.
#[derive(Clone)]
pub struct ErrorLog {
    /// The most talkative target's: what nobody wants is never formatted.
    level: Option<Level>,
    /// `debug_connection`: every target takes everything.
    debug: bool,
    targets: Rc<[Target]>,
}

#[derive(Clone)]
pub struct Target {
    pub file: Rc<LogFile>,
    pub level: Level,
    pub form: Form,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// nginx's.
    #[default]
    Plain,
    Json,
}

impl ErrorLog {
    pub fn new(targets: impl IntoIterator<Item = Target>) -> ErrorLog {
        let targets: Rc<[Target]> = targets.into_iter().collect();
        let level = targets.iter().map(|target| target.level).max();
        ErrorLog { level, debug: false, targets }
    }

    #[inline]
    pub fn enabled(&self, level: Level) -> bool {
        Some(level) <= self.level
    }

    /// The same log, for a connection that `debug_connection` names.
    pub fn with_debug(&self) -> ErrorLog {
        ErrorLog { level: Some(Level::Debug), debug: true, targets: Rc::clone(&self.targets) }
    }

    pub fn put(&self, entry: &Entry<'_>) {
        let line = Line::render(entry, pid());
        if entry.level == Level::Emerg {
            reason::hear(line.message());
        }
        let mut shown = false;
        for Target { file, level, form } in self.targets.iter() {
            if entry.level <= *level || self.debug {
                match form {
                    Form::Plain => file.entry(entry.level, line.bytes()),
                    Form::Json => put_object(entry, file),
                }
                shown |= file.is_stderr();
                if entry.level <= Level::Crit || !STATE.with(|state| state.batch.get()) {
                    file.flush();
                }
            }
        }
        if !shown && entry.level <= Level::Warn && STATE.with(|state| state.console.get()) {
            show(entry.level, line.message());
        }
    }
}

#[cold]
fn put_object(entry: &Entry<'_>, file: &Rc<LogFile>) {
    let mut room = [0; json::MAX];
    file.entry(entry.level, json::render(entry, pid(), &mut room));
}

/// An entry of the process's own log: `log!(Level::Alert, errno e, "kill({pid}) failed")`.
/// `log!(Level::Alert, bounded, "…")`: what another process can bring about at will.
macro_rules! log {
    ($level:expr, bounded, $($text:tt)+) => {
        if $crate::log::enabled($level) && $crate::log::admits() {
            $crate::log::put($level, None, format_args!($($text)+));
        }
    };
    ($level:expr, errno $errno:expr, $($text:tt)+) => {
        if $crate::log::enabled($level) {
            $crate::log::put($level, Some($errno), format_args!($($text)+));
        }
    };
    ($level:expr, $($text:tt)+) => {
        if $crate::log::enabled($level) {
            $crate::log::put($level, None, format_args!($($text)+));
        }
    };
}
pub(crate) use log;

/// Makes `log` the process's own.
pub fn set(log: ErrorLog) {
    STATE.with(|state| state.current.replace(Some(log)));
}

/// The process's own log, for what inherits it.
pub fn current() -> ErrorLog {
    let current = STATE.with(|state| state.current.borrow().clone());
    current.unwrap_or_else(|| ErrorLog::new([]))
}

/// Whether `log!` would write anything at this level.
#[inline(never)]
pub fn enabled(level: Level) -> bool {
    STATE.with(|state| {
        let console = level <= Level::Warn && state.console.get();
        console || state.current.borrow().as_ref().is_some_and(|log| log.enabled(level))
    })
}

pub fn put(level: Level, errno: Option<Errno>, text: fmt::Arguments<'_>) {
    current().put(&Entry { level, connection: 0, errno, text, context: None });
}

/// Whether warnings and worse also go to stderr: until the process serves.
pub fn console(on: bool) {
    STATE.with(|state| state.console.set(on));
}

/// What others write to stderr (a library, the kernel's last word about us) goes to
/// the log from here on, if that is a file.
pub fn redirect_stderr() {
    let targets = current().targets;
    if targets.iter().any(|target| target.file.is_stderr()) {
        return;
    }
    for target in targets.iter() {
        match target.file.redirect_stderr() {
            Ok(false) => {}
            Ok(true) => return,
            Err(e) => return log!(Level::Alert, errno e, "dup2(STDERR_FILENO) failed"),
        }
    }
}

pub fn is_console() -> bool {
    STATE.with(|state| state.console.get())
}

/// Whether what is logged at this level can be read on stderr.
pub fn reaches_stderr(level: Level) -> bool {
    current().targets.iter().any(|target| target.file.is_stderr() && level <= target.level)
}

/// Whether lines wait for the end of the loop turn. Crit and worse never do.
pub fn batch(on: bool) {
    STATE.with(|state| state.batch.set(on));
}

/// In a new child: its own pid, and not one line that was the parent's to write.
pub fn forked() {
    STATE.with(|state| {
        state.pid.set(0);
        for file in state.queued.take() {
            file.forget_lines();
            file.unqueued();
        }
    });
}

/// The end of a loop turn: one write for each log that has lines. Some: lines
/// still wait, so this wants to be called again after so many milliseconds.
pub fn flush() -> Option<u64> {
    let told = bounded::tell();
    [told, sweep(LogFile::flush_turn)].into_iter().flatten().min()
}

/// The last flush of a process: slow readers get half a second.
pub fn finish() {
    let deadline = clock::monotonic_ms() + 500;
    while let Some(ms) = sweep(LogFile::finish) {
        if clock::monotonic_ms() >= deadline {
            return;
        }
        let _ = clock::sleep_ms(ms);
        time::update();
    }
}

fn sweep(write: fn(&LogFile) -> Option<u64>) -> Option<u64> {
    let mut wait = u64::MAX;
    let mut at = 0;
    // Not one borrow for all: a log that fails says so, in a log.
    while let Some(file) = STATE.with(|state| state.queued.borrow().get(at).cloned()) {
        match write(&file) {
            None => {
                STATE.with(|state| state.queued.borrow_mut().swap_remove(at));
                file.unqueued();
            }
            Some(ms) => {
                wait = wait.min(ms);
                at += 1;
            }
        }
    }
    // Held without `flush=`: nothing to come back for.
    Some(wait).filter(|ms| *ms < u64::from(u32::MAX))
}

/// Lines that this process has dropped: for the scoreboard.
#[inline]
pub fn dropped() -> u64 {
    STATE.with(|state| state.dropped.get())
}

/// A panic is an alert like any other, and takes no line with it.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log!(Level::Alert, "{panic}");
        flush();
    }));
}

struct State {
    current: RefCell<Option<ErrorLog>>,
    console: Cell<bool>,
    batch: Cell<bool>,
    bounded: bounded::Bounded,
    /// 0: not asked yet.
    pid: Cell<i32>,
    dropped: Cell<u64>,
    /// Logs with lines that wait.
    queued: RefCell<Vec<Rc<LogFile>>>,
    /// Somebody wants to know why what is being done fails.
    heard: RefCell<Option<reason::Heard>>,
}

thread_local! {
    static STATE: State = const {
        State {
            current: RefCell::new(None),
            console: Cell::new(true),
            batch: Cell::new(false),
            bounded: bounded::Bounded::new(),
            pid: Cell::new(0),
            dropped: Cell::new(0),
            queued: RefCell::new(Vec::new()),
            heard: RefCell::new(None),
        }
    };
}

fn queued(file: &Rc<LogFile>) {
    STATE.with(|state| state.queued.borrow_mut().push(Rc::clone(file)));
}

fn count_dropped(lines: u64) {
    STATE.with(|state| state.dropped.set(state.dropped.get() + lines));
}

fn pid() -> i32 {
    STATE.with(|state| {
        if state.pid.get() == 0 {
            state.pid.set(process::getpid());
        }
        state.pid.get()
    })
}

/// `limpet: [emerg] text` on stderr.
fn show(level: Level, message: &[u8]) {
    let head = [b"limpet: [", level.name().as_bytes(), b"] "].concat();
    let _ = io::write(fd::STDERR, &[&head, message, b"\n"].concat());
}
