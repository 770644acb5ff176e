//! limpet: nginx's master and workers, one static file.
#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, allow(dead_code, reason = "tests call the parts, nobody calls the whole"))]

mod cli;
mod conf;
mod cycle;
mod event;
mod http;
mod log;
mod mem;
mod net;
mod process;
mod proto;
mod random;
mod shm;
mod sys;
mod text;
mod time;
mod vars;

/// The program: arguments in, exit code out. sys/entry.rs calls it.
fn run(args: Vec<std::ffi::OsString>) -> i32 {
    cli::run(&args)
}
