//! What Rust's library asks of an unwinder, for a program that has nothing to unwind.
//!
//! A panic aborts (Cargo.toml), so all that an unwinder is linked for is the backtrace of the
//! library's own panic hook: readers of DWARF and ELF, an inflater, 240 KB in a program whose
//! symbols are stripped, and whose own hook prints none. With these in its place the stack is
//! at its end at once, and the optimizer finds that nobody reads anything. Only where a release
//! is built; elsewhere the real one stays.
#![allow(non_snake_case, reason = "the names of the Itanium C++ ABI")]

use std::ffi::{c_int, c_void};

use super::process;

/// `_URC_END_OF_STACK`
const END: c_int = 5;

// SAFETY of the names: this program links no other unwinder, so nobody else defines them.

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_each: *const c_void, _argument: *mut c_void) -> c_int {
    END
}

/// Of a landing pad: there is none, since nothing is thrown.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume(_exception: *mut c_void) -> ! {
    process::abort()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetIP(_context: *mut c_void) -> usize {
    0
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetIPInfo(_context: *mut c_void, _before: *mut c_int) -> usize {
    0
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetCFA(_context: *mut c_void) -> usize {
    0
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetDataRelBase(_context: *mut c_void) -> usize {
    0
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetTextRelBase(_context: *mut c_void) -> usize {
    0
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetRegionStart(_context: *mut c_void) -> usize {
    0
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetLanguageSpecificData(_context: *mut c_void) -> *mut c_void {
    std::ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_SetGR(_context: *mut c_void, _register: c_int, _value: usize) {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_SetIP(_context: *mut c_void, _value: usize) {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_FindEnclosingFunction(_pc: *mut c_void) -> *mut c_void {
    std::ptr::null_mut()
}
