//! What a zone knows of each value of its key: when it was charged last, and by how much
//! it was over its rate then, in thousandths of a request.

use crate::mem::zone::record;
use crate::shm::directory::Handle;
use crate::shm::slab::Fault;
use crate::shm::table::{self, Table};
use crate::time;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

record! {
    pub struct Bucket {
        /// Monotonic milliseconds; 0: never yet.
        charged_at: AtomicU64,
        excess: AtomicU64,
    }
}

impl Bucket {
    /// By how much it is over its rate with one request more.
    fn excess(&self, rate: i64, now: u64) -> i64 {
        if self.charged_at.load(Relaxed) == 0 {
            return 0;
        }
        let leaked = rate.saturating_mul(self.age(now)) / 1000;
        (self.stored().saturating_sub(leaked) + 1000).max(0)
    }

    /// Processes read the time by themselves, so it may run backwards a little. Far in the
    /// future means that it is another clock's.
    fn age(&self, now: u64) -> i64 {
        match now.wrapping_sub(self.charged_at.load(Relaxed)).cast_signed() {
            ..-60_000 => 1,
            age => age.max(0),
        }
    }

    fn charge(&self, excess: i64, now: u64) {
        if self.age(now) > 0 {
            self.charged_at.store(now, Relaxed);
        }
        self.excess.store(excess.cast_unsigned(), Relaxed);
    }

    /// Whether nobody would miss it.
    fn is_spent(&self, rate: i64, now: u64) -> bool {
        let age = now.wrapping_sub(self.charged_at.load(Relaxed)).cast_signed().saturating_abs();
        age >= 60_000 && self.stored() <= rate.saturating_mul(age) / 1000
    }

    /// Another process may have written anything.
    fn stored(&self) -> i64 {
        self.excess.load(Relaxed).min(1 << 62).cast_signed()
    }
}

/// What one limit says of one request.
pub enum Asked {
    /// How much the key is over its rate.
    Within(i64),
    Beyond(i64),
    NoRoom,
}

/// Asks the zone; a request that is within the limit is charged, if it is to be.
pub fn ask(zone: &Handle, key: &[u8], rate: i64, burst: i64, charges: bool) -> Asked {
    let now = time::now_ms();
    let asked = zone.zone().and_then(|zone| {
        table::with(zone, |table| {
            let bucket = match table.find(key, |_| true)? {
                Some(found) => {
                    table.touch(found)?;
                    found.value
                }
                None => insert(table, key, rate, now)?,
            };
            let excess = bucket.excess(rate, now);
            if excess > burst {
                return Ok(Asked::Beyond(excess));
            }
            if charges {
                bucket.charge(excess, now);
            }
            Ok(Asked::Within(excess))
        })
    });
    asked.unwrap_or(Asked::NoRoom)
}

fn insert<'a>(
    table: &Table<'a, Bucket>,
    key: &[u8],
    rate: i64,
    now: u64,
) -> Result<&'a Bucket, Fault> {
    expire(table, rate, now, false)?;
    let inserted = match table.insert(key) {
        Err(Fault::Full) => {
            expire(table, rate, now, true)?;
            table.insert(key)?
        }
        inserted => inserted?,
    };
    Ok(inserted.value)
}

/// Up to two records go that nobody would miss; if `forced`, the oldest goes before them
/// (ngx_http_limit_req_expire).
fn expire(table: &Table<'_, Bucket>, rate: i64, now: u64, forced: bool) -> Result<(), Fault> {
    for round in usize::from(!forced)..3 {
        let Some(oldest) = table.oldest()? else { return Ok(()) };
        if round > 0 && !oldest.value.is_spent(rate, now) {
            return Ok(());
        }
        table.remove(oldest)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::zone::Record;

    #[test]
    fn requests_leak_out_at_the_rate() {
        // 2 requests a second.
        for (stored, age, excess) in [
            (0, 0, 1000),
            (0, 250, 500),
            (0, 500, 0),
            (0, 10_000, 0),
            (3000, 0, 4000),
            (3000, 1000, 2000),
            (3000, -5, 4000),
            (3000, -70_000, 3998),
            (i64::MAX as u64, 1000, (1 << 62) - 1000),
        ] {
            let bucket = Bucket::ZERO;
            assert_eq!(bucket.excess(2000, 100_000), 0, "never charged");
            bucket.charge(stored as i64, 100_000);
            assert_eq!(bucket.excess(2000, 100_000_u64.wrapping_add_signed(age)), excess);
        }
    }

    #[test]
    fn a_charge_within_the_same_millisecond_adds_up() {
        let bucket = Bucket::ZERO;
        let charged = (0..5).map(|_| {
            let excess = bucket.excess(1000, 7_000);
            bucket.charge(excess, 7_000);
            excess
        });
        assert!(charged.eq([0, 1000, 2000, 3000, 4000]));
        assert!(!bucket.is_spent(1000, 7_000 + 59_999));
        assert!(bucket.is_spent(1000, 7_000 + 60_000));
        assert!(!bucket.is_spent(16, 7_000 + 60_000));
    }
}
