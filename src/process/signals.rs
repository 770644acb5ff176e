//! The signals: what each is called, and what it asks of whom.
//!
//! One table serves the handlers, the log and the command line (`-s WORD`). A
//! handler only takes a note; here the notes are read, logged in nginx's words,
//! one line for each signal and turn, and become requests that a loop works off.

use crate::log::{Level, log};
use crate::sys::signal::{self, Action, Caught, SigSet};
use crate::sys::{Result, process::Pid};

pub struct Signal {
    pub number: i32,
    pub name: &'static str,
    /// `-s WORD`; empty for none.
    pub word: &'static str,
    master: Request,
    worker: Request,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Request {
    Terminate,
    /// The first TERM where it is graceful: quit, within a time.
    QuitByTerm,
    Quit,
    /// Quit after a while in which everything goes on but tells that it will end.
    Drain,
    /// WINCH to a worker: quit, and stop at the debug points.
    DebugQuit,
    Reconfigure,
    Reopen,
    ChangeBinary,
    NoAccept,
    Reap,
    /// Something in the deadline list may be due: looked at in every turn anyway.
    Alarm,
    /// A channel can be read, or written again.
    Io,
    Ignored,
}

use Request::{
    Alarm, ChangeBinary, DebugQuit, Drain, Ignored, Io, NoAccept, Quit, QuitByTerm, Reap,
    Reconfigure, Reopen, Terminate,
};

/// Of those that come in one turn WINCH is first: a HUP beside it brings the workers back.
pub static SIGNALS: [Signal; 10] = [
    row(signal::WINCH, "SIGWINCH", "", NoAccept, DebugQuit),
    row(signal::HUP, "SIGHUP", "reload", Reconfigure, Ignored),
    row(signal::USR1, "SIGUSR1", "reopen", Reopen, Reopen),
    row(signal::TERM, "SIGTERM", "stop", Terminate, Terminate),
    row(signal::QUIT, "SIGQUIT", "quit", Quit, Quit),
    row(signal::USR2, "SIGUSR2", "upgrade", ChangeBinary, Ignored),
    row(signal::ALRM, "SIGALRM", "", Alarm, Alarm),
    row(signal::INT, "SIGINT", "", Terminate, Terminate),
    row(signal::IO, "SIGIO", "", Io, Ignored),
    row(signal::CHLD, "SIGCHLD", "", Reap, Reap),
];

/// What comes along with a QUIT by sigqueue that means *drain*.
pub const DRAIN: i32 = 1;

/// A broken connection is an error of the write, not a death.
const IGNORED: [i32; 2] = [signal::PIPE, signal::SYS];

const fn row(
    number: i32,
    name: &'static str,
    word: &'static str,
    master: Request,
    worker: Request,
) -> Signal {
    Signal { number, name, word, master, worker }
}

impl Request {
    /// What the line says after who it came from.
    fn words(self) -> &'static str {
        match self {
            Terminate => ", exiting",
            Quit | QuitByTerm | DebugQuit => ", shutting down",
            Drain => ", draining",
            Reconfigure => ", reconfiguring",
            Reopen => ", reopening logs",
            ChangeBinary => ", changing binary",
            NoAccept => ", stop accepting connections",
            Ignored => ", ignoring",
            Reap | Alarm | Io => "",
        }
    }
}

/// Who asks the table, and what is open to it just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Master {
        /// Whether WINCH means anything: on a terminal it only says that a window was resized.
        winch: bool,
        /// The next TERM lets what has begun finish.
        graceful: bool,
        /// A new binary runs, or this one is new and its parent is still there.
        upgrading: bool,
    },
    Single,
    /// A worker or a helper.
    Worker {
        winch: bool,
        graceful: bool,
    },
}

impl Role {
    /// None: logged without a word, as nginx does with WINCH in the foreground, where a
    /// terminal sends it for every change of its size.
    fn request(self, signal: &Signal, caught: Caught) -> Option<Request> {
        Some(match (self, signal.master) {
            (Role::Single, NoAccept | ChangeBinary) => Ignored,
            (Role::Master { upgrading: true, .. }, ChangeBinary) => Ignored,
            (Role::Master { winch: false, .. } | Role::Worker { winch: false, .. }, NoAccept) => {
                return None;
            }
            (Role::Master { .. }, Quit) if caught.value == Some(DRAIN) => Drain,
            (
                Role::Master { graceful: true, .. } | Role::Worker { graceful: true, .. },
                Terminate,
            ) if signal.number == signal::TERM && caught.count == 1 => QuitByTerm,
            (Role::Worker { .. }, _) => signal.worker,
            (_, request) => request,
        })
    }
}

/// What a loop has been asked to do, by signal or by channel, and has not done yet.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub terminate: bool,
    pub quit: bool,
    /// Quit, by a TERM that is graceful.
    pub by_term: bool,
    pub drain: bool,
    pub debug_quit: bool,
    pub reconfigure: bool,
    pub reopen: bool,
    pub change_binary: bool,
    /// That was asked for when it cannot be had.
    pub refused: bool,
    pub noaccept: bool,
    pub reap: bool,
    pub io: bool,
}

impl Wanted {
    /// Reads and logs what has come since the last turn.
    pub fn take_signals(&mut self, role: Role) {
        if !signal::any_came() {
            return;
        }
        for signal in &SIGNALS {
            if let Some(caught) = signal::take(signal.number) {
                self.note(role, signal, caught);
            }
        }
    }

    fn note(&mut self, role: Role, signal: &Signal, caught: Caught) {
        let request = role.request(signal, caught);
        announce(signal, caught, request.map_or("", Request::words));
        match request {
            Some(Terminate) => self.terminate = true,
            Some(Quit) => self.quit = true,
            Some(QuitByTerm) => (self.quit, self.by_term) = (true, true),
            Some(Drain) => self.drain = true,
            Some(DebugQuit) => (self.quit, self.debug_quit) = (true, true),
            Some(Reconfigure) => (self.reconfigure, self.noaccept) = (true, false),
            Some(Reopen) => self.reopen = true,
            Some(ChangeBinary) => self.change_binary = true,
            Some(NoAccept) => self.noaccept = true,
            Some(Reap) => self.reap = true,
            Some(Io) => self.io = true,
            Some(Ignored) => self.refuse(role, signal),
            Some(Alarm) | None => {}
        }
    }
}

impl Wanted {
    /// Who waits for a new binary is to be told that none will come.
    fn refuse(&mut self, role: Role, signal: &Signal) {
        self.refused |= signal.master == ChangeBinary && !matches!(role, Role::Worker { .. });
        if matches!(role, Role::Master { .. }) {
            log!(
                Level::Crit,
                "the changing binary signal is ignored: you should shutdown or terminate before \
                 either old or new binary's process"
            );
        }
    }
}

fn announce(signal: &Signal, caught: Caught, action: &str) {
    let Signal { number, name, .. } = signal;
    let times = Times(caught.count);
    match caught.pid {
        Some(pid) => {
            log!(Level::Notice, "signal {number} ({name}) received from {pid}{action}{times}");
        }
        None => log!(Level::Notice, "signal {number} ({name}) received{action}{times}"),
    }
}

/// ` (12 times)`, unless once.
struct Times(u32);

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 > 1 { write!(f, " ({} times)", self.0) } else { Ok(()) }
    }
}

/// None of them gets through before it has a handler.
pub fn block() {
    signal::block(&SIGNALS.iter().map(|signal| signal.number).collect::<SigSet>());
}

/// Blocks all of them, then installs the handlers: none can hit a half-made process.
/// From here on they come in only where a loop waits.
pub fn install() -> Result<()> {
    block();
    for signal in &SIGNALS {
        signal::install(signal.number, Action::Catch)?;
    }
    IGNORED.iter().try_for_each(|number| signal::install(*number, Action::Ignore))
}

/// The signal for `-s WORD`.
pub fn of_word(word: &str) -> Option<&'static Signal> {
    SIGNALS.iter().find(|signal| !word.is_empty() && signal.word == word)
}

/// A child that was told something the channel could not carry gets this instead.
pub fn send(pid: Pid, number: i32) -> Result<()> {
    log!(Level::Debug, "kill ({pid}, {number})");
    crate::sys::process::kill(pid, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: Role = Role::Master { winch: true, graceful: false, upgrading: false };

    fn asked(role: Role, number: i32) -> Wanted {
        let mut wanted = Wanted::default();
        let signal = SIGNALS.iter().find(|signal| signal.number == number).unwrap();
        wanted.note(role, signal, Caught { count: 1, pid: None, value: None });
        wanted
    }

    #[test]
    fn who_is_asked_what() {
        let none = Wanted::default();
        assert!(asked(MASTER, signal::TERM).terminate);
        assert!(asked(MASTER, signal::INT).terminate);
        assert!(asked(MASTER, signal::HUP).reconfigure);
        assert!(asked(MASTER, signal::WINCH).noaccept);
        assert!(asked(MASTER, signal::USR2).change_binary);
        assert_eq!(
            asked(Role::Master { winch: false, graceful: false, upgrading: false }, signal::WINCH),
            none
        );
        let upgrading = Role::Master { winch: true, graceful: false, upgrading: true };
        let refused = Wanted { refused: true, ..none };
        assert_eq!(asked(upgrading, signal::USR2), refused);
        assert_eq!(asked(Role::Single, signal::USR2), refused);
        assert_eq!(asked(Role::Single, signal::WINCH), none);
        let worker = Role::Worker { winch: true, graceful: false };
        assert_eq!(asked(worker, signal::HUP), none);
        assert_eq!(asked(worker, signal::USR2), none);
        let quit = asked(worker, signal::WINCH);
        assert!(quit.quit && quit.debug_quit);
        assert_eq!(asked(Role::Worker { winch: false, graceful: false }, signal::WINCH), none);
    }

    #[test]
    fn a_term_may_be_graceful_once() {
        let term = SIGNALS.iter().find(|signal| signal.number == signal::TERM).unwrap();
        let caught = |count| Caught { count, pid: None, value: None };
        let master = Role::Master { winch: false, graceful: true, upgrading: false };
        for role in [master, Role::Worker { winch: false, graceful: true }] {
            let mut wanted = Wanted::default();
            wanted.note(role, term, caught(1));
            assert!(wanted.quit && wanted.by_term && !wanted.terminate);
            wanted.note(role, term, caught(2));
            assert!(wanted.terminate, "two at once");
            assert!(asked(role, signal::INT).terminate);
        }
    }

    #[test]
    fn a_quit_with_a_value_drains() {
        let quit = SIGNALS.iter().find(|signal| signal.number == signal::QUIT).unwrap();
        let caught = Caught { count: 1, pid: None, value: Some(DRAIN) };
        let mut wanted = Wanted::default();
        wanted.note(MASTER, quit, caught);
        assert!(wanted.drain && !wanted.quit);
        let mut wanted = Wanted::default();
        wanted.note(Role::Worker { winch: true, graceful: false }, quit, caught);
        assert!(wanted.quit && !wanted.drain);
    }

    #[test]
    fn a_later_hup_takes_a_winch_back() {
        let mut wanted = asked(MASTER, signal::WINCH);
        let hup = SIGNALS.iter().find(|signal| signal.number == signal::HUP).unwrap();
        wanted.note(MASTER, hup, Caught { count: 1, pid: None, value: None });
        assert!(wanted.reconfigure && !wanted.noaccept);
    }

    #[test]
    fn words_of_the_command_line() {
        let numbers =
            ["stop", "quit", "reopen", "reload"].map(|word| of_word(word).unwrap().number);
        assert_eq!(numbers, [signal::TERM, signal::QUIT, signal::USR1, signal::HUP]);
        assert!(of_word("").is_none());
        assert!(of_word("halt").is_none());
    }
}
