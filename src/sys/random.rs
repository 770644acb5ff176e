//! Numbers that nobody can guess.

use super::errno::{Errno, Result};

/// Fills `bytes` with what the kernel gives. EAGAIN: it has none yet (early at boot).
/// Up to 256 bytes come whole (getrandom(2)).
pub fn fill(bytes: &mut [u8; 256]) -> Result<()> {
    // SAFETY: the buffer is valid for its length.
    let got =
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    match usize::try_from(got) {
        Ok(len) if len == bytes.len() => Ok(()),
        Ok(_) => Err(Errno::EAGAIN),
        Err(_) => Err(Errno::last()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn twice_is_not_the_same() {
        let (mut a, mut b) = ([0; 256], [0; 256]);
        assert_eq!((super::fill(&mut a), super::fill(&mut b)), (Ok(()), Ok(())));
        assert_ne!(a, b);
    }
}
