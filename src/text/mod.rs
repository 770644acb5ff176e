//! Bytes and words: numbers, dates, hashes, tables, bounded writing.
//!
//! Pure functions over slices. Nothing here allocates, panics on its input or
//! asks the kernel anything.
#![allow(dead_code, reason = "the floor is complete for all that stands on it, now or later")]
pub mod ascii;
pub mod base64;
pub mod date;
pub mod digest;
pub mod distance;
pub mod escape;
pub mod hash;
pub mod md5;
pub mod network;
pub mod number;
pub mod scan;
pub mod sha1;
pub mod writer;
