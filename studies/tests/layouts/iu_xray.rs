use addendum_studies::{
    ImageSource, Split,
    layouts::{IuXray, Options, Placeholders, Section},
};
use serde_json::json;

use crate::source::{Source, counts, exchange};

fn xml(id: u32, findings: &str, images: &[&str]) -> String {
    let images = images.iter().map(|image| {
        format!("<parentImage id=\"{image}\"><figureId>F1</figureId><caption>Xray Chest PA &amp; Lateral</caption></parentImage>")
    });
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><eCitation><meta type=\"rr\"/><uId id=\"CXR{id}\" /><MedlineCitation><Article>\
         <Abstract><AbstractText Label=\"COMPARISON\">None.</AbstractText><AbstractText Label=\"INDICATION\">XXXX-year-old, \
         O2 &lt; 90&#37;</AbstractText><AbstractText Label=\"FINDINGS\">{findings}</AbstractText>\
         <AbstractText Label=\"IMPRESSION\"/></Abstract></Article></MedlineCitation>{}</eCitation>",
        images.collect::<String>()
    )
}

/// The form of Open-i: three studies, one of them without findings and one with a single image.
pub fn open_i() -> Source {
    let source = Source::new();
    source
        .file(
            "ecgen-radiology/1.xml",
            xml(1, "The lungs are clear. XXXX normal.", &["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"]),
        )
        .file("ecgen-radiology/2.xml", xml(2, "", &["CXR2_IM-0652-1001"]))
        .file("ecgen-radiology/3.xml", xml(3, "Heart &gt; normal.", &["CXR3_1_IM-1384-1001"]))
        .file(
            "ecgen-radiology/4.xml",
            xml(4, "No effusion.", &["CXR4_IM-2050-1001", "CXR4_IM-2050-2001", "CXR4_IM-2050-3001"]),
        )
        .file("ecgen-radiology/5.xml", "<eCitation>broken off")
        .file("ecgen-radiology/readme.txt", "")
        .images(&[
            "NLMCXR_png/CXR1_1_IM-0001-3001.png",
            "NLMCXR_png/CXR1_1_IM-0001-4001.png",
            "NLMCXR_png/CXR2_IM-0652-1001.png",
            "NLMCXR_png/CXR3_1_IM-1384-1001.png",
            "NLMCXR_png/CXR4_IM-2050-1001.png",
            "NLMCXR_png/CXR4_IM-2050-2001.png",
            "NLMCXR_png/CXR4_IM-2050-3001.png",
        ]);
    source
}

fn annotation() -> String {
    let entry = |id: &str, report: &str| json!({"id": id, "report": report, "image_path": [format!("{id}/0.png"), format!("{id}/1.png")]});
    json!({
        "train": [entry("CXR1_IM-0001", "Lungs clear.")], "val": [entry("CXR3_IM-1384", "Heart normal.")],
        "test": [entry("CXR9_IM-0009", "No effusion .")],
    })
    .to_string()
}

#[test]
fn the_form_of_open_i_is_read_with_views_by_their_order() {
    let source = open_i();
    let conversion = source.convert(&IuXray, &Options::default());
    assert_eq!(conversion.splits_by, "seed");
    let studies: Vec<_> = Split::ALL.into_iter().flat_map(|split| source.studies(split)).collect();
    let find = |id: &str| exchange(&studies.iter().find(|(known, _)| known == id).unwrap().1);
    assert_eq!(studies.len(), 3);
    assert_eq!(
        find("CXR1"),
        (
            "Current frontal: <image> Current lateral: <image> Indication: XXXX-year-old, O2 < 90% Technique: Xray Chest PA & Lateral \
             Comparison: None. Write the findings."
                .into(),
            "The lungs are clear. XXXX normal.".into()
        )
    );
    assert_eq!(find("CXR3").1, "Heart > normal.");
    assert_eq!(find("CXR4").0.matches("<image>").count(), 2);
    assert_eq!(
        counts(&conversion.tally.studies_left_out),
        [("a report file without an id (uId)", 1), ("no findings in the report", 1)]
    );
    assert_eq!(conversion.tally.noted["views told by the order of the images"].count, 4);
    let message = source.refused(&IuXray, &Options { section: Section::Impression, ..Options::default() });
    assert!(message.contains("4 no impression in the report"), "{message}");
}

#[test]
fn kaggles_tables_tell_the_views_also_of_open_is_images() {
    let projections = "uid,filename,projection\n1,1_IM-0001-3001.dcm.png,Lateral\n1,1_IM-0001-4001.dcm.png,Frontal\n\
                       7,7_IM-0007-1001.dcm.png,Lateral\n";
    let both = open_i();
    both.file("indiana_projections.csv", projections);
    both.convert(&IuXray, &Options::default());
    let study = Split::ALL.into_iter().find_map(|split| both.studies(split).remove("CXR1")).unwrap();
    match &study.views[0].image {
        ImageSource::File(path) => assert!(path.ends_with("CXR1_1_IM-0001-4001.png"), "{path:?}"),
        ImageSource::Pixels(_) => panic!("no file"),
    }

    let kaggle = Source::new();
    kaggle
        .file("indiana_projections.csv", projections)
        .file(
            "indiana_reports.csv",
            "\u{feff}uid,MeSH,Problems,image,indication,comparison,findings,impression\r\n\
             1,normal,normal,Xray Chest PA and Lateral,XXXX,None.,\"The lungs, XXXX,\r\nare clear.\",Normal.\r\n\
             7,normal,normal,,,,No effusion.,Normal.\r\n8,,,,,,,\r\n",
        )
        .images(&[
            "images/images_normalized/1_IM-0001-3001.dcm.png",
            "images/images_normalized/1_IM-0001-4001.dcm.png",
            "images/images_normalized/7_IM-0007-1001.dcm.png",
        ]);
    let conversion = kaggle.convert(&IuXray, &Options { placeholders: Placeholders::Remove, ..Options::default() });
    let studies: Vec<_> = Split::ALL.into_iter().flat_map(|split| kaggle.studies(split)).collect();
    let find = |id: &str| exchange(&studies.iter().find(|(known, _)| known == id).unwrap().1);
    assert_eq!(
        find("CXR1"),
        (
            "Current frontal: <image> Current lateral: <image> Technique: Xray Chest PA and Lateral Comparison: None. Write the findings."
                .into(),
            "The lungs,, are clear.".into()
        )
    );
    assert_eq!(find("CXR7").0, "Current lateral: <image> Write the findings.");
    assert_eq!(conversion.tally.noted["a study with lateral images only"].examples, ["CXR7"]);
}

#[test]
fn r2gens_annotations_give_the_split_or_all_there_is() {
    let split = open_i();
    split.file("annotation.json", annotation());
    let conversion = split.convert(&IuXray, &Options::default());
    assert_eq!(conversion.splits_by, "owners");
    assert!(split.studies(Split::Train).contains_key("CXR1") && split.studies(Split::Val).contains_key("CXR3"));
    assert_eq!(conversion.tally.studies_left_out["in none of the owners' splits"].examples, ["CXR4"]);

    let alone = Source::new();
    alone.file("annotation.json", annotation());
    for study in ["CXR1_IM-0001", "CXR3_IM-1384", "CXR9_IM-0009"] {
        alone.images(&[&format!("images/{study}/0.png"), &format!("images/{study}/1.png")]);
    }
    alone.convert(&IuXray, &Options::default());
    assert_eq!(
        exchange(&alone.studies(Split::Test)["CXR9_IM-0009"]),
        ("Current frontal: <image> Current lateral: <image> Write the findings.".into(), "No effusion .".into())
    );
    assert!(Source::new().refused(&IuXray, &Options::default()).contains("there is no ecgen-radiology"));
}
