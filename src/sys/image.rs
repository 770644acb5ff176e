//! The pages of the program itself.

use libc::{Elf64_Phdr, c_ulong};

use super::alloc;
use super::map::page_size;

/// How much of the dead stack is given back: more than a start takes, and less than the
/// kernel keeps free below a stack (1 MiB), so that nothing else can be there.
const STACK: usize = 256 * 1024;

/// The start is over: lets go of the code, constants and stack that it has touched. What
/// is needed from now on comes back, and the rest counts no more for this process. The
/// start touches most of the program, the loop little of it.
///
/// On the process's own stack only.
#[inline(never)]
pub fn release() {
    alloc::started();
    let page = page_size();
    // Read while it is there: the headers are among what goes.
    let mut parts = [(0, 0); 4];
    read_only_parts(page, &mut parts);
    for (start, len) in parts.into_iter().filter(|(_, len)| *len > 0) {
        // SAFETY: a private mapping of a file that nobody can have written to
        // (the segment has no PF_W, and relocations are in others): its pages
        // read the same when they come back.
        unsafe { dont_need(start, len) };
    }
    let here = &raw const parts as usize / page * page;
    // SAFETY: what is below the last frame's end means nothing to anybody. A page is left
    // for the frame of the call.
    unsafe { dont_need(here - page - STACK, STACK) };
}

/// A failure costs memory, nothing else.
///
/// # Safety
/// What is in these pages must be dead, or come back the same by itself.
unsafe fn dont_need(start: usize, len: usize) {
    // SAFETY: as the caller promises.
    unsafe { libc::madvise(start as *mut _, len, libc::MADV_DONTNEED) };
}

/// Start and length of the segments that nobody can write to.
fn read_only_parts(page: usize, parts: &mut [(usize, usize)]) {
    // SAFETY: the kernel's own words about the program, valid as long as it runs.
    let (headers, count) = unsafe {
        (libc::getauxval(libc::AT_PHDR) as *const Elf64_Phdr, libc::getauxval(libc::AT_PHNUM))
    };
    if headers.is_null() {
        return;
    }
    // SAFETY: AT_PHDR points to AT_PHNUM headers, mapped read-only.
    let headers = unsafe { std::slice::from_raw_parts(headers, count as usize) };
    let Some(own) = headers.iter().find(|header| header.p_type == libc::PT_PHDR) else { return };
    // Where the program was loaded: all addresses in its headers count from here.
    let base = (headers.as_ptr() as c_ulong).wrapping_sub(own.p_vaddr);
    let read_only =
        |header: &&Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
    for (header, part) in headers.iter().filter(read_only).zip(parts) {
        let start = (base + header.p_vaddr) as usize / page * page;
        let end = (base + header.p_vaddr + header.p_memsz) as usize;
        *part = (start, end - start);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_goes_on() {
        let before = std::hint::black_box("constants stay what they are");
        let deep = std::hint::black_box([7u8; 4096]);
        super::release();
        assert_eq!(before.len(), 28);
        assert!(std::hint::black_box(deep).iter().all(|&byte| byte == 7));
    }
}
