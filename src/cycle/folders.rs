//! Folders that a configuration wants, made at its start (ngx_create_paths).

use super::Refused;
use crate::log::{Level, log};
use crate::sys::errno::Errno;
use crate::sys::file;
use std::path::PathBuf;

/// Makes those that are missing; they are the workers' `owner`'s, if the master may give
/// them away.
pub fn make(folders: &[PathBuf], owner: Option<u32>) -> Result<(), Refused> {
    for folder in folders {
        let failed = |call: &str, errno: Errno| {
            let text = format_args!("{call} \"{}\" failed ({errno})", folder.display());
            log!(Level::Emerg, "{text}");
            Refused
        };
        let path = file::path(folder).map_err(|errno| failed("mkdir()", errno))?;
        match file::mkdir(&path, 0o700) {
            Ok(()) | Err(Errno::EEXIST) => {}
            // Nothing may ever need it; a worker tries again, and goes without.
            Err(errno @ (Errno::EROFS | Errno::EACCES | Errno::ENOENT)) => {
                let text = format_args!("mkdir() \"{}\" failed", folder.display());
                log!(Level::Warn, errno errno, "{text}");
                continue;
            }
            Err(errno) => return Err(failed("mkdir()", errno)),
        }
        if let Some(uid) = owner {
            let stat = file::stat(&path).map_err(|errno| failed("stat()", errno))?;
            if stat.uid != uid {
                file::chown(&path, uid, None).map_err(|errno| failed("chown()", errno))?;
            }
        }
    }
    Ok(())
}
