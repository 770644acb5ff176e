//! Clocks and calendars.

use super::errno::{Errno, Result, done};

/// Milliseconds that only go forward, from an arbitrary start.
#[inline(always)]
pub fn monotonic_ms() -> u64 {
    let now = read(libc::CLOCK_MONOTONIC);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

pub fn monotonic_ns() -> u64 {
    let now = read(libc::CLOCK_MONOTONIC);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// As `monotonic_ms`, at the kernel's tick (1 to 10 ms): half the price.
pub fn monotonic_coarse_ms() -> u64 {
    let now = read(libc::CLOCK_MONOTONIC_COARSE);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Wall clock: seconds since 1970 and nanoseconds.
#[inline(always)]
pub fn realtime() -> (i64, u32) {
    let now = read(libc::CLOCK_REALTIME);
    (now.tv_sec, now.tv_nsec as u32)
}

#[inline(always)]
fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec. These clocks exist on every Linux we
    // run on, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now
}

/// A date as people write it, with its distance from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    pub year: i32,
    /// 1–12
    pub month: u8,
    /// 1–31
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    /// Minutes east of Greenwich.
    pub utc_offset_min: i32,
}

/// In the time zone that `load_timezone` read.
pub fn local(unix_secs: i64) -> Calendar {
    // SAFETY: all zeroes is a valid tm (its one pointer is nullable).
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to whole values. It returns null for years that do
    // not fit an int and leaves the zeroes.
    unsafe { libc::localtime_r(&unix_secs, &mut tm) };
    calendar(&tm)
}

pub fn utc(unix_secs: i64) -> Calendar {
    // SAFETY: all zeroes is a valid tm (its one pointer is nullable).
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: as in `local`.
    unsafe { libc::gmtime_r(&unix_secs, &mut tm) };
    calendar(&tm)
}

fn calendar(tm: &libc::tm) -> Calendar {
    Calendar {
        year: tm.tm_year.saturating_add(1900),
        month: tm.tm_mon as u8 + 1,
        day: tm.tm_mday as u8,
        hour: tm.tm_hour as u8,
        minute: tm.tm_min as u8,
        second: tm.tm_sec as u8,
        weekday: tm.tm_wday as u8,
        utc_offset_min: (tm.tm_gmtoff / 60) as i32,
    }
}

/// Reads TZ and /etc/localtime, so that nothing has to read them later.
pub fn load_timezone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: takes nothing; we have one thread, so nobody reads the zone meanwhile.
    unsafe { tzset() }
}

/// Sleeps, or wakes early with EINTR. For loops that have nothing else to wait on.
pub fn sleep_ms(ms: u64) -> Result<()> {
    let span = libc::timespec {
        tv_sec: i64::try_from(ms / 1000).map_err(|_| Errno::EINVAL)?,
        tv_nsec: (ms % 1000) as i64 * 1_000_000,
    };
    // SAFETY: `span` is valid; the remainder is not wanted.
    done(unsafe { libc::nanosleep(&span, std::ptr::null_mut()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_calendar() {
        let date = utc(1_794_949_016);
        let parts = (date.year, date.month, date.day, date.hour, date.minute, date.second);
        assert_eq!(parts, (2026, 11, 17, 20, 56, 56));
        assert_eq!((date.weekday, date.utc_offset_min), (2, 0));
        assert_eq!(utc(0).weekday, 4);
        assert_eq!(utc(i64::MAX).year, 1900, "out of range is zeroes, not a crash");
    }

    #[test]
    fn the_monotonic_clock_runs() {
        let start = monotonic_ms();
        sleep_ms(5).unwrap();
        assert!(monotonic_ms() >= start + 5);
        assert!(monotonic_coarse_ms() + 20 >= start);
        assert!(realtime().0 > 1_700_000_000);
    }
}
