//! The first version of the phantoms stays as it is, words and pixels, whatever later versions bring.

use addendum_studies::{Dataset, Phantom, PhantomConfig, Site, Split, Study};

/// FNV-1a, 64 bits.
fn checksum<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn studies(site: Site, split: Split) -> Vec<Study> {
    let config = PhantomConfig { seed: 3, site, split, count: 64, ..PhantomConfig::default() };
    let phantom = Phantom::new(config).unwrap();
    (0..64).map(|index| phantom.study(index).unwrap()).collect()
}

fn words(studies: &[Study]) -> u64 {
    let text = |study: &Study| {
        let parts = [&study.indication, &study.technique, &study.comparison];
        let parts: String = parts.into_iter().flatten().map(String::as_str).collect();
        format!("{}|{parts}|{}\n", study.id, study.reference.text())
    };
    checksum(studies.iter().map(text).collect::<String>().as_bytes().iter())
}

fn pixels(studies: &[Study]) -> u64 {
    let levels: Vec<u8> =
        studies.iter().flat_map(|study| &study.views).flat_map(|view| view.load().unwrap().levels().to_vec()).collect();
    checksum(levels.iter())
}

#[test]
fn words_and_pixels_are_those_of_the_first_release() {
    let sums = [(Site::A, Split::Train), (Site::A, Split::Test), (Site::B, Split::Val)].map(|(site, split)| {
        let studies = studies(site, split);
        (words(&studies), pixels(&studies))
    });
    let first = [
        (11525758133668543091, 1027489112238705218),
        (2827832992357752735, 16870527619787165389),
        (9854761308165575254, 15363499720814352116),
    ];
    assert_eq!(sums, first);
}
