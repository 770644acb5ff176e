//! `daemon on`: the server leaves the terminal. Beyond nginx, the process that was
//! started stays until the server serves, and its exit code says whether it does.

use std::os::fd::OwnedFd;

use crate::sys::epoll::{self, Epoll};
use crate::sys::process::{self, Fork};
use crate::sys::{Result, clock, fd, file, io};

/// How long the foreground waits for the verdict.
const WAIT_MS: u64 = 10_000;

/// On which side we are.
pub enum Side {
    /// The process that was started: the verdict, an exit code. None: no word in time.
    Foreground(Option<i32>),
    /// The server.
    Background(Report),
}

/// Tells the foreground how the start went. Dropped without a word: it failed.
pub struct Report(Option<OwnedFd>);

impl Report {
    /// For a server that stays in the foreground: there is nobody to tell.
    pub fn nobody() -> Report {
        Report(None)
    }

    pub fn tell(self, code: u8) {
        if let Some(pipe) = self.0 {
            // A foreground that was killed no longer wants to know.
            let _ = io::write(&pipe, &[code]);
        }
    }
}

/// Forks; the child leaves the session, the terminal, and the user's umask.
pub fn leave() -> Result<Side> {
    let (reader, writer) = io::pipe()?;
    match process::fork()? {
        Fork::Parent(_) => {
            drop(writer);
            Ok(Side::Foreground(verdict(&reader)))
        }
        Fork::Child => {
            detach()?;
            Ok(Side::Background(Report(Some(writer))))
        }
    }
}

/// stderr stays until the log has taken it over.
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

fn verdict(reader: &OwnedFd) -> Option<i32> {
    let mut code = [1];
    wait_readable(reader).ok()?.then_some(())?;
    // Nothing to read means that the server is gone and never said a word.
    let _ = io::read(reader, &mut code);
    Some(i32::from(code[0]))
}

fn wait_readable(reader: &OwnedFd) -> Result<bool> {
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
    fn check(server: impl FnOnce(Report), expected: i32) {
        process::in_child(|| match leave().unwrap() {
            Side::Background(report) => {
                server(report);
                process::exit(0)
            }
            Side::Foreground(verdict) => assert_eq!(verdict, Some(expected)),
        });
    }

    #[test]
    fn the_exit_code_is_the_verdict() {
        check(|report| report.tell(0), 0);
        check(|report| report.tell(2), 2);
        check(drop, 1);
        check(|_report| process::exit(0), 1);
    }
}
