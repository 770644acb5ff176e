//! Shared memory seen as records.
//!
//! A [`Region`] is a stretch of zeroed memory, usually one that other processes
//! have mapped too. Inside are only numbers and offsets, never pointers, and
//! what it holds may be changed by another process at any time, a hostile one
//! included. So a reference into it is only ever to atomics, every offset is
//! checked against the length that we ourselves mapped, and bytes are copied
//! out before anybody looks at them.
//!
//! INVARIANT: `start` is valid for `len` bytes, aligned to a cache line, for as
//! long as the region lives.
#![allow(unsafe_code, reason = "one of the three files of mem that own raw memory")]

use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::sys::Result;
use crate::sys::map::Mapping;

pub struct Region {
    start: NonNull<u8>,
    len: usize,
    /// Given back when the region goes.
    _memory: Mapping,
}

impl Region {
    /// The first `len` bytes of `memory`, as everybody sees them who has it. The
    /// file must be that long, and sealed to stay so.
    pub fn shared(memory: impl AsFd, len: usize) -> Result<Region> {
        Ok(Region::of(Mapping::shared(memory, len)?))
    }

    /// Memory of our own in the same form, for a copy of what others share.
    pub fn private(len: usize) -> Result<Region> {
        Ok(Region::of(Mapping::reserve(len)?))
    }

    /// As [`Region::shared`] for who only looks: others never see what is written here.
    pub fn view(memory: impl AsFd, len: usize) -> Result<Region> {
        Ok(Region::of(Mapping::view(memory, len)?))
    }

    fn of(map: Mapping) -> Region {
        Region { start: map.start(), len: map.len(), _memory: map }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The record at `offset`; none if it would not lie inside, or not aligned.
    pub fn record<T: Record>(&self, offset: usize) -> Option<&T> {
        self.records(offset, 1)?.first()
    }

    /// `count` records, one behind the other.
    pub fn records<T: Record>(&self, offset: usize, count: usize) -> Option<&[T]> {
        let at = self.bytes(offset, count.checked_mul(size_of::<T>())?)?.cast::<T>();
        if !at.is_aligned() {
            return None;
        }
        // SAFETY: inside the region, aligned, and records are valid whatever
        // their bytes are and whoever changes them meanwhile.
        Some(unsafe { std::slice::from_raw_parts(at.as_ptr(), count) })
    }

    /// Copies bytes out. None: they do not lie inside.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Option<()> {
        let from = self.bytes(offset, to.len())?;
        // SAFETY: inside the region, and nobody has a reference to plain bytes
        // there. Another process that writes meanwhile can only decide which
        // bytes the copy has.
        unsafe { to.as_mut_ptr().copy_from_nonoverlapping(from.as_ptr(), to.len()) };
        Some(())
    }

    /// Copies bytes in. None: they would not lie inside.
    pub fn write(&self, offset: usize, from: &[u8]) -> Option<()> {
        let to = self.bytes(offset, from.len())?;
        // SAFETY: as in `read`; whoever holds records there expects any bytes.
        unsafe { to.as_ptr().copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Some(())
    }

    /// Where these bytes are, if all of them lie inside.
    fn bytes(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        if len > self.len || offset > self.len - len {
            return None;
        }
        // SAFETY: no further than the end of the region.
        Some(unsafe { self.start.add(offset) })
    }
}

/// What may lie in shared memory: atomics, and arrays and structs of them.
///
/// # Safety
/// Any bytes are a valid value, also while another process changes them: so no
/// field without interior mutability, no pointer, no bool, no enum.
pub unsafe trait Record: Sync {
    /// All bytes zero.
    const ZERO: Self;

    /// Makes it so again, number by number.
    fn clear(&self);
}

// SAFETY: an atomic integer is valid whatever its bytes are.
unsafe impl Record for AtomicU32 {
    const ZERO: AtomicU32 = AtomicU32::new(0);

    fn clear(&self) {
        self.store(0, Relaxed);
    }
}
// SAFETY: an atomic integer is valid whatever its bytes are.
unsafe impl Record for AtomicU64 {
    const ZERO: AtomicU64 = AtomicU64::new(0);

    fn clear(&self) {
        self.store(0, Relaxed);
    }
}
// SAFETY: an array is its elements.
unsafe impl<T: Record, const N: usize> Record for [T; N] {
    const ZERO: [T; N] = [const { T::ZERO }; N];

    fn clear(&self) {
        self.iter().for_each(T::clear);
    }
}

/// Declares a [`Record`]: a `repr(C)` struct, all of whose fields must be
/// records, which the compiler checks. A copy of the struct in another binary
/// of the same layout version has the same shape.
macro_rules! record {
    ($(#[$outer:meta])* $vis:vis struct $name:ident {
        $($(#[$inner:meta])* $field_vis:vis $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$outer])*
        #[repr(C)]
        $vis struct $name { $($(#[$inner])* $field_vis $field: $type),* }
        // SAFETY: every field is a record: ZERO could not be written otherwise.
        #[expect(unsafe_code, reason = "the fields carry the proof")]
        unsafe impl $crate::mem::zone::Record for $name {
            const ZERO: $name = $name { $($field: <$type as $crate::mem::zone::Record>::ZERO),* };

            fn clear(&self) {
                $($crate::mem::zone::Record::clear(&self.$field);)*
            }
        }
    };
}
pub(crate) use record;

#[cfg(test)]
mod tests {
    use super::*;

    record! {
        struct Pair {
            small: AtomicU32,
            large: [AtomicU64; 2],
        }
    }

    #[test]
    fn records_lie_inside_or_nowhere() {
        let region = Region::private(100).unwrap();
        let pair = region.record::<Pair>(8).unwrap();
        pair.large[1].store(7, Relaxed);
        assert_eq!(region.record::<AtomicU64>(24).unwrap().load(Relaxed), 7);
        pair.clear();
        assert_eq!(region.record::<AtomicU64>(24).unwrap().load(Relaxed), 0);
        assert!(region.record::<Pair>(72).is_some());
        for outside in [80, 100, 101, 1 << 40, usize::MAX, usize::MAX - 23] {
            assert!(region.record::<Pair>(outside).is_none(), "{outside}");
        }
        assert!(region.record::<Pair>(4).is_none(), "not aligned");
        assert_eq!(region.records::<AtomicU32>(4, 24).map(<[_]>::len), Some(24));
        assert!(region.records::<AtomicU32>(4, 25).is_none());
        assert!(region.records::<AtomicU32>(0, usize::MAX).is_none());
    }

    #[test]
    fn a_private_region_has_cache_lines() {
        record! {
            #[repr(align(64))]
            struct Wide {
                word: AtomicU32,
            }
        }
        let regions = [(); 9].map(|()| Region::private(192).unwrap());
        assert!(regions.iter().all(|region| region.record::<Wide>(128).is_some()));
    }

    #[test]
    fn bytes_are_copied() {
        let region = Region::private(16).unwrap();
        assert_eq!(region.write(11, b"hello"), Some(()));
        assert_eq!(region.write(12, b"hello"), None);
        let mut copy = [0; 4];
        assert_eq!(region.read(12, &mut copy), Some(()));
        assert_eq!(&copy, b"ello");
        assert_eq!(region.read(17, &mut []), None);
    }

    #[test]
    #[cfg(not(miri))]
    fn what_is_shared_is_seen_twice() {
        let memory = crate::sys::file::memfd(c"limpet:test").unwrap();
        crate::sys::file::ftruncate(&memory, 4096).unwrap();
        let (a, b) =
            (Region::shared(&memory, 4096).unwrap(), Region::shared(&memory, 4096).unwrap());
        a.record::<AtomicU32>(4092).unwrap().store(5, Relaxed);
        assert_eq!(b.record::<AtomicU32>(4092).unwrap().load(Relaxed), 5);
        assert_eq!(a.len(), 4096);
    }
}
