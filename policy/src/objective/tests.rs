use proptest::prelude::*;

use super::*;

fn objective(config: ObjectiveConfig) -> Objective {
    Objective::new(config).unwrap()
}

fn on_policy(new: &[f32], advantage: f64) -> ResponseTerms<'_> {
    ResponseTerms { new, proximal: new, behaviour: None, reference: Some(new), mask: None, advantage, shared: 0 }
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

/// An edited report of which the first `shared` tokens are its source's.
fn edited<'a>(new: &'a [f32], proximal: &'a [f32], shared: usize) -> ResponseTerms<'a> {
    ResponseTerms { shared, proximal, ..on_policy(new, 0.5) }
}

/// The gradient of one response by its log-probabilities, less what the aggregation divides by.
fn slopes(config: ObjectiveConfig, response: ResponseTerms) -> Vec<f32> {
    let config = ObjectiveConfig { kl_coefficient: 0.0, norm_length: 1.0, ..config };
    objective(config).evaluate(&[response]).unwrap().gradient.remove(0)
}

#[test]
fn the_advantage_of_a_copy_acts_from_its_first_difference_and_its_penalty_everywhere() {
    let new = [-1.0, -2.0, -0.5];
    let from = ObjectiveConfig { edited_from: EditedFrom::Difference, ..Default::default() };
    assert_eq!(slopes(from.clone(), edited(&new, &new, 0)), [-0.5, -0.5, -0.5]);
    assert_eq!(slopes(from.clone(), edited(&new, &new, 2)), [0.0, 0.0, -0.5]);
    assert_eq!(slopes(from.clone(), edited(&new, &new, 3)), [0.0, 0.0, 0.0], "a copy without an edit");
    assert_eq!(slopes(ObjectiveConfig::default(), edited(&new, &new, 2)), [-0.5, -0.5, -0.5]);

    let reference = [-1.5, -1.5, -1.5];
    let response = ResponseTerms { reference: Some(&reference), ..edited(&new, &new, 2) };
    for aggregation in [Aggregation::TokenMean, Aggregation::SeqMeanTokenMean, Aggregation::SeqMeanTokenSumNorm] {
        let evaluate = |edited_from, advantage| {
            let config = ObjectiveConfig { aggregation, edited_from, ..Default::default() };
            objective(config).evaluate(&[ResponseTerms { advantage, ..response }]).unwrap().gradient.remove(0)
        };
        let (plain, masked) = (evaluate(EditedFrom::Start, 0.5), evaluate(EditedFrom::Difference, 0.5));
        let penalty = evaluate(EditedFrom::Start, 0.0);
        assert_eq!((masked[0], masked[1], masked[2]), (penalty[0], penalty[1], plain[2]), "{aggregation:?}");
    }
}

#[test]
fn off_policy_tokens_are_shaped_or_capped_by_their_probability_and_no_others_are() {
    let new = [0.5f32, 0.5, 0.001].map(f32::ln);
    let close = |found: Vec<f32>, expected: [f64; 3]| {
        for (a, b) in found.iter().zip(expected) {
            assert!((f64::from(*a) - b).abs() < 1e-6, "{found:?}, expected {expected:?}");
        }
    };
    let shaped = ObjectiveConfig { off_policy: OffPolicy::Shaped, ..Default::default() };
    // A γ π / (π + γ)²
    let slope = |probability: f64| -0.5 * 0.1 * probability / (probability + 0.1).powi(2);
    close(slopes(shaped.clone(), edited(&new, &new, 1)), [-0.5, slope(0.5), slope(0.001)]);
    let capped = ObjectiveConfig { off_policy: OffPolicy::Capped, ..Default::default() };
    close(slopes(capped.clone(), edited(&new, &new, 1)), [-0.5, -0.5, -0.5 * 0.001 / 0.01]);
    for config in [shaped, capped] {
        let sampled = ResponseTerms { behaviour: Some(&new), ..on_policy(&new, 0.5) };
        close(slopes(config, sampled), [-0.5; 3]);
    }
}

#[test]
fn a_response_cannot_share_more_tokens_than_it_has() {
    let error = objective(ObjectiveConfig::default()).evaluate(&[edited(&[-1.0], &[-1.0], 2)]).unwrap_err();
    assert_eq!(error.to_string(), "shared tokens of response 0: 2, of 1 tokens");
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
        ResponseTerms { new, proximal, behaviour, reference, mask: None, advantage: *advantage, shared: 0 }
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

    #[test]
    fn the_gradient_of_off_policy_tokens_is_the_slope_of_their_loss(
        tokens in proptest::collection::vec((-6.0f32..-0.01, -6.0f32..0.0), 1..6), advantage in -2.0f64..2.0,
        gamma in 0.02f64..1.0, floor in 0.005f64..1.0, shared in 0usize..6, difference: bool,
    ) {
        let (new, proximal): (Vec<f32>, Vec<f32>) = tokens.into_iter().unzip();
        for off_policy in [OffPolicy::Plain, OffPolicy::Shaped, OffPolicy::Capped] {
            let objective = objective(ObjectiveConfig {
                off_policy,
                off_policy_gamma: gamma,
                off_policy_floor: floor,
                edited_from: if difference { EditedFrom::Difference } else { EditedFrom::Start },
                // Without a kink.
                clip: ClipRange { low: 1.0, high: 1e9 },
                kl: KlKind::K2,
                norm_length: 1.0,
                ..Default::default()
            });
            let evaluate = |new: &[f32]| {
                let reference = vec![-1.0; new.len()];
                let shared = shared.min(new.len());
                let response = ResponseTerms { reference: Some(&reference), advantage, ..edited(new, &proximal, shared) };
                objective.evaluate(&[response]).unwrap()
            };
            for (t, found) in evaluate(&new).gradient[0].iter().map(|&found| f64::from(found)).enumerate() {
                let moved = |delta: f32| {
                    let mut new = new.clone();
                    new[t] += delta;
                    (evaluate(&new).loss, f64::from(new[t]))
                };
                let ((low_loss, low), (high_loss, high)) = (moved(-1e-3), moved(1e-3));
                let slope = (high_loss - low_loss) / (high - low);
                prop_assert!((slope - found).abs() < 1e-4 + 1e-4 * found.abs(), "{off_policy:?} {slope} {found}");
            }
        }
    }
}
