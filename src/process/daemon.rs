//! `daemon on`: the server leaves the terminal. Beyond nginx, the process that was
//! started stays until the server serves, and its exit code says whether it does.

use std::fmt;
use std::os::fd::OwnedFd;

use crate::sys::epoll::{self, Epoll};
use crate::sys::process::{self, Fork};
use crate::sys::{Result, clock, fd, file, io};

/// How long the foreground waits for the verdict.
const WAIT_MS: u64 = 10_000;
/// A verdict is written and read at once: it fits an atomic write to a pipe.
const MESSAGE_MAX: usize = 4096;

/// On which side of the fork we are.
pub enum Side {
    /// The process that was started, when it knows.
    Foreground(Verdict),
    /// The server.
    Background(Herald),
}

/// How the start went, as the foreground learns it.
#[derive(PartialEq, Eq, Debug)]
pub enum Verdict {
    Started,
    /// Why not.
    Failed(String),
    /// It ended without a word.
    Gone,
    /// No word in time.
    Late,
}

/// Tells whoever waits how the start went. Dropped without a word: it failed.
pub enum Herald {
    /// The foreground process of a daemonizing start.
    Foreground(OwnedFd),
    /// The terminal that the server stays on, while its stderr is the error log already.
    Terminal(OwnedFd),
}

impl Herald {
    pub fn terminal() -> Option<Herald> {
        fd::duplicate(fd::STDERR).ok().map(Herald::Terminal)
    }

    pub fn started(self) {
        if let Herald::Foreground(pipe) = &self {
            tell(pipe, b"+");
        }
    }

    pub fn failed(self, reason: &str) {
        let reason = reason.as_bytes();
        let reason = &reason[..reason.len().min(MESSAGE_MAX - 1)];
        match &self {
            Herald::Foreground(pipe) => {
                tell(pipe, &[b"-", reason].concat());
                // It is closed by the end of the process, which is waited for.
                std::mem::forget(self);
            }
            Herald::Terminal(stderr) => {
                tell(stderr, &[b"limpet: [emerg] ", reason, b"\n"].concat());
            }
        }
    }
}

/// Who has gone does not want to know.
fn tell(to: &OwnedFd, message: &[u8]) {
    let _ = io::write(to, message);
}

impl Verdict {
    pub fn exit_code(&self) -> i32 {
        i32::from(*self != Verdict::Started)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Started => f.write_str("started"),
            Verdict::Failed(reason) => f.write_str(reason),
            Verdict::Gone => f.write_str("the server ended while it started: see its error log"),
            Verdict::Late => write!(f, "the server has not started within {} s", WAIT_MS / 1000),
        }
    }
}

/// Forks; the child leaves the session, the terminal, and the user's umask.
pub fn leave() -> Result<Side> {
    let (reader, writer) = io::pipe()?;
    match process::fork()? {
        Fork::Parent(_) => {
            drop(writer);
            wait(&reader).map(Side::Foreground)
        }
        Fork::Child => {
            detach()?;
            Ok(Side::Background(Herald::Foreground(writer)))
        }
    }
}

/// stderr stays until the log takes it over.
fn detach() -> Result<()> {
    process::setsid()?;
    process::umask(0);
    // A root without /dev keeps its descriptors: nothing is read from them anyway.
    if let Ok(null) = file::open(c"/dev/null", file::RDWR, 0) {
        fd::replace(fd::STDIN, &null)?;
        fd::replace(fd::STDOUT, &null)?;
    }
    Ok(())
}

fn wait(reader: &OwnedFd) -> Result<Verdict> {
    if !becomes_readable(reader)? {
        return Ok(Verdict::Late);
    }
    let mut message = [0; MESSAGE_MAX];
    let len = io::read(reader, &mut message)?;
    Ok(match &message[..len] {
        [] => Verdict::Gone,
        [b'+', ..] => Verdict::Started,
        [_, reason @ ..] => {
            // Whoever starts it again finds its ports free, and no pid file.
            becomes_readable(reader)?;
            Verdict::Failed(String::from_utf8_lossy(reason).into_owned())
        }
    })
}

fn becomes_readable(reader: &OwnedFd) -> Result<bool> {
    let epoll = Epoll::new()?;
    epoll.add(reader, epoll::IN, 0)?;
    let end = clock::monotonic_ms() + WAIT_MS;
    loop {
        let left = end.saturating_sub(clock::monotonic_ms());
        match epoll.wait(&mut [epoll::Event::NONE], left as i32, None) {
            Ok(ready) => return Ok(ready > 0),
            Err(e) if e.is_transient() => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(server: impl FnOnce(Herald), expected: &Verdict) {
        process::in_child(|| match leave().unwrap() {
            Side::Background(herald) => {
                server(herald);
                process::exit(0)
            }
            Side::Foreground(verdict) => assert_eq!(verdict, *expected),
        });
    }

    #[test]
    fn the_foreground_learns_the_verdict() {
        check(Herald::started, &Verdict::Started);
        check(|herald| herald.failed("no room"), &Verdict::Failed("no room".into()));
        check(drop, &Verdict::Gone);
        check(|_herald| process::exit(0), &Verdict::Gone);
        let long = "x".repeat(5000);
        check(|herald| herald.failed(&long), &Verdict::Failed("x".repeat(4095)));
    }
}
