//! Which CPU a worker runs on: `worker_cpu_affinity`.

use crate::cycle::core_conf::Affinity;
use crate::log::{Level, log};
use crate::sys::sched::{self, CpuSet};

/// Binds this process, worker `number`, to its CPUs; a failure is an alert and no more.
pub fn bind(affinity: &Affinity, number: usize) {
    let Some(mask) = mask_of(affinity, number, sched::getaffinity().ok().as_ref()) else { return };
    for cpu in mask.iter() {
        log!(Level::Notice, "sched_setaffinity(): using cpu #{cpu}");
    }
    if let Err(e) = sched::setaffinity(&mask) {
        log!(Level::Alert, errno e, "sched_setaffinity() failed");
    }
}

/// The mask of its number, the last one for those beyond; `auto` deals the CPUs of its mask, or
/// all that are ours, out one by one.
fn mask_of(affinity: &Affinity, number: usize, ours: Option<&CpuSet>) -> Option<CpuSet> {
    let Affinity { auto, masks } = affinity;
    if !auto {
        return masks.get(number).or(masks.last()).cloned();
    }
    let allowed = masks.first().or(ours)?;
    let cpu = allowed.iter().nth(number % allowed.len().max(1))?;
    let mut mask = CpuSet::empty();
    mask.insert(cpu).then_some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cpus: &[usize]) -> CpuSet {
        let mut set = CpuSet::empty();
        assert!(cpus.iter().all(|cpu| set.insert(*cpu)));
        set
    }

    fn cpus(affinity: &Affinity, number: usize) -> Option<Vec<usize>> {
        mask_of(affinity, number, Some(&set(&[5, 6]))).map(|mask| mask.iter().collect())
    }

    #[test]
    fn the_last_mask_is_for_the_rest() {
        let masks = Affinity { auto: false, masks: vec![set(&[0]), set(&[1, 3])] };
        assert_eq!(cpus(&masks, 0), Some(vec![0]));
        assert_eq!(cpus(&masks, 1), Some(vec![1, 3]));
        assert_eq!(cpus(&masks, 7), Some(vec![1, 3]));
        assert_eq!(cpus(&Affinity::default(), 0), None);
    }

    #[test]
    fn auto_goes_round() {
        let auto = Affinity { auto: true, masks: vec![set(&[1, 4, 6])] };
        let dealt: Vec<_> = (0..4).map(|number| cpus(&auto, number).unwrap()[0]).collect();
        assert_eq!(dealt, [1, 4, 6, 1]);
        assert_eq!(cpus(&Affinity { auto: true, masks: vec![] }, 1), Some(vec![6]));
        assert_eq!(cpus(&Affinity { auto: true, masks: vec![set(&[])] }, 1), None);
    }
}
