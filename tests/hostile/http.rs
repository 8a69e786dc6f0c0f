//! Bodies of requests.

use std::sync::LazyLock;

use addendum::{
    rewards::Backends,
    serve::{Endpoint, Service, ServiceOptions},
};
use serde_json::json;

static SERVICE: LazyLock<Service> = LazyLock::new(|| Service::new(Backends::lexicon(), ServiceOptions::default()));

pub fn seeds() -> Vec<Vec<u8>> {
    let hyps = ["The heart is enlarged. No effusion.", r"\boxed{Edema.}", "<think>…</think> \u{1fac1}"];
    let refs = ["Cardiomegaly.", "Mild edema; small left effusion.", ""];
    let kinds = ["free_form", "short", "cot"].map(|kind| {
        let names = ["radgraphf1", "ratescore", "all"];
        json!({"hyps": hyps, "refs": refs, "type": kind, "per_pair": true, "requested_reward_components": names})
    });
    let bodies = kinds.into_iter().chain([
        json!({"hyps": hyps, "refs": refs}),
        json!({"generations": hyps, "ground_truth": refs}),
        json!({"generations": hyps[..1], "ground_truth": refs[1]}),
    ]);
    let python = br#"{"hyps": [NaN, "\ud83d Edema."], "refs": ["a", "b"], "per_pair": true}"#;
    bodies.map(|body| body.to_string().into_bytes()).chain([python.to_vec()]).collect()
}

pub fn read(input: &[u8]) -> bool {
    let answered = [Endpoint::Predict, Endpoint::Analyze].map(|endpoint| {
        let answer = SERVICE.answer(endpoint, input);
        match &answer {
            Ok(answer) => assert!(answer.starts_with(b"{") && answer.ends_with(b"}")),
            Err(refused) => assert!(refused.status.is_client_error(), "{}", refused.message),
        }
        answer.is_ok()
    });
    answered.contains(&true)
}
