//! `access_log`: where a request's line goes.

use crate::conf::{Args, Context, Cx, Directive, Error, LogPath, Msec, Node, settings};
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// Empty: off.
        pub access_logs: Rc<Vec<AccessLog>> = Rc::new(Vec::new()),
        pub log_not_found: bool = true,
    }
}

/// One `access_log` line.
#[derive(Clone, Debug)]
pub struct AccessLog {
    pub log: Rc<LogPath>,
    /// `buffer=`: lines wait until they fill so many bytes.
    pub buffer: Option<u64>,
    /// `flush=`: no line waits longer.
    pub flush: Option<Msec>,
}

pub static LOC: [Directive<LocRaw>; 1] =
    [Directive::call("access_log", Context::ALL, Args::ONE_MORE, access_log)];

fn access_log(_raw: &mut LocRaw, _cx: &mut Cx, _node: Node) -> Result<(), Error> {
    Ok(())
}
