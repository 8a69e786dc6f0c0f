use std::fs::write;

use tempfile::TempDir;

use super::*;

struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let files_dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(files_dir.path().join(name), text).unwrap();
        }
        Self(files_dir)
    }

    fn pairs(&self, hyps: &str, refs: Option<&str>) -> Result<Vec<Pair>> {
        let refs = refs.map(|name| self.0.path().join(name));
        pairs(&self.0.path().join(hyps), refs.as_deref(), &Fields::default())
    }

    /// The message without the folder's name.
    fn refusal(&self, hyps: &str, refs: Option<&str>) -> String {
        let message = self.pairs(hyps, refs).unwrap_err().to_string();
        message.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn pair(id: Option<&str>, hypothesis: &str, reference: &str) -> Pair {
    Pair { id: id.map(str::to_owned), hypothesis: hypothesis.into(), reference: reference.into() }
}

#[test]
fn every_format_gives_the_same_pairs() {
    let files = Files::new(&[
        ("both.json", r#"[{"id": 1, "response": "a", "answer": "x"}, {"id": 2, "response": "b", "answer": "y"}]"#),
        (
            "both.jsonl",
            "{\"id\": 1, \"response\": \"a\", \"answer\": \"x\"}\n\n{\"id\": 2, \"response\": \"b\", \"answer\": \"y\"}",
        ),
        ("both.csv", "\u{feff}id, hypothesis ,reference\n1,a,x\n2,b,y\n"),
        ("both.tsv", "id\thypothesis\treference\n1\ta\tx\n2\tb\ty\n"),
        ("hyps.txt", "a\r\nb\n"),
        ("refs.json", r#"["x", "y"]"#),
        ("hyps.csv", "study_id,report\n1,a\n2,b"),
        ("refs.jsonl", "{\"dicom_id\": \"2\", \"text\": \"y\"}\n{\"dicom_id\": \"1\", \"text\": \"x\"}"),
    ]);
    let expected = [pair(Some("1"), "a", "x"), pair(Some("2"), "b", "y")];
    for name in ["both.json", "both.jsonl", "both.csv", "both.tsv"] {
        assert_eq!(files.pairs(name, None).unwrap(), expected, "{name}");
        assert_eq!(files.pairs(name, Some(name)).unwrap(), expected, "{name}");
    }
    assert_eq!(files.pairs("hyps.csv", Some("refs.jsonl")).unwrap(), expected, "joined by id");
    let unnamed = [pair(None, "a", "x"), pair(None, "b", "y")];
    assert_eq!(files.pairs("hyps.txt", Some("refs.json")).unwrap(), unnamed);
    assert_eq!(files.pairs("hyps.csv", Some("refs.json")).unwrap(), expected, "in order, as one side has no ids");
}

#[test]
fn fields_can_be_named() {
    let files = Files::new(&[("both.jsonl", r#"{"mine": "a", "answer": "x", "theirs": "z"}"#)]);
    let fields = Fields { hypothesis: Some("mine".into()), reference: Some("theirs".into()), ..Fields::default() };
    assert_eq!(pairs(&files.0.path().join("both.jsonl"), None, &fields).unwrap(), [pair(None, "a", "z")]);
}

#[test]
fn a_faulty_file_is_refused_with_the_place_of_the_fault() {
    let files = Files::new(&[
        ("object.json", "{}"),
        ("number.json", r#"["a", 3]"#),
        ("broken.json", "[\n{\"response\": \"a\",\n]"),
        ("broken.jsonl", "{\"response\": \"a\", \"answer\": \"b\"}\n{\n"),
        ("absent.jsonl", r#"{"response": "a", "score": 1}"#),
        ("null.jsonl", r#"{"response": null, "answer": "b"}"#),
        ("short.csv", "response,answer\na,b\nc\n"),
        ("twice.csv", "id,report\n1,a\n1,b\n"),
        ("alone.csv", "id,report\n1,a\n"),
        ("some.json", r#"[{"id": 1, "report": "a"}, {"id": null, "report": "b"}]"#),
        ("columns.csv", "response, answer,response\na,b,c\n"),
        ("once.csv", "id,report\n1,a\n2,b\n"),
        ("other.csv", "id,report\n1,a\n3,b\n"),
        ("three.txt", "a\nb\nc\n"),
        ("two.txt", "a\n\n"),
        ("empty.txt", ""),
    ]);
    write(files.0.path().join("latin.txt"), b"a\nb\xe9\n").unwrap();
    for (hyps, refs, expected) in [
        ("object.json", None, "object.json: expected a list of items"),
        ("number.json", Some("two.txt"), "number.json: item 2: is 3, expected an object or a string"),
        ("broken.jsonl", None, "broken.jsonl:2: is not JSON: EOF while parsing an object (column 1)"),
        (
            "absent.jsonl",
            None,
            "absent.jsonl:1: no field `answer`, `reference`, `ref`, `ground_truth`, `report`, `text`; there are \
             `response`, `score`",
        ),
        ("null.jsonl", None, "null.jsonl:1: field `response` is null or NaN, expected text"),
        ("short.csv", None, "short.csv:3: 1 cells under a header of 2"),
        (
            "once.csv",
            Some("twice.csv"),
            "twice.csv:3: id `1` occurs a second time, first in twice.csv:2; expected a column without repeats, which \
             --id names",
        ),
        (
            "once.csv",
            Some("some.json"),
            "some.json: item 2: has no id, but others have; expected a column of all, which --id names",
        ),
        (
            "alone.csv",
            None,
            "alone.csv:2: `report` is a report without reference; expected fields of both, or a file of references",
        ),
        ("columns.csv", None, "columns.csv:1: the header names `response` twice"),
        ("once.csv", Some("other.csv"), "other.csv:3: id `3` is not in once.csv"),
        ("three.txt", Some("two.txt"), "three.txt holds 3 reports and two.txt holds 2; expected as many of both"),
        ("two.txt", None, "two.txt:1: is a report without reference; expected fields of both, or a file of references"),
        ("empty.txt", Some("two.txt"), "empty.txt: holds no report, expected at least one"),
        ("latin.txt", Some("two.txt"), "latin.txt:2: is not UTF-8 text"),
    ] {
        assert_eq!(files.refusal(hyps, refs), expected);
    }
    let broken = files.refusal("broken.json", None);
    assert!(broken.starts_with("broken.json:3: is not JSON: ") && broken.ends_with(", in item 1"), "{broken}");
    assert!(files.refusal("absent.txt", None).starts_with("absent.txt: "));
}

/// Two images of study 9001, one of 9002; the references in another order.
const IMAGES: [(&str, &str); 2] = [
    (
        "hyps.csv",
        "dicom_id,subject_id,study_id,report\na1,101,9001,Effusion.\na2,101,9001,No effusion.\nb1,102,9002,Clear.\n",
    ),
    ("refs.csv", "dicom_id,subject_id,study_id,reference\nb1,102,9002,Clear.\na2,101,9001,None.\na1,101,9001,Some.\n"),
];

#[test]
fn images_of_one_study_are_joined_by_the_column_that_tells_them_apart() {
    let files = Files::new(&IMAGES);
    let expected = [
        pair(Some("a1"), "Effusion.", "Some."),
        pair(Some("a2"), "No effusion.", "None."),
        pair(Some("b1"), "Clear.", "Clear."),
    ];
    assert_eq!(files.pairs("hyps.csv", Some("refs.csv")).unwrap(), expected);
}

#[test]
fn a_file_with_both_texts_may_repeat_its_ids() {
    let files = Files::new(&[("both.csv", "study_id,report,reference\n1,a,x\n1,b,y\n")]);
    assert_eq!(files.pairs("both.csv", None).unwrap(), [pair(Some("1"), "a", "x"), pair(Some("1"), "b", "y")]);
}

#[test]
fn studies_numbered_within_their_patient_are_joined_by_both_columns() {
    let files = Files::new(&[
        ("hyps.csv", "patient_id,study_id,report\n1,1,a\n1,2,b\n2,1,c\n"),
        ("refs.csv", "patient_id,study_id,reference\n2,1,z\n1,1,x\n1,2,y\n"),
    ]);
    let expected = [pair(Some("1 1"), "a", "x"), pair(Some("1 2"), "b", "y"), pair(Some("2 1"), "c", "z")];
    assert_eq!(files.pairs("hyps.csv", Some("refs.csv")).unwrap(), expected);
}

#[test]
fn the_named_column_joins_whatever_the_others_are() {
    let files = Files::new(&[
        ("hyps.jsonl", "{\"id\": 1, \"file\": \"A\", \"text\": \"a\"}\n{\"id\": 2, \"file\": \"a\", \"text\": \"b\"}"),
        ("refs.jsonl", "{\"id\": 1, \"file\": \"a\", \"text\": \"y\"}\n{\"id\": 2, \"file\": \"A\", \"text\": \"x\"}"),
        ("lines.txt", "x\ny\n"),
    ]);
    let by = |column: &str, refs: &str| {
        let fields = Fields { id: vec![column.into()], ..Fields::default() };
        pairs(&files.0.path().join("hyps.jsonl"), Some(&files.0.path().join(refs)), &fields)
    };
    assert_eq!(by("file", "refs.jsonl").unwrap(), [pair(Some("A"), "a", "x"), pair(Some("a"), "b", "y")]);
    let refusal = |column, refs| by(column, refs).unwrap_err().to_string();
    assert!(refusal("name", "refs.jsonl").ends_with("hyps.jsonl:1: has no `name`, which --id names"));
    assert!(refusal("file", "lines.txt").ends_with("lines.txt:1: has no `file`, which --id names"));
}

#[test]
fn what_python_writes_for_missing_values_matters_only_where_it_is_read() {
    let files = Files::new(&[
        ("unread.json", r#"[{"response": "a NaN", "answer": "x", "history": NaN, "boxes": [[-Infinity, Infinity]]}]"#),
        ("unread.jsonl", r#"{"response": "a NaN", "answer": "x", "history": NaN, "boxes": [[-Infinity, Infinity]]}"#),
        ("unread.csv", "response,answer,history\na NaN,x,nan\n"),
        ("read.json", r#"[{"response": "a", "answer": "x"}, {"response": "b", "answer": NaN}]"#),
        ("read.jsonl", "{\"response\": \"a\", \"answer\": \"x\"}\n{\"response\": \"b\", \"answer\": NaN}\n"),
        ("read.csv", "response,answer\na,x\nb,nan\n"),
        ("empty.csv", "response,answer\n,x\n"),
    ]);
    for name in ["unread.json", "unread.jsonl", "unread.csv"] {
        assert_eq!(files.pairs(name, None).unwrap(), [pair(None, "a NaN", "x")], "{name}");
    }
    for (name, place) in
        [("read.json", "read.json: item 2"), ("read.jsonl", "read.jsonl:2"), ("read.csv", "read.csv:3")]
    {
        assert_eq!(files.refusal(name, None), format!("{place}: field `answer` is null or NaN, expected text"));
    }
    assert_eq!(files.pairs("empty.csv", None).unwrap(), [pair(None, "", "x")], "an empty report stays one");
}
