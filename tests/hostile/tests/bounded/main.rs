//! Each reader meets some thousand damaged inputs. Alone in its file, because it counts all allocations of the process.

mod damage;

use std::{
    hint::black_box,
    sync::{Mutex, PoisonError},
};

use addendum_hostile::Reader;
use damage::{Damage, damaged};
use peak_alloc::PeakAlloc;
use proptest::{prelude::*, test_runner::TestRunner};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// One reader at a time: memory is that of the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// Reads an input within its memory; whether it is taken.
fn read(reader: &Reader, input: &[u8]) -> bool {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let is_taken = (reader.read)(input);
    let taken = ALLOCATED.peak_usage().saturating_sub(before);
    let most = reader.memory.0 * input.len() + reader.memory.1;
    assert!(taken <= most, "{taken} bytes for an input of {}, at most {most}", input.len());
    is_taken
}

fn endures(reader: &Reader, cases: u32) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seeds = (reader.seeds)();
    // Once before anything is counted: what is made only once.
    (reader.read)(&seeds[0]);
    for (i, seed) in seeds.iter().enumerate() {
        assert!(read(reader, seed), "seed {i} is not valid");
    }
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let inputs = (any::<prop::sample::Index>(), prop::collection::vec(any::<Damage>(), 1..5));
    let endured = TestRunner::new(config).run(&inputs, |(seed, damages)| {
        read(reader, &damaged(&seeds[seed.index(seeds.len())], &damages, &seeds));
        Ok(())
    });
    endured.unwrap_or_else(|error| panic!("{error}"));
}

/// A test for each reader, with how many damaged inputs it meets.
macro_rules! no_damage_panics_or_takes_more_memory_than_its_limit {
    ($($name:ident: $reader:ident, $cases:literal;)*) => {
        mod no_damage_panics_or_takes_more_memory_than_its_limit {
            $(
                #[test]
                fn $name() {
                    super::endures(&addendum_hostile::$reader, $cases);
                }
            )*
        }
    };
}

no_damage_panics_or_takes_more_memory_than_its_limit! {
    settings: SETTINGS, 200;
    dataset: DATASET, 300;
    sections: SECTIONS, 500;
    policy: POLICY, 100;
    template: TEMPLATE, 150;
    adapter: ADAPTER, 150;
    run: RUN, 200;
    dicom: DICOM, 500;
    pickle: PICKLE, 300;
    http: HTTP, 300;
}

#[test]
fn a_reader_that_takes_too_much_or_panics_is_found() {
    let seeds = || vec![vec![0; 64]];
    fn claimed(input: &[u8]) -> usize {
        usize::from(input.first().copied().unwrap_or_default()) << 14
    }
    let greedy = |input: &[u8]| black_box(vec![1u8; claimed(input)]).iter().all(|byte| *byte == 1);
    let brittle = |input: &[u8]| {
        assert!(input.len() > 60);
        true
    };
    let greedy = Reader { seeds, read: greedy, memory: (0, 1 << 20) };
    let brittle = Reader { seeds, read: brittle, memory: (1000, 1 << 20) };
    let idle = Reader { seeds, read: |_| false, memory: (0, 1 << 20) };
    for reader in [greedy, brittle, idle] {
        assert!(std::panic::catch_unwind(|| endures(&reader, 500)).is_err());
    }
}
