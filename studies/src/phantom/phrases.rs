//! The phrasings of each finding and how they combine. Which facts are reported is decided elsewhere.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{
    Site,
    findings::{Degree, Finding, Kind, Side, Zone},
};

/// How a finding compares with the prior study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    New,
    Unchanged,
    Increased,
    Decreased,
}

/// Equivalent phrasings. Site A prefers the earlier ones, site B the later ones; neither uses only one.
pub struct Phrasings<const N: usize>([&'static str; N]);

impl<const N: usize> Phrasings<N> {
    /// With weights N, N−1, …, 1 at site A and the reverse at site B.
    pub fn choose(&self, site: Site, rng: &mut ChaCha8Rng) -> &'static str {
        self.0[preferred(N, site, rng)]
    }
}

pub const NORMAL_HEART: Phrasings<3> = Phrasings([
    "Heart size is normal.",
    "The heart is normal in size.",
    "Normal heart size.",
]);
pub const CLEAR_LUNGS: Phrasings<3> = Phrasings(["The lungs are clear.", "Lungs are clear.", "Clear lungs."]);
pub const NOTHING_ACUTE: Phrasings<2> = Phrasings([
    "No acute cardiopulmonary process.",
    "No acute cardiopulmonary abnormality.",
]);
pub const NO_CHANGE: Phrasings<2> = Phrasings(["No change from prior.", "No interval change."]);
pub const PNEUMONIA: Phrasings<2> = Phrasings([
    "Findings are consistent with pneumonia.",
    "This is consistent with pneumonia.",
]);

/// The sentence of a present finding.
pub fn present(kind: Kind, finding: &Finding, change: Option<Change>, site: Site, rng: &mut ChaCha8Rng) -> String {
    if kind.is_device() {
        return device(kind, finding, change, site, rng);
    }
    let noun = Noun::new(kind, finding, true, site, rng);
    let frame = match change {
        None => ["There is {a}{noun}.", "{noun}.", "{a}{noun} {is} present."].as_slice(),
        Some(Change::New) => &["New {noun}.", "There is {new} {noun}."],
        Some(Change::Unchanged) => &["Unchanged {noun}.", "{noun} {is} unchanged."],
        Some(Change::Increased) => &["{noun} {has} increased.", "Increased {noun}."],
        Some(Change::Decreased) => &["{noun} {has} decreased.", "Decreased {noun}."],
    };
    noun.fill(frame[preferred(frame.len(), site, rng)])
}

/// The sentence of a finding that is gone.
pub fn resolved(kind: Kind, finding: &Finding, site: Site, rng: &mut ChaCha8Rng) -> String {
    let noun = Noun::new(kind, finding, false, site, rng);
    noun.fill(["{noun} {has} resolved.", "Resolved {noun}."][preferred(2, site, rng)])
}

/// One sentence that denies all of `kinds`; none if there are none.
pub fn denial(kinds: &[Kind], site: Site, rng: &mut ChaCha8Rng) -> Option<String> {
    let names: Vec<&str> = kinds.iter().map(|&kind| absent(kind)).collect();
    let (last, others) = names.split_last()?;
    let list = if others.is_empty() {
        (*last).to_owned()
    } else {
        format!("{} or {last}", others.join(", "))
    };
    let start = ["No", "There is no", "No evidence of"][preferred(3, site, rng)];
    Some(format!("{start} {list}."))
}

fn absent(kind: Kind) -> &'static str {
    match kind {
        Kind::Consolidation => "focal consolidation",
        Kind::Edema => "pulmonary edema",
        Kind::Pneumothorax => "pneumothorax",
        Kind::Effusion => "pleural effusion",
        Kind::Nodule => "lung nodule",
        Kind::Fracture => "rib fracture",
        Kind::Cardiomegaly => "cardiomegaly",
        Kind::Opacity => "lung opacity",
        Kind::Atelectasis => "atelectasis",
        Kind::Tube | Kind::Line | Kind::Pacemaker => "support devices",
    }
}

fn device(kind: Kind, finding: &Finding, change: Option<Change>, site: Site, rng: &mut ChaCha8Rng) -> String {
    let side = word(finding.side);
    let (name, place) = match kind {
        Kind::Tube => {
            let place = ["is above the carina", "ends above the carina"];
            ("endotracheal tube".to_owned(), place[preferred(2, site, rng)])
        }
        Kind::Line => {
            let name = ["central line", "central venous catheter"][preferred(2, site, rng)];
            (
                format!("{side} {name}"),
                ["ends in the SVC", "tip is in the SVC"][preferred(2, site, rng)],
            )
        }
        _ => {
            let name = ["pacemaker", "chest wall pacemaker"][preferred(2, site, rng)];
            (
                format!("{side} {name}"),
                ["is in place", "is present"][preferred(2, site, rng)],
            )
        }
    };
    match change {
        None => capitalised(&format!("{name} {place}.")),
        Some(Change::New) => format!("New {name} {place}."),
        Some(_) => capitalised(&format!("{name} is unchanged.")),
    }
}

/// The words for a finding, such as "small left pleural effusion".
struct Noun {
    words: String,
    plural: bool,
    /// "a", "an", or nothing before mass nouns and plurals.
    article: &'static str,
}

impl Noun {
    fn new(kind: Kind, finding: &Finding, with_degree: bool, site: Site, rng: &mut ChaCha8Rng) -> Self {
        let side = word(finding.side);
        let both = finding.side == Side::Both;
        let mut pick = |names: &[&str]| names[preferred(names.len(), site, rng)].to_owned();
        let (mut words, plural, mass) = match kind {
            Kind::Cardiomegaly => (pick(&["cardiomegaly", "enlargement of the heart"]), false, true),
            Kind::Edema => (pick(&["pulmonary edema", "interstitial edema"]), false, true),
            Kind::Effusion if both => ("bilateral pleural effusions".into(), true, true),
            Kind::Effusion => (
                format!("{side} {}", pick(&["pleural effusion", "effusion"])),
                false,
                false,
            ),
            Kind::Pneumothorax => (
                format!("{side} {}", pick(&["pneumothorax", "apical pneumothorax"])),
                false,
                false,
            ),
            Kind::Consolidation | Kind::Opacity => {
                let name = if kind == Kind::Opacity {
                    "patchy opacity"
                } else {
                    "consolidation"
                };
                let zone = if finding.zone == Some(Zone::Upper) {
                    "upper"
                } else {
                    "lower"
                };
                let words = [
                    format!("{side} {zone} lobe {name}"),
                    format!("{name} in the {side} {zone} lobe"),
                ];
                (
                    words[preferred(2, site, rng)].clone(),
                    false,
                    kind == Kind::Consolidation,
                )
            }
            Kind::Atelectasis => {
                let words = [
                    format!("{side} basilar atelectasis"),
                    format!("{side} lower lobe atelectasis"),
                ];
                (words[preferred(2, site, rng)].clone(), false, true)
            }
            Kind::Nodule => (
                format!("{side} lung {}", pick(&["nodule", "nodular lesion"])),
                false,
                false,
            ),
            Kind::Fracture => (format!("{side} rib fractures"), true, true),
            Kind::Tube | Kind::Line | Kind::Pacemaker => ("support device".into(), false, false),
        };
        if let Some(degree) = finding.degree.filter(|_| with_degree) {
            let degree = match (kind, degree) {
                (Kind::Edema, Degree::Small) => "mild",
                (Kind::Edema, Degree::Large) => "severe",
                (_, Degree::Small) => "small",
                (_, Degree::Large) => "large",
            };
            words = format!("{degree} {words}");
        }
        let article = match (mass, words.starts_with(['a', 'e', 'i', 'o', 'u'])) {
            (true, _) => "",
            (false, true) => "an ",
            (false, false) => "a ",
        };
        Self { words, plural, article }
    }

    fn fill(&self, frame: &str) -> String {
        let new = if self.article.is_empty() { "new" } else { "a new" };
        let sentence = frame
            .replace("{noun}", &self.words)
            .replace("{a}", self.article)
            .replace("{new}", new)
            .replace("{is}", if self.plural { "are" } else { "is" })
            .replace("{has}", if self.plural { "have" } else { "has" });
        capitalised(&sentence)
    }
}

fn word(side: Side) -> &'static str {
    match side {
        Side::Left => "left",
        Side::Right => "right",
        Side::Both => "bilateral",
    }
}

/// An index below `count`, at site A most often 0, at site B most often the last.
fn preferred(count: usize, site: Site, rng: &mut ChaCha8Rng) -> usize {
    let mut left = rng.random_range(0..count * (count + 1) / 2);
    let mut rank = 0;
    while left >= count - rank {
        left -= count - rank;
        rank += 1;
    }
    if site == Site::A { rank } else { count - 1 - rank }
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
