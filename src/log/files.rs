//! The open logs of one cycle: the same name is the same log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

use super::file::LogFile;
use super::output::Output;
use super::syslog::Syslog;
use super::{Level, log};
use crate::sys::{Errno, file, process};
use crate::text::escape::Shown;

pub struct Files {
    /// What relative names start from.
    prefix: PathBuf,
    open: RefCell<BTreeMap<Box<[u8]>, Rc<LogFile>>>,
}

/// Why a log cannot be opened, in nginx's words.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub text: String,
    pub errno: Option<Errno>,
}

const NO_MEMORY_LOGS: &str = "\"memory:\" logs are not supported by limpet: \
    they can only be read with a debugger, use a file or \"syslog:\"";

impl Files {
    pub fn new(prefix: impl Into<PathBuf>) -> Files {
        Files { prefix: prefix.into(), open: RefCell::default() }
    }

    /// A path, `syslog:…`, or one of the names of an inherited descriptor
    /// (`stderr`, `/dev/stdout`, `/proc/self/fd/N`).
    pub fn open(&self, name: &[u8]) -> Result<Rc<LogFile>, Refused> {
        let name = self.full_name(name);
        let mut open = self.open.borrow_mut();
        if let Some(file) = open.get(&name) {
            return Ok(Rc::clone(file));
        }
        let file = open_new(&name)?;
        open.insert(name, Rc::clone(&file));
        Ok(file)
    }

    /// Opens every path anew and goes on there. The master gives the new files to
    /// the workers' user; a worker passes None. A file that cannot be had: the old
    /// one is kept.
    pub fn reopen(&self, owner: Option<u32>) {
        for file in self.open.borrow().values().filter(|file| is_path(file.name())) {
            match open_for(file.name(), owner) {
                Ok(output) => file.replace_output(output),
                Err(refused) => refused.log(),
            }
        }
    }

    /// Whether there can be a log of that name, without opening it.
    pub fn check(name: &[u8]) -> Result<(), String> {
        if name.starts_with(b"memory:") {
            return Err(NO_MEMORY_LOGS.into());
        }
        let parameters = name.strip_prefix(b"syslog:");
        parameters.map_or(Ok(()), |parameters| Syslog::parse(parameters).map(drop))
    }

    /// stdout has become something else: so does its log.
    pub fn follow_stdout(&self) {
        if let Some(log) = self.open.borrow().get(&b"stdout"[..]) {
            match Output::inherited(1) {
                Ok(output) => log.replace_output(output),
                Err(e) => Refused::call("open", b"stdout", e).log(),
            }
        }
    }

    fn full_name(&self, name: &[u8]) -> Box<[u8]> {
        match inherited_number(name).or_else(|| in_container(name)) {
            Some(1) => b"stdout"[..].into(),
            Some(2) => b"stderr"[..].into(),
            None if is_path(name) => {
                self.prefix.join(OsStr::from_bytes(name)).into_os_string().as_bytes().into()
            }
            _ => name.into(),
        }
    }
}

fn open_new(name: &[u8]) -> Result<Rc<LogFile>, Refused> {
    if let Some(number) = inherited_number(name) {
        let failed = |e| Refused::call("open", name, e);
        let file = LogFile::new(name, Output::inherited(number).map_err(failed)?);
        file.warn_if_it_waits();
        return Ok(file);
    }
    if let Some(parameters) = name.strip_prefix(b"syslog:") {
        return Ok(LogFile::syslog(name, Syslog::parse(parameters).map_err(Refused::text)?));
    }
    if name.starts_with(b"memory:") {
        return Err(Refused::text(NO_MEMORY_LOGS.into()));
    }
    Ok(LogFile::new(name, open_for(name, None)?))
}

fn open_for(path: &[u8], owner: Option<u32>) -> Result<Output, Refused> {
    let output = Output::open(path).map_err(|e| Refused::call("open", path, e))?;
    if let Some(uid) = owner {
        give(&output, uid).map_err(|e| Refused::call("chown", path, e))?;
    }
    Ok(output)
}

/// By descriptor: a path could have become a link to something else meanwhile.
fn give(output: &Output, uid: u32) -> crate::sys::Result<()> {
    const OWNER_RW: u32 = 0o600;
    let stat = file::fstat(output.fd())?;
    if !stat.is_file() {
        return Ok(());
    }
    if stat.uid != uid {
        file::fchown(output.fd(), uid, None)?;
    }
    if stat.mode & OWNER_RW != OWNER_RW {
        file::fchmod(output.fd(), (stat.mode | OWNER_RW) & 0o7777)?;
    }
    Ok(())
}

fn inherited_number(name: &[u8]) -> Option<RawFd> {
    match name {
        b"stdout" | b"/dev/stdout" => Some(1),
        b"" | b"stderr" | b"/dev/stderr" => Some(2),
        path => {
            let number = path.strip_prefix(b"/proc/self/fd/").or(path.strip_prefix(b"/dev/fd/"))?;
            std::str::from_utf8(number).ok()?.parse().ok()
        }
    }
}

/// An image of nginx has links in place of these. One of limpet alone has not even their folder,
/// and where it is process 1 they mean the same.
fn in_container(name: &[u8]) -> Option<RawFd> {
    let number = match name {
        b"/var/log/nginx/access.log" => 1,
        b"/var/log/nginx/error.log" => 2,
        _ => return None,
    };
    let missing = || !std::path::Path::new("/var/log/nginx").exists();
    (process::getpid() == 1 && missing()).then_some(number)
}

fn is_path(name: &[u8]) -> bool {
    !name.starts_with(b"syslog:")
        && !name.starts_with(b"memory:")
        && inherited_number(name).is_none()
}

impl Refused {
    fn text(text: String) -> Refused {
        Refused { text, errno: None }
    }

    fn call(call: &str, path: &[u8], errno: Errno) -> Refused {
        let text = format!("{call}() \"{}\" failed", Shown(path));
        Refused { text, errno: Some(errno) }
    }

    fn log(&self) {
        match self.errno {
            Some(errno) => log!(Level::Emerg, errno errno, "{}", self.text),
            None => log!(Level::Emerg, "{}", self.text),
        }
    }
}

/// nginx's form: `open() "/x" failed (2: No such file or directory)`.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.errno.map_or(Ok(()), |errno| write!(f, " ({errno})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_inherited_descriptors_are_one() {
        let files = Files::new("/prefix");
        for name in ["", "stderr", "/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"] {
            assert_eq!(&*files.full_name(name.as_bytes()), b"stderr", "{name}");
        }
        assert_eq!(&*files.full_name(b"logs/a"), b"/prefix/logs/a");
        assert_eq!(&*files.full_name(b"/logs/a"), b"/logs/a");
        assert_eq!(&*files.full_name(b"syslog:server=x"), b"syslog:server=x");
        assert_eq!(&*files.full_name(b"/proc/self/fd/x"), b"/proc/self/fd/x");
    }

    #[test]
    fn refusals_in_the_words_of_nginx() {
        let files = Files::new("/nowhere");
        let refused = |name: &str| files.open(name.as_bytes()).err().unwrap().to_string();
        let missing = "open() \"/nowhere/a\" failed (2: No such file or directory)";
        assert_eq!(refused("a"), missing);
        assert_eq!(refused("syslog:tag=x"), "no syslog server specified");
        assert!(refused("memory:1m").starts_with("\"memory:\" logs are not supported by limpet"));
        let unopened = "open() \"/proc/self/fd/999999\" failed (9: Bad file descriptor)";
        assert_eq!(refused("/proc/self/fd/999999"), unopened);
    }
}
