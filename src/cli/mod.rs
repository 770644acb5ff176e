//! The command line: what is asked for, and who does it.

mod options;
mod texts;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cycle::source::{self, Source, Wishes};
use crate::cycle::{self, Cycle};
use crate::process::signaller::{self, Wanted};
use crate::process::{self, status};
use crate::sys::signal::{self, Action};
use crate::sys::{fd, io};
use crate::{log, time};
use options::{Options, Signal};

/// The whole program. The arguments begin with its own name.
pub fn run(args: &[OsString]) -> i32 {
    time::start();
    log::catch_panics();
    // A reader of our output that goes away ends the output, not us.
    let _ = signal::install(libc::SIGPIPE, Action::Ignore);
    let options = match Options::parse(args.get(1..).unwrap_or_default()) {
        Ok(options) => options,
        Err(text) => return refuse(&text),
    };
    if options.version {
        print(&texts::shown(&options));
        if !options.test {
            return 0;
        }
    }
    let source = Source::new(wishes(&options));
    if let Some(signal) = options.signal {
        return tell(signal, &options, &source);
    }
    if options.test {
        return test(source, &options);
    }
    process::start(source, args)
}

/// `-t` and `-T`: everything that a start would do before it disturbs anybody.
fn test(source: Source, options: &Options) -> i32 {
    let name = source.to_string();
    let say = |text: String| {
        if !options.quiet {
            print(&format!("limpet: {text}\n"));
        }
    };
    let tested = cycle::read(&source).and_then(|config| {
        say(format!("the configuration file {name} syntax is ok"));
        let dump = config.tree.dump();
        Cycle::new(source, config, None)?.open()?;
        Ok(dump)
    });
    let Ok(dump) = tested else {
        print(&format!("limpet: configuration file {name} test failed\n"));
        return 1;
    };
    say(format!("configuration file {name} test is successful"));
    if options.dump {
        let _ = io::write(fd::STDOUT, &dump);
    }
    0
}

/// `-s WORD`: a master is told, or shown.
fn tell(signal: Signal, options: &Options, source: &Source) -> i32 {
    let pid_file = match options.pid {
        Some(_) => PathBuf::new(),
        None => match cycle::read(source) {
            Ok(config) => config.core.pid.unwrap_or_else(|| source::PID.into()),
            Err(cycle::Refused) => return 1,
        },
    };
    let config = options.config.as_ref().map(|_| source.to_string());
    let wanted = Wanted { pid: options.pid, pid_file, config };
    match signal {
        Signal::Status => status::print(&wanted, options.json),
        Signal::Stop | Signal::Quit | Signal::Reopen | Signal::Reload => {
            signaller::send(signal.word(), &wanted)
        }
    }
}

fn wishes(options: &Options) -> Wishes {
    Wishes {
        config: options.config.clone(),
        folder: options.folder.clone(),
        prefix: options.prefix.clone(),
        error_log: options.error_log.clone(),
        globals: options.globals.clone(),
        test: options.test,
    }
}

/// `limpet: text`, and the exit code of a start that did not happen.
fn refuse(text: &str) -> i32 {
    print(&format!("limpet: {text}\n"));
    1
}

/// To stderr, as nginx does: there is nobody to tell when even that fails.
fn print(text: &str) {
    let _ = io::write(fd::STDERR, text.as_bytes());
}
