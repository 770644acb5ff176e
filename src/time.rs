//! Time, read once per loop turn.
//!
//! Everything that asks for the time between two calls of `update` gets the same
//! answer, ready-made: two clock reads a turn, strings rendered anew only when
//! the second has changed, nothing allocated. With `timer_resolution` the loop
//! calls `update` only when its interval timer has fired: that mode is the
//! caller's, nothing here knows of it.
//!
//! Each second asks the time zone how far it is from UTC, so daylight saving and
//! year ends need no code. Nothing is valid before `start`.
#![allow(dead_code, reason = "every form of the time that nginx has, before all of its users")]

use std::cell::Cell;

use crate::sys::clock;
use crate::text::date::{self, Calendar};

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub type HttpDate = [u8; date::HTTP];
/// `21/Nov/2026:21:56:56 +0000`: `$time_local`
pub type LogLocal = [u8; date::LOG];
/// `2026/11/21 21:56:56`: the error log's
pub type ErrorDate = [u8; date::ERROR];
/// `2026-11-21T21:56:56+00:00`: `$time_iso8601`
pub type Iso8601 = [u8; date::ISO];
/// `Nov 21 21:56:56` (RFC 3164 section 4.1.2)
pub type SyslogDate = [u8; 15];

/// Reads the time zone, then the time. Once, before anything else of the process.
pub fn start() {
    clock::load_timezone();
    update();
}

/// Reads the clocks: at the start of each loop turn, right after its wait.
pub fn update() {
    let (secs, nanos) = clock::realtime();
    NOW.with(|now| {
        now.monotonic_ms.set(clock::monotonic_ms());
        now.unix_ms.set(secs.cast_unsigned() * 1000 + u64::from(nanos / 1_000_000));
        if now.second.replace(secs) != secs {
            now.render(secs);
        }
    });
}

/// Milliseconds that only go forward: for deadlines and durations.
pub fn now_ms() -> u64 {
    NOW.with(|now| now.monotonic_ms.get())
}

/// Seconds since 1970.
pub fn unix_secs() -> i64 {
    NOW.with(|now| now.second.get())
}

/// Milliseconds since 1970: `$msec`.
pub fn unix_ms() -> u64 {
    NOW.with(|now| now.unix_ms.get())
}

/// Seconds that local time is ahead of UTC.
pub fn local_offset() -> i64 {
    i64::from(clock::local(unix_secs()).utc_offset_min) * 60
}

pub fn http_date() -> HttpDate {
    NOW.with(|now| now.http.get())
}

pub fn log_local() -> LogLocal {
    NOW.with(|now| now.log_local.get())
}

pub fn error_date() -> ErrorDate {
    NOW.with(|now| now.error.get())
}

pub fn iso8601() -> Iso8601 {
    NOW.with(|now| now.iso8601.get())
}

pub fn syslog_date() -> SyslogDate {
    syslog_form(&log_local())
}

struct Now {
    monotonic_ms: Cell<u64>,
    unix_ms: Cell<u64>,
    second: Cell<i64>,
    http: Cell<HttpDate>,
    log_local: Cell<LogLocal>,
    error: Cell<ErrorDate>,
    iso8601: Cell<Iso8601>,
}

thread_local! {
    static NOW: Now = const {
        Now {
            monotonic_ms: Cell::new(0),
            unix_ms: Cell::new(0),
            second: Cell::new(i64::MIN),
            http: Cell::new(*b"Thu, 01 Jan 1970 00:00:00 GMT"),
            log_local: Cell::new(*b"01/Jan/1970:00:00:00 +0000"),
            error: Cell::new(*b"1970/01/01 00:00:00"),
            iso8601: Cell::new(*b"1970-01-01T00:00:00+00:00"),
        }
    };
}

impl Now {
    fn render(&self, secs: i64) {
        let offset = clock::local(secs).utc_offset_min * 60;
        let local = Calendar::utc(secs.saturating_add(i64::from(offset)));
        self.http.set(date::http(secs));
        self.log_local.set(date::log(&local, offset));
        self.error.set(date::error(&local));
        self.iso8601.set(date::iso(&local, offset));
    }
}

/// Month, day with a blank for a leading zero, time of day.
fn syslog_form(log: &LogLocal) -> SyslogDate {
    let mut out = *b"Jan  1 00:00:00";
    out[..3].copy_from_slice(&log[3..6]);
    out[4] = if log[0] == b'0' { b' ' } else { log[0] };
    out[5] = log[1];
    out[7..].copy_from_slice(&log[12..20]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_follow_the_second() {
        start();
        let secs = unix_secs();
        assert_eq!(http_date(), date::http(secs));
        assert_eq!(unix_ms() / 1000, secs.cast_unsigned());
        NOW.with(|now| now.render(1_893_455_999));
        assert_eq!(&http_date(), b"Mon, 31 Dec 2029 23:59:59 GMT");
        NOW.with(|now| now.render(1_893_456_000));
        assert_eq!(&http_date(), b"Tue, 01 Jan 2030 00:00:00 GMT");
    }

    #[test]
    fn syslog_pads_the_day_with_a_blank() {
        assert_eq!(&syslog_form(b"04/Jul/2026:09:05:59 +0530"), b"Jul  4 09:05:59");
        assert_eq!(&syslog_form(b"31/Dec/2026:23:05:59 +0530"), b"Dec 31 23:05:59");
    }
}
