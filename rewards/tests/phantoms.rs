//! The lexicon reads the phantoms' reports as they are meant.

use addendum_rewards::{EntityExtractor, GraphExtractor, Label, Labeller, Lexicon, Observation, Presence, sentences};
use addendum_studies::{
    Dataset, Phantom, PhantomConfig, Site, World,
    phantom::{CHEXPERT, Kind},
};

fn phantom(site: Site, world: World) -> Phantom {
    Phantom::new(PhantomConfig { seed: 11, site, count: 600, size: 56, world: Some(world), ..Default::default() })
        .unwrap()
}

/// Worlds that have all findings often, in short reports and in long ones.
fn phantoms() -> impl Iterator<Item = Phantom> {
    let world = |sentences| World { normal: 0.3, tail: [0.1, 0.1], invented: 0.2, sentences, ..World::default() };
    [Site::A, Site::B].into_iter().flat_map(move |site| [[6, 12], [16, 16]].map(|range| phantom(site, world(range))))
}

#[test]
fn labels_of_reports_are_those_intended() {
    let lexicon = Lexicon::new();
    let mut seen = [0; 14];
    for phantom in phantoms() {
        for i in 0..phantom.len() {
            let (study, intended) = (phantom.study(i).unwrap(), phantom.labels(i).unwrap());
            let report = study.reference.text();
            let read = lexicon.label(&[report]).unwrap()[0];
            for (o, name) in CHEXPERT.iter().enumerate() {
                assert_eq!(read[o] == Label::Positive, intended[o], "{name}: {report}");
                assert_ne!(read[o], Label::Uncertain, "{name}: {report}");
                seen[o] += usize::from(intended[o]);
            }
        }
    }
    assert!(seen.iter().all(|&count| count >= 20), "{seen:?}");
}

#[test]
fn no_report_asserts_and_denies_the_same() {
    let lexicon = Lexicon::new();
    for phantom in phantoms() {
        for i in 0..phantom.len() {
            let study = phantom.study(i).unwrap();
            let cut = sentences::split(study.reference.text());
            let labels = lexicon.label(&cut).unwrap();
            for o in Observation::ALL.map(Observation::index).into_iter().take(13) {
                let says = |label| labels.iter().any(|labels| labels[o] == label);
                let both = says(Label::Positive) && says(Label::Negative);
                assert!(!both, "{}: {}", CHEXPERT[o], study.reference.text());
            }
        }
    }
}

#[test]
fn every_rare_finding_is_an_entity_where_it_is_named_and_nowhere_else() {
    let lexicon = Lexicon::new();
    let mut seen = [0; Kind::TAIL.len()];
    for phantom in phantoms() {
        for i in 0..phantom.len() {
            let (study, named) = (phantom.study(i).unwrap(), phantom.named(i).unwrap());
            let cut = sentences::split(study.reference.text());
            let entities = lexicon.extract(&cut).unwrap();
            let graph = lexicon.graph(&[study.reference.text()]).unwrap().remove(0);
            for (k, (kind, words)) in Kind::TAIL.into_iter().enumerate() {
                let last = words.split(' ').next_back().unwrap();
                let present = cut.iter().zip(&entities).any(|(sentence, entities)| {
                    sentence.to_lowercase().contains(words)
                        && entities.iter().any(|entity| {
                            entity.kind.presence() == Presence::Present && entity.text.to_lowercase().contains(last)
                        })
                });
                assert_eq!(present, named.contains_key(&kind), "{words}: {}", study.reference.text());
                let drawn = graph.entities.iter().any(|entity| entity.tokens.to_lowercase().contains(last));
                assert!(drawn || !present, "{words}: {:?}", graph.entities);
                seen[k] += usize::from(present);
            }
        }
    }
    assert!(seen.iter().all(|&count| count >= 20), "{seen:?}");
}
