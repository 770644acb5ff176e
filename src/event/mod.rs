//! The worker's loop: epoll, sockets, timers, tasks.

pub mod wheel;
