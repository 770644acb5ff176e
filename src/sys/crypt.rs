//! crypt(3), musl's: DES, MD5, bcrypt, SHA-256 and SHA-512 passwords.
//!
//! A method that it does not know it takes for a salt of DES, so what comes back may
//! have little to do with what was asked: compare it whole.

use std::ffi::{CStr, c_char, c_int};

/// `struct crypt_data` of musl's crypt.h, where a hash is made.
#[repr(C)]
pub struct Room {
    initialized: c_int,
    text: [c_char; 256],
}

impl Room {
    pub fn new() -> Room {
        Room { initialized: 0, text: [0; 256] }
    }
}

/// A hash of DES. What is shorter, "*" or "x", is musl's word for a failure.
const SHORTEST: usize = 13;

unsafe extern "C" {
    // Not among the libc crate's declarations.
    fn crypt_r(password: *const c_char, setting: *const c_char, room: *mut Room) -> *mut c_char;
}

/// The hash of `password` as `setting` asks for: a method, its cost and a salt,
/// or a whole hash, which begins with them. None for what musl finds malformed.
/// It may take as long as the setting says.
pub fn hash<'a>(password: &CStr, setting: &CStr, room: &'a mut Room) -> Option<&'a [u8]> {
    // SAFETY: both texts end in NUL; the room is the struct that is asked for.
    let made = unsafe { crypt_r(password.as_ptr(), setting.as_ptr(), room) };
    if made.is_null() {
        return None;
    }
    // SAFETY: not null, so it is a text, in the room or in libc's constants; the
    // room stays borrowed for as long as the text.
    let made: &'a [u8] = unsafe { CStr::from_ptr(made) }.to_bytes();
    // musl takes a star for salt, which is how fields are made unusable.
    (made.len() >= SHORTEST && !made.starts_with(b"*")).then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_failures() {
        let made = |setting: &CStr| hash(c"secret", setting, &mut Room::new()).map(<[u8]>::to_vec);
        let made = |setting: &CStr| made(setting).map(|hash| String::from_utf8(hash).unwrap());
        for setting in [c"ab", c"$1$salt$", c"$5$salt", c"$6$salt$rest"] {
            let hash = made(setting).unwrap();
            assert!(hash.as_bytes()[..2] == setting.to_bytes()[..2] && hash.len() > 12, "{hash}");
        }
        for refused in [c"", c"*", c"*0", c"$5$rounds=x$", c"$2b$99$abcdefghijklmnopqrstuv"] {
            assert_eq!(made(refused), None, "{refused:?}");
        }
    }
}
