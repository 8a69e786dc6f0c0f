//! Reports as text.

use addendum::{rewards::sentences, studies::sections};

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "EXAMINATION: CHEST (PA AND LAT)\n\nINDICATION: ___M with cough // eval pneumonia\n\nCOMPARISON: ___.\n\nFINDINGS:\n\n\
         The lungs are clear.  No effusion or pneumothorax.\n\nIMPRESSION:\n\n1. Normal.\n2. ET tube tip 4.5 cm above the carina.",
        "WET READ: ___ 10:17 PM\n FINDINGS: Small apical pneumothorax.\n____\n FINAL REPORT\n HISTORY: Tube removal.\n\n Clear.",
        "Indication: Fever. Findings: Clear. Impression: Normal. Recommendation: CT, Dr. Smith, at 10:30 a.m.",
        "**FINDINGS** : Herzgröße normal…  İß 正常。 No XXXX.",
    ]
    .map(|report| report.as_bytes().to_vec())
    .into()
}

pub fn read(input: &[u8]) -> bool {
    let report = String::from_utf8_lossy(input);
    let whole: usize = sections::split(&report).iter().map(|section| section.whole.len()).sum();
    assert_eq!(whole, report.len(), "sections are all of a report");
    let spoken = sections::spoken(&report);
    for sentence in sentences::split(&spoken) {
        assert!(!sentence.trim().is_empty(), "a sentence says something");
    }
    true
}
