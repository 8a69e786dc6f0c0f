use addendum_studies::{
    Split,
    layouts::{Language, Options, PadchestGr},
};
use serde_json::{Value, json};

use crate::source::{Source, counts, exchange};

pub fn source() -> Source {
    let source = Source::new();
    let finding = |en: Value, es: &str, boxes: Value| json!({"sentence_en": en, "sentence_es": es, "abnormal": true, "boxes": boxes});
    let study = |id: &str, image: &str, previous: Value, findings: &[&Value]| json!({"StudyID": id, "ImageID": image, "PreviousStudyID": null, "PreviousImageID": previous, "findings": findings});
    let effusion =
        finding("Left pleural effusion.".into(), "Derrame pleural izquierdo.", json!([[0.1, 0.2, 0.3, 0.4]]));
    let heart = finding("Cardiomegaly".into(), "Cardiomegalia ", json!([]));
    let untranslated = finding(Value::Null, "Sin hallazgos.", Value::Null);
    let reports = json!([
        study("1001", "a.png", "old.png".into(), &[&effusion, &heart]),
        study("1002", "b.png", Value::Null, &[&heart]),
        study("1002", "b.png", Value::Null, &[&effusion]),
        study("1003", "c.png", "gone.png".into(), &[&heart]),
        study("1004", "d.png", Value::Null, &[&untranslated]),
        study("1005", "d.png", Value::Null, &[]),
        study("1006", "gone.png", Value::Null, &[&heart]),
        study("1007", "d.png", Value::Null, &[&heart]),
        json!({"findings": []}),
    ]);
    source.file("grounded_reports_20240819.json", format!("\u{feff}{reports}"));
    source.file(
        "master_table.csv",
        "StudyID,ImageID,label,sentence_en,split,PatientID,StudyDate_DICOM\r\n\
         1001,a.png,effusion,\"Left, pleural\neffusion\",train,P1,20120101\r\n1001,a.png,heart,x,train,P1,20120101\r\n\
         1002,b.png,heart,x,train,P1,20130101\r\n1003,c.png,heart,x,validation,P2,20120101\r\n\
         1004,d.png,normal,x,test,P3,20120101\r\n1005,d.png,normal,x,test,P3,20120101\r\n1006,g.png,heart,x,test,P3,20120101\r\n",
    );
    for name in [
        "Padchest_GR_files/PadChest_GR/a.png",
        "Padchest_GR_files/PadChest_GR/b.png",
        "Padchest_GR_files/PadChest_GR/c.png",
    ] {
        source.deep_image(name);
    }
    source
        .deep_image("Padchest_GR_files/PadChest_GR/d.png")
        .deep_image("PadChest_GR_progression_prior_studies/old.png");
    source
}

#[test]
fn sentences_are_the_reference_in_the_language_that_is_asked_for() {
    let source = source();
    let conversion = source.convert(&PadchestGr::default(), &Options::default());
    let train = source.studies(Split::Train);
    assert_eq!(
        exchange(&train["1001"]),
        (
            "Current frontal: <image> Prior frontal: <image> Write the findings.".into(),
            "Left pleural effusion. Cardiomegaly.".into()
        )
    );
    assert_eq!(exchange(&train["1002"]).0, "Current frontal: <image> Write the findings.", "the owners name no prior");
    assert_eq!(source.studies(Split::Val)["1003"].views.len(), 1);
    assert_eq!(train["1001"].views[0].load().unwrap().levels()[0], 200);
    assert_eq!(
        counts(&conversion.tally.studies_left_out),
        [
            ("a sentence is missing in this language", 1),
            ("another study has the same id", 1),
            ("in none of the owners' splits", 1),
            ("no StudyID or no ImageID", 1),
            ("no findings in the report", 1),
            ("no image that can be used", 1),
        ]
    );
    assert_eq!(counts(&conversion.tally.images_left_out), [("the image file is missing", 1)]);
    assert_eq!(conversion.tally.noted["boxes of findings, which are left out"].examples, ["1001", "1002"]);

    source.convert(&PadchestGr { language: Language::Spanish }, &Options::default());
    assert_eq!(exchange(&source.studies(Split::Train)["1001"]).1, "Derrame pleural izquierdo. Cardiomegalia.");
    assert_eq!(exchange(&source.studies(Split::Test)["1004"]).1, "Sin hallazgos.");
}
