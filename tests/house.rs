//! The rules of the house, as tests that read the sources and start nothing.
mod floors;
#[path = "common/source.rs"]
mod source;
mod tidy;
