//! Puts a case into words. Everything said follows from the findings, the prior and the indication by these rules; only
//! the choice among equivalent phrasings and the order of the findings are left to chance.
//!
//! 1. Every present finding has one sentence. With a comparison study the sentence says whether it is new, unchanged,
//!    increased or decreased; a finding of the comparison study that is gone is said to have resolved (devices are not).
//!    A finding that is new or has nothing to be compared with is described in detail.
//! 2. Heart and mediastinum are called normal in reports without cardiomegaly and with fewer than three findings
//!    (devices and resolved ones count); the lungs are called clear in reports without a finding in lung or pleura and
//!    without one that resolved; the bones are called intact if there is a lateral view, no fracture, and fewer than
//!    two findings.
//! 3. One sentence denies, of what is absent and has not just resolved: pneumothorax and effusion, if there is no finding
//!    (devices not counted); what the indication asks about; pneumothorax next to a line, a pacemaker or a fracture;
//!    edema next to cardiomegaly; effusion next to a consolidation or an opacity. Asked about pneumonia, it denies
//!    consolidation.
//! 4. A consolidation or opacity is called consistent with pneumonia if the indication asks about pneumonia.
//! 5. A report without findings (devices not counted) closes with a summary; it says that nothing has changed if the
//!    comparison study had the same findings.
//!
//! The findings come in any order; before or after them (a habit of the site) come heart, lungs and bones in any
//! order and the denial.

use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    case::{Case, Question},
    findings::{Finding, Findings, Kind},
    phrases::{self, Change},
    site::Site,
};

/// The report of `case`, in the habits of `site`.
pub fn write(case: &Case, site: Site, rng: &mut ChaCha8Rng) -> String {
    let mut findings: Vec<String> = case
        .current
        .iter()
        .map(|(&kind, finding)| phrases::present(kind, finding, change(case, kind, finding), site, rng))
        .collect();
    let resolved = resolved(case);
    findings.extend(resolved.iter().map(|(&kind, finding)| phrases::resolved(kind, finding, site, rng)));
    findings.shuffle(rng);

    let mut background = Vec::new();
    if !case.current.contains_key(&Kind::Cardiomegaly) && findings.len() < 3 {
        background.push(phrases::NORMAL_HEART.choose(site, rng).to_owned());
    }
    if !case.current.keys().chain(resolved.keys()).any(|kind| kind.is_pulmonary()) {
        background.push(phrases::CLEAR_LUNGS.choose(site, rng).to_owned());
    }
    if case.lateral && !case.current.contains_key(&Kind::Fracture) && findings.len() < 2 {
        background.push(phrases::INTACT_BONES.choose(site, rng).to_owned());
    }
    background.shuffle(rng);
    background.extend(phrases::denial(&denied(case, &resolved), site, rng));

    let findings_first = rng.random_bool(if site == Site::A { 0.75 } else { 0.45 });
    let mut sentences = if findings_first { [findings, background] } else { [background, findings] }.concat();
    if case.pneumonia() {
        sentences.push(phrases::PNEUMONIA.choose(site, rng).to_owned());
    }
    if lesions(&case.current) == 0 {
        let same = case.prior.as_ref() == Some(&case.current);
        let summary = if same { &phrases::NO_CHANGE } else { &phrases::NOTHING_ACUTE };
        sentences.push(summary.choose(site, rng).to_owned());
    }
    sentences.join(" ")
}

fn lesions(findings: &Findings) -> usize {
    findings.keys().filter(|kind| !kind.is_device()).count()
}

fn change(case: &Case, kind: Kind, now: &Finding) -> Option<Change> {
    let Some(before) = case.prior.as_ref()?.get(&kind) else {
        return Some(Change::New);
    };
    Some(match now.degree.cmp(&before.degree) {
        std::cmp::Ordering::Less => Change::Decreased,
        std::cmp::Ordering::Equal => Change::Unchanged,
        std::cmp::Ordering::Greater => Change::Increased,
    })
}

/// Findings of the comparison study that are gone.
fn resolved(case: &Case) -> Findings {
    let gone = |kind: &Kind| !kind.is_device() && !case.current.contains_key(kind);
    case.prior.iter().flatten().filter(|(kind, _)| gone(kind)).map(|(&kind, &finding)| (kind, finding)).collect()
}

/// Rule 3, in the order in which they are named.
fn denied(case: &Case, resolved: &Findings) -> Vec<Kind> {
    let here = |kind: Kind| case.current.contains_key(&kind);
    let clean = lesions(&case.current) == 0;
    let airspace = here(Kind::Consolidation) || here(Kind::Opacity);
    let asked = |question: Question| case.question == Some(question);
    let pneumothorax_near = here(Kind::Line) || here(Kind::Pacemaker) || here(Kind::Fracture);
    [
        (Kind::Consolidation, asked(Question::Pneumonia) && !airspace),
        (Kind::Edema, asked(Question::Edema) || here(Kind::Cardiomegaly)),
        (Kind::Pneumothorax, clean || asked(Question::Pneumothorax) || pneumothorax_near),
        (Kind::Effusion, clean || asked(Question::Effusion) || airspace),
        (Kind::Nodule, asked(Question::Nodule)),
        (Kind::Fracture, asked(Question::Fracture)),
    ]
    .into_iter()
    .filter(|&(kind, said)| said && !here(kind) && !resolved.contains_key(&kind))
    .map(|(kind, _)| kind)
    .collect()
}
