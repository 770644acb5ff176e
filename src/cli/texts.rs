//! What `-h`, `-v` and `-V` print, in nginx's form.

use super::options::Options;
use crate::cycle::source;

/// What was asked for of these.
pub fn shown(options: &Options) -> String {
    let mut text = format!("limpet version: limpet/{}\n", env!("CARGO_PKG_VERSION"));
    if options.help {
        text += &help();
    }
    if options.build {
        text += &build();
    }
    text
}

fn help() -> String {
    format!(
        "Usage: limpet [-?hvVtTq] [-s signal] [-p prefix]
              [-e filename] [-c filename] [-g directives]
       limpet [--spa] DIR
       limpet healthcheck [URL]
       limpet sleep TIME

Options:
  -?,-h         : this help
  -h directives : every directive, its contexts and default, and what it is
  -v            : show version and exit
  -V            : show version and how it was built then exit
  -t            : test configuration and exit
  -T            : test configuration, dump it and exit
  -q            : suppress non-error messages during configuration testing
                  and of -s
  -s signal     : send signal to a master process and wait for what comes of it:
                  stop, quit, drain, reopen, reload, upgrade;
                  or show its processes: status
  -p prefix     : set prefix path (default: {prefix})
  -e filename   : set error log file (default: {error_log})
  -c filename   : set configuration file (default: {first},
                  else {second}, else the one inside)
  -g directives : set global directives out of configuration file
  --pid N       : the master process, for -s without a pid file
  --no-wait     : -s sends its signal, and that is all
  --json        : -s status as JSON
  DIR           : serve the files of a directory on port 8080, or PORT
  --spa         : of an application that routes its own paths: what is no file
                  is /index.html
  healthcheck   : ask URL, or the first address of the configuration, and exit
                  with 0 if it answers well
  sleep TIME    : wait so long, and exit

",
        prefix = source::PREFIX,
        error_log = source::ERROR_LOG,
        first = source::CONFIGS[0],
        second = source::CONFIGS[1],
    )
}

/// Scripts look for `configure arguments` to learn the paths.
fn build() -> String {
    format!(
        "built by {rustc}\ntarget: {target}\ncommit: {commit}\n\
         configure arguments: --prefix={prefix} --conf-path={conf} --error-log-path={error_log} \
         --http-log-path={access_log} --pid-path={pid} --lock-path={lock}\n",
        rustc = env!("LIMPET_RUSTC"),
        target = env!("LIMPET_TARGET"),
        commit = env!("LIMPET_COMMIT"),
        prefix = source::PREFIX.trim_end_matches('/'),
        conf = source::CONFIGS[0],
        error_log = source::ERROR_LOG,
        access_log = source::ACCESS_LOG,
        pid = source::PID,
        lock = source::LOCK,
    )
}
