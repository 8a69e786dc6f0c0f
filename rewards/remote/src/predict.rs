//! Rewards from `POST /predict`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Malformed, Node, ServiceConfig,
    probe::Probe,
    servers::Form,
    service::Service,
    wire::{PredictRequest, kind},
};
use addendum_rewards::{
    Case, Component, Components, Error, Result, Reward, RewardConfig, RewardSource, score::Weighed,
};

/// What is sent for a report without words: the service of the EditGRPO code crashes on an empty text, and scores this
/// word itself where an answer holds no report.
const NO_REPORT: &str = "None";

/// By what is said of this report servers with other models are told apart: it has findings of all kinds, right and wrong.
const PROBE: [&str; 2] = [
    "The heart is mildly enlarged. Small left pleural effusion with adjacent atelectasis. No pneumothorax. Possible early \
     pneumonia in the right lower lobe. A central venous catheter ends in the superior vena cava. Mild pulmonary edema.",
    "Heart size is normal. Moderate left pleural effusion and a small right one. No pneumothorax. Pneumonia cannot be \
     excluded. There is a new endotracheal tube. Old healed rib fracture on the left. No pulmonary edema.",
];

/// How far beyond [-1, 1] rounding may carry a score.
const ROUNDING: f64 = 1e-3;

/// Scores reports against references by a service. Its scores are those of the service's models; only the weighted sum
/// is made here.
pub struct RewardService {
    service: Service,
    components: Arc<[Served]>,
}

/// A component and its weight.
struct Served {
    component: Component,
    weight: f64,
    wire: Wire,
}

/// A component in the words of the services.
struct Wire {
    /// The list that holds its scores.
    list: &'static str,
    /// The name by which it is requested.
    requested: &'static str,
    /// How many scores each of its numbers is the sum of.
    sum_of: Sum,
}

#[derive(Clone, Copy)]
enum Sum {
    One,
    Fourteen,
}

/// `None` for what the services do not tell.
fn wire(component: Component) -> Option<Wire> {
    let wire = |list, requested, sum_of| Some(Wire { list, requested, sum_of });
    match component {
        Component::Chexbert => wire("micro_chexbert_14", "cxb14micro", Sum::One),
        // All lists of CheXbert come together.
        Component::ChexbertFive => wire("micro_chexbert_5", "cxb14micro", Sum::One),
        Component::ChexbertWeighted => wire("balanced_accuracy_chexbert", "cxb_bal_acc", Sum::Fourteen),
        Component::Radgraph => wire("f1_radgraph_scores", "radgraphf1", Sum::One),
        Component::Rate => wire("rate_scores", "ratescore", Sum::One),
        Component::RadgraphSimple | Component::RadgraphComplete => None,
    }
}

impl RewardService {
    /// Of a reward that weighs built-in components only, as [`RewardService::built_in`].
    ///
    /// # Errors
    /// As [`RewardService::built_in`].
    pub fn new(config: &ServiceConfig, reward: &RewardConfig) -> Result<Self> {
        Self::built_in(config, reward, &Components::default())
    }

    /// The built-in components of a reward that may also weigh registered ones. Of `reward` only the weights count: class
    /// frequencies, the negation weight and the cache are the service's own.
    ///
    /// # Errors
    /// Impossible weights or service settings, components that services do not tell, and no component to ask for.
    pub fn built_in(config: &ServiceConfig, reward: &RewardConfig, components: &Components) -> Result<Self> {
        let served = |(component, weight): (Component, f64)| {
            let wire = wire(component).ok_or(Error::Unserved { name: component.name() })?;
            Ok(Served { component, weight, wire })
        };
        let components: Arc<[_]> = reward.built_in(components)?.into_iter().map(served).collect::<Result<_>>()?;
        if components.is_empty() {
            return Err(Error::setting("weights", "without a built-in component", "one that the reward service gives"));
        }
        let [reference, report] = PROBE;
        let asked = components.clone();
        let probe = Probe::new(&request(&components, reference, &[report]), move |answer| {
            Ok(scores(&asked, &answer, 1)?.into_iter().flatten().collect())
        });
        Ok(Self { components, service: Service::new(config, Form::Path("/predict"), probe)? })
    }

    /// Scores each hypothesis against the one reference, in order.
    ///
    /// # Errors
    /// The service cannot be reached in time, refuses, or answers with anything but one score per pair.
    pub fn score(&self, reference: &str, hypotheses: &[&str]) -> Result<Vec<Reward>> {
        let batches: Vec<&[&str]> = hypotheses.chunks(self.service.batch).collect();
        let scored = self.service.each(&batches, |batch| self.ask(reference, batch))?;
        Ok(scored.into_iter().flatten().collect())
    }

    fn ask(&self, reference: &str, hypotheses: &[&str]) -> Result<Vec<Reward>> {
        let request = request(&self.components, reference, hypotheses);
        let scores = self.service.ask(&request, |answer| scores(&self.components, &answer, hypotheses.len()))?;
        let mut values: Vec<Vec<Weighed>> = vec![Vec::new(); hypotheses.len()];
        for (Served { component, weight, .. }, scores) in self.components.iter().zip(scores) {
            for (values, score) in values.iter_mut().zip(scores) {
                values.push((*component, *weight, score));
            }
        }
        values.into_iter().map(Reward::of).collect()
    }

    /// The address, or the first of several, for messages.
    pub fn name(&self) -> &str {
        self.service.name()
    }
}

impl RewardSource for RewardService {
    fn rewards(&self, case: &Case<'_>) -> Result<Vec<Reward>> {
        self.score(case.reference(), &case.texts())
    }
}

fn request(components: &[Served], reference: &str, hypotheses: &[&str]) -> PredictRequest {
    let requested: BTreeSet<&str> = components.iter().map(|served| served.wire.requested).collect();
    PredictRequest {
        hyps: hypotheses.iter().map(|text| said(text)).collect(),
        refs: vec![said(reference); hypotheses.len()],
        kind: kind::FREE_FORM.into(),
        requested_reward_components: requested.into_iter().map(str::to_owned).collect(),
        per_pair: hypotheses.len() > 1,
    }
}

/// The scores of each component, one per pair.
fn scores(components: &[Served], answer: &Node, pairs: usize) -> std::result::Result<Vec<Vec<f64>>, Malformed> {
    let result = answer.get("result");
    if result.text()? != "success" {
        return Err(result.malformed("`success`"));
    }
    let predictions = answer.get("data").get("predictions");
    for error in predictions.get("errors").items().unwrap_or_default() {
        error.without_reason()?;
    }
    let of = |Served { wire, .. }: &Served| {
        let list = predictions.get(wire.list);
        let expected = "one score per pair (with `batch` above 1, ask `addendum serve-rewards` only)";
        list.exactly(pairs, expected)?.iter().map(|node| score(node, wire.sum_of)).collect()
    };
    components.iter().map(of).collect()
}

fn score(node: &Node, sum_of: Sum) -> std::result::Result<f64, Malformed> {
    let (count, expected) = match sum_of {
        Sum::One => (1., "a score in [-1, 1]"),
        Sum::Fourteen => (14., "a sum of 14 scores in [-1, 1]"),
    };
    let value = node.number()? / count;
    if value.abs() > 1. + ROUNDING { Err(node.malformed(expected)) } else { Ok(value) }
}

fn said(report: &str) -> String {
    if report.trim().is_empty() { NO_REPORT.into() } else { report.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Scripted, quick};

    fn answer(chexbert: Value, radgraph: Value, rate: Value) -> String {
        let predictions = json!({"micro_chexbert_14": chexbert, "f1_radgraph_scores": radgraph, "rate_scores": rate});
        json!({"result": "success", "data": {"predictions": predictions}}).to_string()
    }

    fn score(body: &str, hypotheses: &[&str], batch: usize) -> (Result<Vec<Reward>>, Vec<String>) {
        let server = Scripted::new(vec![(200, body)]);
        let config = ServiceConfig { batch, ..quick(&server.url) };
        let scores = RewardService::new(&config, &RewardConfig::default()).unwrap().score("No effusion.", hypotheses);
        (scores, server.requests())
    }

    #[test]
    fn components_and_their_weighted_sum_come_from_the_answer() {
        let server = Scripted::new(vec![(200, &answer(json!([0.5]), json!([0.25]), json!([1.0000001])))]);
        let weights = [("chexbert".to_owned(), 2.), ("radgraph".to_owned(), 0.), ("rate".to_owned(), 1.)].into();
        let config = RewardConfig { weights, ..RewardConfig::default() };
        let rewards = RewardService::new(&quick(&server.url), &config).unwrap().score("No effusion.", &["Edema."]);
        let reward = rewards.unwrap().remove(0);
        assert_eq!(reward.total, 2.);
        assert_eq!(reward.components["radgraph"], 0.25);
        let request = server.requests().remove(0);
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        let components = ["cxb14micro", "radgraphf1", "ratescore"];
        assert_eq!(
            body,
            json!({"hyps": ["Edema."], "refs": ["No effusion."], "type": "free_form",
                "requested_reward_components": components})
        );
    }

    #[test]
    fn the_weighted_accuracy_is_a_fourteenth_of_its_sum_and_untold_components_are_refused() {
        let answer = json!({"result": "success", "data": {"predictions": {"balanced_accuracy_chexbert": [3.5]}}});
        let server = Scripted::new(vec![(200, &answer.to_string())]);
        let config = |name: &str| RewardConfig { weights: [(name.to_owned(), 2.)].into(), ..RewardConfig::default() };
        let service = RewardService::new(&quick(&server.url), &config("chexbert_weighted")).unwrap();
        let reward = service.score("No effusion.", &["Edema."]).unwrap().remove(0);
        assert_eq!((reward.total, reward.components["chexbert_weighted"]), (0.5, 0.25));
        assert!(server.requests()[0].contains(r#""requested_reward_components":["cxb_bal_acc"]"#));
        let refused =
            RewardService::new(&quick("http://127.0.0.1:1"), &config("radgraph_simple")).err().unwrap().to_string();
        assert!(refused.contains("`radgraph_simple`"), "{refused}");
    }

    #[test]
    fn an_answer_that_is_not_one_score_per_pair_is_an_error_with_its_field() {
        let one = || json!([0.5]);
        let cases = [
            (answer(json!([]), one(), one()), "`data.predictions.micro_chexbert_14` is a list of 0"),
            (answer(one(), json!(null), one()), "`data.predictions.f1_radgraph_scores` is null"),
            (answer(one(), one(), json!([null])), "`data.predictions.rate_scores[0]` is null"),
            (answer(one(), one(), json!(["0.5"])), "`data.predictions.rate_scores[0]` is a string"),
            (answer(one(), one(), json!([1.5])), "`data.predictions.rate_scores[0]` is 1.5"),
            (answer(json!([1e308]), one(), one()), "`data.predictions.micro_chexbert_14[0]` is 1e+308"),
            (answer(one(), json!([-1.5]), one()), "`data.predictions.f1_radgraph_scores[0]` is -1.5"),
            (answer(one(), one(), json!([0.5, 0.5])), "`data.predictions.rate_scores` is a list of 2"),
            (json!({"result": "success"}).to_string(), "`data.predictions.micro_chexbert_14` is missing"),
            (json!({"result": "error", "data": {"message": "x"}}).to_string(), "status 200: x"),
            (
                json!({"result": "success", "data": {"predictions": {"errors": ["too\nodd"]}}}).to_string(),
                "`data.predictions.errors[0]` is \"too odd\", expected none",
            ),
            ("null".into(), "`result` is missing"),
        ];
        for (body, expected) in cases {
            let (scores, requests) = score(&body, &["Edema."], 1);
            let message = scores.unwrap_err().to_string();
            assert!(message.contains("http://127.0.0.1") && message.contains(expected), "{body}: {message}");
            assert_eq!(requests.len(), 1);
        }
    }

    #[test]
    fn means_of_a_batch_are_not_taken_for_scores_of_its_pairs() {
        let (scores, requests) = score(&answer(json!([0.5]), json!([0.5]), json!([0.5])), &["Edema.", "Clear."], 2);
        assert!(scores.unwrap_err().to_string().contains("list of 1, expected one score per pair"));
        assert!(requests[0].contains(r#""per_pair":true"#));
    }

    #[test]
    fn a_report_without_words_is_sent_as_none() {
        let (scores, requests) = score(&answer(json!([0.]), json!([0.]), json!([0.5])), &[" \n"], 1);
        assert_eq!(scores.unwrap()[0].total, 0.5);
        assert!(requests[0].contains(r#""hyps":["None"]"#));
    }
}
