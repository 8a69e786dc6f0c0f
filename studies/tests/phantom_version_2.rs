//! What a benchmark may rely on in the second version of the phantoms.

use std::collections::{BTreeMap, BTreeSet};

use addendum_studies::{
    Dataset, Phantom, PhantomConfig, Site, Split, World,
    phantom::{Finding, Findings, Kind, Side},
};

const SITES: [Site; 2] = [Site::A, Site::B];

fn phantom(site: Site, count: usize, world: World) -> Phantom {
    Phantom::new(PhantomConfig { seed: 5, site, split: Split::Train, count, size: 56, world: Some(world) }).unwrap()
}

fn reports(phantom: &Phantom) -> Vec<String> {
    (0..phantom.len()).map(|i| phantom.study(i).unwrap().reference.text().to_owned()).collect()
}

fn pixels(phantom: &Phantom) -> Vec<Vec<u8>> {
    let views = |i| phantom.study(i).unwrap().views;
    (0..phantom.len()).flat_map(views).map(|view| view.load().unwrap().levels().to_vec()).collect()
}

fn sentences(report: &str) -> usize {
    report.matches('.').count()
}

fn tail() -> impl Iterator<Item = Kind> {
    Kind::TAIL.into_iter().map(|(kind, _)| kind)
}

/// Whether `count` of `of` is within four standard deviations of a share.
fn near(count: usize, of: usize, share: f64) -> bool {
    let (mean, variance) = (of as f64 * share, of as f64 * share * (1. - share));
    (count as f64 - mean).abs() <= 4. * variance.sqrt() + 0.5
}

#[test]
fn findings_come_at_the_rates_of_their_world() {
    const STUDIES: usize = 20_000;
    let world = World { normal: 0.7, tail: [0.01, 0.04], ..World::default() };
    let phantom = phantom(Site::A, STUDIES, world);
    let mut counts = BTreeMap::new();
    let mut normal = 0;
    for i in 0..STUDIES {
        let findings = phantom.findings(i).unwrap();
        normal += usize::from(!findings.keys().any(|kind| Kind::COMMON.contains(kind)));
        findings.into_keys().for_each(|kind| *counts.entry(kind).or_insert(0) += 1);
    }
    assert!(near(normal, STUDIES, 0.7), "{normal} normal");
    for (rank, kind) in tail().enumerate() {
        let rate = 0.01 * 4f64.powf(rank as f64 / 9.);
        assert!(near(counts[&kind], STUDIES, rate), "{kind:?}: {} at {rate}", counts[&kind]);
    }
}

#[test]
fn reports_name_omit_and_invent_at_the_rates_of_their_world() {
    const STUDIES: usize = 20_000;
    let world = World { tail: [0.05, 0.05], tail_named: 0.2, omitted: 0.15, invented: 0.08, ..World::default() };
    let phantom = phantom(Site::B, STUDIES, world);
    let (mut tails, mut named, mut lesions, mut omitted, mut invented) = (0, 0, 0, 0, 0);
    for i in 0..STUDIES {
        let (there, said) = (phantom.findings(i).unwrap(), phantom.named(i).unwrap());
        for kind in there.keys() {
            let told = said.contains_key(kind);
            if kind.tail_words().is_some() {
                (tails, named) = (tails + 1, named + usize::from(told));
            } else if kind.is_device() {
                assert!(told, "{kind:?} of study {i}");
            } else {
                (lesions, omitted) = (lesions + 1, omitted + usize::from(!told));
            }
        }
        let made_up: Vec<_> = said.keys().filter(|kind| !there.contains_key(kind)).collect();
        assert!(made_up.len() <= 1 && made_up.iter().all(|kind| kind.tail_words().is_none()), "{made_up:?}");
        invented += made_up.len();
    }
    assert!(near(named, tails, 0.2), "{named} of {tails} named");
    assert!(near(omitted, lesions, 0.15), "{omitted} of {lesions} omitted");
    assert!(near(invented, STUDIES, 0.08), "{invented} invented");
}

#[test]
fn contrasts_fill_their_range_and_devices_and_rare_findings_stay_visible() {
    let world = World { visibility: [0.1, 0.9], tail: [0.05, 0.05], ..World::default() };
    let phantom = phantom(Site::A, 8000, world);
    let mut contrasts: BTreeMap<Kind, Vec<f32>> = BTreeMap::new();
    for (kind, finding) in (0..8000).flat_map(|i| phantom.findings(i).unwrap()) {
        contrasts.entry(kind).or_default().push(finding.contrast);
    }
    for (kind, contrasts) in contrasts {
        let floor = match kind.tail_words() {
            Some(_) => 0.3,
            None if kind.is_device() => 0.4,
            None => 0.1,
        };
        let (least, greatest) = contrasts.iter().fold((1f32, 0f32), |(a, b), &x| (a.min(x), b.max(x)));
        assert!(
            (floor..floor + 0.05).contains(&least) && (0.85..=0.9).contains(&greatest),
            "{kind:?} {least} {greatest}"
        );
    }
}

#[test]
fn knobs_of_the_words_change_no_finding_and_no_pixel() {
    let base = World { tail: [0.2, 0.3], ..World::default() };
    let plain = phantom(Site::A, 40, base);
    let findings = |phantom: &Phantom| (0..40).map(|i| phantom.findings(i).unwrap()).collect::<Vec<_>>();
    let images = pixels(&plain);
    for world in [
        World { tail_named: 0.01, ..base },
        World { omitted: 0.9, ..base },
        World { invented: 0.9, ..base },
        World { phrasings: 1, ..base },
        World { sentences: [16, 16], ..base },
    ] {
        let other = phantom(Site::A, 40, world);
        assert_eq!(findings(&other), findings(&plain), "{world:?}");
        assert!(pixels(&other) == images, "{world:?}");
        assert_ne!(reports(&other), reports(&plain), "{world:?}");
    }
}

#[test]
fn a_report_names_more_of_the_tail_as_its_hospital_names_more() {
    let world = |tail_named| World { tail: [0.3, 0.3], tail_named, ..World::default() };
    let [some, more] = [0.2, 0.8].map(|named| phantom(Site::A, 200, world(named)));
    let tail_of = |phantom: &Phantom, i| -> BTreeSet<Kind> {
        phantom.named(i).unwrap().into_keys().filter(|kind| kind.tail_words().is_some()).collect()
    };
    assert!((0..200).all(|i| tail_of(&some, i).is_subset(&tail_of(&more, i))));
    for i in 0..200 {
        let report = more.study(i).unwrap().reference.text().to_lowercase();
        for (kind, words) in Kind::TAIL {
            assert_eq!(report.contains(words), tail_of(&more, i).contains(&kind), "{words}: {report}");
        }
    }
}

#[test]
fn reports_have_as_many_sentences_as_their_world_says() {
    for (fewest, most) in [(4, 4), (6, 12), (8, 8), (16, 16)] {
        for site in SITES {
            let phantom = phantom(site, 400, World { sentences: [fewest, most], ..World::default() });
            let mut lengths = BTreeSet::new();
            for (i, report) in reports(&phantom).iter().enumerate() {
                let count = sentences(report);
                assert!(count >= fewest, "{count} sentences: {report}");
                // Findings, those that resolved and their cause are always told.
                let told = phantom.named(i).unwrap().len() + report.matches("resol").count() + 2;
                assert!(count <= most.max(told), "{count} sentences: {report}");
                lengths.insert(count);
                let distinct: BTreeSet<_> = report.split('.').collect();
                assert_eq!(distinct.len(), count + 1, "{report}");
            }
            assert!((fewest..=most).all(|length| lengths.contains(&length)), "{lengths:?}");
        }
    }
}

#[test]
fn one_phrasing_leaves_one_way_to_say_a_thing() {
    let said = |phrasings| {
        let world = World { phrasings, omitted: 0., invented: 0., ..World::default() };
        let phantom = phantom(Site::A, 300, world);
        reports(&phantom).iter().flat_map(|r| r.split(". ").map(str::to_owned)).collect::<BTreeSet<_>>().len()
    };
    let [one, two, all] = [1, 2, 3].map(said);
    assert!(one * 3 < two * 2 && two < all, "{one} {two} {all}");
    let world = World { phrasings: 1, ..World::default() };
    let all = reports(&phantom(Site::A, 300, world)).concat();
    assert!(all.contains("The lungs are clear.") && !all.contains("Both lungs are clear."));
}

#[test]
fn every_rare_finding_changes_the_pixels_the_more_the_higher_its_contrast() {
    for site in SITES {
        let config =
            PhantomConfig { seed: 5, site, count: 8, world: Some(World::default()), ..PhantomConfig::default() };
        let phantom = Phantom::new(config).unwrap();
        for (i, kind) in (0..8).flat_map(|i| tail().map(move |kind| (i, kind))) {
            let normal = phantom.counterfactual(i, &Findings::new()).unwrap();
            let change = |contrast: f32| {
                let side = if kind.has_side() { Side::Left } else { Side::Both };
                let findings = Findings::from([(kind, Finding { side, zone: None, degree: None, contrast })]);
                let image = phantom.counterfactual(i, &findings).unwrap();
                let levels = image.pixels().zip(normal.pixels()).map(|(a, b)| a[0].abs_diff(b[0]));
                let levels: Vec<u8> = levels.collect();
                let total: u64 = levels.iter().map(|&level| u64::from(level)).sum();
                (levels.iter().filter(|&&level| level >= 20).count(), total)
            };
            let (plain, half, lost) = (change(1.), change(0.5), change(0.02));
            assert!(plain.0 >= 30 && lost.0 == 0, "{site:?} {kind:?}: {plain:?} {lost:?}");
            assert!(plain.1 > half.1 && half.1 > lost.1, "{site:?} {kind:?}: {plain:?} {half:?} {lost:?}");
        }
    }
}

#[test]
fn knobs_out_of_their_range_are_refused_by_name() {
    let base = World::default();
    for (world, expected) in [
        (World { normal: 1.1, ..base }, "normal is 1.1, expected 0 to 1"),
        (World { visibility: [0.5, 0.4], ..base }, "visibility is [0.5, 0.4], expected"),
        (World { visibility: [0.1, 1.5], ..base }, "visibility is [0.1, 1.5], expected"),
        (World { tail: [0., 0.1], ..base }, "tail is [0.0, 0.1], expected"),
        (World { tail: [0.1, 0.01], ..base }, "tail is [0.1, 0.01], expected"),
        (World { tail_named: f64::NAN, ..base }, "tail_named is NaN, expected 0 to 1"),
        (World { omitted: -0.1, ..base }, "omitted is -0.1, expected 0 to 1"),
        (World { invented: 2., ..base }, "invented is 2, expected 0 to 1"),
        (World { phrasings: 0, ..base }, "phrasings is 0, expected at least 1"),
        (World { sentences: [0, 4], ..base }, "sentences is [0, 4], expected"),
        (World { sentences: [4, 17], ..base }, "sentences is [4, 17], expected"),
        (World { sentences: [9, 8], ..base }, "sentences is [9, 8], expected"),
    ] {
        let refused = Phantom::new(PhantomConfig { world: Some(world), ..PhantomConfig::default() });
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    assert!(base.validate().is_ok());
}
