//! Which study is for training, validation and test. All studies of a patient are in one split.

use std::collections::{BTreeMap, BTreeSet};

use crate::dataset::Split;

/// A patient, and the owners' split of one of their studies.
pub type Place<'a> = (&'a str, Option<Split>);

/// The split of each study by the owners; none where they name none.
///
/// Where they have no validation set, one patient of 100 of those for training is drawn, and one at least.
pub fn official(studies: &[Place], seed: u64) -> Vec<Option<Split>> {
    let of = |wanted| studies.iter().filter(move |(_, split)| *split == Some(wanted)).map(|(patient, _)| *patient);
    let training: BTreeSet<&str> = of(Split::Train).collect();
    let without_validation = of(Split::Val).next().is_none();
    let drawn = shuffled(training.into_iter().collect(), seed);
    let count = if without_validation && drawn.len() > 1 { drawn.len().div_ceil(100) } else { 0 };
    let validation: BTreeSet<&str> = drawn.into_iter().take(count).collect();
    let split = |(patient, split): &Place| match split {
        Some(Split::Train) if validation.contains(patient) => Some(Split::Val),
        split => *split,
    };
    studies.iter().map(split).collect()
}

/// The split of each study by the seed: of ten patients two are for tests and one is for validation. Of three or more
/// patients every split has one.
pub fn seeded(studies: &[Place], seed: u64) -> Vec<Option<Split>> {
    let patients: BTreeSet<&str> = studies.iter().map(|(patient, _)| *patient).collect();
    let patients = shuffled(patients.into_iter().collect(), seed);
    let at_least_one = |share: usize| share.max(usize::from(patients.len() > 2));
    let (tests, validation) = (at_least_one(patients.len() / 5), at_least_one(patients.len() / 10));
    let split = |place| match place {
        place if place < tests => Split::Test,
        place if place < tests + validation => Split::Val,
        _ => Split::Train,
    };
    let splits: BTreeMap<&str, Split> = patients.into_iter().enumerate().map(|(at, id)| (id, split(at))).collect();
    studies.iter().map(|(patient, _)| splits.get(patient).copied()).collect()
}

/// In an order that looks like chance and depends on the seed and the names alone.
pub fn shuffled(mut names: Vec<&str>, seed: u64) -> Vec<&str> {
    names.sort_by_cached_key(|name| (draw(seed, name), *name));
    names
}

/// A number that looks like chance (FNV-1a, then the last steps of MurmurHash3).
fn draw(seed: u64, name: &str) -> u64 {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut x = seed.to_le_bytes().iter().chain(name.as_bytes()).fold(0xcbf2_9ce4_8422_2325, hash);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        x = (x ^ (x >> 33)).wrapping_mul(factor);
    }
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_splits_follow_the_patients_and_the_seed() {
        let names: Vec<String> = (0..100).map(|i| format!("p{}", i / 2)).collect();
        let studies: Vec<Place> = names.iter().map(|name| (name.as_str(), Some(Split::Test))).collect();
        let splits = seeded(&studies, 1);
        assert!(splits.chunks(2).all(|pair| pair[0] == pair[1]), "a patient is in two splits");
        let count = |split| splits.iter().filter(|found| **found == Some(split)).count();
        assert_eq!([Split::Train, Split::Val, Split::Test].map(count), [70, 10, 20]);
        assert_ne!(splits, seeded(&studies, 2));
        for few in [3, 4, 9] {
            let splits = seeded(&studies[..2 * few], 0);
            assert!(Split::ALL.iter().all(|split| splits.contains(&Some(*split))), "{few}");
        }
    }

    #[test]
    fn a_validation_set_is_drawn_only_where_the_owners_have_none() {
        let names: Vec<String> = (0..250).map(|i| format!("p{i}")).collect();
        let split = |i: usize| Some(if i < 240 { Split::Train } else { Split::Test });
        let mut studies: Vec<Place> = names.iter().enumerate().map(|(i, name)| (name.as_str(), split(i))).collect();
        let splits = official(&studies, 0);
        let count = |splits: &[Option<Split>], split| splits.iter().filter(|found| **found == Some(split)).count();
        assert_eq!([Split::Train, Split::Val, Split::Test].map(|split| count(&splits, split)), [237, 3, 10]);
        let two = [("p0", Some(Split::Train)), ("p0", Some(Split::Test)), ("p0", None), ("p1", Some(Split::Train))];
        for seed in 0..8 {
            assert_eq!(official(&two, seed)[1..3], [Some(Split::Test), None], "only studies for training are drawn");
        }
        studies[0].1 = Some(Split::Val);
        studies[1].1 = None;
        assert_eq!(official(&studies, 0), studies.iter().map(|(_, split)| *split).collect::<Vec<_>>());
    }
}
