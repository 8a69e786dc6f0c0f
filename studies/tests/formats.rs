//! Dataset files of all forms: the same studies come out of each, and each tells what it refuses and where.

use std::{
    fs,
    path::{Path, PathBuf},
};

use addendum_studies::{Dataset, Error, Folder, Prompt, Split, Study};
use image::GrayImage;
use proptest::prelude::*;

/// A folder of this test's own with `a.png` and `b.png`, and these files.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("formats").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    for image in ["a.png", "b.png"] {
        GrayImage::new(4, 4).save(dir.join(image)).unwrap();
    }
    for (file, text) in files {
        fs::write(dir.join(file), text).unwrap();
    }
    dir
}

fn studies(dir: &Path, split: Split) -> Vec<Study> {
    let folder = Folder::load(dir, split).unwrap();
    (0..folder.len()).map(|index| folder.study(index).unwrap()).collect()
}

/// The message of a training file that is refused.
fn refused(name: &str, file: &str, text: &str) -> String {
    Folder::load(folder(name, &[(file, text)]), Split::Train).unwrap_err().to_string()
}

/// All that a study says.
fn told(study: &Study) -> (String, String, String) {
    (study.id.clone(), Prompt::new(study).text, study.reference.text().to_owned())
}

const LLAVA: &str = r#"{"id": "s1", "image": ["a.png", "b.png"], "patient": 7, "conversations": [
    {"from": "human", "value": "Lateral: <image> Frontal: <image> Indication: Cough. Write the findings."},
    {"from": "gpt", "value": "Clear \"lungs\";\nno effusion."}]}"#;

#[test]
fn every_form_gives_the_same_studies() {
    let line = LLAVA.replace('\n', " ");
    let chat = r#"{"id": "s1", "subject_id": "7", "messages": [{"role": "system", "content": "You are a radiologist."},
        {"role": "user", "content": [{"type": "text", "text": "Lateral:"}, {"type": "image", "image": "a.png"},
            {"type": "text", "text": "Frontal:"}, {"type": "image_url", "image_url": {"url": "file://b.png"}},
            {"type": "text", "text": "Indication: Cough. Write the findings."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Clear \"lungs\";\nno effusion."}]}]}"#;
    let chat = chat.replace('\n', " ");
    let named = r#"{"messages": [{"role": "user", "content": "Lateral: <image> Frontal: <image> Indication: Cough."},
        {"role": "assistant", "content": "Clear \"lungs\";\nno effusion."}], "images": ["a.png", "b.png"], "id": "s1",
        "Patient ID": 7}"#;
    let flat = r#"{"id": "s1", "image_path": ["a.png", "b.png"], "view": ["LATERAL", "PA"], "history": "Cough.",
        "findings": "Clear \"lungs\";\nno effusion.", "patient_id": 7}"#;
    let row = "s1,a.png;b.png,LL|AP,Cough.,\"Clear \"\"lungs\"\";\nno effusion.\",7,nan\n";
    let table = format!("Study ID,Image Paths,ViewPosition,Indication,Findings,subject_id,Comparison\n{row}");
    let semicolons = table.replace("a.png;b.png", "['a.png'| 'b.png']").replace(',', ";").replace("'| '", "', '");
    let files = [
        ("array", "train.json", format!("\u{feff}[{LLAVA}]")),
        ("array_in_lines", "train.jsonl", format!("[{LLAVA}]")),
        ("lines", "train.jsonl", format!("\u{feff}\r\n{line}\r\n\n")),
        ("lines_in_json", "train.json", format!("{line}\n{}", line.replace("s1", "s2"))),
        ("chat", "train.jsonl", chat),
        ("chat_with_images", "train.ndjson", named.replace('\n', " ")),
        ("flat", "train.json", format!("[{flat}]")),
        ("csv", "train.csv", format!("\u{feff}\r\n{table}\n")),
        ("csv_of_another_country", "train.csv", semicolons),
        ("tsv", "train.tsv", table.replace(',', "\t")),
    ];
    let expected = studies(&folder("expected", &[("train.json", &format!("[{LLAVA}]"))]), Split::Train);
    assert!(expected[0].reference.text() == "Clear \"lungs\";\nno effusion." && expected[0].views.len() == 2);
    for (name, file, text) in files {
        let dir = folder(name, &[(file, &text)]);
        assert_eq!(told(&studies(&dir, Split::Train)[0]), told(&expected[0]), "{name}");
        assert_eq!(Folder::load(&dir, Split::Train).unwrap().names(0).unwrap().1.as_deref(), Some("7"), "{name}");
    }
}

#[test]
fn one_file_may_hold_all_splits() {
    let table =
        "id,image,report,split\n1,a.png,One.,train\n2,a.png,Two.,Validate\n3,b.png,Three.,test\n4,b.png,Four.,train\n";
    let dir = folder("all", &[("studies.csv", table)]);
    let ids = |split| studies(&dir, split).into_iter().map(|study| study.id).collect::<Vec<_>>();
    assert_eq!(
        (ids(Split::Train), ids(Split::Val), ids(Split::Test)),
        (vec!["1".into(), "4".into()], vec!["2".into()], vec!["3".into()])
    );
    let dir = folder("all_bad", &[("studies.csv", &table.replace("test", "tast").replace("Two.", ""))]);
    let message = Folder::load(&dir, Split::Train).unwrap_err().to_string();
    assert!(message.contains("studies.csv:4: entry 2: field `split`: is `tast`"), "{message}");
    assert!(!message.contains("studies.csv:3"), "another split's row is told of: {message}");
}

#[test]
fn a_row_of_another_split_than_its_files_is_refused() {
    let message = refused("other_split", "train.csv", "image,report,split\na.png,One.,test\n");
    assert!(message.contains("train.csv:2: entry 0: field `split`: is test in a file of the train split"), "{message}");
}

#[test]
fn two_files_for_a_split_are_an_error_that_names_both() {
    for (name, other) in [("two", "train.csv"), ("two_all", "studies.jsonl")] {
        let dir = folder(name, &[("train.json", "[]"), (other, "")]);
        let message = Folder::load(dir, Split::Train).unwrap_err().to_string();
        assert!(message.contains("train.json") && message.contains(other), "{message}");
    }
}

#[test]
fn all_bad_rows_are_named_with_their_lines_and_all_that_is_wrong_with_them() {
    let table = "id,image,prior,view,report\n1,a.png,,PA,\"Clear.\nNormal.\"\n1,a.png,,PA,Clear.\n\n2,c.png,../d.png,,Clear.\n\
                 3,a.png,,LAO,\n4,a.png\n5,\"a.png\"x,,,y\n6,b.png,,,Clear.\n";
    let dir = folder("bad_rows", &[("train.csv", table)]);
    let message = Folder::load(&dir, Split::Train).unwrap_err().to_string();
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    assert!(lines[0].ends_with("train.csv: 5 of 7 entries are no studies:"), "{message}");
    let expected: [&[&str]; 5] = [
        &["train.csv:4: entry 1:", "`1` is already the id of entry 0"],
        &["train.csv:6: entry 2:", "field `image`: no file", "field `prior`: `../d.png` leads out"],
        &["train.csv:7: entry 3:", "field `view`: is `LAO`", "field `report`: missing or empty"],
        &["train.csv:8: entry 4:", "2 cells under a header of 5"],
        &["train.csv:9: entry 5:", "cell 2: text follows its closing quote"],
    ];
    assert_eq!(lines.len(), 6, "{message}");
    for (line, parts) in lines[1..].iter().zip(expected) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    let folder = Folder::read(&dir, Split::Train).unwrap();
    assert_eq!((folder.len(), folder.bad().len()), (2, 5));
    assert_eq!(folder.study(1).unwrap().id, "6");
    assert_eq!(folder.place(1).unwrap().line, Some(10));
    assert!(folder.identity().contains("without 5 entries"), "{}", folder.identity());
}

#[test]
fn a_message_names_twenty_rows_and_counts_the_others() {
    let rows: String = (0..30).map(|_| "none.png,Clear.\n").collect();
    let message = refused("many", "train.csv", &format!("image,report\n{rows}"));
    assert_eq!(message.lines().count(), 22);
    assert!(message.ends_with("and 10 more"), "{message}");
}

#[test]
fn a_table_in_which_no_row_can_be_a_study_is_refused_by_its_header() {
    for (name, table, expected) in [
        ("no_images", "id,report\n1,x\n", "no column with images"),
        ("no_report", "id,image,label\n1,a.png,x\n", "no column `report`, `findings` or `impression`; there are `id`"),
        ("twice", "image,report,report\n", "names `report` twice"),
        ("nothing", "", "expected a header"),
        ("open", "image,report\na.png,x\nb.png,\"y\n\n", "train.csv:3: entry 1: a quoted cell of this row has no end"),
    ] {
        let message = refused(name, "train.csv", table);
        assert!(message.contains(expected) && message.contains("train.csv"), "{message}");
    }
}

#[test]
fn a_row_per_image_is_a_study_by_the_name_that_is_unique() {
    let table = "subject_id,study_id,dicom_id,path,report\n101,9001,a1,a.png,Clear.\n101,9001,a2,b.png,Clear.\n";
    let ids: Vec<String> = studies(&folder("per_image", &[("train.csv", table)]), Split::Train)
        .into_iter()
        .map(|study| study.id)
        .collect();
    assert_eq!(ids, ["a1", "a2"]);
}

#[test]
fn images_are_files_of_the_folder_in_every_form() {
    for (name, image, expected) in [
        ("parent", "../a.png", "not allowed"),
        ("absolute", "/etc/hostname", "outside"),
        ("address", "https://example.org/a.png", "found a https: address"),
    ] {
        let csv = refused(name, "train.csv", &format!("image,report\n{image},x\n"));
        let turns = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"image","path":"{image}"}}]}},{{"role":"assistant","content":"x"}}]}}"#
        );
        let chat = refused(name, "train.jsonl", &turns);
        assert!(csv.contains(expected) && chat.contains(expected), "{csv}\n{chat}");
    }
}

#[test]
fn a_chat_that_cannot_be_read_is_refused_with_its_part() {
    let chat = |content: &str, more: &str| {
        let user = format!(r#"{{"role":"user","content":{content}}}"#);
        let line = format!(r#"{{"messages":[{user},{{"role":"assistant","content":"x"}}]{more}}}"#);
        refused("chat_parts", "train.jsonl", &line)
    };
    for (content, more, expected) in [
        (r#"[{"type":"video"}]"#, "", "`messages[0].content[0]`: is of type `video`"),
        (r#"[{"type":"text","text":3}]"#, "", "`messages[0].content[0].text`: expected a string, found a number"),
        (r#"["x"]"#, "", "has no type"),
        (r#"[{"type":"image"}]"#, "", "`image`: missing"),
        (r#"[{"type":"image"},{"type":"image","path":"a.png"}]"#, "", "only some of the images"),
        ("7", "", "expected a string or a list of parts"),
        (r#""no marker""#, r#","images":["a.png"]"#, "0 <image> markers in the question, but 1 images"),
    ] {
        let message = chat(content, more);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_in_use_gives_no_other_study() {
    let text = "{\"image\": \"a.png\", \"report\": \"One.\"}\n{\"image\": \"a.png\", \"report\": \"Two.\"}\n";
    let dir = folder("changed", &[("train.jsonl", text)]);
    let open = Folder::load(&dir, Split::Train).unwrap();
    let file = dir.join("train.jsonl");
    // In place: the same file with other bytes.
    fs::write(&file, text.replace("Two", "Six")).unwrap();
    assert_eq!(open.study(0).unwrap().reference.text(), "One.");
    assert!(matches!(open.study(1), Err(Error::Changed(place)) if place.line == Some(2)));
    fs::write(&file, "").unwrap();
    assert!(matches!(open.study(0), Err(Error::Changed(_))));
    // Another file of this name is no matter to the one that was listed.
    fs::write(&file, text).unwrap();
    let open = Folder::load(&dir, Split::Train).unwrap();
    fs::write(dir.join("new"), "{}").unwrap();
    fs::rename(dir.join("new"), &file).unwrap();
    assert_eq!(open.study(1).unwrap().reference.text(), "Two.");
}

#[test]
fn the_identity_of_a_split_changes_with_its_file_and_with_what_is_left_out() {
    let text = "image,report\na.png,One.\nb.png,Two.\n";
    let dir = folder("identity", &[("train.csv", text)]);
    let identity = || Folder::read(&dir, Split::Train).unwrap().identity();
    let crc = crc32fast::hash(text.as_bytes());
    assert_eq!(identity(), format!("train.csv {} bytes, crc32 {crc:08x}", text.len()));
    fs::remove_file(dir.join("a.png")).unwrap();
    let without_first = identity();
    GrayImage::new(4, 4).save(dir.join("a.png")).unwrap();
    fs::remove_file(dir.join("b.png")).unwrap();
    assert!(without_first.contains("without 1 entries") && without_first != identity());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_a_reader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0usize..300,
        byte: u8,
        form in 0usize..4,
    ) {
        let (file, text) = [
            ("train.json", format!("[{LLAVA}]")),
            ("train.jsonl", LLAVA.replace('\n', " ")),
            ("train.csv", "id,image,view,report,split\n1,a.png;b.png,\"PA;LL\",Clear.,train\n".to_owned()),
            ("train.tsv", "id\timage\treport\n1\t['a.png']\tClear.\n".to_owned()),
        ][form].clone();
        let mut damaged = text.into_bytes();
        if at < damaged.len() {
            damaged[at] = byte;
        }
        for bytes in [damaged, bytes] {
            let dir = folder(&format!("bytes{form}"), &[]);
            fs::write(dir.join(file), bytes).unwrap();
            if let Ok(folder) = Folder::read(&dir, Split::Train) {
                for index in 0..folder.len() {
                    folder.study(index).unwrap();
                }
            }
        }
    }
}
