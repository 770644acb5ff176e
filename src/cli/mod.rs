//! The command line: what is asked for, and who does it.

mod directives;
mod healthcheck;
mod options;
mod sleep;
mod tester;
mod texts;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cycle::config::Config;
use crate::cycle::source::{self, Source};
use crate::cycle::{self, Refused};
use crate::process::signaller::{Manner, Wanted};
use crate::process::{self, signaller, status};
use crate::sys::signal::{self, Action};
use crate::sys::{fd, io};
use crate::{log, time};
use options::{Options, Signal, Task};

/// The whole program. The arguments begin with its own name.
pub fn run(args: &[OsString]) -> i32 {
    time::start();
    log::catch_panics();
    // A reader of our output that goes away ends the output, not us.
    let _ = signal::install(libc::SIGPIPE, Action::Ignore);
    match Options::parse(args.get(1..).unwrap_or_default()) {
        Ok(options) => obey(&options, args),
        Err(text) => {
            say(&text);
            1
        }
    }
}

fn obey(options: &Options, args: &[OsString]) -> i32 {
    if options.directives {
        return put(&directives::text());
    }
    if options.version {
        print(&texts::shown(options));
        if !options.wishes.test {
            return 0;
        }
    }
    let source = Source::new(&options.wishes);
    match &options.task {
        Some(Task::Healthcheck(url)) => return healthcheck::check(&source, url.as_deref()),
        Some(Task::Sleep(ms)) => return sleep::sleep(*ms),
        None => {}
    }
    match options.signal {
        _ if source.test => tester::test(source, options.quiet, options.dump),
        Some(signal) => tell(signal, options, &source),
        None => process::start(source, args),
    }
}

/// `-s WORD`: a master is told, or shown.
fn tell(signal: Signal, options: &Options, source: &Source) -> i32 {
    let Ok(pid_file) = pid_file(signal, options, source) else { return 1 };
    let config = options.wishes.config.as_ref().map(|_| source.to_string());
    let wanted = Wanted { pid: options.pid, pid_file, config };
    match signal {
        Signal::Send(word) => {
            let manner = Manner { wait: !options.no_wait, quiet: options.quiet };
            signaller::send(word, &wanted, manner)
        }
        Signal::Status => status::print(&wanted, options.json),
    }
}

/// As in nginx, a signal goes to nobody while the config is broken. A look does no harm, and a
/// preStop hook must not fail because a ConfigMap came that was refused.
fn pid_file(signal: Signal, options: &Options, source: &Source) -> Result<PathBuf, Refused> {
    let config = match signal {
        _ if options.pid.is_some() => return Ok(PathBuf::new()),
        Signal::Send(word) if word != "drain" => cycle::read(source)?,
        _ => Config::read(&source.conf, &source.prefix),
    };
    Ok(config.core.pid.unwrap_or_else(|| source::PID.into()))
}

/// `limpet: text`
fn say(text: &str) {
    print(&format!("limpet: {text}\n"));
}

/// What is long and asked for goes to stdout.
fn put(text: &str) -> i32 {
    i32::from(io::write_all(fd::STDOUT, text.as_bytes()).is_err())
}

/// To stderr, as nginx does: there is nobody to tell when even that fails.
fn print(text: &str) {
    let _ = io::write_all(fd::STDERR, text.as_bytes());
}
