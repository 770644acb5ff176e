//! Shared memory: zones, their locks and allocators, and the scoreboard.
//!
//! Everything lies in memfds that are mapped before the fork, so that children
//! inherit the mapping and an exec in place can keep the memory. Inside are only
//! offsets. Workers write here, so nothing that is read here is believed: see
//! `mem::zone`, which checks every place, and `slab`, which checks what it says.
//!
//! | file | what |
//! |---|---|
//! | `scoreboard`, `fields` | one record per process, written by it alone; what all share |
//! | `snapshot`, `seen` | scoreboard and zones of another master, for `-s status` and verdicts |
//! | `directory` | the zones of a configuration, kept over a reload |
//! | `zone` | one named zone: lock, allocator, recovery after a death |
//! | `table` | records by key and by age in a zone, for limits |
//! | `slab`, `mutex` | the allocator and the lock inside |
//! | `pack` | numbers and strings for the image that comes after an exec |

#![allow(dead_code, reason = "its parts are whole, whoever uses which of them")]

pub mod directory;
pub mod fields;
pub mod mutex;
pub mod pack;
pub mod scoreboard;
pub mod seen;
pub mod slab;
pub mod snapshot;
pub mod table;
pub mod zone;

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::mem::zone::{Record, Region};
use crate::sys::{Errno, Result, file};
use scoreboard::{Asked, Board, Slot};

/// Where there is no shared one: in the tester, and in tests.
static UNSHARED: Board = Board::ZERO;

thread_local! {
    static BOARD: Cell<&'static Board> = const { Cell::new(&UNSHARED) };
    static OWN: Cell<&'static Slot> = const { Cell::new(&UNSHARED.slots[0]) };
    /// Open for as long as the process lives: it is how others find the board.
    static MEMORY: Cell<Option<BorrowedFd<'static>>> = const { Cell::new(None) };
}

/// Makes the scoreboard that this process and those it forks will share. Once.
pub fn create() -> Result<()> {
    let len = board_size();
    let memory = file::memfd(scoreboard::NAME)?;
    file::ftruncate(&memory, len as u64)?;
    file::seal_size(&memory)?;
    let board = share(memory, len)?;
    board.master.begin();
    Ok(())
}

/// Goes on with the scoreboard of the image before this one, if its records are of our shape.
pub fn adopt(memory: OwnedFd) -> Result<()> {
    let len = board_size();
    if !file::is_sealed(&memory, len) {
        return Err(Errno::EINVAL);
    }
    let shared = Region::shared(&memory, len)?;
    match shared.record::<Board>(0) {
        Some(board) if board.master.is_known() => share(memory, len).map(drop),
        _ => Err(Errno::EINVAL),
    }
}

fn board_size() -> usize {
    size_of::<Board>().next_multiple_of(crate::sys::map::page_size())
}

fn share(memory: OwnedFd, len: usize) -> Result<&'static Board> {
    let region: &'static Region = Box::leak(Box::new(Region::shared(&memory, len)?));
    let board: &'static Board = region.record(0).ok_or(Errno::EINVAL)?;
    BOARD.set(board);
    let memory: &'static OwnedFd = Box::leak(Box::new(memory));
    MEMORY.set(Some(memory.as_fd()));
    Ok(board)
}

/// The board of this master and its children.
pub fn board() -> &'static Board {
    BOARD.get()
}

/// The record of this process: a worker's counters.
pub fn own() -> &'static Slot {
    OWN.get()
}

/// A child takes the record that the master has prepared.
pub fn enter(slot: usize) {
    if let Some(slot) = board().slots.get(slot) {
        slot.begin();
        // Its logs are those that the master has open now.
        slot.reopened.set(board().master.begun(Asked::Reopen));
        OWN.set(slot);
    }
}

/// This process has done the reopening that the master has asked for.
pub fn has_reopened() {
    own().reopened.set(board().master.begun(Asked::Reopen));
}

/// The scoreboard's memory, for the exec that hands it to the next image.
pub fn memory() -> Option<BorrowedFd<'static>> {
    MEMORY.get()
}

#[cfg(test)]
mod tests;
