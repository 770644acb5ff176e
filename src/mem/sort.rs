//! Sorting: stable, in place, and there once for all types.
//!
//! The library's is made anew for each type that is sorted, 5 KB each time, for a speed that
//! lists of a configuration have no use for. This one takes n log² n exchanges.

use std::cmp::Ordering;

/// Sorts as `slice::sort_by` does: what is equal stays in its order.
pub fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let len = items.len();
    sort(&mut List { items, compare }, 0, len);
}

/// What has to be known of a list: nothing of its type.
trait Places {
    fn precedes(&self, one: usize, other: usize) -> bool;
    fn swap(&mut self, one: usize, other: usize);
}

struct List<'l, T, C> {
    items: &'l mut [T],
    compare: C,
}

impl<T, C: Fn(&T, &T) -> Ordering> Places for List<'_, T, C> {
    fn precedes(&self, one: usize, other: usize) -> bool {
        (self.compare)(&self.items[one], &self.items[other]).is_lt()
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.items.swap(one, other);
    }
}

fn sort(list: &mut dyn Places, from: usize, to: usize) {
    if to - from < 2 {
        return;
    }
    let middle = from.midpoint(to);
    sort(list, from, middle);
    sort(list, middle, to);
    merge(list, from, middle, to);
}

/// Makes one of two sorted neighbours. The longer is cut in its middle, the other where that
/// middle belongs; the inner parts change places, and there are two smaller pairs.
fn merge(list: &mut dyn Places, from: usize, middle: usize, to: usize) {
    if from == middle || middle == to || !list.precedes(middle, middle - 1) {
        return;
    }
    if to - from == 2 {
        return list.swap(from, middle);
    }
    let (left, right);
    if middle - from > to - middle {
        left = from.midpoint(middle);
        right = first(middle, to, |place| !list.precedes(place, left));
    } else {
        right = middle.midpoint(to);
        left = first(from, middle, |place| list.precedes(right, place));
    }
    reverse(list, left, middle);
    reverse(list, middle, right);
    reverse(list, left, right);
    let between = left + (right - middle);
    merge(list, from, left, between);
    merge(list, between, right, to);
}

/// The first of these places for which it is so, as it is for all behind.
fn first(mut from: usize, mut to: usize, is_so: impl Fn(usize) -> bool) -> usize {
    while from < to {
        let middle = from.midpoint(to);
        match is_so(middle) {
            true => to = middle,
            false => from = middle + 1,
        }
    }
    from
}

fn reverse(list: &mut dyn Places, from: usize, to: usize) {
    for place in from..from.midpoint(to) {
        list.swap(place, from + to - 1 - place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the library's, with few keys, so that many are equal.
    #[test]
    fn what_is_equal_stays_in_order() {
        let mut random = 1_u32;
        for len in 0..200 {
            for keys in [1, 2, 7, 1000] {
                let mut next = |place| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((random >> 16) % keys, place)
                };
                let mut items: Vec<(u32, usize)> = (0..len).map(&mut next).collect();
                let mut sorted = items.clone();
                sorted.sort_by_key(|(key, _)| *key);
                sort_by(&mut items, |one, other| one.0.cmp(&other.0));
                assert_eq!(items, sorted, "{len} of {keys}");
            }
        }
    }
}
