use std::collections::BTreeMap;

use super::*;
use crate::testing::{close, folder, tensors};
use addendum_fixtures::fixture;
use addendum_rewards::{
    GraphEntity, Relation,
    metrics::radgraph::{Level, score},
};

/// An annotation as the reference writes it: entities by number, from 1.
#[derive(Deserialize)]
pub(super) struct Annotation {
    entities: BTreeMap<String, Found>,
}

#[derive(Deserialize)]
struct Found {
    tokens: String,
    label: String,
    relations: Vec<(String, String)>,
}

impl Annotation {
    pub(super) fn graph(&self) -> Graph {
        let entity = |number: usize| {
            let found = &self.entities[&number.to_string()];
            let object = |number: &String| number.parse::<usize>().unwrap() - 1;
            GraphEntity {
                tokens: found.tokens.clone(),
                label: found.label.clone(),
                relations: (found.relations.iter())
                    .map(|(kind, number)| Relation { kind: kind.clone(), object: object(number) })
                    .collect(),
            }
        };
        Graph { entities: (1..=self.entities.len()).map(entity).collect() }
    }
}

#[derive(Deserialize)]
struct Outputs {
    ner_labels: Vec<String>,
    relation_labels: Vec<String>,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    text: String,
    tokens: Vec<String>,
    annotation: Annotation,
    min_margin_ner: f64,
    min_margin_relation: f64,
}

#[derive(Deserialize)]
struct F1 {
    hyps: Vec<String>,
    refs: Vec<String>,
    per_pair: Vec<[[f64; 3]; 3]>,
    hyp_annotations: Vec<Annotation>,
    ref_annotations: Vec<Annotation>,
}

fn model(kind: &str) -> Radgraph {
    let folder = folder(&format!("rewards/radgraph/{kind}"));
    let archive = folder.join("radgraph-xl.tar.gz");
    let source = if archive.exists() { archive } else { folder.clone() };
    Radgraph::load(&source, &folder.join("bert"), &Device::Cpu).unwrap()
}

#[test]
fn parity_radgraph_vectors_scores_and_graphs() {
    for kind in ["xl", "rg"] {
        let model = model(kind);
        let outputs: Outputs =
            serde_json::from_slice(&fixture(&format!("rewards/radgraph/{kind}/outputs.json"))).unwrap();
        let expected = tensors(&format!("rewards/radgraph/{kind}/outputs.safetensors"));
        assert_eq!(model.entity_labels, outputs.ner_labels);
        assert_eq!(model.relation_labels, outputs.relation_labels);
        let texts: Vec<&str> = outputs.items.iter().map(|item| item.text.as_str()).collect();
        let words: Vec<Vec<String>> = texts.iter().map(|text| (model.words)(text)).collect();
        let vectors = model.word_vectors(&words).unwrap();
        let graphs = model.graph(&texts).unwrap();
        let mut compared = 0;
        for (i, item) in outputs.items.iter().enumerate() {
            assert_eq!(words[i], item.tokens);
            let value = |name: &str| &expected[&format!("{i:02}.{name}")];
            // The larger tensors are recorded of some texts only.
            let recorded = |name: &str| expected.get(&format!("{i:02}.{name}"));
            let (segments, _) = model.segments(&words[i]).unwrap();
            let ids: Vec<f32> = segments.concat().iter().map(|&id| id as f32).collect();
            assert_eq!(ids, value("in.token_ids").1, "{}", item.text);
            let vectors = vectors[i].as_ref().unwrap();
            if let Some((_, expected)) = recorded("token_embeddings") {
                close(&vectors.flatten_all().unwrap().to_vec1().unwrap(), expected, 2e-4, &item.text);
                compared += 1;
            }

            let spans = model.spans.spans(words[i].len()).unwrap();
            let flat: Vec<f32> = spans.iter().flat_map(|&(first, last)| [first as f32, last as f32]).collect();
            assert_eq!(flat, value("spans").1, "{}", item.text);
            let rows = model.spans.vectors(vectors, &spans).unwrap();
            close(&model.spans.entity_scores(&rows).unwrap().concat(), &value("ner_scores").1, 2e-4, &item.text);
            let (kept, mentions) = model.spans.candidates(&rows, words[i].len()).unwrap();
            let flat: Vec<f32> = kept.iter().map(|&span| span as f32).collect();
            assert_eq!(flat, value("top_span_indices").1, "{}", item.text);
            close(&mentions, &value("top_span_mention_scores").1, 2e-4, &item.text);
            if let Some((_, expected)) = recorded("relation_scores") {
                let relations = model.spans.relation_scores(&rows, &kept, &mentions).unwrap();
                close(&relations.concat(), expected, 2e-4, &item.text);
            }
            // A decision by less than this is free.
            if item.min_margin_ner.min(item.min_margin_relation) >= 1e-3 {
                assert_eq!(graphs[i], item.annotation.graph(), "{}", item.text);
            }
        }
        assert!(compared > 0);
    }
}

#[test]
fn parity_radgraph_f1_of_report_pairs_end_to_end() {
    let model = model("xl");
    let fixture: F1 = serde_json::from_slice(&fixture("rewards/radgraph/f1radgraph.json")).unwrap();
    let texts = |texts: &[String]| model.graph(&texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let (hyps, refs) = (texts(&fixture.hyps), texts(&fixture.refs));
    assert!(!hyps.is_empty());
    for (i, expected) in fixture.per_pair.iter().enumerate() {
        for (level, expected) in [Level::Simple, Level::Partial, Level::Complete].into_iter().zip(expected) {
            let got = score(&hyps[i], &refs[i], level);
            for (got, expected) in [got.precision, got.recall, got.f1].into_iter().zip(expected) {
                assert!((got - expected).abs() < 1e-9, "pair {i} {level:?}: {got}, expected {expected}");
            }
        }
    }
    // Only pairs without an empty report were annotated.
    let whole: Vec<usize> =
        (0..hyps.len()).filter(|&i| !fixture.hyps[i].is_empty() && !fixture.refs[i].is_empty()).collect();
    for (graphs, annotations) in [(hyps, fixture.hyp_annotations), (refs, fixture.ref_annotations)] {
        assert_eq!(whole.len(), annotations.len());
        for (&i, annotation) in whole.iter().zip(annotations) {
            assert_eq!(graphs[i], annotation.graph());
        }
    }
}

#[test]
fn graphs_do_not_depend_on_the_other_reports() {
    for kind in ["xl", "rg"] {
        let model = model(kind);
        let texts = ["", "Effusion", "No pleural effusion. The heart is mildly enlarged.", " \n", "Effusion", "¿? 胸"];
        let together = model.graph(&texts).unwrap();
        for (text, expected) in texts.iter().zip(&together) {
            assert_eq!(&model.graph(&[text]).unwrap()[0], expected, "{text:?}");
        }
        assert!(together[0].entities.is_empty() && together[3].entities.is_empty());
    }
}
