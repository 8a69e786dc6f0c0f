//! Sequences of tokens packed for one pass through an encoder.
//!
//! Nothing is padded: the rows of all sequences stand below each other, and those of equal length form a block, in
//! which attention is one batched product. On a CPU a sequence's result does not depend on its neighbours, bit for bit.

use std::collections::BTreeMap;

use candle_core::{
    Device,
    utils::{has_accelerate, has_mkl},
};

/// About how many rows one pass takes: enough for full matrix products, few enough to bound memory.
pub(super) const ROWS: usize = 512;

/// Whether a sequence's result on `device` has the same bits in every pack. Libraries of matrix products promise no such
/// thing.
pub(super) fn independent(device: &Device) -> bool {
    device.is_cpu() && !has_mkl() && !has_accelerate()
}

/// Sequences of one length within a [`Pack`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    /// The row of the pack where the first sequence starts; the others follow.
    pub(super) row: usize,
    pub(super) sequences: usize,
    /// Rows per sequence.
    pub(super) length: usize,
    /// How many tokens of each sequence may be attended to, if not all.
    pub(super) visible: Option<Vec<usize>>,
}

/// What goes through an encoder at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pack {
    /// Which of the sequences these are, in the order of their rows.
    pub(super) members: Vec<usize>,
    /// The tokens of all rows.
    pub(super) ids: Vec<u32>,
    /// Ascending in length.
    pub(super) blocks: Vec<Block>,
}

impl Pack {
    /// Packs sequences of similar length together, at most `rows` rows at a time (one sequence may be longer).
    /// Empty sequences are left out.
    pub(super) fn all(sequences: &[Vec<u32>], rows: usize) -> Vec<Self> {
        let mut order: Vec<usize> = (0..sequences.len()).filter(|&i| !sequences[i].is_empty()).collect();
        order.sort_by_key(|&i| sequences[i].len());
        let mut packs: Vec<Self> = Vec::new();
        for i in order {
            let ids = &sequences[i];
            match packs.last_mut() {
                Some(pack) if pack.ids.len() + ids.len() <= rows => pack.push(i, ids),
                _ => {
                    let mut pack = Self { members: Vec::new(), ids: Vec::new(), blocks: Vec::new() };
                    pack.push(i, ids);
                    packs.push(pack);
                }
            }
        }
        packs
    }

    /// One block of all sequences, in order, filled up with `pad` to the longest; the filling is not attended to.
    pub(super) fn padded(sequences: &[Vec<u32>], pad: u32) -> Self {
        let length = sequences.iter().map(Vec::len).max().unwrap_or(0);
        let filled = |ids: &Vec<u32>| [ids.as_slice(), &vec![pad; length - ids.len()]].concat();
        let visible = sequences.iter().map(Vec::len).collect();
        Self {
            members: (0..sequences.len()).collect(),
            ids: sequences.iter().flat_map(filled).collect(),
            blocks: vec![Block { row: 0, sequences: sequences.len(), length, visible: Some(visible) }],
        }
    }

    fn push(&mut self, member: usize, ids: &[u32]) {
        match self.blocks.last_mut() {
            Some(block) if block.length == ids.len() => block.sequences += 1,
            _ => {
                let row = self.ids.len();
                self.blocks.push(Block { row, sequences: 1, length: ids.len(), visible: None });
            }
        }
        self.members.push(member);
        self.ids.extend_from_slice(ids);
    }

    /// First row and number of rows of each member, in order.
    pub(super) fn spans(&self) -> impl Iterator<Item = (usize, usize)> {
        self.blocks.iter().flat_map(|block| (0..block.sequences).map(|i| (block.row + i * block.length, block.length)))
    }

    /// The position of each row within its sequence.
    pub(super) fn positions(&self) -> Vec<u32> {
        self.spans().flat_map(|(_, length)| 0..length as u32).collect()
    }
}

/// The distinct ones among some texts, in order of appearance, and which of them each text is.
pub(super) fn distinct<'a>(texts: &[&'a str]) -> (Vec<&'a str>, Vec<usize>) {
    let mut distinct = Vec::new();
    let mut places = BTreeMap::new();
    let place = |&text: &&'a str| {
        *places.entry(text).or_insert_with(|| {
            distinct.push(text);
            distinct.len() - 1
        })
    };
    let members = texts.iter().map(place).collect();
    (distinct, members)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_texts_share_a_place() {
        assert_eq!(distinct(&["b", "a", "b", ""]), (vec!["b", "a", ""], vec![0, 1, 0, 2]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_sequence_is_packed_once_whole_and_beside_its_like(
            lengths in prop::collection::vec(0usize..12, 0..20), rows in 1usize..30
        ) {
            let sequences: Vec<Vec<u32>> =
                lengths.iter().enumerate().map(|(i, &length)| vec![i as u32; length]).collect();
            let packs = Pack::all(&sequences, rows);
            let mut seen = Vec::new();
            for pack in &packs {
                prop_assert!(pack.ids.len() <= rows || pack.members.len() == 1);
                prop_assert!(pack.blocks.windows(2).all(|pair| pair[0].length < pair[1].length));
                prop_assert_eq!(pack.spans().count(), pack.members.len());
                for (&member, (row, length)) in pack.members.iter().zip(pack.spans()) {
                    prop_assert_eq!(&pack.ids[row..row + length], &sequences[member][..]);
                    seen.push(member);
                }
            }
            seen.sort_unstable();
            let expected: Vec<usize> = (0..lengths.len()).filter(|&i| lengths[i] > 0).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
