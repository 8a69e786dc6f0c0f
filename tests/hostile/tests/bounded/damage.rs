//! What becomes of bytes on their way: bits that flip, ends that are missing, lengths that lie, parts of other inputs.

use proptest::{prelude::*, sample::Index};

/// A change at a place of the input.
#[derive(Clone, Debug)]
pub enum Damage {
    Flip {
        at: Index,
        bit: u8,
    },
    Byte {
        at: Index,
        value: u8,
    },
    /// A number in the place of some bytes, as a length or a count.
    Number {
        at: Index,
        value: Vec<u8>,
    },
    Text {
        at: Index,
        value: &'static str,
    },
    Cut {
        at: Index,
    },
    Remove {
        at: Index,
        length: usize,
    },
    Repeat {
        at: Index,
        length: usize,
        times: usize,
    },
    /// The rest of another input from a place on.
    Splice {
        at: Index,
        other: Index,
        from: Index,
    },
}

/// What stands out in the formats that are read.
const WORDS: [&str; 14] = [
    "-1",
    "1e999",
    "NaN",
    "18446744073709551616",
    "\"",
    "[[[[[[[[",
    "{\"a\":",
    "\\ud800",
    "../../",
    "<image>",
    "\0",
    "''",
    "[[arm]]\n",
    "\u{feff}",
];

impl Arbitrary for Damage {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let at = any::<Index>;
        let length = || prop_oneof![1usize..16, 16usize..512];
        let numbers = prop::sample::select(vec![
            0,
            1,
            0x7fff,
            0xffff,
            1 << 24,
            0x7fff_ffff,
            0xffff_fff0,
            1 << 40,
            u64::MAX - 7,
            u64::MAX,
        ]);
        let number =
            (numbers, prop::sample::select(vec![2usize, 4, 8]), any::<bool>()).prop_map(|(number, width, big)| {
                if big { number.to_be_bytes()[8 - width..].to_vec() } else { number.to_le_bytes()[..width].to_vec() }
            });
        prop_oneof![
            3 => (at(), 0u8..8).prop_map(|(at, bit)| Self::Flip { at, bit }),
            2 => (at(), any::<u8>()).prop_map(|(at, value)| Self::Byte { at, value }),
            3 => (at(), number).prop_map(|(at, value)| Self::Number { at, value }),
            2 => (at(), prop::sample::select(WORDS.to_vec())).prop_map(|(at, value)| Self::Text { at, value }),
            1 => at().prop_map(|at| Self::Cut { at }),
            1 => (at(), length()).prop_map(|(at, length)| Self::Remove { at, length }),
            1 => (at(), length(), 1usize..200).prop_map(|(at, length, times)| Self::Repeat { at, length, times }),
            1 => (at(), at(), at()).prop_map(|(at, other, from)| Self::Splice { at, other, from }),
        ]
        .boxed()
    }
}

/// An input after all that happened to it.
pub fn damaged(input: &[u8], damages: &[Damage], seeds: &[Vec<u8>]) -> Vec<u8> {
    damages.iter().fold(input.to_vec(), |bytes, damage| damage.apply(bytes, seeds))
}

impl Damage {
    fn apply(&self, mut bytes: Vec<u8>, seeds: &[Vec<u8>]) -> Vec<u8> {
        // Half of the places are near the start, where formats have their headers.
        let size = bytes.len();
        let place = |at: &Index| {
            let half = at.index(2 * size + 2);
            if half.is_multiple_of(2) { half / 2 } else { half / 2 % size.clamp(1, 300) }
        };
        let end = |start: usize, length: usize| size.min(start + length);
        match self {
            Self::Flip { at, bit } => {
                if let Some(byte) = bytes.get_mut(place(at)) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Byte { at, value } => {
                if let Some(byte) = bytes.get_mut(place(at)) {
                    *byte = *value;
                }
            }
            Self::Number { at, value } => {
                let start = place(at);
                drop(bytes.splice(start..end(start, value.len()), value.iter().copied()));
            }
            Self::Text { at, value } => {
                let start = place(at);
                drop(bytes.splice(start..start, value.bytes()));
            }
            Self::Cut { at } => bytes.truncate(place(at)),
            Self::Remove { at, length } => {
                let start = place(at);
                bytes.drain(start..end(start, *length));
            }
            Self::Repeat { at, length, times } => {
                let start = place(at);
                let part = bytes[start..end(start, *length)].repeat(*times);
                drop(bytes.splice(start..start, part));
            }
            Self::Splice { at, other, from } => {
                let other = other.get(seeds);
                bytes.truncate(place(at));
                bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
        }
        bytes
    }
}
