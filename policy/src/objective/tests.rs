use proptest::prelude::*;

use super::*;

fn objective(config: ObjectiveConfig) -> Objective {
    Objective::new(config).unwrap()
}

fn on_policy(new: &[f32], advantage: f64) -> ResponseTerms<'_> {
    ResponseTerms { new, proximal: new, behaviour: None, reference: Some(new), mask: None, advantage }
}

#[test]
fn an_empty_batch_and_an_empty_response_give_zero_and_no_nan() {
    let objective = objective(ObjectiveConfig { aggregation: Aggregation::SeqMeanTokenMean, ..Default::default() });
    assert_eq!(objective.evaluate(&[]).unwrap().loss, 0.0);
    let output = objective.evaluate(&[on_policy(&[], 1.0)]).unwrap();
    assert_eq!((output.loss, output.metrics()), (0.0, ObjectiveMetrics::default()));
    assert_eq!(output.gradient, vec![Vec::<f32>::new()]);
}

#[test]
fn slices_of_unequal_length_are_refused_by_name() {
    let mut response = on_policy(&[-1.0, -2.0], 1.0);
    response.behaviour = Some(&[-1.0]);
    let error = objective(ObjectiveConfig::default()).evaluate(&[response]).unwrap_err().to_string();
    assert_eq!(error, "behaviour of response 0: has 1 entries, expected 2, one per token");
}

#[test]
fn a_missing_reference_is_refused_only_when_it_is_needed() {
    let response = ResponseTerms { reference: None, ..on_policy(&[-1.0], 1.0) };
    assert!(objective(ObjectiveConfig::default()).evaluate(&[response]).is_err());
    let without_kl = ObjectiveConfig { kl_coefficient: 0.0, ..Default::default() };
    assert!(objective(without_kl).evaluate(&[response]).is_ok());
}

#[test]
fn a_value_that_is_not_finite_reaches_the_gradient() {
    for config in [ObjectiveConfig::default(), ObjectiveConfig { dual_clip: Some(3.0), ..Default::default() }] {
        for advantage in [1.0, -1.0] {
            let output = objective(config.clone()).evaluate(&[on_policy(&[-1.0, f32::NAN], advantage)]).unwrap();
            assert!(output.loss.is_nan() && output.gradient[0][1].is_nan());
        }
    }
}

#[test]
fn a_token_that_no_policy_sampled_does_not_enter_the_importance_statistics() {
    let sampled = ResponseTerms { behaviour: Some(&[-1.5]), ..on_policy(&[-1.0], 1.0) };
    let output = objective(ObjectiveConfig::default()).evaluate(&[sampled, on_policy(&[-9.0], 1.0)]).unwrap();
    let metrics = output.metrics();
    assert!((metrics.importance_weight_mean - 0.5f64.exp()).abs() < 1e-12);
    assert!((metrics.effective_sample_size - 1.0).abs() < 1e-12);
    assert!((output.gradient[0][0] / output.gradient[1][0] - 0.5f32.exp()).abs() < 1e-6);
}

fn mode() -> impl Strategy<Value = Aggregation> {
    prop_oneof![
        Just(Aggregation::TokenMean),
        Just(Aggregation::SeqMeanTokenSum),
        Just(Aggregation::SeqMeanTokenMean),
        Just(Aggregation::SeqMeanTokenSumNorm),
    ]
}

fn kl_kind() -> impl Strategy<Value = KlKind> {
    prop_oneof![Just(KlKind::K1), Just(KlKind::Abs), Just(KlKind::K2), Just(KlKind::K3)]
}

/// Rows of (new, proximal, behaviour, reference) and an advantage.
fn batch() -> impl Strategy<Value = Vec<(Vec<[f32; 4]>, f64)>> {
    let token = [-3.0f32..0.0, -3.0f32..0.0, -3.0f32..0.0, -3.0f32..0.0];
    proptest::collection::vec((proptest::collection::vec(token, 0..6), -2.0f64..2.0), 1..5)
}

struct Columns([Vec<f32>; 4], f64);

impl Columns {
    fn all(rows: &[(Vec<[f32; 4]>, f64)]) -> Vec<Self> {
        let column = |row: &[[f32; 4]], i: usize| row.iter().map(|token| token[i]).collect();
        rows.iter().map(|(row, a)| Self([0, 1, 2, 3].map(|i| column(row, i)), *a)).collect()
    }

    fn terms(&self) -> ResponseTerms<'_> {
        let Self([new, proximal, behaviour, reference], advantage) = self;
        let (behaviour, reference) = (Some(&behaviour[..]), Some(&reference[..]));
        ResponseTerms { new, proximal, behaviour, reference, mask: None, advantage: *advantage }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_of_a_batch_add_up_to_the_whole(rows in batch(), aggregation in mode(), kl in kl_kind(), cut in 0usize..5) {
        let objective = objective(ObjectiveConfig { aggregation, kl, ..Default::default() });
        let columns = Columns::all(&rows);
        let responses: Vec<_> = columns.iter().map(Columns::terms).collect();
        let whole = objective.evaluate(&responses).unwrap();
        let size = Batch::of(responses.iter().map(ResponseTerms::length));
        let (front, back) = responses.split_at(cut.min(responses.len()));
        let front = objective.evaluate_part(front, size).unwrap();
        let back = objective.evaluate_part(back, size).unwrap();
        let mut tally = front.tally;
        tally.merge(&back.tally);
        prop_assert!((whole.loss - front.loss - back.loss).abs() < 1e-12);
        prop_assert_eq!(&whole.gradient, &[front.gradient, back.gradient].concat());
        prop_assert!((whole.metrics().effective_sample_size - tally.metrics().effective_sample_size).abs() < 1e-9);
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss(rows in batch(), aggregation in mode(), kl in kl_kind()) {
        let objective = objective(ObjectiveConfig { aggregation, kl, dual_clip: Some(3.0), ..Default::default() });
        let columns = Columns::all(&rows);
        let evaluate = |columns: &[Columns]| {
            let responses: Vec<_> = columns.iter().map(Columns::terms).collect();
            objective.evaluate(&responses).unwrap()
        };
        for (i, row) in evaluate(&columns).gradient.iter().enumerate() {
            for (t, &found) in row.iter().enumerate() {
                let moved = |delta: f32| {
                    let mut rows = rows.clone();
                    rows[i].0[t][0] += delta;
                    let output = evaluate(&Columns::all(&rows));
                    (output.loss, f64::from(rows[i].0[t][0]), output.gradient[i][t])
                };
                let ((low_loss, low, _), (high_loss, high, _)) = (moved(-1e-3), moved(1e-3));
                let slope = (high_loss - low_loss) / (high - low);
                let (left, right) = (moved(-2e-3).2, moved(2e-3).2);
                let near_a_kink = (left - right).abs() > 0.02 + 0.02 * left.abs();
                let found = f64::from(found);
                prop_assert!(near_a_kink || (slope - found).abs() < 1e-2 + 1e-2 * found.abs(), "{slope} {found}");
            }
        }
    }
}
