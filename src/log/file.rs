//! One log: a file, an inherited descriptor, or a syslog server.
//!
//! Lines are queued and leave with the loop turn (`flush` in mod.rs), one write
//! for all of them. A reader that does not read, a full device, a dead pipe: the
//! lines wait, bounded; what does not fit is dropped by whole lines and counted;
//! the count is told when the log takes lines again. Nothing here ever waits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::lines::Lines;
use super::output::Output;
use super::syslog::Syslog;
use super::{Level, log};
use crate::sys::{Errno, Result, fd};
use crate::text::escape::Shown;
use crate::time;

/// After a failure: how long before the next try.
const RETRY_MS: u64 = 1000;
/// A reader that takes nothing now is asked again each turn, and at least this often.
const FULL_MS: u64 = 10;

pub struct LogFile {
    name: Box<[u8]>,
    sink: Sink,
}

enum Sink {
    Lines(Queue),
    Syslog(Syslog),
}

impl LogFile {
    pub(super) fn new(name: &[u8], output: Output) -> Rc<LogFile> {
        Rc::new(LogFile { name: name.into(), sink: Sink::Lines(Queue::new(output)) })
    }

    /// One of perhaps thousands: it keeps few lines.
    pub(super) fn of_many(name: &[u8], output: Output) -> Rc<LogFile> {
        let file = LogFile::new(name, output);
        if let Sink::Lines(queue) = &file.sink {
            queue.lines.borrow_mut().keep_few();
        }
        file
    }

    pub(super) fn syslog(name: &[u8], syslog: Syslog) -> Rc<LogFile> {
        Rc::new(LogFile { name: name.into(), sink: Sink::Syslog(syslog) })
    }

    /// Queues a line of an access log, given without its newline.
    #[inline(always)]
    pub fn line(self: &Rc<Self>, line: &[u8]) {
        match &self.sink {
            Sink::Lines(queue) => self.queue(queue, line),
            Sink::Syslog(syslog) => syslog.send(syslog.severity, line),
        }
    }

    /// The same for the error log, whose level syslog wants to know.
    pub(super) fn entry(self: &Rc<Self>, level: Level, line: &[u8]) {
        match &self.sink {
            Sink::Lines(queue) => self.queue(queue, line),
            Sink::Syslog(syslog) => syslog.send(level as u8, line),
        }
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub(super) fn is_stderr(&self) -> bool {
        &*self.name == b"stderr"
    }

    /// Makes stderr mean this file. False if it is none.
    pub(super) fn redirect_stderr(&self) -> Result<bool> {
        match &self.sink {
            Sink::Lines(queue) => {
                fd::replace(fd::STDERR, queue.output.borrow().fd()).map(|()| true)
            }
            Sink::Syslog(_) => Ok(false),
        }
    }

    /// `buffer=` and `flush=`: lines wait until they are so many bytes, or until
    /// the first has waited so long.
    pub fn hold(&self, bytes: usize, ms: Option<u64>) {
        if let Sink::Lines(queue) = &self.sink {
            queue.hold.set(bytes);
            queue.hold_ms.set(ms.unwrap_or(u64::MAX));
            queue.lines.borrow_mut().set_room(bytes);
        }
    }

    /// Goes on with `output`, after the last line for the old one.
    pub(super) fn replace_output(&self, output: Output) {
        self.flush();
        if let Sink::Lines(queue) = &self.sink {
            queue.output.replace(output);
            queue.forget_failure();
        }
    }

    /// The end of a turn: writes what waits. Some if lines still do: after how many
    /// milliseconds to come again.
    pub(super) fn flush_turn(&self) -> Option<u64> {
        match &self.sink {
            Sink::Lines(queue) => queue.still_held().or_else(|| self.flush()),
            Sink::Syslog(_) => None,
        }
    }

    /// The same for lines that are held, too.
    #[inline(always)]
    pub(super) fn flush(&self) -> Option<u64> {
        let Sink::Lines(queue) = &self.sink else { return None };
        queue.full.set(false);
        let wait = || queue.retry_at.get().saturating_sub(time::now_ms()).max(FULL_MS);
        (!self.write()).then(wait)
    }

    /// The same at the end of the process: what fails, and is not just full, is not waited for.
    pub(super) fn finish(&self) -> Option<u64> {
        let fails = |_: &u64| matches!(&self.sink, Sink::Lines(queue) if queue.failing.get());
        self.flush().filter(|ms| !fails(ms))
    }

    /// Writes what waits, as far as that goes now. True if nothing waits any more.
    fn write(&self) -> bool {
        let Sink::Lines(queue) = &self.sink else { return true };
        match queue.write() {
            Ok(()) => {
                queue.forget_failure();
                self.report_dropped(queue.dropped.take());
                true
            }
            Err(Errno::EAGAIN) => false,
            Err(Errno::ENOTSUP) if !queue.failing.replace(true) => {
                queue.retry_at.set(0);
                self.warn_if_it_waits();
                self.write()
            }
            Err(e) => {
                if !queue.failing.replace(true) {
                    log!(Level::Alert, errno e, "write() to \"{}\" failed", Shown(&self.name));
                }
                false
            }
        }
    }

    /// Taken from the list of those that the end of the turn flushes.
    pub(super) fn unqueued(&self) {
        if let Sink::Lines(queue) = &self.sink {
            queue.queued.set(false);
        }
    }

    /// What waits here was the parent's to write.
    pub(super) fn forget_lines(&self) {
        if let Sink::Lines(queue) = &self.sink {
            queue.lines.borrow_mut().clear();
        }
    }

    fn queue(self: &Rc<Self>, queue: &Queue, line: &[u8]) {
        let taken = queue.push(line) || (self.write() && queue.push(line));
        if !taken {
            queue.dropped.set(queue.dropped.get() + 1);
            super::count_dropped(1);
        } else if !queue.queued.replace(true) {
            queue.hold_until.set(time::now_ms().saturating_add(queue.hold_ms.get()));
            super::queued(self);
        }
    }

    /// Once for each log that nothing can keep from waiting.
    pub(super) fn warn_if_it_waits(&self) {
        if let Sink::Lines(queue) = &self.sink
            && queue.output.borrow().waits()
        {
            let name = Shown(&self.name);
            log!(Level::Warn, "log \"{name}\" makes limpet wait when its reader is slow");
        }
    }

    #[cold]
    fn report_dropped(&self, lines: u64) {
        if lines > 0 {
            log!(Level::Warn, "log \"{}\": {lines} lines dropped", Shown(&self.name));
        }
    }
}

struct Queue {
    output: RefCell<Output>,
    lines: RefCell<Lines>,
    /// It is in the list of those that the end of the turn flushes.
    queued: Cell<bool>,
    /// It took nothing more in this turn.
    full: Cell<bool>,
    /// Its failure has been told.
    failing: Cell<bool>,
    /// No write before this time, in ms.
    retry_at: Cell<u64>,
    /// Lines lost since the last report.
    dropped: Cell<u64>,
    /// `buffer=`, `flush=`, and when the lines that are here have to go.
    hold: Cell<usize>,
    hold_ms: Cell<u64>,
    hold_until: Cell<u64>,
}

impl Queue {
    fn new(output: Output) -> Queue {
        Queue {
            output: RefCell::new(output),
            lines: RefCell::default(),
            queued: Cell::new(false),
            full: Cell::new(false),
            failing: Cell::new(false),
            retry_at: Cell::new(0),
            dropped: Cell::new(0),
            hold: Cell::new(0),
            hold_ms: Cell::new(0),
            hold_until: Cell::new(0),
        }
    }

    /// For how many milliseconds more nothing need be written.
    fn still_held(&self) -> Option<u64> {
        let len = self.lines.borrow().len();
        let ms = self.hold_until.get().saturating_sub(time::now_ms());
        (len > 0 && len < self.hold.get() && ms > 0).then_some(ms)
    }

    /// Until nothing is left, or the output takes no more.
    fn write(&self) -> Result<()> {
        let (output, mut lines) = (self.output.borrow(), self.lines.borrow_mut());
        if self.full.get() || time::now_ms() < self.retry_at.get() {
            return Err(Errno::EAGAIN);
        }
        while !lines.is_empty() {
            match output.write(lines.batch(output.piece())) {
                Ok(n) if n > 0 => lines.consume(n),
                Err(Errno::EINTR) => {}
                Ok(_) | Err(Errno::EAGAIN) => {
                    lines.compact();
                    self.full.set(true);
                    return Err(Errno::EAGAIN);
                }
                Err(e) => {
                    lines.compact();
                    self.retry_at.set(time::now_ms() + RETRY_MS);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    fn push(&self, line: &[u8]) -> bool {
        self.lines.borrow_mut().push(line)
    }

    fn forget_failure(&self) {
        self.full.set(false);
        self.failing.set(false);
        self.retry_at.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{self, ErrorLog, Files, Target};
    use crate::sys::{file, io};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::path::{Path, PathBuf};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("limpet-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        time::start();
        folder
    }

    /// A log that is a pipe given to us, as /dev/stdout is in a container.
    fn piped() -> (Rc<LogFile>, OwnedFd) {
        time::start();
        let (reader, writer) = io::pipe().unwrap();
        let name = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let file = Files::new("/").open(name.as_bytes()).unwrap();
        (file, reader)
    }

    fn errors_to(file: &Rc<LogFile>) {
        log::console(false);
        log::set(ErrorLog::new([Target {
            file: Rc::clone(file),
            level: Level::Info,
            form: log::Form::Plain,
        }]));
    }

    fn read(reader: &OwnedFd) -> String {
        let mut buf = vec![0; 1 << 20];
        let mut text = String::new();
        while let Ok(n @ 1..) = io::read(reader, &mut buf) {
            text.push_str(std::str::from_utf8(&buf[..n]).unwrap());
        }
        text
    }

    fn read_file(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_of_a_turn_leave_together() {
        let folder = folder("turn");
        let files = Files::new(&folder);
        let file = files.open(b"access.log").unwrap();
        let same = files.open(folder.join("access.log").as_os_str().as_encoded_bytes()).unwrap();
        assert!(Rc::ptr_eq(&file, &same));
        file.line(b"one");
        file.line(b"two");
        assert_eq!(read_file(&folder.join("access.log")), "");
        assert_eq!(log::flush(), None);
        assert_eq!(read_file(&folder.join("access.log")), "one\ntwo\n");
    }

    #[test]
    fn more_than_the_room_in_one_turn_is_written_early() {
        let folder = folder("early");
        let file = Files::new(&folder).open(b"a").unwrap();
        (0..1000).for_each(|_| file.line(&[b'x'; 199]));
        log::flush();
        assert_eq!(read_file(&folder.join("a")).len(), 200_000);
        assert_eq!(log::dropped(), 0);
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_not_time() {
        let (file, reader) = piped();
        errors_to(&file);
        (0..3000).for_each(|n| file.line(format!("{n:099}").as_bytes()));
        assert_eq!(log::flush(), Some(10));
        let dropped = log::dropped();
        assert!((1000..2400).contains(&dropped), "{dropped}");
        let mut text = read(&reader);
        while log::flush().is_some() {
            text += &read(&reader);
        }
        text += &read(&reader);
        let (lines, report) = text.split_at((3000 - dropped as usize) * 100);
        assert!(lines.lines().all(|line| line.len() == 99), "all lines are whole");
        assert!(report.ends_with(&format!(": {dropped} lines dropped\n")), "{report}");
        assert!(report.contains("[warn]") && report.lines().count() == 1, "{report}");
    }

    #[test]
    fn the_description_of_others_stays_blocking() {
        let (reader, writer) = io::pipe().unwrap();
        crate::sys::fd::set_nonblocking(&writer, false).unwrap();
        let name = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let file = Files::new("/").open(name.as_bytes()).unwrap();
        (0..3000).for_each(|_| file.line(&[b'x'; 99]));
        log::flush();
        let flags = crate::sys::fd::status_flags(&writer).unwrap();
        assert_eq!(flags & file::NONBLOCK, 0);
        assert!(log::dropped() > 0);
        drop(reader);
    }

    #[test]
    fn a_dead_pipe_is_told_once_and_forgotten() {
        let folder = folder("dead");
        let errors = Files::new(&folder).open(b"error.log").unwrap();
        errors_to(&errors);
        let (file, reader) = piped();
        drop(reader);
        // Until other tests' children, which are born with our descriptors, have exec'ed.
        while log::flush().is_none() {
            file.line(b"lost");
        }
        assert_eq!(log::flush(), Some(RETRY_MS));
        let text = read_file(&folder.join("error.log"));
        assert!(text.contains("[alert]") && text.contains("failed (32: Broken pipe)"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_full_device_keeps_lines_for_later() {
        let folder = folder("full");
        let errors = Files::new(&folder).open(b"error.log").unwrap();
        errors_to(&errors);
        let file = Files::new(&folder).open(b"/dev/full").unwrap();
        (0..1000).for_each(|_| file.line(&[b'x'; 99]));
        assert_eq!(log::flush(), Some(RETRY_MS));
        assert_eq!(log::dropped(), 1000 - 655);
        file.replace_output(
            Output::open(folder.join("later").as_os_str().as_encoded_bytes()).unwrap(),
        );
        assert_eq!(log::flush(), None);
        assert_eq!(read_file(&folder.join("later")).lines().count(), 655);
        let text = read_file(&folder.join("error.log"));
        assert!(text.contains("write() to \"/dev/full\" failed (28: No space left on device)"));
        assert!(text.contains("log \"/dev/full\": 345 lines dropped"), "{text}");
    }

    #[test]
    fn reopen_follows_the_path_and_survives_its_loss() {
        let folder = folder("reopen");
        let inner = folder.join("inner");
        std::fs::create_dir(&inner).unwrap();
        let files = Files::new(&inner);
        let file = files.open(b"a").unwrap();
        errors_to(&file);
        file.line(b"old");
        std::fs::rename(inner.join("a"), folder.join("a.1")).unwrap();
        files.reopen(None);
        file.line(b"new");
        log::flush();
        assert_eq!(read_file(&folder.join("a.1")), "old\n");
        assert_eq!(read_file(&inner.join("a")), "new\n");
        std::fs::rename(&inner, folder.join("gone")).unwrap();
        files.reopen(None);
        let text = read_file(&folder.join("gone/a"));
        assert!(text.contains("[emerg]") && text.contains("(2: No such file or directory)"));
    }

    #[test]
    fn a_buffered_log_waits_for_its_size_or_its_time() {
        let folder = folder("hold");
        let file = Files::new(&folder).open(b"a").unwrap();
        file.hold(150, Some(20));
        file.line(&[b'x'; 99]);
        assert!(log::flush().is_some_and(|ms| ms <= 20));
        assert_eq!(read_file(&folder.join("a")).len(), 0);
        file.line(&[b'x'; 99]);
        assert_eq!(log::flush(), None);
        assert_eq!(read_file(&folder.join("a")).len(), 200);
        file.line(&[b'x'; 99]);
        crate::sys::clock::sleep_ms(21).unwrap();
        time::update();
        assert_eq!(log::flush(), None);
        assert_eq!(read_file(&folder.join("a")).len(), 300);
        file.hold(150, None);
        file.line(&[b'x'; 99]);
        assert_eq!(log::flush(), None, "nothing to come back for");
        log::finish();
        assert_eq!(read_file(&folder.join("a")).len(), 400);
    }

    #[test]
    fn a_fifo_without_reader_does_not_stop_the_start() {
        let folder = folder("fifo");
        let path = folder.join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let file = Files::new(&folder).open(b"fifo").unwrap();
        file.line(b"kept for a reader");
        assert_eq!(log::flush(), None);
    }
}
