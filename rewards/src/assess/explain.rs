//! What a report got right, left out and made up, in words: the reasons behind the clinical scores.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Backends, Error, Graph, Label, Labels, Observation, Result, labels::binary};

/// Things of a report and its reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// In both.
    pub matched: Vec<String>,
    /// In the reference only.
    pub missing: Vec<String>,
    /// In the hypothesis only.
    pub spurious: Vec<String>,
}

/// One pair of reports, compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Observations that count as present, with what the other side says of them if it is not the same.
    pub findings: Comparison,
    /// RadGraph entities by words and label, as the simple level compares them.
    pub entities: Comparison,
}

/// Explains each pair.
///
/// # Errors
/// Unequal numbers of reports, and whatever a back end reports.
pub fn explain(backends: &Backends, hypotheses: &[&str], references: &[&str]) -> Result<Vec<Explanation>> {
    if hypotheses.len() != references.len() {
        return Err(Error::Pairs { hypotheses: hypotheses.len(), references: references.len() });
    }
    let labels = backends.labels(hypotheses)?.into_iter().zip(backends.labels(references)?);
    let graphs = backends.graphs(hypotheses)?.into_iter().zip(backends.graphs(references)?);
    let explained = labels.zip(graphs).map(|(labels, graphs)| Explanation {
        findings: findings(&labels.0, &labels.1),
        entities: entities(&graphs.0, &graphs.1),
    });
    Ok(explained.collect())
}

fn findings(hypothesis: &Labels, reference: &Labels) -> Comparison {
    let mut comparison = Comparison::default();
    let present = binary(hypothesis).into_iter().zip(binary(reference));
    for (observation, present) in Observation::ALL.into_iter().zip(present) {
        let said = |labels: &Labels, by: &str| match labels[observation.index()] {
            Label::Blank | Label::Positive => String::new(),
            Label::Negative => format!(" (denied by the {by})"),
            Label::Uncertain => format!(" (uncertain in the {by})"),
        };
        let notes = said(hypothesis, "report") + &said(reference, "reference");
        let list = match present {
            (true, true) => &mut comparison.matched,
            (false, true) => &mut comparison.missing,
            (true, false) => &mut comparison.spurious,
            (false, false) => continue,
        };
        list.push(observation.name().to_owned() + &notes);
    }
    comparison
}

fn entities(hypothesis: &Graph, reference: &Graph) -> Comparison {
    let set = |graph: &Graph| -> BTreeSet<(String, String)> {
        graph.entities.iter().map(|entity| (entity.tokens.clone(), entity.label.clone())).collect()
    };
    let (ours, theirs) = (set(hypothesis), set(reference));
    let listed = |entities: BTreeSet<&(String, String)>| {
        entities.into_iter().map(|(words, label)| format!("{words} [{label}]")).collect()
    };
    Comparison {
        matched: listed(ours.intersection(&theirs).collect()),
        missing: listed(theirs.difference(&ours).collect()),
        spurious: listed(ours.difference(&theirs).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sorted_by_who_says_them() {
        let hypotheses = ["Cardiomegaly. No pneumothorax. Rib fracture."];
        let references = ["Cardiomegaly. Small pneumothorax. Possible pneumonia."];
        let explained = explain(&Backends::lexicon(), &hypotheses, &references).unwrap();
        let [Explanation { findings, entities }] = explained.as_slice() else { panic!("{explained:?}") };
        assert_eq!(findings.matched, ["Cardiomegaly"]);
        assert_eq!(findings.missing, ["Pneumonia (uncertain in the reference)", "Pneumothorax (denied by the report)"]);
        assert_eq!(findings.spurious, ["Fracture"]);
        assert!(entities.missing.iter().any(|entity| entity.starts_with("pneumothorax [")), "{entities:?}");
        assert!(entities.spurious.iter().any(|entity| entity.ends_with("absent]")), "{entities:?}");
    }

    #[test]
    fn a_report_equal_to_its_reference_misses_and_invents_nothing() {
        let report = ["Cardiomegaly. No pneumothorax."];
        let [Explanation { findings, entities }] = &explain(&Backends::lexicon(), &report, &report).unwrap()[..] else {
            panic!("one pair")
        };
        for comparison in [findings, entities] {
            assert!(comparison.missing.is_empty() && comparison.spurious.is_empty(), "{comparison:?}");
        }
    }
}
