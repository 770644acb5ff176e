//! The process title: what `ps` shows is the memory where the kernel put argv.
//!
//! At start the strings of argv and environ lie end to end. We copy the
//! arguments, move the environment, and from then on the whole area is ours to
//! write a title into. Where a string lies elsewhere the area ends before it.

use std::cell::Cell;
use std::ffi::{CStr, OsString, c_char};
use std::os::unix::ffi::OsStringExt;

unsafe extern "C" {
    /// environ(7); the `libc` crate does not declare it for musl.
    static mut environ: *mut *mut c_char;
}

thread_local! {
    /// Where it starts and how long it is; empty until `adopt`.
    static AREA: Cell<(*mut u8, usize)> = const { Cell::new((std::ptr::null_mut(), 0)) };
}

/// Shows `title` in place of the command line, cut where the room ends.
pub fn set(title: &[u8]) {
    let (start, len) = AREA.get();
    if len == 0 {
        return;
    }
    // SAFETY: `adopt` found that these bytes were argv's and environ's, both
    // now copied: nobody else refers to them.
    let area = unsafe { std::slice::from_raw_parts_mut(start, len) };
    // The last byte stays NUL: else the kernel would read on behind it.
    let shown = title.len().min(len - 1);
    area[..shown].copy_from_slice(&title[..shown]);
    area[shown..].fill(0);
}

/// Copies the arguments, moves the environment and takes their area over.
///
/// # Safety
/// `argv` is main's. Called once, before anything else has kept a reference to
/// an argument or to the environment.
pub(super) unsafe fn adopt(argv: *const *mut c_char) -> Vec<OsString> {
    // SAFETY: main's vectors end in null, their strings in NUL.
    let (arguments, variables) = unsafe { (strings(argv), strings(environ)) };
    let both = arguments.iter().chain(&variables);
    let area = contiguous(both.map(|string| string.to_bytes_with_nul()));

    let copies = arguments.iter().map(|s| OsString::from_vec(s.to_bytes().to_vec())).collect();
    let moved = variables.iter().map(|&string| string.to_owned().into_raw());
    let moved: Vec<*mut c_char> = moved.chain([std::ptr::null_mut()]).collect();
    // SAFETY: one thread; the new vector is whole and lives as long as the process.
    unsafe { environ = moved.leak().as_mut_ptr() };

    AREA.set(area);
    copies
}

/// # Safety
/// `vector` ends in null, each of its strings in NUL.
unsafe fn strings(vector: *const *mut c_char) -> Vec<&'static CStr> {
    let mut found = Vec::new();
    // SAFETY: the caller's promise; the walk ends at the null.
    unsafe {
        while let Some(string) = (*vector.add(found.len())).as_ref() {
            found.push(CStr::from_ptr(string));
        }
    }
    found
}

/// The longest run of strings from the first on that lie end to end.
fn contiguous<'a>(strings: impl Iterator<Item = &'a [u8]>) -> (*mut u8, usize) {
    let (mut start, mut len) = (std::ptr::null::<u8>(), 0);
    for string in strings {
        if len == 0 {
            start = string.as_ptr();
        } else if string.as_ptr() != start.wrapping_add(len) {
            break;
        }
        len += string.len();
    }
    (start.cast_mut(), len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_ends_where_strings_stop_touching() {
        let memory = b"limpet\0-c\0x\0PATH=/\0gap\0TZ=\0";
        let start = memory.as_ptr().cast_mut();
        let parts = [&memory[..7], &memory[7..10], &memory[10..12], &memory[12..19]];
        assert_eq!(contiguous(parts.into_iter()), (start, 19));
        let apart = [&memory[..7], &memory[7..10], &memory[12..19]];
        assert_eq!(contiguous(apart.into_iter()), (start, 10));
        assert_eq!(contiguous([].into_iter()).1, 0);
    }

    #[test]
    fn a_title_is_cut_and_its_rest_cleared() {
        set(b"before adopt nothing happens");
        let memory = Box::leak(Box::new(*b"limpet\0-c\0x\0"));
        AREA.set((memory.as_mut_ptr(), memory.len()));
        set(b"limpet: master process");
        // SAFETY: the array outlives the test; nobody else refers to it now.
        let shown = || unsafe { std::slice::from_raw_parts(AREA.get().0, AREA.get().1).to_vec() };
        assert_eq!(shown(), b"limpet: mas\0");
        set(b"short");
        assert_eq!(shown(), b"short\0\0\0\0\0\0\0");
    }
}
