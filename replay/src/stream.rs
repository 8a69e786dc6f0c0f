//! Independent random streams, one per purpose, without any hashing.
//!
//! A ChaCha8 key has 256 bits: room for the run's seed, the purpose and two counters, word by word. Two streams that
//! differ in any of the four are independent, and no stream depends on timing, threads or attempts (law 3).

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// What a random stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// The order of the studies within an epoch.
    Shuffle = 1,
    /// The tokens of a sampled rollout.
    Sample = 2,
    /// The choices of the editor.
    Edit = 3,
    /// Choices about a group as a whole, such as which member the reference replaces.
    Group = 4,
    /// For stages written by users.
    Custom = 5,
    /// The study of a place that is drawn again.
    Redraw = 6,
}

/// The stream of `purpose` with the counters `major` (a ticket, an epoch) and `minor` (a rollout) under `seed`.
pub fn stream(seed: u64, purpose: Stream, major: u64, minor: u64) -> ChaCha8Rng {
    stream_of_draw(seed, purpose, 0, major, minor)
}

/// As [`stream`], for one of the draws of a place. The draw has the upper half of the word that the purpose is in.
pub(crate) fn stream_of_draw(seed: u64, purpose: Stream, draw: u32, major: u64, minor: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    let purpose = purpose as u64 | u64::from(draw) << 32;
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose, major, minor]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::RngCore;

    use super::*;

    #[test]
    fn changing_any_word_changes_the_stream() {
        let draw = |seed, purpose, major, minor| stream(seed, purpose, major, minor).next_u64();
        let base = draw(1, Stream::Sample, 2, 3);
        assert_eq!(base, draw(1, Stream::Sample, 2, 3));
        for other in [
            draw(2, Stream::Sample, 2, 3),
            draw(1, Stream::Edit, 2, 3),
            draw(1, Stream::Sample, 3, 3),
            draw(1, Stream::Sample, 2, 4),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn every_draw_has_streams_of_its_own_and_the_first_has_those_of_the_place() {
        let head = |draw| stream_of_draw(1, Stream::Sample, draw, 2, 3).next_u64();
        assert_eq!(head(0), stream(1, Stream::Sample, 2, 3).next_u64());
        let heads: std::collections::BTreeSet<u64> = [0, 1, 2, u32::MAX].map(head).into();
        assert_eq!(heads.len(), 4);
    }
}
