//! Decisions about spans to the graph of a report.

use addendum_rewards::{Graph, GraphEntity, Relation};

/// The first and last word of a span.
pub(super) type Span = (usize, usize);

/// A span found to be an entity, with its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) span: Span,
    pub(super) label: String,
}

/// A relation found between two spans.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Related {
    pub(super) subject: Span,
    pub(super) object: Span,
    pub(super) kind: String,
}

/// The graph of a report: entities in the order found; relations between spans that are no entities are dropped. Of
/// several entities with one span the first is the object.
pub(super) fn graph(words: &[String], named: &[Named], related: &[Related]) -> Graph {
    let named_at = |span: Span| named.iter().position(|named| named.span == span);
    let entity = |named: &Named| {
        let (first, last) = named.span;
        let relations = related.iter().filter(|relation| relation.subject == named.span).filter_map(|relation| {
            let object = named_at(relation.object)?;
            Some(Relation { kind: relation.kind.clone(), object })
        });
        GraphEntity {
            tokens: words.get(first..=last).unwrap_or_default().join(" "),
            label: named.label.clone(),
            relations: relations.collect(),
        }
    };
    Graph { entities: named.iter().map(entity).collect() }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::radgraph::tests::Annotation;
    use addendum_fixtures::fixture;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        tokens: Vec<String>,
        predicted_ner: Vec<(usize, usize, String, f64, f64)>,
        predicted_relations: Vec<(usize, usize, usize, usize, String, f64, f64)>,
        annotation: Annotation,
    }

    #[test]
    fn parity_graphs_of_predictions() {
        let cases: Vec<Case> = serde_json::from_slice(&fixture("rewards/radgraph/postprocess.json")).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let named = case.predicted_ner.into_iter().map(|(a, b, label, ..)| Named { span: (a, b), label });
            let related = (case.predicted_relations.into_iter()).map(|(a, b, c, d, kind, ..)| Related {
                subject: (a, b),
                object: (c, d),
                kind,
            });
            let got = graph(&case.tokens, &named.collect::<Vec<_>>(), &related.collect::<Vec<_>>());
            assert_eq!(got, case.annotation.graph(), "{}", case.name);
        }
    }
}
