//! Dates of HTTP and of logs, as text; the calendar is the proleptic Gregorian.
//!
//! Parsing takes the three forms of RFC 9110 5.6.7 and, like nginx, believes
//! neither the name of the weekday nor that the zone is GMT. Whoever knows
//! the time zone hands in broken-down time; no clock is read here.
use crate::text::number::two_digits;

const WEEKDAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY: i64 = 86_400;

/// A moment as a calendar shows it, in some time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// 0 to 9999; what lies outside is clamped by [`Calendar::utc`].
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

impl Calendar {
    /// The calendar of UTC at `unix` seconds (days to date after H. Hinnant).
    pub fn utc(unix: i64) -> Calendar {
        let unix = unix.clamp(EARLIEST, LATEST);
        let (days, seconds) = (unix.div_euclid(DAY), unix.rem_euclid(DAY));
        // Years that begin in March put the leap day last.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Calendar {
            year: (year_of_era + era * 400 + i64::from(month <= 2)) as u16,
            month: month as u8,
            day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u8,
            hour: (seconds / 3_600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
        }
    }

    /// Unix seconds of this moment taken as UTC; `None` for a day that is not.
    pub fn unix(&self) -> Option<i64> {
        let leap = self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let month_days = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if self.day == 0 || self.day > month_days || self.hour > 23 || self.minute > 59 {
            return None;
        }
        // A leap second is the first second of what follows.
        if self.second > 60 {
            return None;
        }
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let march_month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * march_month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let seconds =
            i64::from(self.hour) * 3_600 + i64::from(self.minute) * 60 + i64::from(self.second);
        Some(days * DAY + seconds)
    }
}

/// 0000-01-01 00:00:00 and 9999-12-31 23:59:59.
const EARLIEST: i64 = -62_167_219_200;
const LATEST: i64 = 253_402_300_799;

/// `Thu, 01 Jan 1970 00:00:00 GMT`
pub const HTTP: usize = 29;
/// `21/Nov/2026:21:56:56 +0000`
pub const LOG: usize = 26;
/// `2026/11/21 19:38:00`
pub const ERROR: usize = 19;
/// `2026-11-21T19:38:00+00:00`
pub const ISO: usize = 25;

/// The preferred form of RFC 9110 5.6.7.
pub fn http(unix: i64) -> [u8; HTTP] {
    let t = Calendar::utc(unix);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    out[..3].copy_from_slice(weekday(&t));
    out[5..7].copy_from_slice(&two_digits(t.day));
    out[8..11].copy_from_slice(month(&t));
    put_year(&mut out, 12, &t);
    put_clock(&mut out, 17, &t);
    out
}

/// Local time of the access log; `offset` is seconds east of UTC.
pub fn log(t: &Calendar, offset: i32) -> [u8; LOG] {
    let mut out = *b"01/Jan/1970:00:00:00 +0000";
    out[..2].copy_from_slice(&two_digits(t.day));
    out[3..6].copy_from_slice(month(t));
    put_year(&mut out, 7, t);
    put_clock(&mut out, 12, t);
    let zone = zone(offset);
    out[21] = zone[0];
    out[22..24].copy_from_slice(&zone[1..3]);
    out[24..].copy_from_slice(&zone[3..]);
    out
}

/// Local time of the error log.
pub fn error(t: &Calendar) -> [u8; ERROR] {
    let mut out = *b"1970/01/01 00:00:00";
    put_year(&mut out, 0, t);
    out[5..7].copy_from_slice(&two_digits(t.month));
    out[8..10].copy_from_slice(&two_digits(t.day));
    put_clock(&mut out, 11, t);
    out
}

/// `$time_iso8601`; `offset` is seconds east of UTC.
pub fn iso(t: &Calendar, offset: i32) -> [u8; ISO] {
    let mut out = *b"1970-01-01T00:00:00+00:00";
    put_year(&mut out, 0, t);
    out[5..7].copy_from_slice(&two_digits(t.month));
    out[8..10].copy_from_slice(&two_digits(t.day));
    put_clock(&mut out, 11, t);
    let zone = zone(offset);
    out[19..22].copy_from_slice(&zone[..3]);
    out[23..].copy_from_slice(&zone[3..]);
    out
}

fn weekday(t: &Calendar) -> &'static [u8; 3] {
    WEEKDAYS[usize::from(t.weekday % 7)]
}

fn month(t: &Calendar) -> &'static [u8; 3] {
    MONTHS[usize::from((t.month + 11) % 12)]
}

fn put_year(out: &mut [u8], at: usize, t: &Calendar) {
    out[at..at + 2].copy_from_slice(&two_digits((t.year / 100) as u8));
    out[at + 2..at + 4].copy_from_slice(&two_digits((t.year % 100) as u8));
}

fn put_clock(out: &mut [u8], at: usize, t: &Calendar) {
    out[at..at + 2].copy_from_slice(&two_digits(t.hour));
    out[at + 3..at + 5].copy_from_slice(&two_digits(t.minute));
    out[at + 6..at + 8].copy_from_slice(&two_digits(t.second));
}

/// Sign, hours, minutes.
fn zone(offset: i32) -> [u8; 5] {
    let minutes = offset.unsigned_abs() / 60;
    let (hour, minute) = (two_digits((minutes / 60) as u8), two_digits((minutes % 60) as u8));
    let sign = if offset < 0 { b'-' } else { b'+' };
    [sign, hour[0], hour[1], minute[0], minute[1]]
}

/// Unix seconds of any of the three forms of RFC 9110 5.6.7.
pub fn parse_http(text: &[u8]) -> Option<i64> {
    let mut rest = Rest(text);
    let first = rest.until(b" ,")?;
    let calendar = match rest.next()? {
        b',' => rest.skip(b" ").dated(),
        _ if first.len() == 3 => rest.asctime(),
        _ => None,
    }?;
    calendar.unix()
}

/// What is still to be parsed of a date.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// Everything in front of the first of `ends`, which stays.
    fn until(&mut self, ends: &[u8]) -> Option<&'a [u8]> {
        let at = self.0.iter().position(|b| ends.contains(b))?;
        let (head, tail) = self.0.split_at_checked(at)?;
        self.0 = tail;
        Some(head)
    }

    fn skip(&mut self, blanks: &[u8]) -> &mut Self {
        while let Some((first, rest)) = self.0.split_first()
            && blanks.contains(first)
        {
            self.0 = rest;
        }
        self
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// Exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<u16> {
        (0..count).try_fold(0u16, |n, _| {
            let b = self.next()?;
            b.is_ascii_digit().then(|| n * 10 + u16::from(b - b'0'))
        })
    }

    fn two(&mut self) -> Option<u8> {
        self.digits(2).map(|n| n as u8)
    }

    fn month(&mut self) -> Option<u8> {
        let (name, rest) = self.0.split_first_chunk::<3>()?;
        self.0 = rest;
        MONTHS.iter().position(|known| *known == name).map(|at| at as u8 + 1)
    }

    fn clock(&mut self) -> Option<(u8, u8, u8)> {
        let hour = self.two()?;
        self.expect(b':')?;
        let minute = self.two()?;
        self.expect(b':')?;
        Some((hour, minute, self.two()?))
    }

    /// `06 Nov 1994 08:49:37 GMT` and `06-Nov-94 08:49:37 GMT`.
    fn dated(&mut self) -> Option<Calendar> {
        let day = self.two()?;
        let separator = self.next()?;
        let month = self.month()?;
        self.expect(separator)?;
        let year = match separator {
            b' ' => self.digits(4)?,
            // nginx's window; RFC 9110 asks for one that moves with the clock.
            b'-' => match self.digits(2)? {
                year @ 0..70 => 2000 + year,
                year => 1900 + year,
            },
            _ => return None,
        };
        self.expect(b' ')?;
        let (hour, minute, second) = self.clock()?;
        Some(Calendar { year, month, day, hour, minute, second, weekday: 0 })
    }

    /// `Nov  6 08:49:37 1994`
    fn asctime(&mut self) -> Option<Calendar> {
        let month = self.month()?;
        self.expect(b' ')?;
        let day = match self.0.first()? {
            b' ' => {
                self.expect(b' ')?;
                self.digits(1)? as u8
            }
            _ => self.two()?,
        };
        self.expect(b' ')?;
        let (hour, minute, second) = self.clock()?;
        self.expect(b' ')?;
        let year = self.digits(4)?;
        Some(Calendar { year, month, day, hour, minute, second, weekday: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn writes_each_form() {
        for (unix, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
            (i64::MIN, "Sat, 01 Jan 0000 00:00:00 GMT"),
            (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(text(&http(unix)), date);
        }
        let t = Calendar::utc(1_795_298_216);
        assert_eq!(text(&log(&t, 0)), "21/Nov/2026:21:56:56 +0000");
        assert_eq!(text(&log(&t, -12_600)), "21/Nov/2026:21:56:56 -0330");
        assert_eq!(text(&error(&t)), "2026/11/21 21:56:56");
        assert_eq!(text(&iso(&t, 19_800)), "2026-11-21T21:56:56+05:30");
    }

    #[test]
    fn calendar_and_back() {
        let mut unix = EARLIEST;
        while unix < LATEST {
            assert_eq!(Calendar::utc(unix).unix(), Some(unix));
            unix += 86_400 * 13 + 12_345;
        }
    }

    #[test]
    fn reads_three_forms() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT; length=7",
            "Sun, 06 Nov 1994 08:49:37",
        ] {
            assert_eq!(parse_http(date.as_bytes()), Some(784_111_777), "{date}");
        }
        assert_eq!(parse_http(b"Thu Jan 15 00:00:00 1970"), Some(14 * 86_400));
        assert_eq!(parse_http(b"Friday, 31-Dec-99 23:59:60 GMT"), Some(946_684_800));
    }

    #[test]
    fn refuses_the_rest() {
        for date in [
            "",
            "Sun",
            "Sun,",
            "0",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06-Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
        ] {
            assert_eq!(parse_http(date.as_bytes()), None, "{date}");
        }
    }
}
