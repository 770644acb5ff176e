//! On which CPUs the process may run.

use libc::c_int;

use super::errno::{Result, check, done};

const WORDS: usize = 128;

/// A set of CPUs. Larger than C's cpu_set_t (1024): the kernel refuses to tell
/// its mask to a set that is smaller than its own.
#[derive(Clone, PartialEq, Eq)]
pub struct CpuSet([u64; WORDS]);

impl CpuSet {
    pub const LIMIT: usize = WORDS * 64;

    pub const fn empty() -> CpuSet {
        CpuSet([0; WORDS])
    }

    /// False when there can be no such CPU.
    pub fn insert(&mut self, cpu: usize) -> bool {
        let word = self.0.get_mut(cpu / 64);
        word.map(|word| *word |= 1 << (cpu % 64)).is_some()
    }

    pub fn contains(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..CpuSet::LIMIT).filter(|&cpu| self.contains(cpu))
    }
}

/// The CPUs that are online, in our cpuset and in our mask: what is left of all
/// three. (So it is also what musl's sysconf calls the number of CPUs.)
pub fn getaffinity() -> Result<CpuSet> {
    let mut set = CpuSet::empty();
    // SAFETY: the kernel writes at most the size given.
    check(unsafe { libc::sched_getaffinity(0, size_of::<CpuSet>(), set.0.as_mut_ptr().cast()) })?;
    Ok(set)
}

pub fn setaffinity(set: &CpuSet) -> Result<()> {
    // SAFETY: the kernel reads at most the size given.
    done(unsafe { libc::sched_setaffinity(0, size_of::<CpuSet>(), set.0.as_ptr().cast()) })
}

/// The CPU we are on now.
pub fn current_cpu() -> Result<c_int> {
    // SAFETY: takes nothing.
    check(unsafe { libc::sched_getcpu() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_on_one_cpu() {
        let all = getaffinity().unwrap();
        let last = all.iter().last().unwrap();
        let mut one = CpuSet::empty();
        assert!(one.insert(last) && one.len() == 1 && !one.insert(CpuSet::LIMIT));
        setaffinity(&one).unwrap();
        assert!(getaffinity().unwrap() == one);
        assert_eq!(current_cpu(), Ok(last as c_int));
        setaffinity(&all).unwrap();
    }
}
