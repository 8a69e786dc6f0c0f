//! What the words of a heading say about its section.

/// What a section is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Without a heading.
    Untitled,
    /// Behind the name of the examination ("AP CHEST:").
    Exam,
    /// Behind "FINAL REPORT".
    Report,
    /// What is seen.
    Findings,
    /// What it means.
    Impression,
    /// Why the examination was ordered.
    Indication,
    /// How the examination was done.
    Technique,
    /// What it was compared with.
    Comparison,
    /// What was ordered ("EXAMINATION:").
    Order,
    /// Read in haste before the report (wet reads, provisional findings), or added to it later.
    Earlier,
    /// A paragraph on a part of the body, a device or a finding ("Lungs:"); it belongs to the section around it.
    Part,
    /// Recommendations, notifications, signatures, and whatever is not known.
    Other,
}

/// Words in capitals and in the singular. The first row with a word of the heading decides; hence silent ones come before
/// those that speak ("NOTIFICATION OF CRITICAL FINDINGS"), and words that say nothing alone come last.
const WORDS: [(Kind, &str); 9] = [
    (Kind::Earlier, "WET WETREAD PFI PRELIMINARY PRELIM PROVISIONAL OVERNIGHT RESIDENT ADDENDUM ADDENDA"),
    (
        Kind::Other,
        "RECOMMENDATION RECOMMENDED NOTIFICATION NOTIFIED COMMUNICATION COMMUNICATED DISCUSSED DISCUSSION DICTATED \
         TRANSCRIBED SIGNED ATTENDING PHYSICIAN RADIOLOGIST SIGNATURE ATTESTATION DISCLAIMER ADMITTING DISCHARGE END \
         CRITICAL",
    ),
    (
        Kind::Indication,
        "INDICATION HISTORY HX REASON SYMPTOM COMPLAINT QUESTION CLINICAL CONDITION CONTEXT BACKGROUND REQUEST \
         PRESENTATION PRESENTING MEDICAL",
    ),
    (Kind::Comparison, "COMPARISON COMPARED COMPARE CORRELATION REFERENCE"),
    (Kind::Technique, "TECHNIQUE METHOD METHODOLOGY PROTOCOL PROJECTION"),
    (Kind::Findings, "FINDING RESULT OBSERVATION INTERPRETATION COMMENT"),
    (Kind::Impression, "IMPRESSION CONCLUSION OPINION SUMMARY ASSESSMENT"),
    (Kind::Order, "EXAMINATION EXAM STUDY PROCEDURE TYPE ORDER ORDERED"),
    (Kind::Report, "REPORT NARRATIVE"),
];

/// Words of the names of examinations.
const EXAM: &str = "CHEST PA AP LAT LATERAL FRONTAL PORTABLE BEDSIDE VIEW RADIOGRAPH RADIOGRAPHIC RADIOGRAPHY XRAY RAY CXR FILM \
                    SINGLE ONE TWO THREE UPRIGHT SUPINE ERECT SEMI SEMIUPRIGHT SEMIERECT DECUBITUS LEFT RIGHT \
                    INSPIRATORY EXPIRATORY";

/// Parts of the body, devices, findings and how they are told apart.
const PART: &str = "LUNG PLEURA PLEURAL HEART CARDIAC CARDIOVASCULAR CARDIOMEDIASTINAL CARDIOMEDIASTINUM MEDIASTINUM \
                    MEDIASTINAL SILHOUETTE HILA HILUM HILAR HILI BONE BONY OSSEOUS SKELETON SKELETAL MUSCULOSKELETAL RIB \
                    SPINE SOFT TISSUE THORAX THORACIC CHEST WALL DIAPHRAGM AIRWAY TRACHEA TRACHEAL BRONCHI AORTA AORTIC \
                    VASCULATURE VESSEL VASCULAR PULMONARY PARENCHYMA APEX APICES BASE ABDOMEN UPPER LOWER MIDDLE LOBE \
                    ZONE RUL RML RLL LUL LLL LEFT RIGHT BILATERAL SIZE CONTOUR STRUCTURE SPACE SURFACE VOLUME FIELD \
                    LINE TUBE CATHETER DEVICE SUPPORT HARDWARE MONITORING ETT ET NGT NG OG OGT PICC PORT PACEMAKER ICD \
                    PACER LEAD WIRE DRAIN CVC CVL SWAN GANZ DOBHOFF ENDOTRACHEAL NASOGASTRIC ENTERIC FEEDING CENTRAL \
                    VENOUS TRACHEOSTOMY IJ SUBCLAVIAN IABP ECMO LVAD \
                    PNEUMOTHORAX PTX EFFUSION CONSOLIDATION EDEMA ATELECTASIS NODULE MASS OPACITY OPACITIES PNEUMONIA \
                    CARDIOMEGALY FRACTURE EMPHYSEMA COPD ADDITIONAL MISCELLANEOUS OTHER";

/// Words that only join others.
const FILLERS: &str = "THE OF FOR THIS THAT AND OR AN TO IN ON WITH FROM AT BY YOUR NUMBER VERSION AM PM";

/// Words that headings have besides those above.
const COMPANIONS: &str = "FINAL READ READING RADIOLOGY RADIOLOGICAL UNDERLYING PAST CURRENT BRIEF RELEVANT PERTINENT \
                          SIGNIFICANT DIAGNOSTIC DETAIL DATA INFORMATION STATEMENT IMAGE IMAGING AVAILABLE OLD PERFORMED ED PRIOR PREVIOUS SIGN PATIENT VISIT";

/// What misspelt headings mean; the section script of MIMIC-CXR's authors lists some twenty, each one letter off.
const OFTEN_MISSPELT: [&str; 8] =
    ["FINDING", "IMPRESSION", "INDICATION", "COMPARISON", "TECHNIQUE", "CONCLUSION", "RECOMMENDATION", "EXAMINATION"];

/// The words of a heading in capitals, without plural endings, numbers, single letters and fillers.
pub fn words(heading: &str) -> Vec<String> {
    let letters = heading.to_uppercase().replace("(S)", "").replace("X-RAY", "XRAY");
    letters
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 1 && !word.contains(|c: char| c.is_ascii_digit()))
        .map(|word| corrected(singular(word)))
        .filter(|word| !among(FILLERS, word))
        .map(str::to_owned)
        .collect()
}

/// Whether a word may be one of an examination's name.
pub fn names_exam(word: &str) -> bool {
    among(EXAM, word)
}

/// The kind that a heading in capitals opens; none if it holds no words.
pub fn kind(words: &[String]) -> Option<Kind> {
    let all = |list: &str| words.iter().all(|word| among(list, word));
    if words.is_empty() {
        return None;
    }
    // "CHEST:" names a part, "AP CHEST:" an examination.
    if all(EXAM) && !all(PART) {
        return Some(Kind::Exam);
    }
    if all(PART) {
        return Some(Kind::Part);
    }
    let part = if words.iter().any(|word| among(PART, word)) { Kind::Part } else { Kind::Other };
    Some(row(words).unwrap_or(part))
}

/// The kind of the first row with one of the words.
fn row(words: &[String]) -> Option<Kind> {
    WORDS.iter().find(|(_, list)| words.iter().any(|word| among(list, word))).map(|(kind, _)| *kind)
}

/// The kind of a heading that may also be the start of a sentence: all of its words must be those of headings.
pub fn known(words: &[String]) -> Option<Kind> {
    let listed =
        |word: &String| among(EXAM, word) || among(COMPANIONS, word) || WORDS.iter().any(|(_, list)| among(list, word));
    let titled = row(words).is_some() && words.iter().all(listed);
    kind(words).filter(|kind| titled || *kind == Kind::Exam || words.iter().all(|word| among(PART, word)))
}

impl Kind {
    /// Whether the section says what is seen.
    pub fn speaks(self) -> bool {
        matches!(self, Self::Findings | Self::Impression)
    }

    /// Whether a heading of this kind belongs to the section in which it stands.
    pub(super) fn goes_on_with(self, open: Self) -> bool {
        match self {
            Self::Part => open.speaks() || matches!(open, Self::Earlier | Self::Other),
            Self::Exam => open.speaks(),
            _ => false,
        }
    }

    /// Whether a paragraph behind the section's own may be the report, whose heading is left out.
    pub(super) fn ends_with_its_paragraph(self) -> bool {
        matches!(self, Self::Indication | Self::Technique | Self::Comparison | Self::Order)
    }
}

fn corrected(word: &str) -> &str {
    OFTEN_MISSPELT.into_iter().find(|right| nearly(word, right)).unwrap_or(word)
}

/// Whether two words are the same but for one letter too many, too few or another, or two that are swapped.
fn nearly(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let alike = |(a, b): (&u8, &u8)| a == b;
    let start = a.iter().zip(b).take_while(|pair| alike(*pair)).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|pair| alike(*pair)).count();
    match (&a[..a.len() - end], &b[..b.len() - end]) {
        ([x, y], [z, w]) => (x, y) == (w, z),
        (a, b) => a.len() <= 1 && b.len() <= 1,
    }
}

fn among(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|listed| listed == word)
}

fn singular(word: &str) -> &str {
    let plural = word.len() > 3 && !["SS", "IS", "US"].iter().any(|end| word.ends_with(end));
    word.strip_suffix('S').filter(|_| plural).unwrap_or(word)
}
