//! RadGraph F1 (Jain et al. 2021; the reward levels of Delbrouck et al. 2022) on given annotations.
//!
//! Entities are compared as sets of their words and labels, so duplicates count once and positions do not matter.

use std::collections::BTreeSet;

use super::prf::Prf;
use crate::graph::Graph;

/// How much of an entity has to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Words and label.
    Simple,
    /// Words, label, and whether the entity has any relation. The reward uses this level.
    Partial,
    /// Words and label; for entities with relations each relation's kind and object, in lower case.
    Complete,
}

/// Scores a hypothesis against a reference; all zeros when either has no entity.
pub fn score(hypothesis: &Graph, reference: &Graph, level: Level) -> Prf {
    if hypothesis.entities.is_empty() || reference.entities.is_empty() {
        return Prf::default();
    }
    let (hypothesis, reference) = (items(hypothesis, level), items(reference, level));
    Prf::of_counts(hypothesis.intersection(&reference).count(), hypothesis.len(), reference.len())
}

/// What is compared: an entity alone, one with relations, or one relation of an entity.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    Entity(&'a str, &'a str),
    Related(&'a str, &'a str),
    Relation(String, &'a str, &'a str, String),
}

fn items(graph: &Graph, level: Level) -> BTreeSet<Item<'_>> {
    let mut items = BTreeSet::new();
    for entity in &graph.entities {
        let (tokens, label) = (entity.tokens.as_str(), entity.label.as_str());
        match level {
            Level::Partial if !entity.relations.is_empty() => {
                items.insert(Item::Related(tokens, label));
            }
            Level::Complete if !entity.relations.is_empty() => {
                for relation in &entity.relations {
                    if let Some(object) = graph.entities.get(relation.object) {
                        let object = object.tokens.to_lowercase();
                        items.insert(Item::Relation(tokens.to_lowercase(), label, &relation.kind, object));
                    }
                }
            }
            _ => {
                items.insert(Item::Entity(tokens, label));
            }
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::graph::{GraphEntity, Relation};
    use addendum_fixtures::fixture;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        hyp: Annotation,
        r#ref: Annotation,
        all: serde_json::Value,
        simple: f64,
        partial: f64,
        complete: f64,
    }

    #[derive(Deserialize)]
    struct Annotation {
        entities: BTreeMap<String, RawEntity>,
    }

    #[derive(Deserialize)]
    struct RawEntity {
        tokens: String,
        label: String,
        relations: Vec<(String, String)>,
    }

    fn graph(annotation: Annotation) -> Graph {
        let ids: Vec<String> = annotation.entities.keys().cloned().collect();
        let index = |id: &String| ids.iter().position(|known| known == id).unwrap();
        let entities = annotation.entities.values().map(|entity| GraphEntity {
            tokens: entity.tokens.clone(),
            label: entity.label.clone(),
            relations: (entity.relations.iter())
                .map(|(kind, object)| Relation { kind: kind.clone(), object: index(object) })
                .collect(),
        });
        Graph { entities: entities.collect() }
    }

    #[test]
    fn parity_radgraph_f1_on_given_annotations() {
        let cases: Vec<Case> = serde_json::from_slice(&fixture("rewards/radgraph/rewards.json")).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let (hyp, reference) = (graph(case.hyp), graph(case.r#ref));
            let levels =
                [(Level::Simple, case.simple), (Level::Partial, case.partial), (Level::Complete, case.complete)];
            for (i, (level, expected)) in levels.into_iter().enumerate() {
                let got = score(&hyp, &reference, level);
                assert!((got.f1 - expected).abs() < 1e-9, "{} {level:?}: {got:?}, expected {expected}", case.name);
                if let Some(all) = case.all[i].as_array() {
                    let all: Vec<f64> = all.iter().map(|x| x.as_f64().unwrap()).collect();
                    assert!((got.precision - all[0]).abs() < 1e-9, "{} {level:?} precision", case.name);
                    assert!((got.recall - all[1]).abs() < 1e-9, "{} {level:?} recall", case.name);
                }
            }
        }
    }

    fn any_graph() -> impl Strategy<Value = Graph> {
        let relation = (prop::sample::select(vec!["modify", "located_at"]), 0usize..5);
        let entity = ("[aAb]{1,2}", prop::sample::select(vec!["X", "Y"]), prop::collection::vec(relation, 0..3));
        prop::collection::vec(entity, 0..5).prop_map(|entities| Graph {
            entities: (entities.into_iter())
                .map(|(tokens, label, relations)| GraphEntity {
                    tokens,
                    label: label.into(),
                    relations: (relations.into_iter()).map(|(k, object)| Relation { kind: k.into(), object }).collect(),
                })
                .collect(),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn f1_is_symmetric_bounded_and_blind_to_order(a in any_graph(), b in any_graph()) {
            for level in [Level::Simple, Level::Partial, Level::Complete] {
                let f1 = score(&a, &b, level).f1;
                prop_assert!((0. ..=1.).contains(&f1));
                prop_assert_eq!(f1, score(&b, &a, level).f1);
            }
            let mut reversed = a.clone();
            reversed.entities.reverse();
            prop_assert_eq!(score(&a, &b, Level::Partial), score(&reversed, &b, Level::Partial));
            let same = score(&a, &a, Level::Partial).f1;
            prop_assert_eq!(same, if a.entities.is_empty() { 0. } else { 1. });
        }
    }
}
