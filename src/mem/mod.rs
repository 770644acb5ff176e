//! Memory: arenas for futures, pools of buffers, typed shared memory; and the order of lists.
//!
//! Everything here is sized once, from the configuration, as reserved address
//! space: pages are touched on first use, so an unused slot costs nothing.

pub mod arena;
pub mod buffers;
pub mod free_list;
pub mod sort;
pub mod zone;
