//! The start line: what is served, where, with which config, and by how many and why.
//!
//! `/srv on http://localhost:8080, the built-in config, worker_processes auto: 2 (…)`

use std::fmt;

use super::{Cycle, Source};
use crate::conf::Main;
use crate::sys::addr::Addr;

/// More addresses than this are counted.
const SHOWN: usize = 4;

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Main::Folder(folder) = &self.source.conf.main {
            write!(f, "{} on ", folder.display())?;
        }
        // Of the sockets with reuseport the first worker's stands for all.
        let open = self.listening.iter().filter(|it| it.socket().is_some() && it.is_for(0));
        addresses(f, open.map(|listener| &listener.addr))?;
        config(f, &self.source)?;
        match (self.core.master_process, &self.auto) {
            (false, _) => f.write_str(", one process"),
            (true, Some(auto)) => write!(f, ", worker_processes auto: {auto}"),
            (true, None) if self.workers == 1 => f.write_str(", 1 worker"),
            (true, None) => write!(f, ", {} workers", self.workers),
        }
    }
}

fn addresses<'a>(
    f: &mut fmt::Formatter<'_>,
    mut open: impl Iterator<Item = &'a Addr>,
) -> fmt::Result {
    for (nth, addr) in open.by_ref().take(SHOWN).enumerate() {
        write!(f, "{}{}", if nth == 0 { "" } else { ", " }, Url(addr))?;
    }
    match open.count() {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

/// What to type into a browser on this machine.
struct Url<'a>(&'a Addr);

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Addr::Unix(_) => self.0.fmt(f),
            Addr::V4(_) if self.0.is_wildcard() => {
                write!(f, "http://localhost:{}/", self.0.port())
            }
            Addr::V6(_) if self.0.is_wildcard() => write!(f, "http://[::1]:{}/", self.0.port()),
            Addr::V4(_) | Addr::V6(_) => write!(f, "http://{}/", self.0),
        }
    }
}

fn config(f: &mut fmt::Formatter<'_>, source: &Source) -> fmt::Result {
    match source.conf.main {
        Main::File(_) => write!(f, ", config {source}"),
        Main::Embedded(_) | Main::Folder(_) => f.write_str(", the built-in config"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Addresses<'a>(&'a [&'a str]);

    impl fmt::Display for Addresses<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let parsed: Vec<Addr> =
                self.0.iter().map(|text| Addr::parse(text, 80).unwrap()).collect();
            addresses(f, parsed.iter())
        }
    }

    #[test]
    fn addresses_are_what_a_browser_takes() {
        let cases: [(&[&str], &str); 4] = [
            (&["8080"], "http://localhost:8080/"),
            (&["127.0.0.2:81", "[::]:80"], "http://127.0.0.2:81/, http://[::1]:80/"),
            (&["unix:/x"], "unix:/x"),
            (
                &["1", "2", "3", "4", "5", "6"],
                "http://localhost:1/, http://localhost:2/, http://localhost:3/, \
                 http://localhost:4/ and 2 more",
            ),
        ];
        for (listening, text) in cases {
            assert_eq!(Addresses(listening).to_string(), text);
        }
    }
}
