//! The bodies of `POST /predict` and `POST /analyze`, as the two services of the EditGRPO code write them. Members are in
//! alphabetical order, as there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
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

/// Reports and their references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictRequest {
    /// What a policy wrote.
    pub hyps: Vec<String>,
    /// The references, as many as `hyps`.
    pub refs: Vec<String>,
    /// How reports are written: `free_form`, where the whole text is the report; `short`, where it stands in `\boxed{}`;
    /// `cot`, the same after `<think>…</think>`.
    #[serde(rename = "type", default = "short")]
    pub kind: String,
    /// Names of what `final_scores` adds up: `radgraphf1`, `cxb14micro`, `cxb_bal_acc`, `ratescore`, `format`. None, or only
    /// `all`, means everything.
    #[serde(default)]
    pub requested_reward_components: Vec<String>,
    /// Whether every list of the answer has one element per pair, as if each had been sent alone. The EditGRPO code does not
    /// know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_pair: bool,
}

fn short() -> String {
    kind::SHORT.into()
}

/// A score, or nothing where its pair could not be scored.
pub type Score = Option<f64>;

/// The scores of a request. Without `per_pair` every list but `format_scores` has one element: CheXbert's and RadGraph's
/// are those of the whole batch, `rate_scores` is the first pair's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Predictions {
    /// Whether all five labels are right, 0 or 1; of a batch, the share of such reports.
    pub accuracy_chexbert: Vec<Score>,
    /// Summed over the 14 observations.
    pub balanced_accuracy_chexbert: Vec<Score>,
    /// Why a pair has no scores, and null for the others. Only where there is such a pair, which spoils no other; only
    /// with `per_pair`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Option<String>>,
    /// RadGraph F1, partial level.
    pub f1_radgraph_scores: Vec<Score>,
    /// The sum of the requested components.
    pub final_scores: Vec<Score>,
    /// Whether a report is in the form that `type` asks for, 0 or 1; always one for each pair.
    pub format_scores: Vec<Score>,
    /// Mean of the F1 of the 14 observations.
    pub macro_chexbert_14: Vec<Score>,
    /// Mean of the F1 of the five observations.
    pub macro_chexbert_5: Vec<Score>,
    /// F1 over the 14 labels of all reports together.
    pub micro_chexbert_14: Vec<Score>,
    /// F1 over the five labels of all reports together.
    pub micro_chexbert_5: Vec<Score>,
    /// RadGraph precision, partial level.
    pub precision_radgraph_scores: Vec<Score>,
    /// RaTEScore.
    pub rate_scores: Vec<Score>,
    /// RadGraph recall, partial level.
    pub recall_radgraph_scores: Vec<Score>,
}

impl Predictions {
    /// All lists of scores.
    pub fn lists(&mut self) -> [&mut Vec<Score>; 12] {
        let Self {
            accuracy_chexbert,
            balanced_accuracy_chexbert,
            errors: _,
            f1_radgraph_scores,
            final_scores,
            format_scores,
            macro_chexbert_14,
            macro_chexbert_5,
            micro_chexbert_14,
            micro_chexbert_5,
            precision_radgraph_scores,
            rate_scores,
            recall_radgraph_scores,
        } = self;
        [
            accuracy_chexbert,
            balanced_accuracy_chexbert,
            f1_radgraph_scores,
            final_scores,
            format_scores,
            macro_chexbert_14,
            macro_chexbert_5,
            micro_chexbert_14,
            micro_chexbert_5,
            precision_radgraph_scores,
            rate_scores,
            recall_radgraph_scores,
        ]
    }
}

/// Reports to compare with their references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnalyzeRequest {
    /// What a policy wrote.
    pub generations: Vec<String>,
    /// The references, as many as `generations`. A bare string is accepted for one.
    #[schemars(extend("type" = ["array", "string"]))]
    pub ground_truth: Vec<String>,
}

/// The analysis of a request: one per generation.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Analyses {
    /// In the order of the generations.
    pub analysis_results: Vec<Analysis>,
}

/// How one report differs from its reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Analysis {
    /// Entities of opposite presence.
    pub contradictions: Vec<Contradiction>,
    /// Why there is no analysis. Only where there is none: then the lists are empty, and no other pair is spoilt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Reference entities that no generated one matches.
    pub false_negatives: Vec<WireEntity>,
    /// Generated entities that no reference one matches.
    pub false_positives: Vec<WireEntity>,
    /// All entities of the reference, by their sentence.
    pub ref_entities_grouped_by_sentence: BTreeMap<String, Vec<WireEntity>>,
}

/// Two entities of which one asserts what the other denies.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Contradiction {
    /// `similarity` weighted by types and polarity.
    pub effective_score_for_match_debug: f64,
    /// The one of the generation.
    pub gen_entity: WireEntity,
    /// The one of the reference.
    pub ref_entity: WireEntity,
    /// Cosine.
    pub similarity: f64,
}

/// An entity and its sentence.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Entity")]
pub struct WireEntity {
    /// As long as the model makes them.
    #[serde(serialize_with = "widened")]
    #[schemars(with = "Vec<f32>")]
    pub embedding: Vec<f32>,
    /// Its type as the model gave it; here always the same as `type`.
    pub original_label: EntityType,
    /// The sentence that holds it.
    pub sentence: String,
    /// Its words.
    pub text_span: String,
    /// What it is counted as.
    #[serde(rename = "type")]
    pub kind: EntityType,
}

impl WireEntity {
    /// As the service sends it; `sentence` is the one that holds the entity.
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
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "{T}Answer")]
pub struct Success<T> {
    data: Data<T>,
    #[schemars(extend("const" = "success"))]
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(inline)]
struct Data<T> {
    predictions: T,
}

impl<T> Success<T> {
    /// Surrounds `predictions` as the services do.
    pub fn new(predictions: T) -> Self {
        Self { data: Data { predictions }, result: "success" }
    }
}

/// The body of a refused or failed request.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Refusal {
    data: Reason,
    #[schemars(extend("const" = "error"))]
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(inline)]
struct Reason {
    /// What was wrong.
    message: String,
}

impl Refusal {
    /// A refusal for this reason, which the client shows to its user.
    pub fn new(message: impl Into<String>) -> Self {
        Self { data: Reason { message: message.into() }, result: "error" }
    }
}
