//! `disable_symlinks`: files are opened step by step, and no link is followed, or none of
//! another owner's.

use super::LocRaw;
use crate::conf::{Cx, Error, Node, Template};
use crate::sys::errno::{Errno, Result};
use crate::sys::file;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// What is checked of a path.
#[derive(Debug)]
pub struct Symlinks {
    pub rule: Rule,
    /// What stands before that is not checked.
    pub from: Option<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No links.
    Refuse,
    /// No links whose owner is not their target's.
    IfNotOwner,
}

/// `disable_symlinks off | on [from=PART] | if_not_owner [from=PART];`
pub fn disable_symlinks(
    raw: &mut LocRaw,
    cx: &mut Cx,
    node: Node,
) -> std::result::Result<(), Error> {
    if raw.disable_symlinks.is_some() {
        return Err(Error::directive(node, "is duplicate"));
    }
    let (mut rule, mut from) = (None, None);
    for word in node.args() {
        match word.bytes() {
            b"off" => rule = Some(None),
            b"on" => rule = Some(Some(Rule::Refuse)),
            b"if_not_owner" => rule = Some(Some(Rule::IfNotOwner)),
            [b'f', b'r', b'o', b'm', b'=', _, ..] => from = Some(cx.template(word.part(5))?),
            _ => return Err(Error::invalid_parameter(word)),
        }
    }
    let text: String = match (rule, node.args_len(), &from) {
        (None, ..) => {
            "\"disable_symlinks\" must have \"off\", \"on\" or \"if_not_owner\" parameter".into()
        }
        (_, 2, None) => format!("duplicate parameters \"{} {}\"", node.arg(0), node.arg(1)),
        (Some(None), _, Some(_)) => "\"from=\" cannot be used with \"off\" parameter".into(),
        (Some(rule), ..) => {
            raw.disable_symlinks = Some(rule.map(|rule| Rc::new(Symlinks { rule, from })));
            return Ok(());
        }
    };
    Err(Error::at(node.name(), text))
}

/// Opens a path, which ends with its NUL, for reading; of its first `from` bytes links are
/// followed. ELOOP: it is such a link (ngx_open_file_wrapper).
pub fn open(path: &[u8], rule: Rule, from: usize) -> Result<OwnedFd> {
    const SEARCH: i32 = file::PATH | file::DIRECTORY | file::NONBLOCK;
    const READ: i32 = file::RDONLY | file::NONBLOCK;
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    let (start, rest) = path.split_at(from.min(path.len()));
    let start = if start.is_empty() { b"/" } else { start };
    let mut at = with_nul::<PATH_MAX>(start, |start| file::open(start, SEARCH, 0))?;
    let mut steps = rest.split(|byte| *byte == b'/').peekable();
    while let Some(step) = steps.next() {
        let last = steps.peek().is_none();
        match step {
            b"" if last => return file::openat(&at, c".", READ, 0),
            b"" => {}
            _ => {
                let flags = if last { READ } else { SEARCH };
                at = with_nul::<NAME_MAX>(step, |step| enter(&at, step, rule, flags))?;
            }
        }
    }
    Ok(at)
}

/// One step of a path.
fn enter(at: &OwnedFd, step: &CStr, rule: Rule, flags: i32) -> Result<OwnedFd> {
    if rule == Rule::Refuse {
        return file::openat(at, step, flags | file::NOFOLLOW, 0);
    }
    let fd = file::openat(at, step, flags, 0)?;
    match file::lstat_at(at, step)?.uid == file::fstat(&fd)?.uid {
        true => Ok(fd),
        false => Err(Errno::ELOOP),
    }
}

/// What the kernel takes, with the NUL.
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 256;

fn with_nul<const ROOM: usize>(
    text: &[u8],
    then: impl FnOnce(&CStr) -> Result<OwnedFd>,
) -> Result<OwnedFd> {
    let mut room = [0; ROOM];
    room.get_mut(..text.len()).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(text);
    let text = room.get(..=text.len()).ok_or(Errno::ENAMETOOLONG)?;
    CStr::from_bytes_with_nul(text).map_err(|_| Errno::ENOENT).and_then(then)
}
