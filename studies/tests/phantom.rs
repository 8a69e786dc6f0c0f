//! What a training run may rely on in phantoms.

use std::collections::{BTreeMap, BTreeSet};

use addendum_studies::{
    Dataset, Error, ImageSource, Phantom, PhantomConfig, Projection, Prompt, Site, Split, Study, Timing,
    phantom::{CHEXPERT, Degree, Finding, Findings, Kind, Side, Zone},
    prompt::IMAGE_MARKER,
};
use image::GrayImage;
use proptest::prelude::*;

const SITES: [Site; 2] = [Site::A, Site::B];

fn phantom(site: Site, split: Split, count: usize, size: u32) -> Phantom {
    Phantom::new(PhantomConfig { seed: 7, site, split, count, size, world: None }).unwrap()
}

fn studies(phantom: &Phantom) -> Vec<(Study, Findings)> {
    (0..phantom.len()).map(|i| (phantom.study(i).unwrap(), phantom.findings(i).unwrap())).collect()
}

fn pixels(study: &Study) -> Vec<Vec<u8>> {
    study.views.iter().map(|view| view.load().unwrap().levels().to_vec()).collect()
}

fn one(kind: Kind, side: Side) -> Findings {
    let zone = kind.has_zone().then_some(Zone::Lower);
    let degree = kind.has_degree().then_some(Degree::Small);
    Findings::from([(kind, Finding { side, zone, degree, contrast: 1. })])
}

fn sentences(report: &str) -> Vec<&str> {
    report.split_inclusive('.').map(str::trim).filter(|sentence| !sentence.is_empty()).collect()
}

/// The word that every mention of a finding holds.
fn keyword(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Tube => &["endotracheal tube"],
        Kind::Line => &["central line", "central venous catheter"],
        Kind::Pacemaker => &["pacemaker"],
        Kind::Cardiomegaly => &["cardiomegaly", "enlarged"],
        Kind::Edema => &["edema"],
        Kind::Consolidation => &["consolidation"],
        Kind::Opacity => &["opacity"],
        Kind::Atelectasis => &["atelectasis"],
        Kind::Nodule => &["nodule"],
        Kind::Effusion => &["effusion"],
        Kind::Pneumothorax => &["pneumothorax"],
        Kind::Fracture => &["fracture"],
        _ => &[],
    }
}

#[test]
fn the_same_configuration_yields_the_same_studies() {
    let (a, b) = (phantom(Site::A, Split::Train, 20, 112), phantom(Site::A, Split::Train, 500, 112));
    for i in 0..20 {
        let (a, b) = (a.study(i).unwrap(), b.study(i).unwrap());
        assert_eq!((&a.id, &a.reference, &a.indication), (&b.id, &b.reference, &b.indication));
        assert_eq!(pixels(&a), pixels(&b));
    }
}

#[test]
fn splits_sites_and_seeds_share_no_image_and_no_order_of_reports() {
    let (mut images, mut reports, mut count) = (BTreeSet::new(), BTreeSet::new(), 0);
    for seed in 0..2 {
        for site in SITES {
            for split in Split::ALL {
                let phantom =
                    Phantom::new(PhantomConfig { seed, site, split, count: 40, size: 56, world: None }).unwrap();
                let studies = studies(&phantom);
                images.extend(studies.iter().flat_map(|(study, _)| pixels(study)));
                count += studies.iter().map(|(study, _)| study.views.len()).sum::<usize>();
                let texts: Vec<String> = studies.iter().map(|(study, _)| study.reference.text().to_owned()).collect();
                reports.insert(texts);
            }
        }
    }
    assert_eq!(images.len(), count);
    assert_eq!(reports.len(), 12);
}

#[test]
fn about_60_percent_are_normal_and_every_finding_occurs_in_at_least_2_percent() {
    for site in SITES {
        let phantom = phantom(site, Split::Train, 4000, 56);
        let mut counts = BTreeMap::new();
        let mut normal = 0;
        for i in 0..phantom.len() {
            let findings = phantom.findings(i).unwrap();
            normal += usize::from(findings.is_empty());
            findings.into_keys().for_each(|kind| *counts.entry(kind).or_insert(0) += 1);
        }
        assert!((2280..=2520).contains(&normal), "{normal} of 4000 normal");
        for kind in Kind::COMMON {
            assert!(counts.get(&kind).is_some_and(|&count| count >= 80), "{kind:?}: {:?} of 4000", counts.get(&kind));
        }
    }
}

#[test]
fn findings_that_belong_together_come_together() {
    let phantom = phantom(Site::A, Split::Train, 4000, 56);
    let all: Vec<Findings> = (0..4000).map(|i| phantom.findings(i).unwrap()).collect();
    let share = |of: &dyn Fn(&Findings) -> bool, among: &dyn Fn(&Findings) -> bool| {
        let among: Vec<_> = all.iter().filter(|findings| among(findings)).collect();
        among.iter().filter(|findings| of(findings)).count() as f64 / among.len() as f64
    };
    let has = |kind: Kind| move |findings: &Findings| findings.contains_key(&kind);
    for (a, b) in [(Kind::Edema, Kind::Cardiomegaly), (Kind::Tube, Kind::Line), (Kind::Fracture, Kind::Pneumothorax)] {
        let (given, overall) = (share(&has(b), &has(a)), share(&has(b), &|_| true));
        assert!(given > 3. * overall, "{b:?}: {given} given {a:?}, {overall} overall");
    }
}

#[test]
fn about_30_percent_have_a_lateral_and_about_30_percent_a_prior() {
    let studies = studies(&phantom(Site::A, Split::Val, 1000, 56));
    let with = |is: fn(&addendum_studies::View) -> bool| studies.iter().filter(|s| s.0.views.iter().any(is)).count();
    let (lateral, prior) = (with(|v| v.projection == Projection::Lateral), with(|v| v.timing == Timing::Prior));
    assert!((250..=350).contains(&lateral), "{lateral}");
    assert!((250..=350).contains(&prior), "{prior}");
    for (study, _) in &studies {
        let roles: Vec<_> = study.views.iter().map(|view| (view.timing, view.projection)).collect();
        assert_eq!(roles[0], (Timing::Current, Projection::Frontal));
        assert!(roles.is_sorted(), "{roles:?}");
    }
}

#[test]
fn each_finding_changes_the_pixels_of_its_side_and_only_there() {
    for site in SITES {
        let phantom = phantom(site, Split::Train, 12, 112);
        for (i, kind) in (0..12).flat_map(|i| Kind::COMMON.map(|kind| (i, kind))) {
            let normal = phantom.counterfactual(i, &Findings::new()).unwrap();
            for side in [Side::Left, Side::Right] {
                let image = phantom.counterfactual(i, &one(kind, side)).unwrap();
                let changed: Vec<u32> = image
                    .enumerate_pixels()
                    .filter(|&(x, y, pixel)| pixel[0].abs_diff(normal.get_pixel(x, y)[0]) >= 20)
                    .map(|(x, _, _)| x)
                    .collect();
                assert!(changed.len() >= 30, "{site:?} {kind:?} {side:?}: {} pixels", changed.len());
                let sided = !matches!(kind, Kind::Tube | Kind::Line | Kind::Pacemaker | Kind::Cardiomegaly);
                // The patient's left is on the right of the image.
                let there = changed.iter().filter(|&&x| (x >= 56) == (side == Side::Left)).count();
                assert!(!sided || there * 20 >= changed.len() * 19, "{site:?} {kind:?} {side:?}: {there}");
            }
        }
    }
}

/// Mean gray value of a box given in shares of the image.
fn mean(image: &GrayImage, x: (f32, f32), y: (f32, f32)) -> f64 {
    let size = image.width() as f32;
    let range = |(from, to): (f32, f32)| (from * size) as u32..(to * size) as u32;
    let values: Vec<f64> = range(y).flat_map(|y| range(x).map(move |x| f64::from(image.get_pixel(x, y)[0]))).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// The share of 150 patients that one threshold of `statistic` sorts correctly, with and without the finding.
fn separable(site: Site, findings: &Findings, statistic: impl Fn(&GrayImage) -> f64) -> f64 {
    let phantom = phantom(site, Split::Test, 150, 112);
    let values = |findings: &Findings| -> Vec<f64> {
        (0..150).map(|i| statistic(&phantom.counterfactual(i, findings).unwrap())).collect()
    };
    let (with, without) = (values(findings), values(&Findings::new()));
    let correct = |t: &f64| with.iter().filter(|&v| v >= t).count() + without.iter().filter(|&v| v < t).count();
    with.iter().map(correct).max().unwrap() as f64 / 300.
}

#[test]
fn one_threshold_tells_a_small_effusion_from_none() {
    for site in SITES {
        let share = separable(site, &one(Kind::Effusion, Side::Left), |image| {
            mean(image, (0.80, 0.87), (0.70, 0.76)) - mean(image, (0.72, 0.82), (0.35, 0.45))
        });
        assert!(share >= 0.98, "{site:?}: {share}");
    }
}

#[test]
fn one_threshold_tells_a_small_pneumothorax_from_none() {
    for site in SITES {
        let share = separable(site, &one(Kind::Pneumothorax, Side::Right), |image| {
            mean(image, (0.22, 0.30), (0.5, 0.7)) - mean(image, (0.17, 0.22), (0.5, 0.7))
        });
        assert!(share >= 0.98, "{site:?}: {share}");
    }
}

#[test]
fn one_threshold_tells_cardiomegaly_from_none() {
    for site in SITES {
        let share =
            separable(site, &one(Kind::Cardiomegaly, Side::Both), |image| mean(image, (0.7, 0.76), (0.6, 0.68)));
        assert!(share >= 0.98, "{site:?}: {share}");
    }
}

#[test]
fn a_report_asserts_exactly_the_findings_of_its_images() {
    for site in SITES {
        for (study, findings) in studies(&phantom(site, Split::Train, 800, 56)) {
            let report = study.reference.text().to_lowercase();
            let asserted = |kind: Kind| {
                sentences(&report).iter().any(|sentence| {
                    let denied = ["no ", "there is no "].iter().any(|start| sentence.starts_with(start));
                    !denied
                        && !["resolved", "resolution"].iter().any(|word| sentence.contains(word))
                        && keyword(kind).iter().any(|word| sentence.contains(word))
                })
            };
            for kind in Kind::COMMON {
                assert_eq!(asserted(kind), findings.contains_key(&kind), "{kind:?}: {report}");
            }
        }
    }
}

#[test]
fn nothing_is_both_asserted_and_denied() {
    for (study, findings) in studies(&phantom(Site::A, Split::Train, 800, 56)) {
        let report = study.reference.text().to_lowercase();
        for sentence in sentences(&report).iter().filter(|s| s.starts_with("no ") || s.starts_with("there is no ")) {
            for kind in findings.keys() {
                assert!(!keyword(*kind).iter().any(|word| sentence.contains(word)), "{kind:?}: {report}");
            }
        }
    }
}

#[test]
fn normal_reports_without_a_prior_deny_pneumothorax_and_effusion() {
    let mut seen = 0;
    for (study, findings) in studies(&phantom(Site::A, Split::Train, 300, 56)) {
        if findings.is_empty() && study.comparison.is_none() {
            let report = study.reference.text();
            let denial = sentences(report).into_iter().find(|sentence| sentence.contains("pneumothorax"));
            assert!(denial.is_some_and(|s| s.contains("effusion") && s.to_lowercase().contains("no ")), "{report}");
            seen += 1;
        }
    }
    assert!(seen > 50);
}

#[test]
fn words_of_change_need_a_prior_and_a_prior_brings_them() {
    const CHANGE: [&str; 10] =
        ["new", "newly", "unchanged", "increased", "decreased", "resolved", "interval", "stable", "remains", "prior"];
    let mut said = BTreeSet::new();
    for (study, findings) in studies(&phantom(Site::B, Split::Train, 1500, 56)) {
        let report = study.reference.text().to_lowercase();
        let words: Vec<&str> = report.split(|c: char| !c.is_alphabetic()).filter(|w| CHANGE.contains(w)).collect();
        let prior = study.views.iter().any(|view| view.timing == Timing::Prior);
        assert!(prior || words.is_empty(), "{report}");
        assert!(!prior || findings.is_empty() || !words.is_empty(), "{report}");
        said.extend(words.into_iter().map(str::to_owned));
    }
    assert_eq!(said.len(), CHANGE.len(), "{said:?}");
}

#[test]
fn reports_are_compact_and_their_vocabulary_small() {
    let (mut words, mut lengths) = (BTreeSet::new(), Vec::new());
    for (study, _) in SITES.iter().flat_map(|&site| studies(&phantom(site, Split::Train, 1500, 56))) {
        let report = study.reference.text();
        let count = sentences(report).len();
        assert!((2..=6).contains(&count), "{count} sentences: {report}");
        assert!(sentences(report).iter().all(|s| s.starts_with(|c: char| c.is_uppercase())), "{report}");
        assert!(!report.contains("  ") && !report.contains('{'), "{report}");
        lengths.push(report.split_whitespace().count());
        words.extend(report.to_lowercase().split_whitespace().map(|w| w.trim_matches(['.', ',']).to_owned()));
    }
    assert!((140..=300).contains(&words.len()), "{} words", words.len());
    assert!(lengths.iter().all(|&length| length <= 60), "{:?}", lengths.iter().max());
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    assert!((20. ..=45.).contains(&mean), "{mean}");
}

#[test]
fn labels_follow_the_findings() {
    let phantom = phantom(Site::A, Split::Train, 800, 56);
    let index = |name: &str| CHEXPERT.iter().position(|label| *label == name).unwrap();
    let mut pneumonias = 0;
    for (i, (study, findings)) in studies(&phantom).into_iter().enumerate() {
        let labels = phantom.labels(i).unwrap();
        for (kind, name) in [
            (Kind::Effusion, "Pleural Effusion"),
            (Kind::Opacity, "Lung Opacity"),
            (Kind::Nodule, "Lung Lesion"),
            (Kind::Fracture, "Fracture"),
        ] {
            assert_eq!(labels[index(name)], findings.contains_key(&kind), "{name}");
        }
        assert_eq!(labels[index("Support Devices")], findings.keys().any(|kind| kind.is_device()));
        assert_eq!(labels[index("No Finding")], findings.keys().all(|kind| kind.is_device()));
        assert_eq!(labels[index("Pneumonia")], study.reference.text().contains("pneumonia"));
        pneumonias += usize::from(labels[index("Pneumonia")]);
    }
    assert!(pneumonias > 10);
}

#[test]
fn no_sentence_of_the_reference_stands_in_the_prompt() {
    for (study, _) in studies(&phantom(Site::A, Split::Train, 800, 56)) {
        let prompt = Prompt::new(&study).text;
        for sentence in sentences(study.reference.text()) {
            assert!(!prompt.contains(sentence), "{sentence}: {prompt}");
        }
    }
}

#[test]
fn the_image_size_changes_no_words() {
    let (small, large) = (phantom(Site::A, Split::Train, 5, 56), phantom(Site::A, Split::Train, 5, 224));
    for i in 0..5 {
        let (small, large) = (small.study(i).unwrap(), large.study(i).unwrap());
        assert_eq!(small.reference, large.reference);
        let image = large.views[0].load().unwrap();
        assert_eq!((image.height(), image.width(), image.channels()), (224, 224, 1));
    }
}

#[test]
fn impossible_sizes_and_indices_are_refused() {
    for size in [0, 55, 4097] {
        let refused = Phantom::new(PhantomConfig { size, ..PhantomConfig::default() });
        assert!(matches!(refused, Err(Error::PhantomSize { .. })));
    }
    let phantom = phantom(Site::A, Split::Train, 3, 56);
    assert_eq!(phantom.study(3).unwrap_err().to_string(), "study 3 asked of a dataset of 3 studies");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_seed_and_size_gives_whole_studies(seed: u64, size in 56u32..160, index in 0usize..1_000_000) {
        let config = PhantomConfig { seed, size, count: 1_000_000, ..PhantomConfig::default() };
        let study = Phantom::new(config).unwrap().study(index).unwrap();
        for view in &study.views {
            prop_assert!(matches!(view.image, ImageSource::Pixels(_)));
            let image = view.load().unwrap();
            prop_assert_eq!((image.height(), image.width()), (size as usize, size as usize));
            let levels = image.levels();
            let (dark, bright) = (levels.iter().filter(|l| **l < 80).count(), levels.iter().filter(|l| **l > 130).count());
            prop_assert!(dark * 20 > levels.len() && bright * 20 > levels.len(), "{} dark, {} bright", dark, bright);
        }
        prop_assert_eq!(Prompt::new(&study).text.matches(IMAGE_MARKER).count(), study.views.len());
    }
}
