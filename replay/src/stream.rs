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
}

/// The stream of `purpose` with the counters `major` (a ticket, an epoch) and `minor` (a rollout) under `seed`.
pub fn stream(seed: u64, purpose: Stream, major: u64, minor: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, major, minor]) {
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
}
