//! The patient's story behind a phantom: which findings come together, what was there before, what was asked.
//!
//! Nothing here knows how a finding looks or how it is put into words.

use rand::{Rng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::findings::{Degree, Finding, Findings, Kind, Side, Zone};

const PRIOR: f64 = 0.3;
/// Of the studies that are not portable, so that about 30 % of all have a lateral view.
const LATERAL: f64 = 0.42;
/// Most findings of one radiograph, devices included.
const MOST_FINDINGS: usize = 4;

/// What the referring physician wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Pneumonia,
    Edema,
    Pneumothorax,
    Effusion,
    Fracture,
    Nodule,
}

/// Everything about a study that is decided before a pixel is drawn or a word is written.
#[derive(Clone, Debug)]
pub struct Case {
    pub current: Findings,
    /// Findings of the comparison study; `None` without one.
    pub prior: Option<Findings>,
    pub lateral: bool,
    pub portable: bool,
    pub indication: Option<&'static str>,
    /// Asked by the indication.
    pub question: Option<Question>,
}

impl Case {
    /// Whether the report names pneumonia: it was asked about, and there is an opacity or a consolidation.
    pub fn pneumonia(&self) -> bool {
        let airspace = [Kind::Consolidation, Kind::Opacity].iter().any(|kind| self.current.contains_key(kind));
        self.question == Some(Question::Pneumonia) && airspace
    }
}

/// Why findings come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    Healthy,
    HeartFailure,
    IntensiveCare,
    Infection,
    Trauma,
    Mass,
    Collapse,
    VolumeLoss,
    Paced,
}

/// Abnormal scenarios with their relative frequency.
const ABNORMAL: [(Scenario, u32); 8] = [
    (Scenario::HeartFailure, 24),
    (Scenario::IntensiveCare, 16),
    (Scenario::Infection, 20),
    (Scenario::Trauma, 12),
    (Scenario::Mass, 11),
    (Scenario::Collapse, 5),
    (Scenario::VolumeLoss, 8),
    (Scenario::Paced, 4),
];

type Asked = (&'static str, Option<Question>);

/// Indications that anybody may come with.
const COMMON: [Asked; 7] = [
    ("Cough.", None),
    ("Chest pain.", None),
    ("Fever, evaluate for pneumonia.", Some(Question::Pneumonia)),
    ("Dyspnea, evaluate for edema.", Some(Question::Edema)),
    ("Fall, evaluate for fracture.", Some(Question::Fracture)),
    ("Smoker, evaluate for nodule.", Some(Question::Nodule)),
    ("Chest pain, evaluate for pneumothorax.", Some(Question::Pneumothorax)),
];

impl Scenario {
    /// The indication that is typical of it.
    fn indication(self) -> Option<Asked> {
        match self {
            Self::Healthy => None,
            Self::HeartFailure => Some(("Dyspnea, evaluate for edema.", Some(Question::Edema))),
            Self::IntensiveCare => Some(("Intubated.", None)),
            Self::Infection => Some(("Fever, evaluate for pneumonia.", Some(Question::Pneumonia))),
            Self::Trauma => Some(("Fall, evaluate for fracture.", Some(Question::Fracture))),
            Self::Mass => Some(("Smoker, evaluate for nodule.", Some(Question::Nodule))),
            Self::Collapse => Some(("Chest pain, evaluate for pneumothorax.", Some(Question::Pneumothorax))),
            Self::VolumeLoss => Some(("After surgery, evaluate for effusion.", Some(Question::Effusion))),
            Self::Paced => Some(("Syncope.", None)),
        }
    }

    fn findings(self, rng: &mut ChaCha8Rng) -> Findings {
        use Kind::*;
        let side = one_side(rng);
        let bases = if rng.random_bool(0.4) { Side::Both } else { side };
        let airspace = if rng.random_bool(0.5) { Consolidation } else { Opacity };
        let candidates: &[(Kind, f64, Side)] = match self {
            Self::Healthy => &[],
            Self::HeartFailure => &[
                (Cardiomegaly, 0.9, Side::Both),
                (Edema, 0.6, Side::Both),
                (Effusion, 0.5, bases),
                (Pacemaker, 0.25, Side::Left),
            ],
            Self::IntensiveCare => &[
                (Tube, 0.8, Side::Both),
                (Line, 0.75, if rng.random_bool(0.75) { Side::Right } else { Side::Left }),
                (Atelectasis, 0.35, bases),
                (Effusion, 0.3, bases),
                (Pneumothorax, 0.2, side),
                (airspace, 0.25, one_side(rng)),
                (Cardiomegaly, 0.2, Side::Both),
            ],
            Self::Infection => &[(airspace, 1.0, side), (Effusion, 0.2, side)],
            Self::Trauma => &[(Fracture, 1.0, side), (Pneumothorax, 0.35, side), (Effusion, 0.15, side)],
            Self::Mass => &[(Nodule, 1.0, side), (Effusion, 0.15, side), (Cardiomegaly, 0.1, Side::Both)],
            Self::Collapse => &[(Pneumothorax, 1.0, side), (Line, 0.2, Side::Right)],
            Self::VolumeLoss => &[(Atelectasis, 1.0, bases), (Effusion, 0.35, bases)],
            Self::Paced => &[(Pacemaker, 1.0, Side::Left), (Cardiomegaly, 0.4, Side::Both)],
        };
        let mut findings = Findings::new();
        for &(kind, chance, side) in candidates {
            if rng.random_bool(chance) && findings.len() < MOST_FINDINGS {
                findings.insert(kind, finding(kind, side, rng));
            }
        }
        if findings.is_empty() && self != Self::Healthy {
            let (kind, _, side) = candidates[0];
            findings.insert(kind, finding(kind, side, rng));
        }
        keep_apart(&mut findings);
        findings
    }
}

/// Draws the story of one study; a share of `normal` has no finding.
pub fn sample(normal: f64, rng: &mut ChaCha8Rng) -> Case {
    let scenario = if rng.random_bool(normal) { Scenario::Healthy } else { weighted(&ABNORMAL, rng) };
    let current = scenario.findings(rng);
    let prior = rng.random_bool(PRIOR).then(|| before(&current, rng));
    let portable = scenario == Scenario::IntensiveCare || rng.random_bool(0.2);
    let lateral = !portable && rng.random_bool(LATERAL);
    let common = COMMON.choose(rng).copied();
    let typical = scenario.indication().filter(|_| rng.random_bool(0.5));
    let asked = typical.or(common).filter(|_| rng.random_bool(0.8));
    Case { current, prior, lateral, portable, indication: asked.map(|a| a.0), question: asked.and_then(|a| a.1) }
}

/// The comparison study of `current`: each finding may be absent, as it is, or of the other degree; one may be gone now.
fn before(current: &Findings, rng: &mut ChaCha8Rng) -> Findings {
    let mut prior = Findings::new();
    for (&kind, &now) in current {
        let fate: f64 = rng.random();
        if fate < 0.3 {
            continue;
        }
        let degree = if fate < 0.6 { now.degree.map(other_degree) } else { now.degree };
        prior.insert(kind, Finding { degree, ..now });
    }
    const MAY_RESOLVE: [Kind; 6] =
        [Kind::Effusion, Kind::Pneumothorax, Kind::Consolidation, Kind::Opacity, Kind::Edema, Kind::Atelectasis];
    if current.len() < 3
        && rng.random_bool(0.25)
        && let Some(&kind) = MAY_RESOLVE.choose(rng)
        && !current.contains_key(&kind)
    {
        let side = if kind == Kind::Edema { Side::Both } else { one_side(rng) };
        let mut with_resolved = prior.clone();
        with_resolved.insert(kind, finding(kind, side, rng));
        keep_apart(&mut with_resolved);
        let moved = |(kind, old): (&Kind, &Finding)| with_resolved.get(kind) != Some(old);
        if !prior.iter().any(moved) {
            return with_resolved;
        }
    }
    prior
}

/// No finding hides another at the base of the same lung: a consolidation or opacity moves up, an effusion beside
/// atelectasis is small.
fn keep_apart(findings: &mut Findings) {
    if findings.contains_key(&Kind::Atelectasis)
        && let Some(effusion) = findings.get_mut(&Kind::Effusion)
    {
        effusion.degree = Some(Degree::Small);
    }
    let base_taken: Vec<Side> = [Kind::Effusion, Kind::Atelectasis]
        .iter()
        .filter_map(|kind| findings.get(kind))
        .flat_map(|finding| finding.side.each())
        .copied()
        .collect();
    for kind in [Kind::Consolidation, Kind::Opacity] {
        if let Some(finding) = findings.get_mut(&kind)
            && base_taken.contains(&finding.side)
        {
            finding.zone = Some(Zone::Upper);
        }
    }
}

/// A finding of any form on that side.
pub fn finding(kind: Kind, side: Side, rng: &mut ChaCha8Rng) -> Finding {
    let degree = if rng.random_bool(0.5) { Degree::Small } else { Degree::Large };
    let zone = if rng.random_bool(0.35) { Zone::Upper } else { Zone::Lower };
    Finding { side, zone: kind.has_zone().then_some(zone), degree: kind.has_degree().then_some(degree), contrast: 1. }
}

fn other_degree(degree: Degree) -> Degree {
    match degree {
        Degree::Small => Degree::Large,
        Degree::Large => Degree::Small,
    }
}

pub fn one_side(rng: &mut ChaCha8Rng) -> Side {
    if rng.random_bool(0.5) { Side::Left } else { Side::Right }
}

fn weighted(table: &[(Scenario, u32)], rng: &mut ChaCha8Rng) -> Scenario {
    let total: u32 = table.iter().map(|entry| entry.1).sum();
    let mut left = rng.random_range(0..total);
    for &(scenario, weight) in table {
        if left < weight {
            return scenario;
        }
        left -= weight;
    }
    Scenario::Healthy
}
