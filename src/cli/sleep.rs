//! `limpet sleep TIME`: for a preStop hook in an image that has no `sleep`.

use crate::sys::clock;

/// Waits; the exit code.
pub fn sleep(ms: u64) -> i32 {
    i32::from(clock::sleep_ms(ms).is_err())
}
