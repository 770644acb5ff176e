//! Whether a new generation of workers has come up: of a start, and of a reload.
//!
//! A rule of counts, without processes. All ready, or at least one after 5 s
//! (with a warning): it is up. None after 5 s, or all of them dead for good: it
//! has failed. nginx has no such rule: its start says nothing, and a reload
//! whose workers cannot start leaves nobody to serve.

/// How long a generation may take until one of its workers is ready.
pub const READY_WITHIN_MS: u64 = 5_000;

/// One generation's workers, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    /// How many there should be.
    pub wanted: usize,
    /// Alive, with listeners armed.
    pub ready: usize,
    /// Dead for good: exit code 2, not respawned.
    pub lost: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Undecided,
    Up,
    /// Up with fewer than wanted.
    UpInPart,
    Failed,
}

impl Count {
    pub fn verdict(self, time_is_up: bool) -> Verdict {
        if self.ready >= self.wanted {
            Verdict::Up
        } else if self.lost >= self.wanted {
            Verdict::Failed
        } else if self.ready + self.lost >= self.wanted {
            Verdict::UpInPart
        } else if !time_is_up {
            Verdict::Undecided
        } else if self.ready > 0 {
            Verdict::UpInPart
        } else {
            Verdict::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        let table = [
            // wanted, ready, lost: before 5 s, after
            ((4, 4, 0), Verdict::Up, Verdict::Up),
            ((4, 3, 0), Verdict::Undecided, Verdict::UpInPart),
            ((4, 0, 0), Verdict::Undecided, Verdict::Failed),
            ((4, 0, 3), Verdict::Undecided, Verdict::Failed),
            ((4, 0, 4), Verdict::Failed, Verdict::Failed),
            ((4, 3, 1), Verdict::UpInPart, Verdict::UpInPart),
            ((1, 1, 0), Verdict::Up, Verdict::Up),
        ];
        for ((wanted, ready, lost), before, after) in table {
            let count = Count { wanted, ready, lost };
            assert_eq!((count.verdict(false), count.verdict(true)), (before, after), "{count:?}");
        }
    }
}
