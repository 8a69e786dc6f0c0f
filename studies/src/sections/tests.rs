use proptest::prelude::*;

use super::*;

fn body(report: &str, kind: Kind) -> Option<String> {
    Sections::of(report).body(kind)
}

const CLEAR: &str = "FINDINGS: No pneumothorax is seen. The lungs are clear.";

/// The spoken part of these lines in front of the findings, behind them, and on one line with them.
fn assert_silent(lines: &str) {
    for report in [
        format!("{lines}\n{CLEAR}"),
        format!("{lines}\n\n {CLEAR}\n"),
        format!("{CLEAR}\n{lines}"),
        format!("{} {CLEAR}", lines.split_whitespace().collect::<Vec<_>>().join(" ")),
    ] {
        assert_eq!(spoken(&report), CLEAR, "{report:?}");
    }
}

#[test]
fn only_findings_speak_beside_sections_of_every_other_kind() {
    for lines in [
        "COMPARISON FILM: ___, pneumonia then.",
        "INDICATIONS FOR STUDY: Pneumonia.",
        "PFI: Pneumothorax suspected clinically; pneumonia.",
        "REASON FOR EXAM: pneumonia.",
        "RECOMMENDATION(S): Treatment of pneumonia as before.",
        "SYMPTOM/REASON FOR EXAMINATION: pneumonia.",
        "TYPE OF EXAMINATION: Chest for pneumonia.",
        "UNDERLYING MEDICAL CONDITION: ___ year old man with pneumonia\nREASON FOR THIS EXAMINATION: eval effusion",
        "WET READ: ___ 10:17 PM\n Small right apical pneumothorax.",
        "WET READ VERSION #1 ___ at 10:30:\n Small right apical pneumothorax.",
        "PROVISIONAL FINDINGS IMPRESSION (PFI): Right pneumothorax.",
        "PRELIMINARY REPORT: Right pneumothorax.",
        "NOTIFICATION: The finding of pneumothorax was discussed with Dr. ___ at 10:30 A.M.",
        "COMMUNICATION OF CRITICAL FINDINGS: Pneumothorax, to Dr. ___.",
        "DICTATED BY: Dr. ___, about pneumonia.",
        "HISTORY: ___M with pneumonia // eval: effusion?",
        "Clinical history: Pneumonia.",
        "Reason for exam: pneumonia.",
        "CLINICAL INFORMATION: Pneumonia.",
        "Patient history: Pneumonia.",
        "INDICATION - Pneumonia.",
        "HISTORY Pneumonia in ___.",
        "IDICATION: Pneumonia.",
        "COMPARSION: ___, with pneumonia.",
        "REFERENCE EXAM: ___, with pneumonia.",
        "CRITICAL RESULTS: Pneumothorax, told to Dr. ___.",
        "NOTE: Pneumonia.",
        "TECHNIQUE: PA and lateral.",
        "COMPARISONS: ___, with pneumonia.",
        "EXAMINATION: CHEST (PORTABLE AP)",
        "EXAM: Chest, pneumonia",
        "QUALITY OF CARE MEASURE: Pneumonia.",
        "NUMBER OF IMAGES: 2, of pneumonia.",
        "ADDENDUM: Pneumonia was told to Dr. ___.",
        "END OF IMPRESSION: Pneumonia, read by Dr. ___.",
        "ATTENDING PHYSICIAN: Dr. ___, for pneumonia.",
        "ADMITTING DIAGNOSIS: PNEUMONIA",
        "**INDICATION:** Pneumonia.",
        "* HISTORY *: Pneumonia.",
    ] {
        assert_silent(lines);
    }
}

#[test]
fn a_whole_report_speaks_from_its_findings_on() {
    let report = "WET READ: ___ 10:17 PM\n FINDINGS: Small right apical pneumothorax.\n\
                  ______________________________\n FINAL REPORT\n HISTORY: Chest tube removal.\n\n FINDINGS:\n \
                  The lungs are clear.\n\n IMPRESSION:\n\n 1. No pneumothorax.\n\n NOTIFICATION: None.\n";
    let expected = "FINDINGS:\n The lungs are clear.\n\n IMPRESSION:\n\n 1. No pneumothorax.";
    assert_eq!(spoken(report), expected);
    let kinds: Vec<Kind> = split(report).iter().map(|section| section.kind).collect();
    let (earlier, indication) = (Kind::Earlier, Kind::Indication);
    let read = [Kind::Findings, Kind::Impression, Kind::Other];
    assert_eq!(kinds, [&[earlier, earlier, Kind::Report, indication], &read[..]].concat());
}

#[test]
fn headings_are_known_in_many_spellings() {
    for heading in [
        "FINDINGS:",
        "FINDING:",
        "Findings:",
        "findings:",
        "FINDINGS AND IMPRESSION:",
        "FINDINGS/IMPRESSION:",
        "FINDINGS :",
        "CHEST FINDINGS:",
        "RADIOGRAPHIC FINDINGS:",
        "INTERPRETATION:",
        "IMPRESSION:",
        "Impressions:",
        "CONCLUSION:",
        "CONCLUSIONS:",
        "SUMMARY:",
        "OPINION:",
        "FINAL IMPRESSION:",
        "LUNGS:",
        "Heart and mediastinum:",
        "ET TUBE TIP:",
        "PNEUMOTHORAX:",
        "  FINDINGS:",
        "__FINDINGS:",
        "## Findings:\n",
        "FINDINGS\n",
        "IMPRESSION\n",
        "\nfindings\n",
        "\nimpression:\n",
        "FINDINGS",
        "FINDINGS AND IMPRESSION",
        "IMPRESSION -",
        "IMPRESSION--",
        "IMPRESSON:",
        "IMPRESSOIN:",
        "FINDGINGS:",
        "FINIDNGS:",
        "RUL:",
    ] {
        let report = format!("HISTORY: Pneumonia.\n{heading} No effusion.");
        assert_eq!(spoken(&report), without_blanks(&format!("{heading} No effusion.")), "{heading}");
    }
}

fn without_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '_', '\n'])
}

#[test]
fn misspelt_headings_are_those_of_mimic_cxr_and_other_words_are_left_alone() {
    for (heading, kind) in [
        (
            "IMPRESSON IMPRRESSION IMORESSION IMPRESSOIN IMPRSSION IMPRESION IMPERSSION MPRESSION IMPESSION",
            Kind::Impression,
        ),
        ("FINDINS FINDINDGS FINDGINGS FINDNGS FINDNINGS FINIDNGS", Kind::Findings),
        ("IDICATION", Kind::Indication),
        ("COMPARISION COMPARSION COMPARRISON COMPARISIONS", Kind::Comparison),
    ] {
        for heading in heading.split(' ') {
            assert_eq!(split(&format!("{heading}: Small heart."))[0].kind, kind, "{heading}");
        }
    }
    for word in ["COMPRESSION", "DEPRESSION", "OCCLUSION"] {
        let kind = split(&format!("{word}: Small."))[0].kind;
        assert!(!kind.speaks() && kind != Kind::Comparison, "{word}: {kind:?}");
    }
}

#[test]
fn a_body_is_the_text_of_a_kind_on_one_line() {
    let report = "WET READ: Edema.\n______________\n FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n\n INDICATION:  ___F with\n                   cough // ? pneumonia\n\n TECHNIQUE:  Chest PA and lateral\n\n COMPARISON:  ___\n\n FINDINGS: \n\n                   Lungs:  clear.\n Heart: normal.\n ________\n\n FINDINGS:  No fracture.\n\n IMPRESSION: \n\n No edema.\n\n                   NOTIFICATION: None.\n";
    for (kind, text) in [
        (Kind::Indication, "___F with cough // ? pneumonia"),
        (Kind::Technique, "Chest PA and lateral"),
        (Kind::Comparison, "___"),
        (Kind::Findings, "Lungs: clear. Heart: normal. No fracture."),
        (Kind::Impression, "No edema."),
        (Kind::Earlier, "Edema."),
    ] {
        assert_eq!(body(report, kind).as_deref(), Some(text), "{kind:?}");
    }
    assert_eq!(body(report, Kind::Untitled), None);
}

#[test]
fn findings_without_their_heading_stand_behind_the_examination_or_in_the_last_paragraphs() {
    let behind = "CHEST, PA AND LATERAL VIEWS:  The lungs are clear.\n\n No effusion.\n\n IMPRESSION: Normal.";
    assert_eq!(body(behind, Kind::Findings).as_deref(), Some("The lungs are clear. No effusion."));
    let last = "FINAL REPORT\n CHEST RADIOGRAPH\n\n HISTORY:  Fever.\n \n COMPARISON:  ___.\n \n The lungs are clear.\n \n No effusion.\n";
    assert_eq!(body(last, Kind::Findings), None);
    assert_eq!(body(last, Kind::Untitled).as_deref(), Some("The lungs are clear. No effusion."));
    for (report, kind) in
        [("", Kind::Findings), ("FINDINGS:\n\nIMPRESSION: None.", Kind::Findings), ("AP CHEST:", Kind::Findings)]
    {
        assert_eq!(body(report, kind), None, "{report:?}");
    }
}

#[test]
fn the_end_of_a_sentence_on_a_line_of_its_own_is_no_heading() {
    for report in [
        "FINDINGS: There are no acute\nfindings\nin the chest.",
        "FINDINGS: No change of the\n\nfindings.\n\nMore text.",
        "FINDINGS: PICC Line ends in the SVC.",
    ] {
        assert_eq!(split(report).len(), 1, "{report:?}");
    }
}

#[test]
fn words_before_colons_in_sentences_are_no_headings() {
    for report in [
        "FINDINGS: Film of 10:30 shows a tube. A: text. Two findings are new: effusion and edema. Ratio 1:2.",
        "FINDINGS: The lungs are clear. RUL: opacity. LINES AND TUBES: PICC in place. Lateral view: normal.",
        "The lungs are clear. Note the following: no effusion.",
        "No effusion.",
        "The lungs are clear. Heart: normal. RUL: no opacity.",
        "FINDINGS: LUNGS: Clear. Heart: normal. IMPRESSION: AP chest compared to ___:\n Compared to prior: no change.",
        "Signs of edema: none. Right effusion compared to the prior film: smaller.",
    ] {
        assert_eq!(spoken(report), report);
        assert!(matches!(spoken(report), Cow::Borrowed(_)));
    }
}

#[test]
fn a_report_that_names_no_findings_speaks_where_it_has_no_heading() {
    for (report, expected) in [
        ("CHEST, PA AND LATERAL: The lungs are clear.", "The lungs are clear."),
        ("AP CHEST: The lungs are clear. Heart: normal.", "The lungs are clear. Heart: normal."),
        ("AP CHEST, 10:30 A.M., ___\n\n HISTORY: Pneumonia.\n\n The lungs are clear.\n", "The lungs are clear."),
        (
            "FINAL REPORT\n COMPARISON: ___.\n\n The lungs are clear.\n\n IMPRESSION: Normal.",
            "The lungs are clear.\n\n IMPRESSION: Normal.",
        ),
        ("HISTORY: Pneumonia.\n\nNo edema.\n\nNo effusion.", "No edema.\n\nNo effusion."),
        ("No effusion. RECOMMENDATION: CT for pneumonia.", "No effusion."),
        ("HISTORY: Fever. WET READ: No effusion.", "WET READ: No effusion."),
        ("HISTORY: Pneumonia.", "HISTORY: Pneumonia."),
        ("", ""),
    ] {
        assert_eq!(spoken(report), expected, "{report:?}");
    }
}

#[test]
fn an_addendum_does_not_speak_wherever_it_stands_and_whatever_sections_it_has() {
    let report = "FINDINGS: The lungs are clear.\nIMPRESSION: Normal.";
    for addendum in [
        "ADDENDUM: Small pneumothorax.",
        "ADDENDUM\n Small pneumothorax.\n",
        "Addendum:\nSmall pneumothorax.",
        "Addendum by Dr. ___ on 1/2/2020 10:15 AM: Small pneumothorax.",
        "Addendum 1/2/2020: Small pneumothorax.",
        "[ADDENDUM 3/4/2019: Small pneumothorax.]",
        "*** ADDENDUM #1 ***\n Small pneumothorax.\n *** END OF ADDENDUM ***",
        "--- Addendum begins ---\nSmall pneumothorax.\n--- Addendum ends ---",
        "WET READ: ___ 10:22 PM\n Small pneumothorax.",
        "Wet read by ___ at 4:33 AM: Small pneumothorax.",
    ] {
        for whole in [format!("{report}\n\n{addendum}\n"), format!("{addendum}\n\n{report}")] {
            assert_eq!(spoken(&whole), report, "{whole:?}");
        }
    }
    let own = "FINDINGS: Nodule.\nIMPRESSION: Nodule.";
    for whole in [
        format!("{report}\n\nADDENDUM:\n{own}"),
        format!("{report}\n\nADDENDUM\n\n{own}\nADDENDUM #2: No change.\n{own}"),
        format!("ADDENDUM:\n{own}\n\nORIGINAL REPORT:\n{report}"),
        format!("ADDENDUM: See below.\n____________\nFINAL REPORT\n{report}"),
    ] {
        assert_eq!(spoken(&whole), report, "{whole:?}");
    }
    let between = "FINDINGS: Clear.\nADDENDUM: Nodule.\nIMPRESSION: Normal.";
    assert_eq!(spoken(between), "FINDINGS: Clear.\nIMPRESSION: Normal.");
    let sentence = "FINDINGS: No fracture, see\nAddendum for details. IMPRESSION: Normal.";
    assert_eq!(spoken(sentence), sentence);
    assert_eq!(spoken("ADDENDUM: The lungs are clear after all."), "ADDENDUM: The lungs are clear after all.");
}

#[test]
fn a_report_on_one_line_or_all_in_capitals_is_told_apart_too() {
    for (report, expected) in [
        (
            "INDICATION: cough FINDINGS: Clear. IMPRESSION: Normal. NOTIFICATION: Pneumonia.",
            "FINDINGS: Clear. IMPRESSION: Normal.",
        ),
        (
            "Indication: Fever. Findings: Clear. Impression: Normal. Recommendation: CT.",
            "Findings: Clear. Impression: Normal.",
        ),
        ("WET READ: Pneumonia. FINAL REPORT The lungs are clear.", "The lungs are clear."),
        ("HISTORY: PNEUMONIA. FINDINGS: LUNGS CLEAR", "FINDINGS: LUNGS CLEAR"),
    ] {
        assert_eq!(spoken(report), expected, "{report:?}");
    }
}

#[test]
fn long_reports_are_read_in_linear_time() {
    let started = std::time::Instant::now();
    for text in [
        ":",
        "FINDINGS: ",
        "A ",
        "a. ",
        "\n",
        "____",
        "FINDINGS",
        "x: ",
        "WET READ ",
        "FINAL REPORT ",
        "A. Lung: ",
        "Small. RUL: ",
        "LUNGS: Y.\n",
        "REPORT:\n",
        "WET READ: A.\nREPORT:\n",
    ] {
        assert!(spoken(&text.repeat(100_000)).len() <= text.len() * 100_000);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn sections_are_all_of_any_text_and_what_speaks_stands_in_it(
        words in prop::collection::vec(prop::sample::select(vec![
            "FINDINGS", "FINAL REPORT", "IMPRESSION", "Lungs", "A", "İß", "10", ":", "：", ".", " ", "\n", "\n\n", "____", "x",
            "HISTORY", "WET READ", "AP CHEST", "*", "findings", "FINDINS", " - ", "–", "\r\n", "No", "REPORT",
        ]), 0..40),
    ) {
        let report = words.concat();
        let sections = split(&report);
        prop_assert_eq!(sections.iter().map(|section| &report[section.whole.clone()]).collect::<String>(), report.as_str());
        prop_assert!(spoken(&report).lines().all(|line| report.contains(line.trim())));
        for kind in [Kind::Findings, Kind::Impression, Kind::Untitled, Kind::Other] {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let body = body(&report, kind).unwrap_or_default();
            prop_assert!(!body.contains('\n') && words(&body).len() <= words(&report).len());
        }
    }

    #[test]
    fn any_text_at_all_is_cut_without_a_panic(report in "\\PC{0,200}", noise in prop::collection::vec(any::<char>(), 0..60)) {
        for report in [report, noise.into_iter().collect()] {
            let sections = split(&report);
            prop_assert_eq!(sections.iter().map(|section| &report[section.whole.clone()]).collect::<String>(), report.as_str());
            prop_assert!(sections.iter().all(|section| section.whole.end == section.body.end));
            _ = (spoken(&report), body(&report, Kind::Findings));
        }
    }
}
