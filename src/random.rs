//! Random numbers, taken from the kernel thirty-two at a time.
//!
//! What a client is shown must tell it nothing of what the next one gets, so there is no
//! generator whose state could be worked out. A child must not go on with the numbers of
//! its parent: it calls `seed` first.

use std::cell::RefCell;

use crate::sys::{clock, process, random};
use crate::text::hash;

const WORDS: usize = 32;

/// Numbers, and how many of them are left.
struct Store([u64; WORDS], usize);

thread_local! {
    static STORE: RefCell<Store> = const { RefCell::new(Store([0; WORDS], 0)) };
}

/// Forgets the numbers that another process may have, too.
pub fn seed() {
    STORE.set(Store([0; WORDS], 0));
}

/// The next number.
pub fn number() -> u64 {
    STORE.with_borrow_mut(|Store(words, left)| {
        if *left == 0 {
            (*words, *left) = (fresh(words[0]), WORDS);
        }
        *left -= 1;
        words[*left]
    })
}

fn fresh(last: u64) -> [u64; WORDS] {
    let mut bytes = [0; 8 * WORDS];
    if random::fill(&mut bytes).is_err() {
        return weak(last);
    }
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// Where the kernel has none: what nginx seeds its generator with, pid and time.
fn weak(last: u64) -> [u64; WORDS] {
    let mut state = last ^ clock::monotonic_ns() ^ (process::getpid() as u64) << 32;
    [(); WORDS].map(|()| {
        state = hash::hash(&state.to_le_bytes());
        state
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_comes_twice() {
        let mut numbers: Vec<u64> = (0..3 * WORDS).map(|_| number()).collect();
        numbers.extend(weak(1));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 4 * WORDS);
        seed();
        assert_eq!(STORE.with_borrow(|store| store.1), 0);
    }
}
