//! Dataset folders: our own come back unchanged, other programs' are understood, broken ones are named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use addendum_studies::{
    Dataset, Folder, ImageSource, Phantom, PhantomConfig, Projection, Prompt, Split, Timing, View, folder,
};
use image::{GrayImage, ImageBuffer, Luma, Rgb, Rgba};
use proptest::prelude::*;

/// An empty folder of this test's own.
fn fresh(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("folder").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// A folder with `a.png` and this train file.
fn with_json(name: &str, json: impl AsRef<[u8]>) -> PathBuf {
    let dir = fresh(name);
    GrayImage::new(4, 4).save(dir.join("a.png")).unwrap();
    fs::write(dir.join("train.json"), json).unwrap();
    dir
}

fn entry(image: &str, human: &str) -> String {
    format!(
        r#"[{{"image": {image}, "conversations": [{{"from":"human","value":"{human}"}},{{"from":"gpt","value":"Clear."}}]}}]"#
    )
}

fn file(path: PathBuf) -> View {
    View { projection: Projection::Frontal, timing: Timing::Current, image: ImageSource::File(path) }
}

fn pixels(path: PathBuf) -> Vec<u8> {
    file(path).load().unwrap().levels().to_vec()
}

#[test]
fn what_is_written_comes_back_the_same() {
    let dir = fresh("roundtrip");
    let phantom = Phantom::new(PhantomConfig { count: 30, size: 56, ..PhantomConfig::default() }).unwrap();
    folder::write(&dir, Split::Train, &phantom).unwrap();
    let loaded = Folder::load(&dir, Split::Train).unwrap();
    assert_eq!(loaded.len(), 30);
    for i in 0..30 {
        let (a, b) = (phantom.study(i).unwrap(), loaded.study(i).unwrap());
        assert_eq!((&a.id, &a.reference), (&b.id, &b.reference));
        assert_eq!((&a.indication, &a.technique, &a.comparison), (&b.indication, &b.technique, &b.comparison));
        assert_eq!(Prompt::new(&a).text, Prompt::new(&b).text);
        assert_eq!(a.views.len(), b.views.len());
        for (a, b) in a.views.iter().zip(&b.views) {
            assert_eq!((a.timing, a.projection), (b.timing, b.projection));
            assert_eq!(a.load().unwrap(), b.load().unwrap());
        }
    }
}

#[test]
fn our_own_folders_are_understood_without_our_extra_keys() {
    let dir = fresh("plain");
    let phantom = Phantom::new(PhantomConfig { count: 30, size: 56, ..PhantomConfig::default() }).unwrap();
    folder::write(&dir, Split::Val, &phantom).unwrap();
    let path = dir.join("val.json");
    let mut entries: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for entry in entries.as_array_mut().unwrap() {
        for key in ["views", "indication", "technique", "comparison"] {
            entry.as_object_mut().unwrap().remove(key);
        }
    }
    fs::write(&path, entries.to_string()).unwrap();
    let loaded = Folder::load(&dir, Split::Val).unwrap();
    for i in 0..30 {
        let (a, b) = (phantom.study(i).unwrap(), loaded.study(i).unwrap());
        assert_eq!(Prompt::new(&a).text, Prompt::new(&b).text);
    }
}

#[test]
fn folders_of_other_programs_are_understood() {
    let json = "\u{feff}[\r\n {\"id\": 17, \"image\": \"a.png\", \"extra\": [1], \"conversations\": [\r\n\
        {\"from\": \"human\", \"value\": \"<image>\\r\\nIndication: Cough.\\r\\nDescribe the findings.\"},\r\n\
        {\"from\": \"gpt\", \"value\": \" Clear. \"}]},\r\n\
        {\"image\": [\"b.png\", \"./a.png\"], \"conversations\": [\
        {\"from\": \"user\", \"value\": \"<image><image>Report?\"}, {\"from\": \"assistant\", \"value\": \"Normal.\"}]}]";
    let dir = with_json("foreign", json);
    fs::create_dir(dir.join("images")).unwrap();
    GrayImage::new(2, 2).save(dir.join("images/b.png")).unwrap();
    let folder = Folder::load(&dir, Split::Train).unwrap();
    let (first, second) = (folder.study(0).unwrap(), folder.study(1).unwrap());
    assert_eq!((first.id.as_str(), second.id.as_str()), ("17", "1"));
    assert_eq!(first.indication.as_deref(), Some("Cough."));
    assert_eq!(first.reference.text(), "Clear.");
    assert_eq!(second.views[0].load().unwrap().levels(), [0; 4]);
    assert_eq!(second.views[1].projection, Projection::Lateral);
}

#[test]
fn malformed_folders_are_refused_with_file_and_field() {
    let turns = r#""conversations":[{"from":"human","value":"<image>"},{"from":"gpt","value":"x"}]"#;
    let cases: Vec<(String, &[&str])> = vec![
        ("[{".into(), &["not valid JSON"]),
        ("{}".into(), &["expected a JSON array", "an object"]),
        ("[{} x".into(), &["train.json:1", "ends inside"]),
        ("[{},]".into(), &["entry 1", "not valid JSON"]),
        ("[3]".into(), &["entry 0", "expected an object, found a number"]),
        (format!("[{{{turns}}}]"), &["entry 0", "`image`", "missing"]),
        (format!(r#"[{{"image":5,{turns}}}]"#), &["`image`", "found a number"]),
        (format!(r#"[{{"image":[],{turns}}}]"#), &["`image`", "empty"]),
        (format!(r#"[{{"image":["a.png",null],{turns}}}]"#), &["`image[1]`", "found null"]),
        (format!(r#"[{{"image":"a.png","id":[],{turns}}}]"#), &["`id`", "found an array"]),
        (
            format!(r#"[{{"image":"a.png","id":"x",{turns}}},{{"image":"a.png","id":"x",{turns}}}]"#),
            &["entry 1", "`id`", "`x`", "entry 0"],
        ),
        (r#"[{"image":"a.png"}]"#.into(), &["`report`", "missing", "conversations"]),
        (r#"[{"image":"a.png","conversations":null}]"#.into(), &["`conversations`", "missing"]),
        (r#"[{"image":"a.png","conversations":7}]"#.into(), &["`conversations`", "found a number"]),
        (r#"[{"image":"a.png","conversations":[{"from":"human","value":"<image>"}]}]"#.into(), &["no turn from `gpt`"]),
        (
            r#"[{"image":"a.png","conversations":[{"from":"human","value":"<image>"},{"from":"gpt","value":" "}]}]"#
                .into(),
            &["empty", "report"],
        ),
        (
            r#"[{"image":"a.png","conversations":[{"from":"human","value":1},{"from":"gpt","value":"x"}]}]"#.into(),
            &["`conversations[0].value`", "found a number"],
        ),
        (entry(r#""a.png""#, "<image><image>"), &["2 <image> markers", "1 images"]),
        (entry(r#"["a.png","a.png"]"#, "<image>"), &["1 <image> markers", "2 images"]),
        (entry(r#""none.png""#, "<image>"), &["`image`", "none.png"]),
        (entry(r#""../a.png""#, "<image>"), &["`image`", "../a.png", "not allowed"]),
        (entry(r#""..\\\\a.png""#, "<image>"), &["`image`", "not allowed"]),
        (entry(r#""/etc/hostname""#, "<image>"), &["`image`", "/etc/hostname", "outside"]),
        (entry(r#""images""#, "<image>"), &["`image`", "images"]),
        (format!(r#"[{{"image":"a.png","views":[],{turns}}}]"#), &["`views`", "0 views, but 1 images"]),
        (
            format!(r#"[{{"image":"a.png","views":[{{"projection":"oblique","timing":"current"}}],{turns}}}]"#),
            &["`views`", "oblique"],
        ),
    ];
    for (i, (json, expected)) in cases.iter().enumerate() {
        let dir = with_json(&format!("malformed{i}"), json);
        let message = Folder::load(&dir, Split::Train).expect_err(json).to_string();
        assert!(message.contains("train.json"), "{message}");
        for part in *expected {
            assert!(message.contains(part), "`{part}` not in: {message}");
        }
    }
}

#[test]
fn what_python_writes_for_missing_cells_is_an_absent_field_or_is_named() {
    let turns = |report: &str| {
        format!(r#"[{{"from":"human","value":"<image> History: Cough."}},{{"from":"gpt","value":{report}}}]"#)
    };
    let json = |id: &str, report: &str| {
        format!(
            "\u{feff}[\r\n{{\"id\": {id}, \"image\": NaN, \"images\": \"a.png\", \"indication\": NaN, \"views\": null,\r\n \
             \"score\": [Infinity, -Infinity, NaN], \"conversations\": {}}}]\r\n",
            turns(report)
        )
    };
    let study =
        |json: String| Folder::load(with_json("python", json), Split::Train).map(|folder| folder.study(0).unwrap());
    let read = study(json("NaN", r#""NaN \ud83d.""#)).unwrap();
    assert_eq!((read.id.as_str(), read.indication.as_deref()), ("0", Some("Cough.")));
    assert_eq!(read.reference.text(), "NaN \u{fffd}.");
    let refused = |json: String| study(json).unwrap_err().to_string();
    let message = refused(json("1", "NaN"));
    assert!(
        message.contains(
            "train.json:2: entry 0: field `conversations[1].value`: expected a string or a list of parts, found null"
        ),
        "{message}"
    );
    let two = format!(r#"[{{"image":"a.png","score":NaN,"conversations":{}}},{{"image":nan}}]"#, turns(r#""x""#));
    let message = refused(two);
    assert!(message.contains("train.json:1: entry 1: not valid JSON: expected"), "{message}");
}

#[test]
fn a_reference_is_what_speaks_of_the_report() {
    let report =
        r"WET READ: Pneumothorax.\n FINAL REPORT\n HISTORY: Pneumonia.\n\n FINDINGS: Clear.\n\n IMPRESSION: Normal.";
    let turns = format!(
        r#"[{{"from":"human","value":"<image> REASON FOR EXAM: Fever. COMPARISON FILM: None."}},{{"from":"gpt","value":"{report}"}}]"#
    );
    let dir = with_json("sections", format!(r#"[{{"image":"a.png","conversations":{turns}}}]"#));
    let study = Folder::load(dir, Split::Train).unwrap().study(0).unwrap();
    assert_eq!(study.reference.text(), "FINDINGS: Clear.\n\n IMPRESSION: Normal.");
    assert_eq!((study.indication.as_deref(), study.comparison.as_deref()), (Some("Fever."), Some("None.")));
}

#[cfg(unix)]
#[test]
fn links_may_not_lead_single_files_out_of_the_folder() {
    let dir = with_json("link", entry(r#""link.png""#, "<image>"));
    let outside = fresh("outside").join("secret.png");
    GrayImage::new(1, 1).save(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, dir.join("link.png")).unwrap();
    let message = Folder::load(&dir, Split::Train).unwrap_err().to_string();
    assert!(message.contains("outside the dataset folder"), "{message}");
}

#[cfg(unix)]
#[test]
fn linked_directories_may_not_lead_out_of_the_folder_but_images_may_be_one() {
    let outside = fresh("elsewhere");
    GrayImage::new(1, 1).save(outside.join("x.png")).unwrap();
    let dir = with_json("linked", entry(r#""sub/x.png""#, "<image>"));
    std::os::unix::fs::symlink(&outside, dir.join("sub")).unwrap();
    let message = Folder::load(&dir, Split::Train).unwrap_err().to_string();
    assert!(message.contains("outside the dataset folder"), "{message}");
    fs::remove_file(dir.join("sub")).unwrap();
    fs::create_dir_all(outside.join("sub")).unwrap();
    fs::copy(outside.join("x.png"), outside.join("sub/x.png")).unwrap();
    std::os::unix::fs::symlink(&outside, dir.join("images")).unwrap();
    assert_eq!(Folder::load(&dir, Split::Train).unwrap().len(), 1);
}

#[test]
fn a_missing_folder_and_a_missing_split_are_named() {
    let message = Folder::load("/nonexistent/data", Split::Train).unwrap_err().to_string();
    assert!(message.contains("/nonexistent/data"), "{message}");
    let message = Folder::load(fresh("nosplit"), Split::Val).unwrap_err().to_string();
    assert!(message.contains("nosplit") && message.contains("validation.json"), "{message}");
}

#[test]
fn gray_and_colour_of_8_and_16_bits_become_8_bit() {
    let dir = fresh("depths");
    let path = |name: &str| dir.join(name);
    ImageBuffer::from_fn(3, 1, |x, _| Luma([[0u16, 32_768, 65_535][x as usize]])).save(path("l16.png")).unwrap();
    assert_eq!(pixels(path("l16.png")), [0, 128, 255]);
    ImageBuffer::from_pixel(1, 1, Rgb([9u8, 0, 200])).save(path("rgb.png")).unwrap();
    assert_eq!(pixels(path("rgb.png")), [9, 0, 200]);
    ImageBuffer::from_pixel(1, 1, Rgba([80u8, 80, 80, 0])).save(path("rgba.png")).unwrap();
    assert_eq!(pixels(path("rgba.png")), [255; 3]);
    ImageBuffer::from_pixel(1, 1, Rgb([65_535u16; 3])).save(path("rgb16.png")).unwrap();
    assert_eq!(pixels(path("rgb16.png")), [255; 3]);
    GrayImage::from_pixel(8, 8, Luma([100])).save(path("gray.jpg")).unwrap();
    fs::rename(path("gray.jpg"), path("really_a_jpeg.png")).unwrap();
    assert!(pixels(path("really_a_jpeg.png")).iter().all(|p| p.abs_diff(100) <= 1));
}

#[test]
fn colour_images_are_written_in_colour() {
    let dir = with_json("colour", entry(r#""a.png""#, "<image>"));
    ImageBuffer::from_fn(3, 2, |x, y| Rgb([x as u8, y as u8, 7])).save(dir.join("a.png")).unwrap();
    let studies = Folder::load(&dir, Split::Train).unwrap();
    let copy = fresh("colour_copy");
    folder::write(&copy, Split::Train, &studies).unwrap();
    let copied = Folder::load(&copy, Split::Train).unwrap().study(0).unwrap();
    assert_eq!(copied.views[0].load().unwrap(), studies.study(0).unwrap().views[0].load().unwrap());
}

#[test]
fn undecodable_images_are_named_with_the_reason() {
    let dir = fresh("undecodable");
    GrayImage::new(64, 64).save(dir.join("whole.png")).unwrap();
    let whole = fs::read(dir.join("whole.png")).unwrap();
    fs::write(dir.join("truncated.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(dir.join("text.png"), "no image").unwrap();
    fs::write(dir.join("empty.png"), "").unwrap();
    for name in ["truncated.png", "text.png", "empty.png", "missing.png"] {
        let error = file(dir.join(name)).load().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damaged_json_never_panics(at in 0usize..160, byte: u8, human in "(Indication: |<image>|İ|prior |\\.|[a-z]){0,9}") {
        let mut json = entry(r#""a.png""#, &human).into_bytes();
        if at < json.len() {
            json[at] = byte;
        }
        let dir = with_json("damaged", &json);
        if let Ok(folder) = Folder::load(&dir, Split::Train) {
            prop_assert!(folder.len() <= 1);
        }
    }
}
