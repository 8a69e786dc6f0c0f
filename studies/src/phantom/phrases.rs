//! The phrasings of each finding and how they combine. Which facts are reported is decided elsewhere.

use super::{
    findings::{Degree, Finding, Kind, Side, Zone},
    voice::Voice,
};

/// How a finding compares with the prior study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    New,
    Unchanged,
    Increased,
    Decreased,
}

/// Equivalent phrasings.
pub struct Phrasings(pub &'static [&'static str]);

impl Phrasings {
    pub fn choose(&self, voice: &mut Voice<'_>) -> &'static str {
        self.0[voice.index(self.0.len())]
    }
}

pub const NORMAL_HEART: Phrasings = Phrasings(&[
    "Heart size and mediastinal contours are normal.",
    "The heart and mediastinum are normal.",
    "Cardiac and mediastinal contours are within normal limits.",
]);
pub const CLEAR_LUNGS: Phrasings =
    Phrasings(&["The lungs are clear.", "Both lungs are clear.", "The lungs are well expanded and clear."]);
pub const INTACT_BONES: Phrasings =
    Phrasings(&["The bones are intact.", "No acute osseous abnormality.", "Bony structures are unremarkable."]);
pub const NOTHING_ACUTE: Phrasings = Phrasings(&[
    "No acute cardiopulmonary process.",
    "No acute cardiopulmonary abnormality.",
    "No evidence of acute cardiopulmonary disease.",
]);
pub const NO_CHANGE: Phrasings = Phrasings(&["No significant change from prior.", "No interval change."]);
pub const PNEUMONIA: Phrasings =
    Phrasings(&["Findings are consistent with pneumonia.", "This is compatible with pneumonia."]);

/// The sentence of a present finding.
pub fn present(kind: Kind, finding: &Finding, change: Option<Change>, voice: &mut Voice<'_>) -> String {
    if kind.is_device() {
        return device(kind, finding, change, voice);
    }
    if kind == Kind::Cardiomegaly {
        let sentences: &[&str] = match change {
            None => &["The heart is enlarged.", "There is cardiomegaly.", "Enlarged heart."],
            Some(Change::New) => &["New cardiomegaly.", "The heart is newly enlarged."],
            Some(_) => &["The heart remains enlarged.", "Unchanged cardiomegaly."],
        };
        return sentences[voice.index(sentences.len())].to_owned();
    }
    let mut noun = Noun::new(kind, finding, true, voice);
    if matches!(change, None | Some(Change::New)) {
        noun.describe(kind, finding, voice);
    }
    let frames: &[&str] = match change {
        None => &["There {is} {a}{noun}.", "{noun}.", "{a}{noun} {is} present."],
        Some(Change::New) => &["New {noun}.", "There {is} {new}{noun}.", "Interval development of {a}{noun}."],
        Some(Change::Unchanged) => {
            &["Unchanged {noun}.", "{noun} {is} unchanged.", "{noun} {is} stable since the prior."]
        }
        Some(Change::Increased) => &["{noun} {has} increased.", "Increased {noun}.", "Interval increase in {noun}."],
        Some(Change::Decreased) => &["{noun} {has} decreased.", "Decreased {noun}.", "Interval decrease in {noun}."],
    };
    noun.fill(frames[voice.index(frames.len())])
}

/// The sentence of a finding that is gone.
pub fn resolved(kind: Kind, finding: &Finding, voice: &mut Voice<'_>) -> String {
    let noun = Noun::new(kind, finding, false, voice);
    noun.fill(["{noun} {has} resolved.", "Interval resolution of {noun}."][voice.index(2)])
}

/// One sentence that denies all of `kinds`; none if there are none.
pub fn denial(kinds: &[Kind], voice: &mut Voice<'_>) -> Option<String> {
    let names: Vec<&str> = kinds.iter().map(|&kind| absent(kind)).collect();
    let (last, others) = names.split_last()?;
    let list = if others.is_empty() { (*last).to_owned() } else { format!("{} or {last}", others.join(", ")) };
    let start = ["No", "There is no", "No evidence of"][voice.index(3)];
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
        // No report denies a tail finding: its words are in no report that does not assert it.
        _ => "acute abnormality",
    }
}

fn device(kind: Kind, finding: &Finding, change: Option<Change>, voice: &mut Voice<'_>) -> String {
    let side = word(finding.side);
    let (names, places): (&[&str], &[&str]) = match kind {
        Kind::Tube => (
            &["endotracheal tube"],
            &["ends above the carina", "tip projects above the carina", "is in standard position"],
        ),
        Kind::Line => (
            &["central line", "central venous catheter"],
            &["ends in the SVC", "tip projects over the superior vena cava", "terminates in the SVC"],
        ),
        _ => (
            &["pacemaker", "chest wall pacemaker"],
            &[
                "is in place with leads in the right heart",
                "is seen with intact leads",
                "leads are in standard position",
            ],
        ),
    };
    let name = names[voice.index(names.len())];
    let name = if kind == Kind::Tube { name.to_owned() } else { format!("{side} {name}") };
    let place = places[voice.index(places.len())];
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
    fn new(kind: Kind, finding: &Finding, with_degree: bool, voice: &mut Voice<'_>) -> Self {
        let side = word(finding.side);
        let both = finding.side == Side::Both;
        let mut pick = |names: &[&str]| names[voice.index(names.len())].to_owned();
        let (mut words, plural, mass) = match kind {
            Kind::Cardiomegaly => ("cardiomegaly".into(), false, true),
            Kind::Edema => (pick(&["pulmonary edema", "interstitial edema"]), false, true),
            Kind::Effusion if both => ("bilateral pleural effusions".into(), true, true),
            Kind::Effusion => (format!("{side} {}", pick(&["pleural effusion", "effusion"])), false, false),
            Kind::Pneumothorax if finding.degree == Some(Degree::Small) => {
                (format!("{side} {}", pick(&["pneumothorax", "apical pneumothorax"])), false, false)
            }
            Kind::Pneumothorax => (format!("{side} pneumothorax"), false, false),
            Kind::Consolidation | Kind::Opacity => {
                let name = if kind == Kind::Opacity { "patchy opacity" } else { "consolidation" };
                let zone = if finding.zone == Some(Zone::Upper) { "upper" } else { "lower" };
                let words = [format!("{side} {zone} lobe {name}"), format!("{name} in the {side} {zone} lobe")];
                (words[voice.index(2)].clone(), false, kind == Kind::Consolidation)
            }
            Kind::Atelectasis => (format!("{side} {} atelectasis", pick(&["basilar", "lower lobe"])), false, true),
            Kind::Nodule => (format!("{side} {} nodule", pick(&["lung", "pulmonary"])), false, false),
            Kind::Fracture => (format!("{side} {}", pick(&["rib fractures", "lateral rib fractures"])), true, true),
            Kind::Tube | Kind::Line | Kind::Pacemaker => ("support device".into(), false, false),
            Kind::FreeAir => (pick(&["free air under the diaphragm", "free air below the diaphragm"]), false, true),
            Kind::SubcutaneousEmphysema => {
                let words = [
                    format!("{side} subcutaneous emphysema"),
                    format!("subcutaneous emphysema of the {side} chest wall"),
                ];
                (words[voice.index(2)].clone(), false, true)
            }
            Kind::Lymphadenopathy => (pick(&["hilar lymphadenopathy", "bilateral hilar lymphadenopathy"]), false, true),
            Kind::ElevatedDiaphragm => (format!("{side} hemidiaphragm elevation"), false, true),
            Kind::HiatalHernia => (pick(&["hiatal hernia", "moderate hiatal hernia"]), false, false),
            Kind::Scoliosis => (pick(&["scoliosis", "thoracic scoliosis"]), false, true),
            Kind::PleuralThickening => {
                let words = [format!("{side} pleural thickening"), format!("pleural thickening on the {side}")];
                (words[voice.index(2)].clone(), false, true)
            }
            Kind::MediastinalWidening => {
                (pick(&["mediastinal widening", "superior mediastinal widening"]), false, true)
            }
            Kind::Granuloma => {
                let words = [format!("{side} calcified granuloma"), format!("calcified granuloma in the {side} lung")];
                (words[voice.index(2)].clone(), false, false)
            }
            Kind::AorticCalcification => {
                (pick(&["aortic calcification", "aortic calcification at the arch"]), false, true)
            }
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

    /// Appends how the finding looks.
    fn describe(&mut self, kind: Kind, finding: &Finding, voice: &mut Voice<'_>) {
        let details: &[&str] = match (kind, finding.degree) {
            (Kind::Edema, Some(Degree::Large)) => {
                &["with septal lines and perihilar haze", "with diffuse perihilar haze"]
            }
            (Kind::Edema, _) => &["with faint perihilar haze", "with indistinct vessels"],
            (Kind::Effusion, Some(Degree::Large)) => &["obscuring the hemidiaphragm", "covering the hemidiaphragm"],
            (Kind::Effusion, _) => &["blunting the costophrenic angle", "with costophrenic angle blunting"],
            (Kind::Pneumothorax, Some(Degree::Large)) => &["extending to the base", "with a visible pleural line"],
            (Kind::Pneumothorax, _) => &["with a thin pleural line", "along the chest wall"],
            (Kind::Consolidation, _) => &["with air bronchograms", "containing air bronchograms"],
            (Kind::Opacity, _) => &["with ill-defined margins", "with indistinct margins"],
            (Kind::Atelectasis, _) => &["with linear bands", "seen as linear bands"],
            (Kind::Nodule, _) => &["with smooth margins", "with well-defined margins"],
            (Kind::Fracture, _) => &["with mild displacement", "with slight displacement"],
            _ => return,
        };
        self.words = format!("{} {}", self.words, details[voice.index(details.len())]);
    }

    fn fill(&self, frame: &str) -> String {
        let new = if self.article.is_empty() { "new " } else { "a new " };
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

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
