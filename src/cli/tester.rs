//! The tester: `-t` and `-T`. Does all that a start would do before it disturbs anybody.

use super::say;
use crate::cycle::source::Source;
use crate::cycle::{self, Cycle, Inherited, Refused};
use crate::net::listen::Listening;
use crate::net::upstream::unresolved_now;
use crate::process::upgrade;
use crate::sys::{fd, io};

/// Says whether the config is good, in nginx's words; the exit code.
pub fn test(source: Source, quiet: bool, dump: bool) -> i32 {
    let name = source.to_string();
    let Ok(texts) = check(source, &name, quiet, dump) else {
        say(&format!("configuration file {name} test failed"));
        return 1;
    };
    upgrade::vouch();
    if !quiet {
        say(&format!("configuration file {name} test is successful"));
    }
    i32::from(io::write_all(fd::STDOUT, &texts).is_err())
}

/// With `dump` the texts of the config's files, as `-T` prints them.
fn check(source: Source, name: &str, quiet: bool, dump: bool) -> Result<Vec<u8>, Refused> {
    let config = cycle::read(&source)?;
    if !quiet {
        say(&format!("the configuration file {name} syntax is ok"));
    }
    let texts = if dump { config.tree.dump() } else { Vec::new() };
    let mut cycle = Cycle::new(
        source,
        config,
        &Inherited { listening: &Listening::new(), zones: &[], generation: 1 },
    )?;
    cycle.open()?;
    look_up_names(&cycle)?;
    // The process ends: taking a large configuration apart would be a seventh of its time.
    std::mem::forget(cycle);
    Ok(texts)
}

/// Warns of names that have no address; they are errors only where the configuration says so.
fn look_up_names(cycle: &Cycle) -> Result<(), Refused> {
    /// A start would not wait at all.
    const WITHIN_MS: u64 = 5000;
    let http = cycle.http();
    let groups = http.upstreams.groups();
    if groups.iter().all(|group| group.servers().iter().all(|server| !server.is_named())) {
        return Ok(());
    }
    let strict = http.conf.upstreams.strict;
    let missing = unresolved_now(groups, WITHIN_MS).unwrap_or_default();
    for name in &missing {
        let level = if strict { "emerg" } else { "warn" };
        say(&format!("[{level}] {}", name.at_start()));
    }
    if strict && !missing.is_empty() { Err(Refused) } else { Ok(()) }
}
