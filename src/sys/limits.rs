//! What a process may use, and what it has used.

use libc::c_int;

use super::errno::{Errno, Result, done};

/// RLIM_INFINITY: no limit.
pub const UNLIMITED: u64 = libc::RLIM_INFINITY;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Open descriptors.
    Nofile = libc::RLIMIT_NOFILE as isize,
    /// Bytes of a core file.
    Core = libc::RLIMIT_CORE as isize,
    /// Bytes of address space.
    AddressSpace = libc::RLIMIT_AS as isize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub soft: u64,
    /// How far anybody may raise the soft one; only root raises this.
    pub hard: u64,
}

pub fn getrlimit(resource: Resource) -> Result<Limit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit.
    done(unsafe { libc::getrlimit(resource as _, &mut limit) })?;
    Ok(Limit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

pub fn setrlimit(resource: Resource, limit: Limit) -> Result<()> {
    let limit = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
    // SAFETY: `limit` is only read.
    done(unsafe { libc::setrlimit(resource as _, &limit) })
}

/// nice(1)'s number, -20 to 19, of this process.
pub fn setpriority(nice: c_int) -> Result<()> {
    // SAFETY: plain numbers; 0 is ourselves.
    done(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })
}

pub fn getpriority() -> Result<c_int> {
    Errno(0).restore();
    // SAFETY: plain numbers. -1 is also a priority, so errno alone tells.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    if nice == -1 && Errno::last() != Errno(0) { Err(Errno::last()) } else { Ok(nice) }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub user_us: u64,
    pub system_us: u64,
    /// The most that was resident at once.
    pub max_rss_kib: u64,
}

/// Of this process so far.
pub fn getrusage() -> Result<Usage> {
    // SAFETY: all zeroes is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one rusage.
    done(unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) })?;
    let micros = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
    Ok(Usage {
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        max_rss_kib: usage.ru_maxrss as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    #[test]
    fn limits_of_a_child() {
        process::in_child(|| {
            let low = Limit { soft: 16, hard: 32 };
            setrlimit(Resource::Nofile, low).unwrap();
            assert_eq!(getrlimit(Resource::Nofile), Ok(low));
            setpriority(5).unwrap();
            assert_eq!(getpriority(), Ok(5));
        });
        assert!(getrusage().unwrap().max_rss_kib > 0);
        assert!(getrlimit(Resource::Core).is_ok());
    }
}
