//! The command line: what is asked for, and who does it.

mod options;
mod texts;

use std::ffi::OsString;

use crate::cycle::source::{Source, Wishes};
use crate::sys::signal::{self, Action};
use crate::sys::{fd, io};
use crate::{log, time};
use options::Options;

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
    let _source = Source::new(wishes(options));
    refuse("not yet")
}

fn wishes(options: Options) -> Wishes {
    Wishes {
        config: options.config,
        folder: options.folder,
        prefix: options.prefix,
        error_log: options.error_log,
        globals: options.globals,
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
