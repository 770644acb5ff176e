//! `user`: whom the workers become.
//!
//! Names and numbers. Never root by accident: an unknown name is an error where there
//! is an /etc/passwd to look in, and nobody where there is none.

use crate::conf::{Cx, Error, Node, Word, parse_number};
use crate::sys::user;
use std::ffi::CString;
use std::path::Path;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// For the supplementary groups; a bare number has none.
    pub name: Option<CString>,
}

/// The uid and gid that mean nobody everywhere.
const NOBODY: u32 = 65534;

/// `user NAME [GROUP];`. Without privileges it means nothing, and says so.
pub fn user(cx: &mut Cx, node: Node) -> Result<Option<User>, Error> {
    if user::geteuid() != 0 {
        let text = "the \"user\" directive makes sense only if the master process runs with \
                    super-user privileges, ignored";
        cx.warn(node.name(), text);
        return Ok(None);
    }
    let word = node.arg(0);
    let found = match parse_number(&word) {
        Some(id) => by_number(word, id)?,
        None => by_name(cx, word)?,
    };
    match node.args_len() {
        2 => Ok(Some(User { gid: group(node.arg(1))?, ..found })),
        _ => Ok(Some(found)),
    }
}

/// Whom a root master's workers become when the config does not say.
pub fn nobody() -> User {
    let name = c"nobody";
    match user::getpwnam(name) {
        Ok(Some(found)) => User { uid: found.uid, gid: found.gid, name: Some(name.into()) },
        _ => User { uid: NOBODY, gid: NOBODY, name: None },
    }
}

fn by_number(word: Word, id: u64) -> Result<User, Error> {
    let uid = u32::try_from(id).ok().filter(|uid| *uid != u32::MAX);
    let uid = uid.ok_or_else(|| Error::invalid_value(word))?;
    let known = user::getpwuid(uid).ok().flatten();
    Ok(User { uid, gid: known.map_or(uid, |known| known.gid), name: None })
}

fn by_name(cx: &mut Cx, word: Word) -> Result<User, Error> {
    let name = CString::new(word.to_vec()).map_err(|_| Error::invalid_value(word))?;
    match user::getpwnam(&name) {
        // nginx takes the group of the user's name; the primary one is that, or better.
        Ok(Some(found)) => Ok(User { uid: found.uid, gid: found.gid, name: Some(name) }),
        Ok(None) if !Path::new("/etc/passwd").exists() => {
            cx.warn(word, format!("there is no /etc/passwd, \"{word}\" is taken for {NOBODY}"));
            Ok(User { uid: NOBODY, gid: NOBODY, name: None })
        }
        Ok(None) => Err(Error::at(word, format!("getpwnam(\"{word}\") failed"))),
        Err(errno) => Err(Error::at(word, format!("getpwnam(\"{word}\") failed ({errno})"))),
    }
}

fn group(word: Word) -> Result<u32, Error> {
    if let Some(id) = parse_number(&word) {
        let gid = u32::try_from(id).ok().filter(|gid| *gid != u32::MAX);
        return gid.ok_or_else(|| Error::invalid_value(word));
    }
    let name = CString::new(word.to_vec()).map_err(|_| Error::invalid_value(word))?;
    let failed = |reason: String| Error::at(word, format!("getgrnam(\"{word}\") failed{reason}"));
    match user::getgrnam(&name) {
        Ok(Some(gid)) => Ok(gid),
        Ok(None) if !Path::new("/etc/group").exists() => Ok(NOBODY),
        Ok(None) => Err(failed(String::new())),
        Err(errno) => Err(failed(format!(" ({errno})"))),
    }
}
