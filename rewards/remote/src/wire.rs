//! The bodies of `POST /predict` and `POST /analyze`, as the two services of the EditGRPO code write them. Members are in
//! alphabetical order, as there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq};

use addendum_rewards::{Entity, EntityType};

/// How reports are written, and so which part is scored and what format is rewarded.
pub mod kind {
    /// The whole text is the report.
    pub const FREE_FORM: &str = "free_form";
    /// The report stands in `\boxed{}`.
    pub const SHORT: &str = "short";
    /// The same after `<think>…</think>`.
    pub const COT: &str = "cot";
}

/// Body of `POST /predict`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictRequest {
    pub hyps: Vec<String>,
    /// As many as `hyps`.
    pub refs: Vec<String>,
    /// See [`kind`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Names of what `final_scores` adds up; none or only `all` means everything.
    pub requested_reward_components: Vec<String>,
    /// An extension that the EditGRPO code does not know: every list of the answer has one element per pair, as if each
    /// had been sent alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_pair: bool,
}

/// The scores of a request. Without `per_pair` every list but `format_scores` has one element: CheXbert's and RadGraph's
/// are those of the whole batch, `rate_scores` is the first pair's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    pub accuracy_chexbert: Vec<f64>,
    /// Summed over the 14 observations.
    pub balanced_accuracy_chexbert: Vec<f64>,
    pub f1_radgraph_scores: Vec<f64>,
    pub final_scores: Vec<f64>,
    pub format_scores: Vec<f64>,
    pub macro_chexbert_14: Vec<f64>,
    pub macro_chexbert_5: Vec<f64>,
    pub micro_chexbert_14: Vec<f64>,
    pub micro_chexbert_5: Vec<f64>,
    pub precision_radgraph_scores: Vec<f64>,
    pub rate_scores: Vec<f64>,
    pub recall_radgraph_scores: Vec<f64>,
}

/// Body of `POST /analyze`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnalyzeRequest {
    pub generations: Vec<String>,
    /// As many as `generations`; a bare string is accepted for one.
    pub ground_truth: Vec<String>,
}

/// The analysis of a request: one per generation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Analyses {
    pub analysis_results: Vec<Analysis>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Analysis {
    pub contradictions: Vec<Contradiction>,
    /// Reference entities that no generated one matches.
    pub false_negatives: Vec<WireEntity>,
    /// Generated entities that no reference one matches.
    pub false_positives: Vec<WireEntity>,
    pub ref_entities_grouped_by_sentence: BTreeMap<String, Vec<WireEntity>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contradiction {
    /// `similarity` weighted by types and polarity.
    pub effective_score_for_match_debug: f64,
    pub gen_entity: WireEntity,
    pub ref_entity: WireEntity,
    /// Cosine.
    pub similarity: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WireEntity {
    #[serde(serialize_with = "widened")]
    pub embedding: Vec<f32>,
    pub original_label: EntityType,
    pub sentence: String,
    pub text_span: String,
    #[serde(rename = "type")]
    pub kind: EntityType,
}

impl WireEntity {
    pub fn new(entity: &Entity, sentence: &str) -> Self {
        Self {
            embedding: entity.embedding.clone(),
            original_label: entity.kind,
            sentence: sentence.to_owned(),
            text_span: entity.text.clone(),
            kind: entity.kind,
        }
    }
}

/// Writes f32 values as the f64 of the same value, as Python does; so a reader gets exactly that value.
fn widened<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(values.len()))?;
    for &value in values {
        list.serialize_element(&f64::from(value))?;
    }
    list.end()
}

/// What surrounds the predictions of a successful request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Success<T> {
    data: Data<T>,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Data<T> {
    predictions: T,
}

impl<T> Success<T> {
    pub fn new(predictions: T) -> Self {
        Self { data: Data { predictions }, result: "success" }
    }
}

/// The body of a refused or failed request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    data: Reason,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Reason {
    message: String,
}

impl Refusal {
    pub fn new(message: impl Into<String>) -> Self {
        Self { data: Reason { message: message.into() }, result: "error" }
    }
}
