//! What the tests of this folder share: children with one thread, and chance that repeats.

use crate::mem::zone::Region;
use crate::sys::process::{self, Fork, Pid, Status};
use crate::sys::{clock, file};

/// Fresh memory that children will share.
pub fn shared(len: usize) -> Region {
    let memory = file::memfd(c"limpet:test").unwrap();
    file::ftruncate(&memory, len as u64).unwrap();
    Region::shared(&memory, len).unwrap()
}

pub struct Child {
    pub pid: Pid,
}

/// Forks; the child does `work` and ends, with 0 if it did not panic.
pub fn child(work: impl FnOnce()) -> Child {
    let Fork::Parent(pid) = process::fork().unwrap() else {
        // A test that fails leaves nobody behind.
        process::set_parent_death_signal(libc::SIGKILL).unwrap();
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
        process::exit(i32::from(!passed))
    };
    Child { pid }
}

impl Child {
    pub fn wait(self) -> Status {
        process::waitpid(self.pid).unwrap()
    }

    #[track_caller]
    pub fn assert_passed(self) {
        assert_eq!(self.wait(), Status::Exited(0), "in the child");
    }

    #[track_caller]
    pub fn continue_and_pass(self) {
        process::kill(self.pid, libc::SIGCONT).unwrap();
        self.assert_passed();
    }
}

/// For at most 5 s.
#[track_caller]
pub fn wait_until(true_at_last: impl Fn() -> bool) {
    let deadline = clock::monotonic_ms() + 5000;
    while !true_at_last() {
        assert!(clock::monotonic_ms() < deadline, "waited in vain");
        let _ = clock::sleep_ms(1);
    }
}

/// xorshift64*: the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 32) as usize % limit
    }
}
