//! RaTEScore's affinity-weighted score (Zhao et al. 2024, section 3.3) on given entities.

use crate::entity::{Entity, EntityType, Presence, cosine};

/// How much a pair of types counts, and what an opposite presence leaves of a match.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Indexed by the type of the entity looked up, then by the type of its nearest entity, both in the order of
    /// [`EntityType`].
    pub affinity: [[f64; 5]; 5],
    /// Factor on the similarity, not on the weight, of two entities of opposite presence.
    pub negation: f64,
}

impl Default for Weights {
    /// The constants of the published RaTEScore package.
    fn default() -> Self {
        Self { affinity: AFFINITY, negation: 0.3612 }
    }
}

const AFFINITY: [[f64; 5]; 5] = [
    [0.2856134859160784, 0.7487824274337533, 0.4592143222158069, 0.02097055139911715, 0.00013736314126696204],
    [0.6240929990607657, 0.4276119164393705, 0.0034478181112993847, 0.5431049700217344, 0.27005425386213877],
    [0.9950209388542061, 0.8396510075734789, 0.8460555030578727, 0.9820689020512646, 0.3789136708096537],
    [0.018670610691852826, 0.16546764653692908, 0.719397354576018, 0.0009357166071730684, 0.0927333564267591],
    [0.1839139293714062, 0.7759420231214385, 0.10073046076318157, 0.03860183811876373, 0.34065681486566446],
];

/// The harmonic mean of the two directions, in [0, 1]; 0.5 when either side has no entity, 0 when a direction does not
/// score.
///
/// A direction is negative when even the nearest cosines are. The published code takes the mean of such numbers, too,
/// which then is negative or, where they nearly cancel, of any size; here a negative direction counts as 0.
pub fn score(reference: &[Entity], hypothesis: &[Entity], weights: &Weights) -> f64 {
    if reference.is_empty() || hypothesis.is_empty() {
        return 0.5;
    }
    let recall = directed(reference, hypothesis, weights).clamp(0., 1.);
    let precision = directed(hypothesis, reference, weights).clamp(0., 1.);
    if precision + recall == 0. { 0. } else { 2. * precision * recall / (precision + recall) }
}

/// Cosines that differ by less are a tie: rounding may move the embedding of the same words by about as much where they
/// were embedded in another batch.
pub const TIE: f64 = 1e-6;

/// The weighted mean, over the entities of `from`, of the similarity to the nearest entity of `to`; 0 without any.
///
/// Where several are equally near (the same words with two types; the published code takes any of them) one of the entity's
/// own type counts, else the one with the greatest affinity, so that a report equals itself and no order matters.
pub fn directed(from: &[Entity], to: &[Entity], weights: &Weights) -> f64 {
    let (mut total, mut mass) = (0., 0.);
    for entity in from {
        let similarities: Vec<f64> = to.iter().map(|other| cosine(&entity.embedding, &other.embedding)).collect();
        let Some(nearest) = similarities.iter().copied().reduce(f64::max) else { continue };
        let near = to.iter().zip(&similarities).filter(|&(_, &similarity)| similarity > nearest - TIE);
        let claim = |(other, _): (&Entity, _)| {
            let weight = weights.affinity[slot(entity.kind)][slot(other.kind)];
            let factor = if opposite(entity.kind, other.kind) { weights.negation } else { 1. };
            (other.kind == entity.kind, weight, factor)
        };
        let stronger = |a: (bool, f64, f64), b: (bool, f64, f64)| if b > a { b } else { a };
        let Some((_, weight, factor)) = near.map(claim).reduce(stronger) else { continue };
        total += weight * factor * nearest;
        mass += weight;
    }
    if mass == 0. { 0. } else { total / mass }
}

fn slot(kind: EntityType) -> usize {
    match kind {
        EntityType::Anatomy => 0,
        EntityType::Abnormality => 1,
        EntityType::Disease => 2,
        EntityType::NonAbnormality => 3,
        EntityType::NonDisease => 4,
    }
}

fn opposite(a: EntityType, b: EntityType) -> bool {
    matches!(
        (a.presence(), b.presence()),
        (Presence::Present, Presence::Absent) | (Presence::Absent, Presence::Present)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use addendum_fixtures::fixture;

    #[derive(Deserialize)]
    struct Fixture {
        affinity: BTreeMap<String, f64>,
        neg_weight: f64,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        gt_types: Vec<EntityType>,
        pred_types: Vec<EntityType>,
        compute_gt_pred: f64,
        compute_pred_gt: f64,
        score: f64,
    }

    /// The rows of one f32 matrix of a safetensors file.
    fn rows(bytes: &[u8], name: &str) -> Vec<Vec<f32>> {
        let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
        let entry = &header[name];
        let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
        let (start, end) = (number(&entry["data_offsets"][0]), number(&entry["data_offsets"][1]));
        let data = &bytes[8 + header_len..][start..end];
        let values: Vec<f32> = data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        values.chunks_exact(number(&entry["shape"][1])).map(<[f32]>::to_vec).collect()
    }

    fn entities(types: &[EntityType], embeddings: Vec<Vec<f32>>) -> Vec<Entity> {
        assert_eq!(types.len(), embeddings.len());
        (types.iter().zip(embeddings))
            .map(|(&kind, embedding)| Entity { text: String::new(), kind, embedding })
            .collect()
    }

    #[test]
    fn parity_rate_scores_of_given_embeddings() {
        let fixture_json: Fixture = serde_json::from_slice(&fixture("rewards/rate/compute.json")).unwrap();
        let tensors = fixture("rewards/rate/compute.safetensors");
        let mut weights = Weights { negation: fixture_json.neg_weight, ..Weights::default() };
        let types = ["anatomy", "abnormality", "disease", "non-abnormality", "non-disease"];
        for (i, a) in types.iter().enumerate() {
            for (j, b) in types.iter().enumerate() {
                let expected = fixture_json.affinity[&format!("{a}_{b}")];
                if std::env::var_os("ADDENDUM_FIXTURES").is_none() {
                    assert!((weights.affinity[i][j] - expected).abs() < 1e-12, "{a}_{b}");
                }
                weights.affinity[i][j] = expected;
            }
        }
        for (i, case) in fixture_json.cases.iter().enumerate() {
            let gt = entities(&case.gt_types, rows(&tensors, &format!("gt.{i:02}")));
            let pred = entities(&case.pred_types, rows(&tensors, &format!("pred.{i:02}")));
            let sensible = case.compute_gt_pred >= 0. && case.compute_pred_gt >= 0.;
            for (got, expected) in [
                (directed(&gt, &pred, &weights), case.compute_gt_pred),
                (directed(&pred, &gt, &weights), case.compute_pred_gt),
                (score(&gt, &pred, &weights), if sensible { case.score } else { 0. }),
            ] {
                assert!((got - expected).abs() < 1e-6, "case {i}: {got}, expected {expected}");
            }
        }
    }

    fn any_entities() -> impl Strategy<Value = Vec<Entity>> {
        use EntityType::*;
        let kind = prop::sample::select(vec![Anatomy, Abnormality, Disease, NonAbnormality, NonDisease]);
        let entity = (kind, prop::collection::vec(-1f32..1., 4)).prop_map(|(kind, embedding)| Entity {
            text: String::new(),
            kind,
            embedding,
        });
        prop::collection::vec(entity, 0..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn score_is_symmetric_and_bounded(a in any_entities(), b in any_entities()) {
            let s = score(&a, &b, &Weights::default());
            prop_assert!((0. ..=1.).contains(&s));
            prop_assert!((s - score(&b, &a, &Weights::default())).abs() < 1e-12);
            if a.is_empty() || b.is_empty() {
                prop_assert_eq!(s, 0.5);
            }
        }
    }

    /// Reports of few words, so that the same words often occur twice, with the noise that another batch makes.
    fn any_report() -> impl Strategy<Value = Vec<Entity>> {
        use EntityType::*;
        let kind = prop::sample::select(vec![Anatomy, Abnormality, Disease, NonAbnormality, NonDisease]);
        let words = prop::sample::select(vec![[1f32, 0., 0.2], [0.9, 0.1, -0.4], [-0.3, 1., 0.5], [0.2, -0.7, 1.]]);
        let entity = (kind, words, prop::array::uniform3(-1e-7f32..1e-7)).prop_map(|(kind, words, noise)| Entity {
            text: String::new(),
            kind,
            embedding: words.iter().zip(noise).map(|(word, noise)| word + noise).collect(),
        });
        prop::collection::vec(entity, 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn a_report_scored_against_itself_is_one(report in any_report()) {
            prop_assert!((score(&report, &report, &Weights::default()) - 1.).abs() < 1e-6);
        }

        #[test]
        fn no_order_of_entities_changes_a_score(a in any_report(), b in any_report(), turn in 0usize..8) {
            let score = |a: &[Entity], b: &[Entity]| score(a, b, &Weights::default());
            let (mut reversed, mut turned) = (a.clone(), b.clone());
            reversed.reverse();
            turned.rotate_left(turn % b.len());
            prop_assert!((score(&a, &b) - score(&reversed, &turned)).abs() < 1e-6);
        }
    }

    #[test]
    fn the_same_words_with_two_types_meet_their_own_type_else_the_greatest_affinity() {
        let entity = |kind| Entity { text: "fracture".into(), kind, embedding: vec![1., 2.] };
        let both = [EntityType::NonDisease, EntityType::Disease].map(entity);
        assert!((score(&both, &both, &Weights::default()) - 1.).abs() < 1e-12);
        let anatomy = [entity(EntityType::Anatomy)];
        let [a, b] = [EntityType::NonAbnormality, EntityType::Abnormality].map(entity);
        for order in [[a.clone(), b.clone()], [b, a]] {
            assert!((directed(&anatomy, &order, &Weights::default()) - 1.).abs() < 1e-12);
        }
        let absent = [entity(EntityType::NonDisease)];
        let other = [EntityType::NonAbnormality, EntityType::Disease].map(entity);
        assert!((directed(&absent, &other, &Weights::default()) - 0.3612).abs() < 1e-12);
    }

    #[test]
    fn an_opposite_presence_costs_the_negation_weight() {
        let entity = |kind| Entity { text: String::new(), kind, embedding: vec![1., 2.] };
        let (present, absent) = ([entity(EntityType::Disease)], [entity(EntityType::NonDisease)]);
        assert!((score(&present, &present, &Weights::default()) - 1.).abs() < 1e-12);
        assert!((score(&present, &absent, &Weights::default()) - 0.3612).abs() < 1e-12);
    }
}
