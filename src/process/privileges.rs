//! What a worker gives up and takes on before it serves: ngx_worker_process_init's first half.
//!
//! The order is the contract's, and matters: limits while we are root, groups
//! before the user, the parent-death signal after it (the kernel forgets it on a
//! change of uid), the working directory as the new user.

use super::affinity;
use super::child::Seat;
use crate::cycle::Cycle;
use crate::cycle::user::User;
use crate::log::{Level, log};
use crate::random;
use crate::sys::limits::{self, Limit, Resource};
use crate::sys::{Errno, file, process, signal, user};

/// The process cannot do what the configuration asks, and a new try would not help.
pub struct Fatal;

pub fn init(cycle: &Cycle, seat: &mut Seat) -> Result<(), Fatal> {
    let core = &cycle.core;
    cycle.set_environment();
    let priority = core.worker_priority;
    if priority != 0 && seat.number.is_some() {
        alert(&format!("setpriority({priority})"), limits::setpriority(priority));
    }
    limit_descriptors(cycle, seat.nofile);
    if let Some(bytes) = core.worker_rlimit_core {
        let limit = Limit { soft: bytes, hard: bytes };
        alert(
            &format!("setrlimit(RLIMIT_CORE, {bytes})"),
            limits::setrlimit(Resource::Core, limit),
        );
    }
    if user::geteuid() == 0 {
        become_user(&cycle.worker_user, cycle.transparent)?;
    }
    watch_master(seat);
    if let Some(number) = seat.number {
        affinity::bind(&core.worker_cpu_affinity, number);
    }
    // The kernel took this away with the uid; a core dump is for the admin to allow.
    alert("prctl(PR_SET_DUMPABLE)", process::set_dumpable(true));
    if let Some(path) = &core.working_directory {
        let there = file::path(path).and_then(|path| process::chdir(&path));
        there.map_err(|e| {
            log!(Level::Alert, errno e, "chdir(\"{}\") failed", path.display());
            Fatal
        })?;
    }
    random::seed();
    Ok(())
}

/// `worker_rlimit_nofile`, else what the master was started with, before it raised its own.
fn limit_descriptors(cycle: &Cycle, started_with: Option<Limit>) {
    match cycle.core.worker_rlimit_nofile {
        Some(files) => {
            let limit = Limit { soft: files, hard: files };
            alert(
                &format!("setrlimit(RLIMIT_NOFILE, {files})"),
                limits::setrlimit(Resource::Nofile, limit),
            );
        }
        None => restore_nofile(started_with),
    }
}

/// Takes the soft limit back to what it was; the hard one was never touched.
pub fn restore_nofile(started_with: Option<Limit>) {
    let (Some(then), Ok(now)) = (started_with, limits::getrlimit(Resource::Nofile)) else { return };
    let limit = Limit { soft: then.soft.min(now.hard), ..now };
    if limit != now {
        let set = limits::setrlimit(Resource::Nofile, limit);
        alert(&format!("setrlimit(RLIMIT_NOFILE, {})", limit.soft), set);
    }
}

/// `keeps_net_raw`: of what root may, addresses of others are still to be bound.
fn become_user(user: &User, keeps_net_raw: bool) -> Result<(), Fatal> {
    let User { name, uid, gid } = user;
    user::setgid(*gid).map_err(|e| fatal(&format!("setgid({gid})"), e))?;
    // A number has no name to look groups up for.
    let (name, groups) = match name {
        Some(name) => (name.to_string_lossy(), user::initgroups(name, *gid)),
        None => (uid.to_string().into(), user::setgroups(&[*gid])),
    };
    groups.map_err(|e| fatal(&format!("initgroups({name}, {gid})"), e))?;
    // Who stays root may all that root may.
    let keeps_net_raw = keeps_net_raw && *uid != 0;
    if keeps_net_raw {
        alert("prctl(PR_SET_KEEPCAPS)", process::set_keepcaps(true));
    }
    user::setuid(*uid).map_err(|e| fatal(&format!("setuid({uid})"), e))?;
    if keeps_net_raw {
        alert("capset(CAP_NET_RAW)", process::keep_only_net_raw());
    }
    Ok(())
}

/// The second line behind the pidfd: the kernel's word, and a look for the case that the master
/// has gone before it was asked to give it.
fn watch_master(seat: &mut Seat) {
    alert("prctl(PR_SET_PDEATHSIG)", process::set_parent_death_signal(signal::QUIT));
    if seat.master.is_gone() {
        seat.wanted.quit = true;
    }
}

fn alert(call: &str, result: Result<(), Errno>) {
    if let Err(e) = result {
        log!(Level::Alert, errno e, "{call} failed");
    }
}

fn fatal(call: &str, e: Errno) -> Fatal {
    log!(Level::Emerg, errno e, "{call} failed");
    Fatal
}
