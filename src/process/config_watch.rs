//! `config_watch on`: a configuration that changes is taken up, as by HUP.
//!
//! The kernel tells of changes in the folders of the configuration, which is where editors,
//! `docker cp` and Kubernetes work: a ConfigMap's files are links through `..data`, and what
//! changes is that link. Files are watched too, since one that is mounted by itself changes in
//! place. inotify wakes the master by SIGIO, like everything else that comes by descriptor.
//!
//! An event only says that somebody was there. When it has been quiet for a moment the texts
//! are read; if they are others than those read last, the master reloads. A configuration that
//! is refused is refused once, not again with every touch.

use std::os::fd::OwnedFd;

use super::master::{Due, Master};
use crate::conf::Texts;
use crate::cycle::Cycle;
use crate::log::{Level, log};
use crate::sys::{Result, fd, file, inotify, process};
use crate::time;

/// How long nothing may happen before the texts are read.
const QUIET_MS: u64 = 200;
/// When they are read even so.
const PATIENCE_MS: u64 = 2_000;

pub struct ConfigWatch {
    events: OwnedFd,
    /// Of the texts that were read last, whatever became of them.
    seen: u64,
    /// When the first change of a burst was told.
    changed_ms: Option<u64>,
}

impl ConfigWatch {
    fn new(texts: &Texts) -> Result<Self> {
        Ok(Self { events: arm(texts)?, seen: texts.digest, changed_ms: None })
    }
}

/// Watches everything that a configuration was read from, and where more of it may appear.
fn arm(texts: &Texts) -> Result<OwnedFd> {
    let events = inotify::new()?;
    fd::set_owner(&events, process::getpid())?;
    fd::set_async(&events, true)?;
    for path in &texts.places {
        match file::path(path).and_then(|name| inotify::watch(&events, &name)) {
            Ok(()) => log!(Level::Debug, "config_watch: \"{}\"", path.display()),
            Err(e) => log!(Level::Warn, errno e, "cannot watch \"{}\"", path.display()),
        }
    }
    Ok(events)
}

impl Master {
    /// Begins to watch, or ends it, as the cycle in force says.
    pub(super) fn watch_config(&mut self) {
        self.config_watch = None;
        self.deadlines.retain(|due| *due != Due::ConfigChange);
        if !self.cycle.core.config_watch {
            return;
        }
        match ConfigWatch::new(&self.cycle.texts) {
            Ok(watch) => self.config_watch = Some(watch),
            Err(e) => log!(Level::Alert, errno e, "config_watch has no effect"),
        }
        // What has changed since it was read, and before it was watched, nobody has told.
        self.deadlines.add(time::now_ms() + QUIET_MS, Due::ConfigChange);
    }

    /// Whether there is anything to look at, once it is quiet.
    pub(super) fn hear_of_config(&mut self) {
        let Some(watch) = &mut self.config_watch else { return };
        match inotify::drain(&watch.events) {
            Ok(false) => return,
            Ok(true) => {}
            Err(e) => log!(Level::Alert, errno e, "read() of inotify failed"),
        }
        let now = time::now_ms();
        let first = *watch.changed_ms.get_or_insert(now);
        self.deadlines.retain(|due| *due != Due::ConfigChange);
        self.deadlines.add((now + QUIET_MS).min(first + PATIENCE_MS), Due::ConfigChange);
    }

    /// It is quiet: reads the texts, and asks for a reload if they are new.
    pub(super) fn look_at_config(&mut self) {
        if !self.stage.is_serving() || self.stopping() {
            return self.deadlines.add_once(time::now_ms() + QUIET_MS, Due::ConfigChange);
        }
        // Neither would read a file at a HUP: it brings the workers back.
        let elsewhere = self.noaccepting || self.new_binary.is_some();
        let Some(watch) = self.config_watch.as_mut().filter(|_| !elsewhere) else { return };
        watch.changed_ms = None;
        // Folders may be others now, and what was swapped for another is to be watched anew:
        // first that, then a look, so that no change comes between them.
        match arm(&Cycle::look(&self.cycle.source)) {
            Ok(events) => watch.events = events,
            Err(e) => log!(Level::Alert, errno e, "config_watch goes on with what it watches"),
        }
        let texts = Cycle::look(&self.cycle.source);
        if std::mem::replace(&mut watch.seen, texts.digest) == texts.digest {
            return;
        }
        if texts.digest != self.cycle.texts.digest {
            log!(Level::Notice, "the configuration has changed, reconfiguring");
            self.wanted.reconfigure = true;
        }
    }
}
