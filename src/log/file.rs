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
use super::{Bytes, Level, log};
use crate::sys::{Errno, Result};
use crate::time;

/// After a failure other than "full for now": how long before the next try.
const RETRY_MS: u64 = 1000;

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

    pub(super) fn syslog(name: &[u8], syslog: Syslog) -> Rc<LogFile> {
        Rc::new(LogFile { name: name.into(), sink: Sink::Syslog(syslog) })
    }

    /// Queues a line of an access log, given without its newline.
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
        matches!(&*self.name, b"stderr" | b"/dev/stderr" | b"/proc/self/fd/2")
    }

    /// Goes on with `output`, after the last line for the old one.
    pub(super) fn replace_output(&self, output: Output) {
        self.flush();
        if let Sink::Lines(queue) = &self.sink {
            queue.output.replace(output);
            queue.forget_failure();
        }
    }

    /// Writes what waits, as far as that goes now. True if nothing waits any more.
    pub(super) fn flush(&self) -> bool {
        let Sink::Lines(queue) = &self.sink else { return true };
        match queue.write() {
            Ok(()) => {
                queue.forget_failure();
                self.report_dropped(queue.dropped.take());
                true
            }
            Err(Errno::EAGAIN) => false,
            Err(e) => {
                if !queue.failing.replace(true) {
                    log!(Level::Alert, errno e, "write() to \"{}\" failed", Bytes(&self.name));
                }
                false
            }
        }
    }

    /// As `flush`, and what took nothing more in this turn is tried again.
    pub(super) fn flush_turn(&self) -> bool {
        if let Sink::Lines(queue) = &self.sink {
            queue.full.set(false);
        }
        self.flush()
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
        if !queue.push(line) && !(self.flush() && queue.push(line)) {
            queue.dropped.set(queue.dropped.get() + 1);
            super::count_dropped(1);
        } else if !queue.queued.replace(true) {
            super::queued(self);
        }
    }

    #[cold]
    fn report_dropped(&self, lines: u64) {
        if lines > 0 {
            log!(Level::Warn, "log \"{}\": {lines} lines dropped", Bytes(&self.name));
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
        }
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
