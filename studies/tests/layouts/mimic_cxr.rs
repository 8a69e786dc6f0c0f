use addendum_studies::{
    ImageSource, Split, Timing,
    layouts::{MimicCxr, Options, Placeholders, Priors, Section, Splits, Views},
};

use crate::source::{Source, counts, exchange, read};

/// One patient with four studies for training, one for validation, and one with two for tests.
pub fn source() -> Source {
    let source = Source::new();
    let head = "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,\
                ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning";
    let row = |dicom: &str, subject: &str, study: &str, view: &str, date: &str, time: &str, code: &str| {
        format!("{dicom},{subject},{study},\"CHEST (PA AND LAT)\",{view},4,4,{date},{time},\"CHEST, PA\",{code},Erect")
    };
    let rows = [
        head.to_owned(),
        row("b-lat", "10000032", "50000001", "LATERAL", "21800506", "213014.531", "lateral"),
        row("a-pa", "10000032", "50000001", "PA", "21800506", "213014.531", "postero-anterior"),
        row("a-ap", "10000032", "50000001", "AP", "21800506", "213014.531", "antero-posterior"),
        // Later the same day, and early the next morning, whose time has lost its zero.
        row("c-ap", "10000032", "50000002", "AP", "21800506", "235959.0", "antero-posterior"),
        row("d-ap", "10000032", "50000003", "", "21800507", "82318.531", "antero-posterior"),
        row("d-none", "10000032", "50000003", "", "21800507", "82318.531", ""),
        row("d-obl", "10000032", "50000003", "LAO", "21800507", "82318.531", ""),
        row("e-ll", "10000032", "50000004", "LL", "21800508", "1", "left lateral"),
        row("f-pa", "11000011", "50000005", "PA", "21500101", "1", ""),
        row("g-pa", "19000022", "50000006", "PA", "21500101", "1", ""),
        row("h-gone", "19000022", "50000007", "PA", "21500102", "1", ""),
        row("i-pa", "19000022", "50000008", "PA", "21500103", "1", ""),
        row("j-pa", "19000022", "50000009", "PA", "21500104", "1", ""),
    ];
    source.gz("mimic-cxr-2.0.0-metadata.csv.gz", &format!("\u{feff}{}\r\n", rows.join("\r\n")));
    let split = |studies: &[(&str, &str)]| {
        let rows = studies.iter().map(|(study, split)| format!("x,{study},1,{split}\n"));
        format!("dicom_id,study_id,subject_id,split\n{}", rows.collect::<String>())
    };
    let train = ["50000001", "50000002", "50000003", "50000004"].map(|study| (study, "train"));
    let held_out = [("50000005", "validate"), ("50000006", "test"), ("50000007", "test"), ("50000008", "test")];
    source.file("mimic-cxr-2.0.0-split.csv", split(&[&train[..], &held_out].concat()));
    source.images(&[
        "files/p10/p10000032/s50000001/a-pa.jpg",
        "files/p10/p10000032/s50000001/a-ap.jpg",
        "files/p10/p10000032/s50000001/b-lat.jpg",
        "files/p10/p10000032/s50000002/c-ap.jpg",
        "files/p10/p10000032/s50000003/d-ap.jpg",
        "files/p10/p10000032/s50000003/d-none.jpg",
        "files/p10/p10000032/s50000003/d-obl.jpg",
        "files/p10/p10000032/s50000004/e-ll.jpg",
        "files/p11/p11000011/s50000005/f-pa.jpg",
        "files/p19/p19000022/s50000006/g-pa.jpg",
        "files/p19/p19000022/s50000008/i-pa.jpg",
        "files/p19/p19000022/s50000009/j-pa.jpg",
    ]);
    let report = |subject: &str, study: &str, text: &str| {
        source.file(&format!("files/p{}/p{subject}/s{study}.txt", &subject[..2]), text);
    };
    report(
        "10000032",
        "50000001",
        "WET READ: ___ 10:17 PM\n Small pneumothorax.\n______________________________________\n                                 \
         FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n INDICATION:  ___F with cough  // ? pneumonia\n \n COMPARISON:  \
         None.\n \n FINDINGS: \n \n Frontal and lateral views.  The lungs are\n clear.  Heart: normal.\n \n IMPRESSION: \n \n No \
         acute process.\n",
    );
    report(
        "10000032",
        "50000002",
        " FINAL REPORT\r\n HISTORY:  Fever.\r\n\r\n COMPARISON: ___\r\n\r\n FINDINGS:  Compared to ___, no change.\r\n",
    );
    report("10000032", "50000003", " INDICATION: Pain.\n \n FINDINGS: Edema.\n \n IMPRESSION: Edema.\n");
    report("10000032", "50000004", " FINDINGS: No fracture.\n");
    report(
        "11000011",
        "50000005",
        " FINAL REPORT\n HISTORY: Cough.\n \n The lungs are clear.\n \n IMPRESSION: Normal.\n",
    );
    report("19000022", "50000006", " FINDINGS: Effusion.\n \n IMPRESSION: Effusion.\n");
    report("19000022", "50000007", " FINDINGS: Effusion.\n");
    // Latin-1, as some hospitals write.
    source.file("files/p19/p19000022/s50000008.txt", b"FINDINGS: Fracture at 5\xb5m.\n");
    source
}

#[test]
fn the_most_recent_earlier_study_of_the_patient_is_joined_with_its_frontal_view() {
    let source = source();
    let conversion = source.convert(&MimicCxr::default(), &Options::default());
    let studies = source.studies(Split::Train);
    let ids: Vec<&str> = studies.keys().map(String::as_str).collect();
    assert_eq!(ids, ["s50000001", "s50000002", "s50000003", "s50000004"]);
    let (prompt, reference) = exchange(&studies["s50000001"]);
    assert_eq!(
        prompt,
        "Current frontal: <image> Current lateral: <image> Indication: ___F with cough // ? pneumonia Comparison: None. Write the findings."
    );
    assert_eq!(reference, "Frontal and lateral views. The lungs are clear. Heart: normal.");
    assert_eq!(
        exchange(&studies["s50000002"]).0,
        "Current frontal: <image> Prior frontal: <image> Indication: Fever. Comparison: ___ Write the findings."
    );
    let file = |study: &str, view: usize| match &studies[study].views[view].image {
        ImageSource::File(path) => path.file_stem().unwrap().to_str().unwrap().to_owned(),
        ImageSource::Pixels(_) => panic!("no file"),
    };
    assert_eq!([file("s50000001", 0), file("s50000002", 1), file("s50000003", 1)], ["a-pa", "a-pa", "c-ap"]);
    assert!(exchange(&studies["s50000004"]).0.starts_with("Current lateral: <image> Prior frontal: <image> Write"));
    assert_eq!(file("s50000004", 1), "d-ap");
    assert_eq!(conversion.splits["train"].with_prior, 3);
}

#[test]
fn what_is_left_out_is_counted_by_reason() {
    let source = source();
    let conversion = source.convert(&MimicCxr::default(), &Options::default());
    assert_eq!(
        counts(&conversion.tally.studies_left_out),
        [("no findings in the report", 1), ("no image that can be used", 1), ("no report file", 1)]
    );
    assert_eq!(
        counts(&conversion.tally.images_left_out),
        [("neither frontal nor lateral", 1), ("no view position is known", 1), ("the image file is missing", 1)]
    );
    assert_eq!(conversion.tally.studies_left_out["no findings in the report"].examples, ["s50000005"]);
    assert_eq!(
        counts(&conversion.tally.noted),
        [
            ("a reference with marks for what was taken out (___ or XXXX)", 1),
            ("a split without studies, which a run refuses", 1),
            ("a study with lateral images only", 1)
        ]
    );
    let text = conversion.to_string();
    assert!(
        text.contains("train 4 studies of 1 patients") && text.contains("1 no report file, such as s50000009"),
        "{text}"
    );
}

#[test]
fn options_choose_section_views_priors_and_marks() {
    let source = source();
    let convert = |options: Options| source.convert(&MimicCxr::default(), &options);
    convert(Options {
        section: Section::Both,
        unheaded: true,
        views: Views::Frontal,
        priors: Priors::None,
        ..Options::default()
    });
    let train = source.studies(Split::Train);
    assert_eq!(train.keys().collect::<Vec<_>>(), ["s50000001", "s50000003"]);
    let (prompt, reference) = exchange(&train["s50000003"]);
    assert_eq!(prompt, "Current frontal: <image> Indication: Pain. Write the findings.");
    assert_eq!(reference, "FINDINGS: Edema.\nIMPRESSION: Edema.");
    assert_eq!(
        exchange(&source.studies(Split::Val)["s50000005"]).1,
        "FINDINGS: The lungs are clear.\nIMPRESSION: Normal."
    );

    convert(Options { section: Section::Impression, ..Options::default() });
    assert_eq!(exchange(&source.studies(Split::Train)["s50000001"]).1, "No acute process.");

    let all = Options {
        views: Views::All,
        priors: Priors::All,
        placeholders: Placeholders::Remove,
        unknown_is_frontal: true,
        ..Options::default()
    };
    convert(all);
    let train = source.studies(Split::Train);
    assert_eq!(train["s50000001"].views.len(), 3);
    let (prompt, reference) = exchange(&train["s50000002"]);
    assert!(prompt.ends_with(
        "Prior frontal: <image> Prior frontal: <image> Prior lateral: <image> Indication: Fever. Write the findings."
    ));
    assert_eq!(reference, "Compared to, no change.");
    assert_eq!(train["s50000003"].views.iter().filter(|view| view.timing == Timing::Current).count(), 2);
}

#[test]
fn the_same_source_and_seed_give_the_same_bytes_and_splits_by_patient() {
    let source = source();
    let options = Options { splits: Splits::Seeded, unheaded: true, seed: 3, ..Options::default() };
    let conversion = source.convert(&MimicCxr::default(), &options);
    let first = read(&source.out());
    source.convert(&MimicCxr::default(), &options);
    assert!(first == read(&source.out()), "two conversions differ");
    assert_eq!(conversion.splits_by, "seed");
    assert!(conversion.splits.values().all(|counts| counts.patients == 1), "{:?}", conversion.splits);
    let limited = source.convert(&MimicCxr::default(), &Options { limit: Some(1), ..options });
    assert!(limited.splits.values().all(|counts| counts.studies == 1), "{:?}", limited.splits);
    assert!(limited.tally.studies_left_out["beyond the limit"].count > 0);
}

#[test]
fn reports_may_lie_elsewhere_and_missing_tables_are_named() {
    let (images, texts) = (source(), source());
    std::fs::rename(texts.path().join("files"), texts.path().join("mimic-cxr-reports")).unwrap();
    std::fs::create_dir(texts.path().join("moved")).unwrap();
    std::fs::rename(texts.path().join("mimic-cxr-reports"), texts.path().join("moved/files")).unwrap();
    let layout = MimicCxr { reports: Some(texts.path().join("moved")) };
    assert_eq!(images.convert(&layout, &Options::default()).splits["train"].studies, 4);

    let empty = Source::new();
    assert!(empty.refused(&MimicCxr::default(), &Options::default()).contains("mimic-cxr-2.0.0-metadata.csv.gz"));
    empty.file("mimic-cxr-2.0.0-metadata.csv", "dicom_id,study_id\n");
    assert!(empty.refused(&MimicCxr::default(), &Options::default()).contains("mimic-cxr-2.0.0-split.csv.gz"));
    empty.file("mimic-cxr-2.0.0-split.csv", "study_id,split\n");
    let message = empty.refused(&MimicCxr::default(), &Options::default());
    assert!(message.contains("no column subject_id, found dicom_id, study_id"), "{message}");
    empty.file("mimic-cxr-2.0.0-metadata.csv", "dicom_id,subject_id,study_id,ViewPosition\nd,1,2,PA\n,,3,PA\n");
    let message = empty.refused(&MimicCxr::default(), &Options::default());
    assert!(message.contains("no study is left") && message.contains("1 no report file, such as s2"), "{message}");
    assert!(message.contains("1 a row of the metadata without its three ids, such as line 3"), "{message}");
    empty.file("mimic-cxr-reports.zip", "PK");
    assert!(empty.refused(&MimicCxr::default(), &Options::default()).contains("unzip mimic-cxr-reports.zip"));
}
