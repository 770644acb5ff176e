//! One exec that leaves the next image what this one has.
//!
//! Everything of ours is close-on-exec. For this exec alone what the state names loses that,
//! and the state itself and this executable; the environment says where the two are. Our
//! signals are blocked but inside sigsuspend, and an exec leaves them so until the next image
//! has its handlers. An armed timer would survive it too, and is disarmed.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::state::{State, VERSION};
use crate::log::{Level, log};
use crate::sys::{Errno, Result, env, fd, file, io, process, signal};

/// `VERSION;STATE;EXECUTABLE`: the last two are descriptors.
pub const IN_PLACE: &str = "LIMPET_IN_PLACE";
/// Why the next image could not start; only the one that has everything back finds it.
pub const FELL_BACK: &str = "LIMPET_FELL_BACK";

/// What the environment says of a state that was left.
pub fn announced() -> Option<(u32, RawFd, RawFd)> {
    let value = env::get(IN_PLACE)?.into_string().ok()?;
    let mut words = value.split(';');
    let version = words.next()?.parse().ok()?;
    let mut number = || words.next()?.parse().ok();
    Some((version, number()?, number()?))
}

/// Says where the state and the executable are.
pub fn announce([state, executable]: [RawFd; 2]) {
    env::set(IN_PLACE, format!("{VERSION};{state};{executable}"));
}

/// Leaves the state and calls `exec`, which returns only when it fails: then all is as before.
pub fn leave(state: &State, executable: &OwnedFd, exec: impl FnOnce() -> Errno) -> Errno {
    let memory = match write_all(&state.pack()) {
        Ok(memory) => memory,
        Err(e) => return e,
    };
    let own = [memory.as_raw_fd(), executable.as_raw_fd()];
    let inherited = || state.descriptors().chain(own);
    if let Err(e) = inherited().try_for_each(|number| fd::set_inheritable(number, true)) {
        close_on_exec(inherited());
        return e;
    }
    if let Err(e) = signal::setitimer_real(0, 0) {
        log!(Level::Alert, errno e, "setitimer() failed");
    }
    announce(own);
    let e = exec();
    env::remove(IN_PLACE);
    close_on_exec(inherited());
    e
}

fn close_on_exec(numbers: impl Iterator<Item = RawFd>) {
    for number in numbers {
        // One that is not open is none to worry about.
        let _ = fd::set_inheritable(number, false);
    }
}

/// Executes what a descriptor is open on, with all of the environment.
pub fn resume(executable: &OwnedFd, args: &[CString]) -> Errno {
    process::execve_fd(executable, args, &env::for_exec())
}

/// The state cannot be read here: the image before this one gets it back as it came. Nothing
/// of it was touched.
pub fn refuse(
    (version, state, before): (u32, RawFd, RawFd),
    reason: &str,
    args: &[CString],
) -> Errno {
    env::set(IN_PLACE, format!("{version};{state};{before}"));
    env::set(FELL_BACK, reason);
    fd::duplicate_number(before).map_or_else(|e| e, |before| resume(&before, args))
}

pub fn write_all(bytes: &[u8]) -> Result<OwnedFd> {
    let memory = file::memfd(c"limpet:state")?;
    io::write_all(&memory, bytes)?;
    Ok(memory)
}

/// The whole of a file in memory.
pub fn read_all(memory: impl AsFd) -> Result<Vec<u8>> {
    let size = usize::try_from(file::fstat(&memory)?.size).map_err(|_| Errno::EINVAL)?;
    let mut bytes = vec![0; size];
    let mut done = 0;
    while done < size {
        match io::pread(&memory, &mut bytes[done..], done as u64)? {
            0 => return Err(Errno::EINVAL),
            len => done += len,
        }
    }
    Ok(bytes)
}
