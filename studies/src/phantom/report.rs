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
//!
//! Version 2 differs in the background: rule 2 gives way to statements about regions, each said if no finding named or
//! resolved contradicts it, in a fixed order (lungs, the denial, then [`REGIONS`]) until the report is long enough. Tail
//! findings are said without comparison and never denied.

use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    background::{LUNGS, NOTHING_ACUTE, REGIONS, Region},
    case::{Case, Question},
    findings::{Finding, Findings, Kind},
    phrases::{self, Change, Phrasings},
    site::Site,
    voice::Voice,
};

/// The report of `case` in version 1, in the habits of `site`.
pub fn write(case: &Case, site: Site, rng: &mut ChaCha8Rng) -> String {
    let mut voice = Voice { site, phrasings: usize::MAX, rng };
    let resolved = resolved(case);
    let mut findings = findings(case, &resolved, &mut voice);
    findings.shuffle(voice.rng);

    let mut background = Vec::new();
    if !case.current.contains_key(&Kind::Cardiomegaly) && findings.len() < 3 {
        background.push(phrases::NORMAL_HEART.choose(&mut voice).to_owned());
    }
    if !case.current.keys().chain(resolved.keys()).any(|kind| kind.is_pulmonary()) {
        background.push(phrases::CLEAR_LUNGS.choose(&mut voice).to_owned());
    }
    if case.lateral && !case.current.contains_key(&Kind::Fracture) && findings.len() < 2 {
        background.push(phrases::INTACT_BONES.choose(&mut voice).to_owned());
    }
    background.shuffle(voice.rng);
    background.extend(phrases::denial(&denied(case, &resolved), &mut voice));

    let findings_first = findings_first(site, voice.rng);
    let sentences = if findings_first { [findings, background] } else { [background, findings] }.concat();
    [sentences, closing(case, &phrases::NOTHING_ACUTE, &mut voice)].concat().join(" ")
}

/// The report of `case` in version 2: all findings, and as many statements about normal regions as make it as long as its
/// request asks for, between the fewest and the most `sentences`. `order` decides where the findings stand, nothing
/// else; without it they stand where they mostly do.
pub fn write_to_length(
    case: &Case,
    sentences: [usize; 2],
    mut voice: Voice<'_>,
    order: Option<&mut ChaCha8Rng>,
) -> String {
    let resolved = resolved(case);
    let mut findings = findings(case, &resolved, &mut voice);
    let closing = closing(case, &NOTHING_ACUTE, &mut voice);
    let room = length(case, sentences).saturating_sub(findings.len() + closing.len());
    let denial = phrases::denial(&denied(case, &resolved), &mut voice);
    let mut normal = |region: &Region| {
        let fits = region.allows(&case.current) && region.allows(&resolved);
        fits.then(|| region.phrasings.choose(&mut voice).to_owned())
    };
    let lungs = normal(&LUNGS);
    let others = REGIONS.iter().filter_map(normal);
    let background: Vec<String> = lungs.into_iter().chain(denial).chain(others).take(room).collect();
    let findings_first = match order {
        Some(order) => {
            findings.shuffle(order);
            findings_first(voice.site, order)
        }
        None => chance_of_findings_first(voice.site) > 0.5,
    };
    let sentences = if findings_first { [findings, background] } else { [background, findings] }.concat();
    [sentences, closing].concat().join(" ")
}

/// How many sentences a request asks for: few at the bedside, more of a radiograph in the department, most of one with a
/// lateral view; more with an indication, and with a comparison study. The prompt tells all of this.
fn length(case: &Case, [fewest, most]: [usize; 2]) -> usize {
    const LONGEST: usize = 6;
    let views = match (case.portable, case.lateral) {
        (true, _) => 0,
        (false, false) => 2,
        (false, true) => 4,
    };
    let asked = views + usize::from(case.indication.is_some()) + usize::from(case.prior.is_some());
    fewest + ((most - fewest) * asked + LONGEST / 2) / LONGEST
}

/// Rule 1, in the order of the kinds.
fn findings(case: &Case, resolved: &Findings, voice: &mut Voice<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    for (&kind, finding) in &case.current {
        sentences.push(phrases::present(kind, finding, change(case, kind, finding), voice));
    }
    for (&kind, finding) in resolved {
        sentences.push(phrases::resolved(kind, finding, voice));
    }
    sentences
}

fn findings_first(site: Site, rng: &mut ChaCha8Rng) -> bool {
    rng.random_bool(chance_of_findings_first(site))
}

fn chance_of_findings_first(site: Site) -> f64 {
    if site == Site::A { 0.75 } else { 0.45 }
}

/// Rules 4 and 5.
fn closing(case: &Case, nothing_acute: &Phrasings, voice: &mut Voice<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    if case.pneumonia() {
        sentences.push(phrases::PNEUMONIA.choose(voice).to_owned());
    }
    if lesions(&case.current) == 0 {
        let same = case.prior.as_ref() == Some(&case.current);
        let summary = if same { &phrases::NO_CHANGE } else { nothing_acute };
        sentences.push(summary.choose(voice).to_owned());
    }
    sentences
}

fn lesions(findings: &Findings) -> usize {
    findings.keys().filter(|kind| !kind.is_device()).count()
}

/// Tail findings are old; nobody compares them.
fn change(case: &Case, kind: Kind, now: &Finding) -> Option<Change> {
    if kind.tail_words().is_some() {
        return None;
    }
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
        (Kind::Nodule, asked(Question::Nodule) && !here(Kind::Granuloma)),
        (Kind::Fracture, asked(Question::Fracture)),
    ]
    .into_iter()
    .filter(|&(kind, said)| said && !here(kind) && !resolved.contains_key(&kind))
    .map(|(kind, _)| kind)
    .collect()
}
