//! What holds for every layout.

use std::fs;

use addendum_studies::{
    Dataset, Folder, Split,
    layouts::{ChexpertPlus, IuXray, Options, Placement, convert},
};

use crate::{chexpert_plus, iu_xray, source::Source};

#[test]
fn images_are_linked_hard_linked_or_copied_and_read_the_same() {
    let source = chexpert_plus::source();
    // An image may be a link within the source.
    let image = source.path().join("PNG/train/patient1/study1/view1_frontal.png");
    fs::rename(&image, image.with_file_name("moved.png")).unwrap();
    std::os::unix::fs::symlink("moved.png", &image).unwrap();
    let images = source.out().join("images");
    source.convert(&ChexpertPlus, &Options::default());
    assert_eq!(fs::read_link(&images).unwrap(), fs::canonicalize(source.path()).unwrap());
    let linked = source.studies(Split::Train).len();
    let hard = Options { images: Placement::HardLink, ..Options::default() };
    assert!(source.refused(&ChexpertPlus, &hard).contains("is there already, and is a link"));
    fs::remove_file(&images).unwrap();
    for placement in [Placement::HardLink, Placement::Copy] {
        for _ in 0..2 {
            source.convert(&ChexpertPlus, &Options { images: placement, ..Options::default() });
            assert_eq!(source.studies(Split::Train).len(), linked, "{placement}");
        }
        assert!(source.refused(&ChexpertPlus, &Options::default()).contains("is no link to the source"));
        fs::remove_dir_all(&images).unwrap();
    }
    assert!(image.is_file());
}

#[test]
fn the_new_folder_is_not_the_source() {
    let source = chexpert_plus::source();
    let error = convert(&ChexpertPlus, &source.path(), &source.path(), &Options::default());
    assert!(error.unwrap_err().to_string().contains("is the source itself"));
    let within = source.path().join("new");
    convert(&ChexpertPlus, &source.path(), &within, &Options::default()).unwrap();
    assert!(!Folder::load(&within, Split::Train).unwrap().is_empty());
}

#[test]
fn a_folder_that_was_written_into_the_source_is_not_taken_for_a_part_of_it() {
    let source = iu_xray::open_i();
    for placement in [Placement::Link, Placement::Copy] {
        // The first name of all, and one conversion after another.
        let within = source.path().join(format!("A {placement}"));
        let options = Options { images: placement, ..Options::default() };
        for _ in 0..2 {
            convert(&IuXray, &source.path(), &within, &options).unwrap();
            let train = fs::read_to_string(within.join("train.json")).unwrap();
            assert!(train.contains("images/NLMCXR_png/CXR") && !train.contains("images/A"), "{train}");
        }
    }
}

#[cfg(unix)]
#[test]
fn images_behind_a_link_out_of_the_source_are_left_out() {
    let (source, elsewhere) = (chexpert_plus::source(), Source::new());
    elsewhere.images(&["outside.png"]);
    let image = source.path().join("PNG/train/patient1/study1/view1_frontal.png");
    fs::remove_file(&image).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("outside.png"), &image).unwrap();
    let conversion = source.convert(&ChexpertPlus, &Options::default());
    assert_eq!(conversion.tally.images_left_out["a link out of the source folder"].count, 1);
    source.studies(Split::Train);
}

#[test]
fn the_files_say_of_which_patient_a_study_is() {
    let source = chexpert_plus::source();
    source.convert(&ChexpertPlus, &Options::default());
    let train: serde_json::Value = serde_json::from_slice(&fs::read(source.out().join("train.json")).unwrap()).unwrap();
    assert_eq!(train[0]["patient"], "patient1");
    let conversion: serde_json::Value =
        serde_json::from_slice(&fs::read(source.out().join("conversion.json")).unwrap()).unwrap();
    assert_eq!(
        (&conversion["layout"], &conversion["options"]["section"]),
        (&"chexpert-plus".into(), &"findings".into())
    );
}
