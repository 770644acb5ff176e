//! The pages of the program itself.

use libc::{Elf64_Phdr, c_ulong};

use super::map::page_size;

/// Lets go of the code and constants that the start has touched: what is needed
/// from now on comes back from the page cache, and the rest counts no more for
/// this process. The start touches most of the program, the loop little of it.
pub fn release() {
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
    for header in headers.iter().filter(read_only) {
        let page = page_size() as c_ulong;
        let start = (base + header.p_vaddr) / page * page;
        let end = base + header.p_vaddr + header.p_memsz;
        let len = (end - start) as usize;
        // A failure costs memory, nothing else.
        // SAFETY: a private mapping of a file that nobody can have written to
        // (the segment has no PF_W, and relocations are in others): its pages
        // read the same when they come back.
        unsafe { libc::madvise(start as *mut _, len, libc::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_goes_on() {
        let before = std::hint::black_box("constants stay what they are");
        super::release();
        assert_eq!(before.len(), 28);
    }
}
