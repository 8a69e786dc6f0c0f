//! Rows of a cache that nobody has.

use std::ops::Range;

/// Free rows as disjoint ranges in order, no two of them neighbours.
///
/// Prompts are put at the low end and responses at the high one: responses have equal room, so what one gives back
/// suits the next, and prompts of any length break up no row of them.
#[derive(Debug)]
pub struct Room {
    free: Vec<Range<usize>>,
    capacity: usize,
}

/// The end of the cache to look for rows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Low,
    High,
}

impl Room {
    pub fn new(capacity: usize) -> Self {
        Self { free: Vec::from_iter((capacity > 0).then_some(0..capacity)), capacity }
    }

    /// All rows, free or not.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn free(&self) -> usize {
        self.free.iter().map(Range::len).sum()
    }

    /// `rows` neighbouring rows, if there are any.
    pub fn take(&mut self, rows: usize, end: End) -> Option<Range<usize>> {
        if rows == 0 {
            return Some(0..0);
        }
        let fits = |range: &Range<usize>| range.len() >= rows;
        let at = match end {
            End::Low => self.free.iter().position(fits)?,
            End::High => self.free.iter().rposition(fits)?,
        };
        let found = &mut self.free[at];
        let taken = match end {
            End::Low => found.start..found.start + rows,
            End::High => found.end - rows..found.end,
        };
        match end {
            End::Low => found.start = taken.end,
            End::High => found.end = taken.start,
        }
        if found.start == found.end {
            self.free.remove(at);
        }
        Some(taken)
    }

    /// The same; where there are none, the cache grows by what is missing at its end.
    pub fn take_or_grow(&mut self, rows: usize, end: End) -> Range<usize> {
        self.take(rows, end).unwrap_or_else(|| {
            let start = match self.free.pop_if(|last| last.end == self.capacity) {
                Some(last) => last.start,
                None => self.capacity,
            };
            self.capacity = start + rows;
            start..self.capacity
        })
    }

    /// Takes rows back.
    pub fn give(&mut self, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let at = self.free.partition_point(|range| range.start < rows.start);
        self.free.insert(at, rows);
        let neighbours =
            |i: usize, free: &[Range<usize>]| free.get(i + 1).is_some_and(|next| next.start == free[i].end);
        if neighbours(at, &self.free) {
            self.free[at].end = self.free.remove(at + 1).end;
        }
        if at > 0 && neighbours(at - 1, &self.free) {
            self.free[at - 1].end = self.free.remove(at).end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_row_is_given_twice_and_none_is_lost(
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0usize..12, any::<prop::sample::Index>()), 1..80),
        ) {
            let (mut room, mut taken) = (Room::new(40), Vec::<Range<usize>>::new());
            for (take, low, rows, which) in steps {
                let end = if low { End::Low } else { End::High };
                if take {
                    let before = room.free();
                    match room.take(rows, end) {
                        Some(range) => {
                            prop_assert_eq!((range.len(), room.free() + rows), (rows, before));
                            taken.push(range);
                        }
                        None => taken.push(room.take_or_grow(rows, end)),
                    }
                } else if !taken.is_empty() {
                    room.give(taken.swap_remove(which.index(taken.len())));
                }
                let mut owners = vec![0; room.capacity()];
                taken.iter().chain(&room.free).cloned().flatten().for_each(|row| owners[row] += 1);
                prop_assert!(owners.iter().all(|&owners| owners == 1), "{:?} {:?}", taken, room);
                prop_assert!(room.free.windows(2).all(|pair| pair[0].end < pair[1].start), "{room:?}");
            }
            taken.into_iter().for_each(|range| room.give(range));
            prop_assert_eq!(room.take(room.capacity(), End::Low), Some(0..room.capacity()));
        }
    }
}
