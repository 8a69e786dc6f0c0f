use addendum_studies::{
    Split,
    layouts::{ChexpertPlus, Options, Section},
};

use crate::source::{Source, counts, exchange};

const HEAD: &str = "path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,patient_report_date_order,report,\
                    section_narrative,section_clinical_history,section_history,section_comparison,section_technique,\
                    section_findings,section_impression,split\n";

/// Two patients for training, one for tests. The table says `.jpg`, the files are `.png`.
pub fn source() -> Source {
    let source = Source::new();
    let row = |path: &str, side: &str, patient: &str, order: &str, history: &str, findings: &str, impression: &str| {
        let view = if path.contains("lateral") { "Lateral" } else { "Frontal" };
        let split = path.split('/').next().unwrap();
        format!(
            "{path},x.dcm,{view},{side},{patient},{order},\"NARRATIVE:\nCHEST, \"\"2 VIEWS\"\"\n\",,{history},,None,,\"{findings}\",\"{impression}\",{split}\r\n"
        )
    };
    let rows = [
        row(
            "train/patient1/study1/view1_frontal.jpg",
            "AP",
            "patient1",
            "2",
            "\"72 years, cough\"",
            "Clear\nlungs, \"\"stable\"\".",
            "\n1. Clear.",
        ),
        row(
            "train/patient1/study1/view2_lateral.jpg",
            "",
            "patient1",
            "2",
            "\"72 years, cough\"",
            "Clear\nlungs.",
            "1. Clear.",
        ),
        row("train/patient1/study2/view1_frontal.jpg", "PA", "patient1", "10.0", "", "Edema.", ""),
        row("train/patient1/study3/view1_frontal.jpg", "AP", "patient1", "1", "", "", "Tube in place."),
        row("train/patient2/study1/view1_frontal.jpg", "AP", "patient2", "1", "nan", "Effusion.", "Effusion."),
        row("valid/patient9/study1/view1_frontal.jpg", "AP", "patient9", "1", "", "Nodule.", "Nodule."),
        ",,,,,,,,,,,,,,\r\n".to_owned(),
    ];
    source.file("df_chexpert_plus_240401.csv", format!("\u{feff}{HEAD}{}", rows.concat()));
    source.images(&[
        "PNG/train/patient1/study1/view1_frontal.png",
        "PNG/train/patient1/study1/view2_lateral.png",
        "PNG/train/patient1/study2/view1_frontal.png",
        "PNG/train/patient1/study3/view1_frontal.png",
        "PNG/train/patient2/study1/view1_frontal.png",
        "PNG/valid/patient9/study1/view1_frontal.png",
    ]);
    source
}

#[test]
fn images_of_a_study_are_joined_and_its_prior_is_the_one_before_in_the_patients_order() {
    let source = source();
    let conversion = source.convert(&ChexpertPlus, &Options::default());
    let studies = |split| source.studies(split).into_iter();
    let all: Vec<_> = Split::ALL.into_iter().flat_map(studies).map(|(id, study)| (id, exchange(&study))).collect();
    let find = |id: &str| all.iter().find(|(known, _)| known == id).unwrap().1.clone();
    let (prompt, reference) = find("patient1_study1");
    assert_eq!(
        prompt,
        "Current frontal: <image> Current lateral: <image> Prior frontal: <image> Indication: 72 years, cough Write the findings."
    );
    assert_eq!(reference, "Clear lungs, \"stable\".");
    assert_eq!(find("patient1_study2").0, "Current frontal: <image> Prior frontal: <image> Write the findings.");
    assert_eq!(counts(&conversion.tally.studies_left_out), [("no findings in the report", 1)]);
    assert_eq!(counts(&conversion.tally.images_left_out), [("a row without the path of its image", 1)]);
}

#[test]
fn the_owners_validation_set_is_the_test_set_and_one_training_patient_is_drawn() {
    let source = source();
    let conversion = source.convert(&ChexpertPlus, &Options::default());
    assert_eq!(source.studies(Split::Test).keys().collect::<Vec<_>>(), ["patient9_study1"]);
    assert_eq!(conversion.splits.values().map(|counts| counts.patients).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_table_without_sections_has_its_reports_cut() {
    let source = source();
    let head = "path_to_image,deid_patient_id,report\n";
    let report = "\"NARRATIVE:\nCHEST, 1 VIEW\n\nCLINICAL HISTORY: Cough.\n\nFINDINGS: Clear.\n\nIMPRESSION:\n1. Normal.\n\nEND OF IMPRESSION\"";
    source.file(
        "df_chexpert_plus_240401.csv",
        format!("{head}train/patient1/study1/view1_frontal.jpg,patient1,{report}\n"),
    );
    source.convert(&ChexpertPlus, &Options { section: Section::Both, ..Options::default() });
    let (prompt, reference) = exchange(&source.studies(Split::Train)["patient1_study1"]);
    assert_eq!(prompt, "Current frontal: <image> Indication: Cough. Write the findings.");
    assert_eq!(reference, "FINDINGS: Clear.\nIMPRESSION: 1. Normal.");
}
