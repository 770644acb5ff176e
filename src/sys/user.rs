//! Users and groups: looking them up, becoming them.
//!
//! The look-ups read /etc/passwd and /etc/group; where there are none, nobody
//! is found. musl's initgroups fails for a user with more than 32 groups, so
//! ours asks and sets in two steps.

use std::ffi::CStr;

use libc::{c_int, gid_t, passwd, uid_t};

use super::errno::{Errno, Result, done};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: uid_t,
    /// The primary group.
    pub gid: gid_t,
}

pub fn getpwnam(name: &CStr) -> Result<Option<User>> {
    // SAFETY: `name` ends in NUL.
    user(|| unsafe { libc::getpwnam(name.as_ptr()) })
}

pub fn getpwuid(uid: uid_t) -> Result<Option<User>> {
    // SAFETY: a plain number.
    user(|| unsafe { libc::getpwuid(uid) })
}

fn user(find: impl FnOnce() -> *mut passwd) -> Result<Option<User>> {
    Errno(0).restore();
    let entry = find();
    if entry.is_null() {
        return absent();
    }
    // SAFETY: not null, so it points to libc's one entry, which stays until the
    // next look-up; we have one thread and copy it now.
    let entry = unsafe { &*entry };
    Ok(Some(User { uid: entry.pw_uid, gid: entry.pw_gid }))
}

pub fn getgrnam(name: &CStr) -> Result<Option<gid_t>> {
    Errno(0).restore();
    // SAFETY: `name` ends in NUL.
    let entry = unsafe { libc::getgrnam(name.as_ptr()) };
    if entry.is_null() {
        return absent();
    }
    // SAFETY: as in `user`.
    Ok(Some(unsafe { (*entry).gr_gid }))
}

/// "Not found" and "could not look" are both null; a missing file counts as the first.
fn absent<T>() -> Result<Option<T>> {
    match Errno::last() {
        Errno(0) | Errno::ENOENT | Errno::ENOTDIR => Ok(None),
        error => Err(error),
    }
}

pub fn geteuid() -> uid_t {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() }
}

pub fn getegid() -> gid_t {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::getegid() }
}

pub fn setuid(uid: uid_t) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::setuid(uid) })
}

pub fn setgid(gid: gid_t) -> Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::setgid(gid) })
}

/// The supplementary groups; none at all is a good set for a user without a name.
pub fn setgroups(groups: &[gid_t]) -> Result<()> {
    // SAFETY: the kernel reads `groups.len()` numbers.
    done(unsafe { libc::setgroups(groups.len() as _, groups.as_ptr()) })
}

/// The supplementary groups that /etc/group lists for `name`, and `gid`.
pub fn initgroups(name: &CStr, gid: gid_t) -> Result<()> {
    let mut groups = [0; 1024];
    let mut count = groups.len() as c_int;
    // SAFETY: `name` ends in NUL; at most `count` numbers are written, and
    // `count` is then how many there are, which may be more.
    let ret = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &mut count) };
    match groups.get(..count as usize) {
        Some(groups) if ret >= 0 => setgroups(groups),
        _ => Err(Errno::E2BIG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_nobody_else() {
        assert_eq!(getpwnam(c"root"), Ok(Some(User { uid: 0, gid: 0 })));
        assert_eq!(getpwuid(0), Ok(Some(User { uid: 0, gid: 0 })));
        assert_eq!(getpwnam(c"no such user"), Ok(None));
        assert_eq!(getgrnam(c"root"), Ok(Some(0)));
        assert_eq!(getgrnam(c"no such group"), Ok(None));
    }
}
