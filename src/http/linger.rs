//! Closing a connection whose client may still be sending.
//!
//! Closing with unread bytes makes the kernel send a reset, which can destroy the
//! answer before the client has read it. So the write side is shut first, and what
//! still comes is thrown away for a while (nginx: `lingering_close`).

use super::connection::{Conn, Limits};
use super::core::Lingering;
use super::input::Input;
use crate::event;
use crate::sys::socket::{self, Shutdown};

/// Closes, after lingering where the client may still be sending.
pub async fn close(conn: Conn, mut input: Input, limits: &Limits) {
    let wanted = match limits.lingering_close {
        Lingering::Off => false,
        // What was read to the last byte that was wanted may have more behind it.
        Lingering::On => limits.unread || conn.io.may(event::READ),
        Lingering::Always => true,
    };
    if !wanted || socket::shutdown(&conn.io, Shutdown::Write).is_err() {
        return;
    }
    let over = event::after(limits.lingering_time);
    loop {
        input.clear();
        let deadline = event::after(limits.lingering_timeout).earlier(over);
        match conn.io.read(input.room(), deadline).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
