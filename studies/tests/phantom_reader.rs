//! What the bounds of the ideal reader rest on.

use addendum_studies::{
    Phantom, PhantomConfig, Site, Split, World,
    phantom::{Kind, Reader},
};

const STUDIES: usize = 300;
/// Every finding is plain to see, and every report tells of what is there and of nothing else.
const PLAIN: World = World {
    normal: 0.5,
    visibility: [1., 1.],
    tail: [0.05, 0.05],
    tail_named: 1.,
    omitted: 0.,
    invented: 0.,
    phrasings: 3,
    sentences: [6, 12],
};

fn phantom(site: Site, world: World) -> Phantom {
    let config =
        PhantomConfig { seed: 2, site, split: Split::Test, count: STUDIES, world: Some(world), ..Default::default() };
    Phantom::new(config).unwrap()
}

fn reports(phantom: &Phantom, share: f64, threshold: f64) -> Vec<String> {
    let reader = Reader::new(phantom.config(), share).unwrap();
    (0..STUDIES).map(|index| reader.report(phantom, index, threshold).unwrap()).collect()
}

#[test]
fn where_all_is_seen_and_told_the_reader_says_what_the_report_says() {
    for site in [Site::A, Site::B] {
        let phantom = phantom(site, PLAIN);
        let told: Vec<String> = (0..STUDIES).map(|index| phantom.retold(index).unwrap()).collect();
        assert_eq!(reports(&phantom, 1., 0.5), told);
    }
}

#[test]
fn a_weaker_reader_says_less_of_it() {
    let phantom = phantom(Site::A, World { visibility: [0.1, 1.], ..PLAIN });
    let right = |share| {
        let read = reports(&phantom, share, 0.5);
        (0..STUDIES).filter(|&index| read[index] == phantom.retold(index).unwrap()).count()
    };
    let [ideal, tenth, blind] = [1., 0.02, 0.].map(right);
    assert!(ideal > tenth + 10 && tenth > blind + 10, "{ideal} {tenth} {blind}");
}

#[test]
fn what_a_hospital_hardly_ever_names_is_worth_saying_only_at_a_low_threshold() {
    let phantom = phantom(Site::A, World { tail_named: 0.05, ..PLAIN });
    let says = |threshold| {
        let reports = reports(&phantom, 1., threshold);
        reports.iter().filter(|r| Kind::TAIL.iter().any(|(_, words)| r.to_lowercase().contains(words))).count()
    };
    let with = (0..STUDIES).filter(|&i| phantom.findings(i).unwrap().keys().any(|kind| kind.tail_words().is_some()));
    assert_eq!((says(0.5), says(0.04)), (0, with.count()));
}

#[test]
fn version_1_has_no_reader() {
    let refused = Reader::new(&PhantomConfig::default(), 1.);
    assert!(refused.unwrap_err().to_string().contains("version is 1, expected 2"));
}
