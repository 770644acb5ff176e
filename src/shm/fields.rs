//! What the scoreboard's records are made of: numbers, names and short texts.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, Release},
};

use crate::mem::zone::record;

record! {
    /// A number that only one process writes.
    pub struct Word {
        value: AtomicU64,
    }
}

impl Word {
    pub fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }

    pub fn set(&self, value: u64) {
        self.value.store(value, Relaxed);
    }

    /// The last of several that belong together: whoever sees it sees the others.
    pub fn publish(&self, value: u64) {
        self.value.store(value, Release);
    }

    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    pub fn sub(&self, less: u64) {
        debug_assert!(self.get() >= less);
        self.set(self.get().saturating_sub(less));
    }
}

record! {
    /// Numbers that no two processes get twice.
    #[repr(align(64))]
    pub struct Numbers {
        last: AtomicU64,
    }
}

impl Numbers {
    pub fn next(&self) -> u64 {
        self.last.fetch_add(1, Relaxed) + 1
    }
}

/// A text, written by the master alone; what does not fit its words is cut.
macro_rules! text {
    ($name:ident, $words:literal) => {
        record! {
            pub struct $name {
                len: Word,
                words: [Word; $words],
            }
        }

        impl $name {
            pub fn set(&self, text: &str) {
                write(&self.len, &self.words, text);
            }

            pub fn get(&self) -> String {
                read(&self.len, &self.words)
            }
        }
    };
}

text!(Text, 63);
text!(LongText, 511);

fn write(len: &Word, words: &[Word], text: &str) {
    let mut end = text.len().min(words.len() * 8);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let bytes = &text.as_bytes()[..end];
    for (word, part) in words.iter().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..part.len()].copy_from_slice(part);
        word.set(u64::from_ne_bytes(whole));
    }
    len.set(bytes.len() as u64);
}

fn read(len: &Word, words: &[Word]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.get().to_ne_bytes()).collect();
    let len = usize::try_from(len.get()).unwrap_or(usize::MAX).min(bytes.len());
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

/// Numbers that mean something, and what they are called.
macro_rules! names {
    ($(#[$outer:meta])* enum $name:ident {
        $($(#[$inner:meta])* $variant:ident $text:literal),* $(,)?
    }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$inner])* $variant),* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }

            /// A number that is none of these counts as the first.
            fn from_number(number: u64) -> $name {
                let index = usize::try_from(number).unwrap_or(usize::MAX);
                $name::ALL.get(index).copied().unwrap_or($name::ALL[0])
            }
        }
    };
}
pub(super) use names;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::zone::Record;
    use crate::shm::tests::{child, shared};

    #[test]
    fn no_number_is_given_twice() {
        let region = shared(4096);
        let numbers: &Numbers = region.record(0).unwrap();
        let take = || assert!((0..10_000).all(|_| numbers.next() > 0));
        let other = child(take);
        take();
        other.assert_passed();
        assert_eq!(numbers.next(), 20_001);
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let text = Text::ZERO;
        for short in ["", "a", "12345678", "123456789", "ünïcödé"] {
            text.set(short);
            assert_eq!(text.get(), short);
        }
        text.set(&"é".repeat(300));
        assert_eq!(text.get(), "é".repeat(252));
        text.set(&format!("x{}", "é".repeat(300)));
        assert_eq!(text.get().len(), 503);
        text.len.set(u64::MAX);
        assert_eq!(text.get().len(), 504);
    }
}
