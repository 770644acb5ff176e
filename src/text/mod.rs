//! Bytes and words: numbers, dates, hashes, bounded writers.
