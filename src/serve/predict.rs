//! The scores of `POST /predict` from annotations.
//!
//! As the EditGRPO code has them, oddities included: outside `free_form` only what stands in the last `\boxed{}` is
//! scored; CheXbert and RadGraph are those of the whole batch, RaTEScore and format of the first pair.

use std::{collections::BTreeMap, sync::Arc};

use addendum_rewards::{
    Error, Observation, Result,
    metrics::{
        Prf, chexbert,
        radgraph::{self, Level},
        rate,
    },
};
use addendum_rewards_remote::wire::{Predictions, kind};

use super::{annotation::Annotation, request::Predict};

const BOX: &str = r"\boxed{";

/// A hypothesis as it was written, and both annotations.
pub(super) struct Pair<'a> {
    pub written: &'a str,
    pub hypothesis: Arc<Annotation>,
    pub reference: Arc<Annotation>,
}

/// The part of an answer that is its report.
pub(super) fn scored_part(written: &str, kind: &str) -> String {
    if kind == kind::FREE_FORM { written.to_owned() } else { boxed(written).unwrap_or("None").to_owned() }
}

/// What stands in the last `\boxed{}`, braces inside included; `None` if there is none or it does not end.
fn boxed(text: &str) -> Option<&str> {
    let (_, content) = text.rsplit_once(BOX)?;
    let mut depth = 0usize;
    for (at, c) in content.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(content[..at].trim()),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// 1 for an answer of the form that its kind asks for, else 0.
fn format_score(written: &str, kind: &str) -> f64 {
    let has_box = |text: &str| text.split_once(BOX).is_some_and(|(_, content)| content.contains('}'));
    let fits = match kind {
        kind::FREE_FORM => true,
        kind::SHORT => written.starts_with(BOX) && has_box(written),
        kind::COT => {
            let thought = written.strip_prefix("<think>").and_then(|rest| rest.split_once("</think>"));
            thought.is_some_and(|(_, answer)| has_box(answer))
        }
        _ => false,
    };
    f64::from(u8::from(fits))
}

/// The scores of a batch of at least one pair.
///
/// # Errors
/// A score that is no number.
pub(super) fn predictions(
    pairs: &[Pair],
    request: &Predict,
    frequencies: &BTreeMap<Observation, f64>,
    weights: &rate::Weights,
) -> Result<Predictions> {
    let hypotheses: Vec<chexbert::Row> = pairs.iter().map(|pair| pair.hypothesis.row).collect();
    let references: Vec<chexbert::Row> = pairs.iter().map(|pair| pair.reference.row).collect();
    let all = chexbert::report(&hypotheses, &references, &Observation::ALL);
    let five = chexbert::report(&hypotheses, &references, &Observation::FIVE);
    let balanced = chexbert::weighted_accuracy(&hypotheses, &references, frequencies);
    let graphs =
        mean(pairs.iter().map(|pair| radgraph::score(&pair.hypothesis.graph, &pair.reference.graph, Level::Partial)));
    let of_first = |pair: &Pair| rate::score(&pair.reference.entities, &pair.hypothesis.entities, weights);
    let rate = pairs.first().map_or(0.5, of_first);
    if !rate.is_finite() {
        return Err(Error::NotFinite { component: "rate", value: rate });
    }
    let format_scores: Vec<f64> = pairs.iter().map(|pair| format_score(pair.written, &request.kind)).collect();
    let format = format_scores.first().copied().unwrap_or(0.);

    let component = |name: &str| match name {
        "radgraphf1" => graphs.f1,
        "cxb14micro" => all.micro.f1,
        "cxb_bal_acc" => balanced.mean,
        "ratescore" => rate,
        "format" if request.kind != kind::FREE_FORM => format,
        _ => 0.,
    };
    let requested = request.components.iter().map(String::as_str);
    let everything = ["radgraphf1", "cxb_bal_acc", "ratescore", "cxb14micro", "format"];
    let total: f64 = match request.components.as_slice() {
        [] => everything.into_iter().map(component).sum(),
        [only] if only == "all" => everything.into_iter().map(component).sum(),
        _ => requested.map(component).sum(),
    };
    let one = |score: f64| vec![Some(score)];
    Ok(Predictions {
        accuracy_chexbert: one(chexbert::accuracy_5(&hypotheses, &references)),
        balanced_accuracy_chexbert: one(balanced.total),
        errors: Vec::new(),
        f1_radgraph_scores: one(graphs.f1),
        final_scores: one(total),
        format_scores: format_scores.into_iter().map(Some).collect(),
        macro_chexbert_14: one(all.macro_.f1),
        macro_chexbert_5: one(five.macro_.f1),
        micro_chexbert_14: one(all.micro.f1),
        micro_chexbert_5: one(five.micro.f1),
        precision_radgraph_scores: one(graphs.precision),
        rate_scores: one(rate),
        recall_radgraph_scores: one(graphs.recall),
    })
}

fn mean(scores: impl ExactSizeIterator<Item = Prf>) -> Prf {
    let count = scores.len().max(1) as f64;
    let sum = scores.fold(Prf::default(), |sum, item| Prf {
        precision: sum.precision + item.precision,
        recall: sum.recall + item.recall,
        f1: sum.f1 + item.f1,
    });
    Prf { precision: sum.precision / count, recall: sum.recall / count, f1: sum.f1 / count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_what_the_last_whole_box_holds() {
        let cases = [
            (r"\boxed{Clear.}", Some("Clear.")),
            (r"\boxed{a} and \boxed{ b {c} d } e}", Some("b {c} d")),
            (r"\boxed{a} \boxed{b", None),
            (r"boxed{a}", None),
            (r"\boxed{}", Some("")),
            (r"\boxed{ünbekannt 正常}", Some("ünbekannt 正常")),
        ];
        for (text, expected) in cases {
            assert_eq!(boxed(text), expected, "{text}");
        }
        assert_eq!(scored_part("no box", kind::COT), "None");
        assert_eq!(scored_part("no box", kind::FREE_FORM), "no box");
    }

    #[test]
    fn format_asks_for_the_form_of_its_kind() {
        let cases = [
            (kind::FREE_FORM, "anything", 1.),
            (kind::SHORT, r"\boxed{Clear.} Done.", 1.),
            (kind::SHORT, r"Well: \boxed{Clear.}", 0.),
            (kind::SHORT, r"\boxed{Clear.", 0.),
            (kind::COT, r"<think>a</think> so \boxed{b}", 1.),
            (kind::COT, r"\boxed{b} <think>a</think>", 0.),
            (kind::COT, r"\boxed{b}", 0.),
            ("other", r"\boxed{b}", 0.),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(format_score(text, kind), expected, "{kind} {text}");
        }
    }
}
