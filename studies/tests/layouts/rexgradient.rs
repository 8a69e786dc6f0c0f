use addendum_studies::{
    Split,
    layouts::{Options, Rexgradient},
};
use serde_json::{Value, json};

use crate::source::{Source, counts, exchange};

pub fn source() -> Source {
    let source = Source::new();
    let path = |name: &str| format!("../deid_png/GRDN1/ACC/studies/1.2/series/3/instances/{name}.png");
    let study = |patient: &str, date: Value, images: &[&str], views: Value, findings: Value| {
        json!({
            "PatientID": patient, "StudyDate": date, "StudyInstanceUid": "1.2", "PatientAge": "064Y", "PatientSex": "F",
            "StudyDescription": "XR CHEST 2 VIEWS", "ImagePath": images.iter().map(|name| path(name)).collect::<Vec<_>>(),
            "ImageViewPosition": views, "Indication": "Cough.", "Comparison": "none", "Findings": findings,
            "Impression": "No change.",
        })
    };
    let train = json!({
        "pGRDN1_aACC_s1": study("GRDN1", "20120103".into(), &["a", "b"], json!(["LATERAL", "POSTERO_ANTERIOR"]), "The lungs are clear.".into()),
        "pGRDN1_aACC_s2": study("GRDN1", 20120304.into(), &["c"], json!(["AP"]), "Edema.\r\nEffusion.".into()),
        "pGRDN1_aACC_s3": study("GRDN1", "20120305".into(), &["d"], json!(["UNKNOWN"]), "Edema.".into()),
        "pGRDN2_aACC_s4": study("GRDN2", Value::Null, &["e"], json!([]), "Edema.".into()),
        "pGRDN2_aACC_s5": study("GRDN2", "20120305".into(), &["a"], json!("AP"), Value::Null),
    });
    // As Python writes missing cells.
    let valid =
        json!({ "pGRDN3_aACC_s6": study("GRDN3", "20120305".into(), &["f"], json!(["PA", null]), "Clear.".into()) })
            .to_string()
            .replace("\"Cough.\"", "NaN");
    let test =
        json!({ "pGRDN4_aACC_s7": study("GRDN4", "20120305".into(), &["f"], json!(["ERECT"]), "Clear.".into()) });
    source
        .file("metadata/train_metadata_view_position.json", train.to_string())
        .file("metadata/valid_metadata_view_position.json", valid)
        .file("metadata/test_metadata_view_position.json", test.to_string())
        .file("metadata/train_metadata.csv", "id,Findings\n");
    for name in ["a", "b", "c", "d", "e", "f"] {
        source.deep_image(path(name).trim_start_matches("../"));
    }
    source
}

#[test]
fn views_in_many_words_dates_and_official_splits_are_understood() {
    let source = source();
    let conversion = source.convert(&Rexgradient, &Options::default());
    let train = source.studies(Split::Train);
    assert_eq!(
        exchange(&train["pGRDN1_aACC_s1"]),
        (
            "Current frontal: <image> Current lateral: <image> Indication: Cough. Technique: XR CHEST 2 VIEWS Write the findings."
                .into(),
            "The lungs are clear.".into()
        )
    );
    let (prompt, reference) = exchange(&train["pGRDN1_aACC_s2"]);
    assert!(prompt.starts_with("Current frontal: <image> Prior frontal: <image> Indication: Cough."), "{prompt}");
    assert_eq!(reference, "Edema. Effusion.");
    assert_eq!(train["pGRDN1_aACC_s1"].views[0].load().unwrap().levels()[0], 200, "the upper eight of 16 bits");
    let val = source.studies(Split::Val);
    assert_eq!(val["pGRDN3_aACC_s6"].indication, None);
    assert_eq!(source.studies(Split::Test).len(), 1);
    assert_eq!(
        counts(&conversion.tally.studies_left_out),
        [("no findings in the report", 1), ("no image that can be used", 2)]
    );
    assert_eq!(counts(&conversion.tally.images_left_out), [("no view position is known", 2)]);
}

#[test]
fn images_of_unknown_view_are_frontal_if_asked_for() {
    let source = source();
    source.convert(&Rexgradient, &Options { unknown_is_frontal: true, ..Options::default() });
    let train = source.studies(Split::Train);
    assert_eq!(train.len(), 4);
    let prompt = exchange(&train["pGRDN1_aACC_s3"]).0;
    assert!(prompt.starts_with("Current frontal: <image> Prior frontal: <image>"), "{prompt}");
    assert_eq!(train["pGRDN2_aACC_s4"].views.len(), 1);
}

#[test]
fn metadata_without_images_are_refused_with_the_file_that_has_them() {
    let source = Source::new();
    source.file("metadata/train_metadata.csv", "id\n");
    assert!(source.refused(&Rexgradient, &Options::default()).contains("train_metadata_view_position.json"));
    source.file("metadata/train_metadata_view_position.json", "{\"a\": [}");
    assert!(
        source
            .refused(&Rexgradient, &Options::default())
            .contains("train_metadata_view_position.json: not the JSON that is expected")
    );
}
