//! The error log and every other file that lines go to.
